"""An encrypted probe against a plaintext gallery: the watch-list owner's side.

The server has the templates in the open; the client keeps the key, and the probe comes
encrypted. The server learns nothing of the probe; the client learns the scores and nothing
else of the templates: the answer is made anew with the client's public key, and flooded with
noise that is 2^40 times what the templates could leave in it. ``specs/bfv.md``, section 9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import DimensionError, MalformedError, ParamsMismatchError, VectorError
from blindsight.core.types import I32, AnyArray
from blindsight.kernels.prg import Stream, fresh_seed
from blindsight.schemes.bfv.watch_params import WatchParams
from blindsight.schemes.seal.library import guarded, sealapi
from blindsight.schemes.seal.packing import bits_packed, unpacked
from blindsight.schemes.seal.params import SEED_BYTES

CLAIM = Claim.IND_CPA
LEAKAGE = Leakage(
    learns=(
        (
            "server",
            (
                "the whole gallery: the templates are its own, in plaintext",
                "when probes are made, and how many; never what is in them, nor a score",
            ),
        ),
        (
            "client",
            (
                "every score of its probe, and how many templates there are",
                "nothing else of a template, up to a statistical distance of 2^-40 an answer and ring-LWE",
            ),
        ),
    ),
    not_claimed=(
        "that scores hide templates: as many well-chosen probes as a template has coordinates give it "
        "away, so count probes",
        "anything about a client that sends what is no encryption, or a public key made up to match",
        "that the server compares with the templates it says it has",
    ),
)

_LIMB = 11
"""Bits of the flood that are taken at once."""


@dataclass(frozen=True, slots=True, eq=False)
class WatchKeys:
    """What a client sends once: its public key, and three rotation keys. Nothing in it is secret."""

    params: WatchParams
    digest: str
    galois: Any = field(repr=False)
    zeros: Any = field(repr=False)

    @classmethod
    def load(cls, params: WatchParams, data: bytes) -> WatchKeys:
        """Parse and check; `MalformedError` for anything that is not as the key holder made it."""
        if len(data) != params.key_bytes:
            raise MalformedError(f"Evaluation keys of these parameters have {params.key_bytes} bytes.")
        made, digits = params.context, len(params.primes)
        shape = (len(params.elements), digits)
        count = math.prod(shape)
        cut = len(data) - count * SEED_BYTES
        bodies = unpacked(np.frombuffer(data[:cut], np.uint8), 2 + count, made.moduli, params.degree)
        seeds = np.frombuffer(data[cut:], np.uint8).reshape(*shape, SEED_BYTES)
        turns = bodies[2:].reshape(*shape, *bodies.shape[1:])
        galois = made.switching_keys(turns, seeds, params.elements)
        public = made.public_key(bodies[:2])
        return cls(params, sha256(data).hexdigest(), galois, sealapi().Encryptor(made.seal, public))


class PlaintextGallery:
    """Templates in the open, laid out for encrypted probes. Immutable; safe for several threads.

    Args:
        params: bounds of templates and probes.
        templates: int32 (count, width), none longer than ``params.template_norm``.

    """

    def __init__(self, params: WatchParams, templates: I32) -> None:
        if templates.ndim != 2 or templates.shape[1] != params.width or templates.dtype != np.int32:
            raise DimensionError(f"Templates are int32 rows of {params.width} integers.")
        if not len(templates):
            raise DimensionError("A plaintext gallery has at least one template.")
        if np.einsum("ij,ij->i", templates, templates, dtype=np.float64).max() > params.template_norm**2:
            raise VectorError("A template is longer than these parameters allow; normalise it.")
        self.params = params
        self.count = len(templates)
        rows = params.rows
        self._blocks = [
            _laid_out(params, templates[first : first + rows]) for first in range(0, self.count, rows)
        ]

    @property
    def blocks(self) -> int:
        """Answers to one probe: one for each 4096 templates."""
        return len(self._blocks)

    def answer(self, keys: WatchKeys, probe: bytes) -> bytes:
        """Scores of one probe with all templates, encrypted and flooded: `blocks` answers in a row."""
        p = self.params
        if keys.params != p:
            raise ParamsMismatchError("These evaluation keys are of other parameters.")
        turned = self._turned(keys, probe_ciphertext(p, probe))
        return b"".join(self._block(keys, block, turned) for block in self._blocks)

    def _turned(self, keys: WatchKeys, probe: Any) -> list[Any]:
        """The probe turned by 0, 1 … `baby` - 1, in the form that products need."""
        evaluator, out = self.params.context.evaluator, []
        with guarded("This probe cannot be compared; it was made up."):
            for step in range(self.params.baby):
                if step:
                    evaluator.rotate_rows_inplace(probe, 1, keys.galois)
                ready = sealapi().Ciphertext()
                evaluator.transform_to_ntt(probe, ready)
                out.append(ready)
        return out

    def _block(self, keys: WatchKeys, block: list[list[Any | None]], turned: list[Any]) -> bytes:
        evaluator, total = self.params.context.evaluator, None
        product = sealapi().Ciphertext()
        with guarded("This probe cannot be compared; it was made up."):
            for diagonals in reversed(block):  # Horner's rule: each later sum is turned once more
                if total is not None:
                    evaluator.rotate_rows_inplace(total, self.params.baby, keys.galois)
                partial = None
                for diagonal, one in zip(diagonals, turned, strict=True):
                    if diagonal is None:
                        continue
                    evaluator.multiply_plain(one, diagonal, product)
                    if partial is None:
                        partial, product = product, sealapi().Ciphertext()
                    else:
                        evaluator.add_inplace(partial, product)
                if partial is not None:
                    evaluator.transform_from_ntt_inplace(partial)
                    if total is not None:
                        evaluator.add_inplace(partial, total)
                    total = partial
            flood = self._flood(keys)
            if total is not None:  # only a block of zeros has no product
                exchanged = sealapi().Ciphertext()
                evaluator.rotate_columns(total, keys.galois, exchanged)
                evaluator.add_inplace(total, exchanged)
                evaluator.add_inplace(flood, total)
            evaluator.mod_switch_to_next_inplace(flood)
        return self._rounded(self.params.context.residues(flood, 2, 1)[:, 0])

    def _flood(self, keys: WatchKeys) -> Any:
        """A fresh encryption of zero under the client's public key, and the flood on top."""
        p, zero = self.params, sealapi().Ciphertext()
        keys.zeros.encrypt_zero(zero)
        residues = p.context.residues(zero, 2, len(p.primes))
        residues[0] = _flooded(residues[0], p.primes, p.flood_width, fresh_seed())
        return p.context.ciphertext(residues)

    def _rounded(self, residues: AnyArray) -> bytes:
        """Both polynomials, modulo the first prime, as numbers modulo powers of two."""
        prime = self.params.primes[0]
        return b"".join(
            bits_packed(np.rint(part * (2.0**bits / prime)).astype(np.uint64) % np.uint64(1 << bits), bits)
            for part, bits in zip(residues, self.params.answer_bits, strict=True)
        )


