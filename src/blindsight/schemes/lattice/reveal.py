"""Answers to scores, blocks back to templates; and the key holder that does it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from blindsight.core.errors import DimensionError, KeyMismatchError, MalformedError, TamperedError
from blindsight.core.secrets import ExportToken
from blindsight.core.types import I32, I64, U8, AnyArray, frozen
from blindsight.kernels import ring, sampling
from blindsight.kernels.accumulate import TILE
from blindsight.kernels.ntt import BATCH
from blindsight.kernels.threads import split
from blindsight.schemes.lattice.compute import ENGINE, several
from blindsight.schemes.lattice.params import Params
from blindsight.schemes.lattice.protect import Kept, centred, products, protect_blocks, protect_probes
from blindsight.schemes.lattice.public import answer_type, public_matrix, tables, tiled
from blindsight.schemes.lattice.secret import SecretKey


@dataclass(frozen=True, slots=True)
class Prepared:
    """A gallery's public matrices beside its hints: int32 (blocks, limbs, 4, 2 * rank, 64)."""

    rows: I32 = field(repr=False)
    slots: I64


def hints(key: SecretKey, bodies: U8) -> U8:
    """``R = sum of t_i B_i`` for each block (specification, section 7). As secret as the key.

    Args:
        key: the secret key.
        bodies: uint8 (blocks, body_bytes).

    Returns:
        uint8 (blocks, hint_bytes).

    """
    p = key.params
    rows = tiled(bodies, p, p.width)
    others = several(key.probe_by_element)
    slots = frozen(np.arange(len(rows)))
    out = np.empty((p.rank, len(rows), p.limbs, p.rows), np.uint32)

    def work(start: int, stop: int) -> None:
        ring.products(rows, slots, others, tables(p.primes).constants, out, start, stop)

    split(work, len(rows), BATCH)
    return centred(out.swapaxes(0, 1), p).view(np.uint8).reshape(len(rows), p.hint_bytes)


def prepare(params: Params, seeds: Sequence[bytes], hints: U8) -> Prepared:
    """Expand the blocks' seeds and set them beside the hints, for many calls of `reveal`."""
    if hints.shape != (len(seeds), params.hint_bytes):
        raise MalformedError("There is not one hint for each block; rebuild the hints.")
    if any(len(seed) != params.head_bytes for seed in seeds):
        raise MalformedError(f"A block's head has {params.head_bytes} bytes.")
    rows = np.empty((len(seeds), params.limbs, ring.TILES, 2 * params.rank, TILE), np.int32)
    rows[:, :, :, params.rank :] = tiled(hints, params, params.rank)

    def work(start: int, stop: int) -> None:
        for block in range(start, stop):
            rows[block, :, :, : params.rank] = public_matrix(seeds[block], params)

    split(work, len(seeds))
    return Prepared(frozen(rows), frozen(np.arange(len(seeds))))


def reveal(params: Params, kept: Kept, prepared: Prepared, answer: U8) -> AnyArray:
    """``C - <A, U> - <a', R>``: the scores (specification, section 7).

    Args:
        params: of the gallery and the probes.
        kept: what `protect_probes` kept.
        prepared: what `prepare` made.
        answer: uint8 (count, blocks, answer_bytes).

    Returns:
        (count, blocks * 256), in units of the integer inner product: float32, or int64 where
        the set is exact.

    Raises:
        TamperedError: a score that no honest answer has.

    """
    count, blocks = len(kept.vectors), len(prepared.slots)
    if answer.shape != (count, blocks, params.answer_bytes):
        raise MalformedError("The answer does not have one score for each template and probe.")
    if not blocks:
        return np.empty((count, 0), np.int64 if params.exact else np.float32)
    t = tables(params.primes)
    rounded = answer.view(answer_type(params))
    out = np.empty((count, blocks, params.rows), np.int64 if params.exact else np.float32)
    others = several(kept.vectors)

    def work(start: int, stop: int) -> int:
        return int(
            ring.differences(
                prepared.rows, prepared.slots, others, t.constants, t.backward, t.lift,
                params.shift, rounded, params.unit, out, start, stop,
            )
        )  # fmt: skip

    if max(split(work, blocks, BATCH)) > params.largest_score + 1:
        raise TamperedError(
            "The answer holds scores that cannot be: the matcher is faulty or lies, or a block was damaged."
        )
    return out.reshape(count, -1)


def open_block(key: SecretKey, seed: bytes, body: U8) -> I32:
    """The templates in a block, exactly (specification, section 4).

    Returns:
        int32 (256, width).

    Raises:
        MalformedError: not a block at all: its size, or a residue out of range.
        TamperedError: the block is not one that this key made.

    """
    p = key.params
    ENGINE.check_block(p, seed, body)
    t = tables(p.primes)
    noise = np.zeros((p.width, p.rows), np.int64)
    sampling.add_binomial(key.noise(seed).read(8 * noise.size).view("<u8"), noise.reshape(-1))
    sums = products(key.gallery_by_coordinate, public_matrix(seed, p)[np.newaxis], p)[0]
    values = np.empty_like(noise)
    row = tiled(body[np.newaxis], p, p.width)[0]
    ring.subtract_and_transform_back(row, sums, t.backward, t.constants, t.lift, values)
    values -= noise
    templates, rest = np.divmod(values, p.template_factor)
    if rest.any() or int(np.abs(templates).max()) > p.template_norm:
        raise TamperedError(
            "A block does not decrypt to templates; it was damaged, or made under another key."
        )
    return np.ascontiguousarray(templates.T.astype(np.int32))


class LatticeKeyHolder:
    """The `lattice` scheme as a client holds it; see `blindsight.core.matching.KeyHolder`."""

    scheme = "lattice"

    def __init__(self, key: SecretKey) -> None:
        self._key = key
        self.params = key.params
        self.key_id = key.key_id

    def export(self, token: ExportToken) -> bytes:
        """The secret key's 32 bytes."""
        return self._key.export(token)

    def protect_block(self, templates: I32) -> tuple[bytes, U8]:
        if not 1 <= len(templates) <= self.params.rows:
            raise DimensionError(f"A block holds 1 to {self.params.rows} templates, not {len(templates)}.")
        seeds, bodies = protect_blocks(self._key, templates)
        return seeds[0], bodies[0]

    def protect_blocks(self, templates: I32) -> tuple[list[bytes], U8]:
        return protect_blocks(self._key, templates)

    def open_block(self, head: bytes, body: U8) -> I32:
        return open_block(self._key, head, body)

    def hints(self, heads: Sequence[bytes], bodies: U8) -> U8:
        if bodies.shape != (len(heads), self.params.body_bytes):
            raise MalformedError("There is not one whole body for each head.")
        return hints(self._key, bodies)

    def protect_probes(self, probes: I32) -> tuple[U8, Kept]:
        return protect_probes(self._key, probes)

    def prepare(self, heads: Sequence[bytes], hints: U8) -> Prepared:
        return prepare(self.params, heads, hints)

    def reveal(self, kept: Kept, prepared: Prepared, answer: U8) -> AnyArray:
        if kept.key_id != self.key_id:
            raise KeyMismatchError("These probes were protected under another key.")
        return reveal(self.params, kept, prepared, answer)
