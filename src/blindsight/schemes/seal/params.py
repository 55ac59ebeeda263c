"""The ring of a SEAL scheme: the 128-bit table, and the sizes that follow from it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, Self, TypeVar

from blindsight.core.errors import InsecureParametersError, MalformedError, ParameterError
from blindsight.core.matching import Wire
from blindsight.core.primes import is_prime

LARGEST_MODULUS = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438}
"""HomomorphicEncryption.org standard (2018), ternary secret, 128-bit classical: bits of the
whole modulus, the special prime included, at each degree. SEAL's ``sec_level_type.tc128``."""

SIGMA = math.sqrt(10.5)
"""Standard deviation of SEAL's error, a centred binomial with 21 coins a side."""

CERTAIN = 9.5
"""Standard deviations that no error exceeds: Pr < 2^-64 for a Gaussian."""

CERTAIN_SWITCH = 64 * math.log(2) / math.sqrt(2)
"""The same for the rounding of CKKS's rescaling. In a slot it is multiplied by the secret's value
there, whose size is Rayleigh distributed over the slots: together a Laplace distribution, not a Gaussian."""

CHECKS = 2
"""Rows of a block, and additional coordinates, whose scores bind an answer to its block and probe."""

SEED_BYTES = 64
"""A seed of SEAL's generator: half of a fresh ciphertext is drawn from it."""

NONCE_BYTES = TAG_BYTES = 16
HINT_BYTES = 32


def require_secure(degree: int, primes: tuple[int, ...], special: int) -> None:
    """Raise `InsecureParametersError` where the modulus is over the table's for this degree.

    ``special`` is 0 where there is no prime for key switching.

    Raises `ParameterError` for moduli that SEAL could not transform by.
    """
    if type(degree) is not int or degree not in LARGEST_MODULUS:
        raise ParameterError(f"The degree is one of {', '.join(map(str, LARGEST_MODULUS))}.")
    moduli = (*primes, special) if special else primes
    numbers = all(type(p) is int and 2 <= p < 2**60 for p in moduli)
    if not primes or not numbers or len(set(moduli)) < len(moduli):
        raise ParameterError("The moduli are different primes below 2^60.")
    if any(p % (2 * degree) != 1 or not is_prime(p) for p in moduli):
        raise ParameterError(f"Every modulus is a prime that is 1 modulo {2 * degree}.")
    bits = math.prod(moduli).bit_length()
    if bits > LARGEST_MODULUS[degree]:
        raise InsecureParametersError(
            f"A modulus of {bits} bits at degree {degree} is below 128-bit security, which allows "
            f"{LARGEST_MODULUS[degree]} bits; use a larger degree or fewer bits."
        )