def probe_ciphertext(params: WatchParams, data: bytes) -> Any:
    """SEAL's object of a probe; `MalformedError` where it is none."""
    if len(data) != params.probe_bytes:
        raise MalformedError(f"A probe of these parameters has {params.probe_bytes} bytes.")
    residues = unpacked(np.frombuffer(data[:-SEED_BYTES], np.uint8), 1, params.primes, params.degree)
    return params.context.ciphertext(residues, seed=data[-SEED_BYTES:])


def _laid_out(params: WatchParams, templates: I32) -> list[list[Any | None]]:
    """A block as diagonals: `giant` lists of `baby` plaintexts, ready for products; None for zeros.

    In slot ``r`` of a row, diagonal ``j`` has coordinate ``(r + j) mod half`` of template ``r``, of
    the first half of the coordinates in the first row and of the second half in the second.
    """
    rows, half, baby = params.rows, params.half, params.baby
    padded = np.zeros((rows, 2 * half), np.int64)
    padded[: len(templates), : params.width] = templates
    place = np.arange(rows)
    block: list[list[Any | None]] = []
    for giant in range(params.giant):
        line: list[Any | None] = []
        turned_back = (place - giant * baby) % rows
        for step in range(baby):
            column = (turned_back + giant * baby + step) % half
            first, second = padded[turned_back, column], padded[turned_back, column + half]
            line.append(_plaintext(params, np.concatenate([first, second])))
        block.append(line)
    return block


def _plaintext(params: WatchParams, slots: AnyArray) -> Any | None:
    if not slots.any():
        return None
    made, plain = params.context, sealapi().Plaintext()
    made.encoder.encode(slots.tolist(), plain)
    made.evaluator.transform_to_ntt_inplace(plain, list(made.levels[len(params.primes)]))
    return plain


def _flooded(residues: AnyArray, primes: tuple[int, ...], width: int, seed: bytes) -> AnyArray:
    """Residues uint64 (primes, degree) plus an integer uniform in [-2^width, 2^width) a coefficient."""
    degree = residues.shape[1]
    bits, stream = width + 1, Stream(seed)
    limbs = [
        stream.read(2 * degree).view("<u2").astype(np.uint64) & np.uint64((1 << min(_LIMB, bits - at)) - 1)
        for at in range(0, bits, _LIMB)
    ]
    out = np.empty_like(residues)
    for k, prime in enumerate(primes):
        modulus, total = np.uint64(prime), np.zeros(degree, np.uint64)
        for limb in reversed(limbs):
            total = _times_limb(total, modulus) + limb
            total %= modulus
        out[k] = (residues[k] + total + modulus - np.uint64((1 << width) % prime)) % modulus
    return out


def _times_limb(values: AnyArray, modulus: np.uint64) -> AnyArray:
    """Values below the modulus times 2^11, modulo it, a few bits at a time: nothing exceeds 64 bits."""
    for bits in (4, 4, 3):
        values = (values << np.uint64(bits)) % modulus
    return values
