"""Templates to blocks, probes to ciphertexts: the matcher cannot tell either from noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from blindsight.core.errors import DimensionError, VectorError
from blindsight.core.types import I32, U8, AnyArray, frozen
from blindsight.kernels import ring, sampling
from blindsight.kernels.accumulate import TILE
from blindsight.kernels.prg import Stream, fresh_seed
from blindsight.kernels.threads import split
from blindsight.schemes.lattice.params import Params
from blindsight.schemes.lattice.public import public_matrix, tables
from blindsight.schemes.lattice.secret import SecretKey


@dataclass(frozen=True, slots=True)
class Kept:
    """What the key holder keeps of its probes until the answer comes.

    ``vectors`` is int32 (count, limbs, 4, 2 * rank, 64): U beside a', to be multiplied with A
    beside R. As secret as the probes.
    """

    vectors: I32 = field(repr=False)
    key_id: str


def products(rows: I32, others: I32, params: Params) -> AnyArray:
    """Inner products of all rows with all others, transformed: uint32 (others, rows, limbs, 256)."""
    out = np.empty((len(others), len(rows), params.limbs, params.rows), np.uint32)
    slots = frozen(np.arange(len(rows)))
    ring.products(rows, slots, frozen(others), tables(params.primes).constants, out, 0, len(rows))
    return out


def protect_blocks(key: SecretKey, templates: I32) -> tuple[list[bytes], U8]:
    """Encrypt templates in blocks of 256, the last one filled up with zeros.

    ``B_i = <A, s_i> + E_i + Delta_x G_i(X)`` for each coordinate i, with a fresh A for each
    block (specification, section 4).

    Args:
        key: the secret key.
        templates: int32 (count, width), norms within ``params.template_norm``.

    Returns:
        The blocks' 32-byte seeds, and their bodies uint8 (blocks, body_bytes).

    """
    p = key.params
    _check(templates, p.width, p.template_norm)
    blocks = -(-len(templates) // p.rows)
    seeds = [fresh_seed() for _ in range(blocks)]
    bodies = np.empty((blocks, p.body_bytes), np.uint8)
    out = bodies.view("<i4").reshape(blocks, p.limbs, ring.TILES, p.width, TILE)
    t = tables(p.primes)

    def work(start: int, stop: int) -> None:
        values = np.empty((p.width, p.rows), np.int64)
        for block in range(start, stop):
            rows = templates[block * p.rows : (block + 1) * p.rows]
            values[:] = 0
            np.multiply(rows.T, p.template_factor, out=values[:, : len(rows)], dtype=np.int64)
            _add_noise(values, key.noise(seeds[block]))
            matrix = public_matrix(seeds[block], p)
            sums = products(key.gallery_by_coordinate, matrix[np.newaxis], p)[0]
            ring.add_transformed(values, sums, t.forward, t.constants, out[block])

    split(work, blocks)
    return seeds, bodies


def protect_probes(key: SecretKey, probes: I32) -> tuple[U8, Kept]:
    """Encrypt probes: ``beta_i = <a', t_i> + e'_i + Delta_q p_i`` (specification, section 5).

    Args:
        key: the secret key.
        probes: int32 (count, width), norms within ``params.probe_norm``.

    Returns:
        What the matcher gets, uint8 (count, probe_bytes), and what stays here.

    """
    p = key.params
    _check(probes, p.width, p.probe_norm)
    t = tables(p.primes)
    bodies = np.empty((len(probes), p.probe_bytes), np.uint8)
    out = bodies.view("<i4").reshape(len(probes), p.limbs, ring.TILES, p.width, TILE)
    kept = np.empty((len(probes), p.limbs, ring.TILES, 2 * p.rank, TILE), np.int32)

    def work(start: int, stop: int) -> None:
        none = np.zeros((p.width, p.limbs, p.rows), np.uint32)
        plain = np.empty((1, *out.shape[1:]), np.int32)
        values = np.empty((p.width, p.rows), np.int64)
        for k in range(start, stop):
            values[:] = 0
            values[:, 0] = probes[k].astype(np.int64) * p.probe_factor
            _add_noise(values, Stream(fresh_seed()))
            matrix = public_matrix(fresh_seed(), p)
            masks = products(key.probe_by_coordinate, matrix[np.newaxis], p)[0]
            ring.add_transformed(values, masks, t.forward, t.constants, out[k])
            ring.add_transformed(values, none, t.forward, t.constants, plain[0])
            kept[k, :, :, : p.rank] = centred(products(key.gallery_by_element, plain, p), p)[0]
            kept[k, :, :, p.rank :] = matrix

    split(work, len(probes))
    return bodies, Kept(frozen(kept), key.key_id)


def centred(residues: AnyArray, params: Params) -> I32:
    """Residues uint32 (a, b, limbs, 256) as int32 (a, limbs, 4, b, 64) in (-q/2, q/2)."""
    primes = np.array(params.primes, np.int64)[:, np.newaxis]
    signed = residues.astype(np.int64)
    signed -= primes * (signed > primes >> 1)
    split_up = signed.astype(np.int32).reshape(*signed.shape[:3], ring.TILES, TILE)
    return np.ascontiguousarray(split_up.transpose(0, 2, 3, 1, 4))


def _add_noise(values: AnyArray, stream: Stream) -> None:
    sampling.add_binomial(stream.read(8 * values.size).view("<u8"), values.reshape(-1))


def _check(vectors: I32, width: int, norm: int) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != width or vectors.dtype != np.int32:
        raise DimensionError(
            f"This key protects int32 rows of {width} integers, not {vectors.dtype} {vectors.shape}."
        )
    # In floating point: sums of squares that wrap around int64 would pass for short vectors.
    if len(vectors) and np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).max() > norm**2:
        raise VectorError("A vector is longer than these parameters allow; normalise it or raise the radius.")