@dataclass(frozen=True, slots=True)
class SealParams:
    """What the parameter sets of `bfv` and `ckks` have in common.

    Attributes:
        width: integers in a template, 16 to 4100.
        degree: of the ring, a power of two; also the slots of a block.
        primes: the modulus of fresh ciphertexts, as its primes below 2^32; the last ones are
            switched away before an answer leaves.
        special: one more prime below 2^32, for relinearisation.
        template_norm: largest Euclidean norm of a template, as integers.
        probe_norm: largest Euclidean norm of a probe.
        score_bound: largest absolute inner product of the two.

    """

    width: int
    degree: int
    primes: tuple[int, ...]
    special: int
    template_norm: int
    probe_norm: int
    score_bound: int

    scheme: ClassVar[str]

    def _check_shared(self) -> None:
        if type(self.primes) is not tuple:
            raise ParameterError("The primes of the modulus are a tuple of integers.")
        bounds = (self.template_norm, self.probe_norm, self.score_bound)
        numbers = (self.width, self.degree, self.special, *bounds, *self.primes)
        if not all(type(number) is int and 0 < number < 2**45 for number in numbers):
            raise ParameterError("Parameters of a SEAL scheme are positive integers below 2^45.")
        if not 16 <= self.width <= 4100:
            raise ParameterError(f"Templates have 16 to 4100 integers, not {self.width}.")
        if len(self.primes) not in (2, 3) or max(*self.primes, self.special) >= 2**32:
            raise ParameterError("The modulus is two or three primes below 2^32 and a special one.")
        require_secure(self.degree, self.primes, self.special)

    @property
    def modulus(self) -> int:
        """The modulus of fresh ciphertexts."""
        return math.prod(self.primes)

    # -- sizes (specifications, section 7) -----------------------------------------------------

    @property
    def batch(self) -> int:
        """Probes that one message carries."""
        return 1

    @property
    def rows(self) -> int:
        return (self.degree - CHECKS) // self.batch

    @property
    def ciphertexts(self) -> int:
        """Ciphertexts in a block and in a probe: one a coordinate, the additional ones too."""
        return self.width + CHECKS

    @property
    def head_bytes(self) -> int:
        return NONCE_BYTES + TAG_BYTES

    @property
    def hint_bytes(self) -> int:
        """Size of a block's hint."""
        return HINT_BYTES

    @property
    def body_bytes(self) -> int:
        return self.ciphertexts * (4 * len(self.primes) * self.degree + SEED_BYTES)

    @property
    def relin_bytes(self) -> int:
        """Size of the relinearisation key that each probe carries."""
        return len(self.primes) * (4 * (len(self.primes) + 1) * self.degree + SEED_BYTES)

    @property
    def probe_bytes(self) -> int:
        return self.body_bytes + self.relin_bytes

    @property
    def answer_primes(self) -> int:
        """Primes that are left in an answer."""
        return 1

    @property
    def answer_bytes(self) -> int:
        return 2 * 4 * self.answer_primes * self.degree

    @property
    def largest_error(self) -> float:
        """How far an honest score can be from the integer inner product; 0 where it is exact."""
        raise NotImplementedError

    # -- as it travels ---------------------------------------------------------------------------

    def wire(self) -> dict[str, int | str]:
        """Flat: the primes joined by a comma, floats in hexadecimal."""
        return travelling(self)

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Parse what `wire` wrote; `MalformedError` where it did not."""
        return parsed_fields(cls, wire)

    @property
    def params_id(self) -> str:
        return wire_name(self.scheme, self.wire())


P = TypeVar("P", bound="Travelling")


class Travelling(Protocol):
    """A parameter set, a frozen dataclass, that `travelling` writes and `parsed_fields` reads."""

    scheme: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def wire(self) -> dict[str, int | str]: ...


def travelling(params: Any) -> dict[str, int | str]:
    """A parameter set, flat: the primes joined by a comma, floats in hexadecimal."""
    fields: dict[str, Any] = asdict(params)
    for name, value in fields.items():
        if isinstance(value, float):
            fields[name] = value.hex()
    fields["primes"] = ",".join(map(str, params.primes))
    return fields


def parsed_fields(cls: type[P], wire: Wire) -> P:
    """The parameter set that `travelling` wrote; `MalformedError` where it did not."""
    fields: dict[str, Any] = dict(wire)
    names = {field.name: field.type for field in dataclasses.fields(cls)}
    if set(fields) != set(names):
        raise MalformedError(f"Parameters of {cls.scheme} have the fields {', '.join(sorted(names))}.")
    try:
        fields["primes"] = tuple(int(p) for p in str(fields["primes"])[:64].split(","))
        for name, kind in names.items():
            if kind == "float":
                fields[name] = float.fromhex(str(fields[name])[:64])
    except (ValueError, OverflowError) as error:
        raise MalformedError(
            f"The parameters of {cls.scheme} are not written as the specification says."
        ) from error
    params = cls(**fields)
    if params.wire() != dict(wire):
        raise MalformedError(f"The parameters of {cls.scheme} are not written as the specification says.")
    return params


def wire_name(scheme: str, wire: Wire) -> str:
    """Names a parameter set: the scheme, and 16 hex digits of SHA-256 over its canonical JSON."""
    canonical = json.dumps(dict(wire), sort_keys=True).encode()
    return f"{scheme}-" + hashlib.sha256(canonical).hexdigest()[:16]


def primes_below(limit: int, degree: int, count: int) -> tuple[int, ...]:
    """The ``count`` largest primes below a limit that SEAL can transform by, descending."""
    found: list[int] = []
    candidate = (limit - 2) // (2 * degree) * 2 * degree + 1
    while len(found) < count:
        if candidate < 2 * degree:
            raise ParameterError(f"Too few primes below {limit} are 1 modulo {2 * degree}.")
        if is_prime(candidate):
            found.append(candidate)
        candidate -= 2 * degree
    return tuple(found)
