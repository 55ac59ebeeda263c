"""Parameter sets: frozen, and impossible to construct where insecure or inaccurate."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from itertools import pairwise

from blindsight.core.errors import (
    InaccurateParametersError,
    InsecureParametersError,
    MalformedError,
    ParameterError,
)
from blindsight.core.matching import Wire
from blindsight.core.primes import is_prime
from blindsight.kernels.ntt import N
from blindsight.kernels.prg import SEED_BYTES
from blindsight.kernels.sampling import SIGMA

_PRIMES = (1_073_732_609, 1_073_738_753)
"""The two largest primes below 2^30 that are 1 modulo 512, ascending."""

_TABLE_BITS, _TABLE_DIMENSION = 27, 1024
"""HomomorphicEncryption.org standard (2018), ternary secret, 128-bit classical: 27 bits of q
at dimension 1024 and 54 at 2048; linear between and beyond."""

_CERTAIN = 9.5
"""Standard deviations that no score exceeds: Pr < 2^-64 for a Gaussian."""


@dataclass(frozen=True, slots=True)
class Params:
    """One parameter set of the `lattice` scheme.

    Attributes:
        width: integers in a template, 16 to 4100.
        primes: one or two primes below 2^30, 1 modulo 512, ascending; q is their product.
        rank: module rank; the lattice dimension is 256 * rank.
        template_factor: what a template's integers are multiplied by, Delta_x of the design
            over the encoding's scale; 1 where noise may touch the last bits of a score.
        probe_factor: the same for probes.
        template_norm: largest Euclidean norm of a template, as integers.
        probe_norm: largest Euclidean norm of a probe.
        score_bound: largest absolute inner product of the two.
        noise_limit: the standard deviation of a score's error that the caller can bear, in
            units of the integer inner product.

    Raises:
        InsecureParametersError: below 128 bits by the table.
        InaccurateParametersError: a score could wrap around q, or its noise exceeds the limit.
        ParameterError: a value that is no parameter at all.

    """

    width: int
    primes: tuple[int, ...]
    rank: int
    template_factor: int
    probe_factor: int
    template_norm: int
    probe_norm: int
    score_bound: int
    noise_limit: float

    def __post_init__(self) -> None:
        if type(self.primes) is not tuple:
            raise ParameterError("The primes of the modulus are a tuple of integers.")
        numbers = (
            self.width, self.rank, self.template_factor, self.probe_factor,
            self.template_norm, self.probe_norm, self.score_bound, *self.primes,
        )  # fmt: skip
        if not all(type(number) is int and 0 < number < 2**62 for number in numbers):
            raise ParameterError("Lattice parameters are positive integers.")
        if not (isinstance(self.noise_limit, float) and 0 < self.noise_limit < math.inf):
            raise ParameterError("The noise limit is a positive number.")
        if not 16 <= self.width <= 4100:
            raise ParameterError(f"Templates have 16 to 4100 integers, not {self.width}.")
        if len(self.primes) not in (1, 2) or any(a >= b for a, b in pairwise(self.primes)):
            raise ParameterError("The modulus is one prime, or two in ascending order.")
        if any(p >= 2**30 or p % (2 * N) != 1 or not is_prime(p) for p in self.primes):
            raise ParameterError("Every prime of the modulus is below 2^30 and 1 modulo 512.")
        if self.rank > 32:
            raise ParameterError("The module rank is at most 32.")
        allowed = _TABLE_BITS * N * self.rank / _TABLE_DIMENSION
        if math.log2(self.modulus) > allowed:
            raise InsecureParametersError(
                f"A modulus of {math.log2(self.modulus):.1f} bits at dimension {N * self.rank} is below "
                f"128-bit security, which allows {allowed:.1f} bits; raise the rank."
            )
        if self.unit * (self.score_bound + _CERTAIN * self.noise) >= self.modulus / 2:
            raise InaccurateParametersError(
                "The largest score would wrap around the modulus; lower the scales or the factors."
            )
        if self.noise > self.noise_limit:
            raise InaccurateParametersError(
                f"Scores would carry noise of standard deviation {self.noise:.3g}, over the limit of "
                f"{self.noise_limit:.3g}; raise the factors or the limit."
            )

    @property
    def modulus(self) -> int:
        """The ciphertext modulus q."""
        return math.prod(self.primes)

    @property
    def unit(self) -> int:
        """What an integer inner product is multiplied by inside a ciphertext."""
        return self.template_factor * self.probe_factor

    @property
    def exact(self) -> bool:
        """Whether rounding always gives the integer inner product back."""
        return self.noise * _CERTAIN < 0.5

    @property
    def shift(self) -> int:
        """Bits that the matcher drops from an answer."""
        return 14 if len(self.primes) == 1 else 28

    @property
    def noise(self) -> float:
        """Standard deviation of a score's error, in units of the integer inner product.

        Specification, section 8: the error of the gallery against the probe, the error of the
        probe against 256 templates, the two errors against each other, the dropped bits.
        """
        gallery = self.probe_factor * SIGMA * self.probe_norm
        probe = self.template_factor * SIGMA * math.sqrt(N) * self.template_norm
        both = SIGMA**2 * math.sqrt(self.width * N)
        dropped = 2**self.shift / math.sqrt(12)
        return math.hypot(gallery, probe, both, dropped) / self.unit

    @property
    def largest_error(self) -> float:
        """What no score's error exceeds, in units of the integer inner product; 0 where exact."""
        return 0.0 if self.exact else _CERTAIN * self.noise

    @property
    def largest_score(self) -> int:
        """The largest absolute score that an honest matcher's answer can decrypt to."""
        return math.ceil(self.score_bound + _CERTAIN * self.noise)

    # -- sizes (specification, section 9) ---------------------------------------------------

    @property
    def rows(self) -> int:
        return N

    @property
    def limbs(self) -> int:
        """Primes in the modulus."""
        return len(self.primes)

    @property
    def batch(self) -> int:
        return 1

    @property
    def head_bytes(self) -> int:
        return SEED_BYTES

    @property
    def body_bytes(self) -> int:
        return 4 * self.limbs * self.width * N

    @property
    def probe_bytes(self) -> int:
        return self.body_bytes

    @property
    def hint_bytes(self) -> int:
        """Size of a block's hint."""
        return 4 * self.limbs * self.rank * N

    @property
    def answer_bytes(self) -> int:
        return 2 * self.limbs * N

    # -- as it travels ------------------------------------------------------------------------

    def wire(self) -> dict[str, int | str]:
        """Flat, with the primes joined by a comma and the limit as a hexadecimal float."""
        fields: dict[str, int | str] = dict(asdict(self))
        fields["primes"] = ",".join(map(str, self.primes))
        fields["noise_limit"] = self.noise_limit.hex()
        return fields

    @classmethod
    def from_wire(cls, wire: Wire) -> Params:
        """Parse what `wire` wrote; `MalformedError` where it did not."""
        fields = dict(wire)
        names = set(cls.__slots__)
        if set(fields) != names:
            raise MalformedError(f"Lattice parameters have the fields {', '.join(sorted(names))}.")
        try:
            primes = tuple(int(p) for p in str(fields.pop("primes"))[:64].split(","))
            limit = float.fromhex(str(fields.pop("noise_limit"))[:64])
        except (ValueError, OverflowError) as error:
            raise MalformedError(
                "The lattice parameters are not written as the specification says."
            ) from error
        params = cls(primes=primes, noise_limit=limit, **fields)  # type: ignore[arg-type]
        if params.wire() != dict(wire):
            raise MalformedError("The lattice parameters are not written as the specification says.")
        return params

    @property
    def params_id(self) -> str:
        canonical = json.dumps(self.wire(), sort_keys=True).encode()
        return "lattice-" + hashlib.sha256(canonical).hexdigest()[:16]

    # -- named sets -----------------------------------------------------------------------------

    @classmethod
    def approximate(
        cls, width: int, *, template_norm: int, probe_norm: int, score_bound: int, noise_limit: float
    ) -> Params:
        """4 bytes a coordinate, 2 bytes a score: for templates of scale 2^12, probes of 2^16."""
        return cls(width, _PRIMES[1:], 5, 1, 1, template_norm, probe_norm, score_bound, noise_limit)

    @classmethod
    def integers(cls, width: int, *, template_norm: int, probe_norm: int, score_bound: int) -> Params:
        """8 bytes a coordinate, 4 bytes a score: integer inner products back, exactly."""
        limit = 0.5 / _CERTAIN
        return cls(width, _PRIMES, 10, 2**17, 2**21, template_norm, probe_norm, score_bound, limit)
