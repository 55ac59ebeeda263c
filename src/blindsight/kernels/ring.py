"""Inner products of vectors of ring elements, in bulk.

The one operation below everything in the `lattice` scheme: for rows ``a`` and ``b`` of
``width`` elements of Z_q[X]/(X^256 + 1), all transformed, compute the sum of ``a_i * b_i``.

Layout of rows, called *tiled*: int32 (rows, limbs, 4, width, 64), residues centred in
(-q/2, q/2). A limb is one prime of the modulus; a tile holds 64 neighbouring positions of all
coordinates, so the loop reads memory strictly forward. Sums of 32 products of centred
residues below 2^29 fit a signed 64-bit word; a Montgomery step folds them.
"""

from __future__ import annotations

import numpy as np
from numba import float32, njit
from numba.extending import overload
from numpy.typing import NDArray

from blindsight.kernels.accumulate import BLOCKS, LANES, PROBES, STRIP, TILE, address, many_probes, one_probe
from blindsight.kernels.ntt import (
    AFTER_BACKWARD,
    AFTER_SUM,
    AFTER_SUM_AND_BACKWARD,
    BATCH,
    NEG_INVERSE,
    N,
    Q,
    backward,
    forward,
    montgomery,
)

TILES = N // TILE
_FOLD = 32


@njit(nogil=True, inline="always")
def _fold(sums: NDArray[np.int64], totals: NDArray[np.int64], q: np.uint32, neg_inverse: np.uint32) -> None:
    """Add ``sums * 2^-32 mod q`` to ``totals``: each below 2^32 in absolute value."""
    inverse = np.uint32(-np.int64(neg_inverse))
    for k in range(sums.size):
        m = np.int64(np.int32(np.uint32(np.uint32(sums[k]) * inverse)))
        totals[k] += (sums[k] >> 32) - ((m * np.int64(q)) >> 32)


@njit(nogil=True, inline="always")
def _residue(total: np.int64, q: np.uint32, neg_inverse: np.uint32) -> np.uint32:
    """``total * 2^-32 mod q`` in [0, q), for totals of at most 2^39 in absolute value."""
    return montgomery(np.uint64(total + (np.int64(q) << 10)), q, neg_inverse)


@njit(nogil=True)
def _sum_one(rows, offsets, other, at, width, constants, batch, first, sums, totals):
    """`BLOCKS` rows against one, one tile: residues to ``batch[:, first + b]``."""
    q, neg_inverse = constants[Q], constants[NEG_INVERSE]
    for strip in range(0, TILE, STRIP):
        totals[: BLOCKS * STRIP] = 0
        for i in range(0, width, _FOLD):
            shift = i * TILE + strip
            one_probe(
                address(rows, shift),
                address(offsets, 0),
                address(other, at + shift),
                0,
                min(_FOLD, width - i),
                address(sums, 0),
            )
            _fold(sums[: BLOCKS * STRIP], totals, q, neg_inverse)
        for b in range(BLOCKS):
            for k in range(STRIP):
                batch[strip + k, first + b] = _residue(totals[b * STRIP + k], q, neg_inverse)


@njit(nogil=True)
def _sum_many(rows, offsets, other, at, stride, width, constants, batch, first, sums, totals):
    """`BLOCKS` rows against `PROBES`, one tile: residues to ``batch[:, first + b * PROBES + p]``."""
    q, neg_inverse = constants[Q], constants[NEG_INVERSE]
    lanes = BLOCKS * PROBES
    totals[: lanes * TILE] = 0
    for i in range(0, width, _FOLD):
        for strip in range(0, TILE, LANES):
            shift = i * TILE + strip
            many_probes(
                address(rows, shift),
                address(offsets, 0),
                address(other, at + shift),
                stride,
                min(_FOLD, width - i),
                address(sums, 0),
            )
            here = strip * lanes
            _fold(sums[: lanes * LANES], totals[here : here + lanes * LANES], q, neg_inverse)
    for strip in range(0, TILE, LANES):
        for lane in range(lanes):
            for k in range(LANES):
                total = totals[strip * lanes + lane * LANES + k]
                batch[strip + k, first + lane] = _residue(total, q, neg_inverse)


@njit(nogil=True)
def _products(rows, slots, start, others, limb, constants, batches, sums, totals):
    """Inner products of a few rows with all of ``others``, as residues times 2^-64.

    Row ``slots[start + b]`` and other ``o`` meet in ``batches[o // p, limb, :, b * p + o % p]``
    where ``p`` is 1 for a single other and `PROBES` for several; 16 / p rows are taken, the
    last one again and again where there are fewer left.
    """
    limbs, width = rows.shape[1], rows.shape[3]
    row_size, tile_size = limbs * TILES * width * TILE, width * TILE
    at_once = 1 if others.shape[0] == 1 else PROBES
    offsets = np.empty(BLOCKS, np.int64)
    for quad in range(0, BATCH // at_once, BLOCKS):
        for tile in range(TILES):
            at = (limb * TILES + tile) * tile_size
            for b in range(BLOCKS):
                offsets[b] = slots[min(start + quad + b, slots.size - 1)] * row_size + at
            for group in range(batches.shape[0]):
                batch = batches[group, limb, tile * TILE : (tile + 1) * TILE]
                if at_once == 1:
                    _sum_one(rows, offsets, others, at, width, constants, batch, quad, sums, totals)
                else:
                    other = group * PROBES * row_size + at
                    first = quad * PROBES
                    _sum_many(
                        rows, offsets, others, other, row_size, width, constants, batch, first, sums, totals
                    )


@njit(nogil=True)
def _coefficients(rows, slots, start, others, constants, tables, batches, sums, totals):
    """`_products`, transformed back, all limbs: coefficients in [0, q)."""
    for limb in range(rows.shape[1]):
        q, neg_inverse = constants[limb, Q], constants[limb, NEG_INVERSE]
        factor = np.uint64(constants[limb, AFTER_SUM_AND_BACKWARD])
        _products(rows, slots, start, others, limb, constants[limb], batches, sums, totals)
        for group in range(batches.shape[0]):
            batch = batches[group, limb]
            backward(batch, tables[limb], constants[limb])
            for j in range(N):
                for lane in range(BATCH):
                    batch[j, lane] = montgomery(np.uint64(batch[j, lane]) * factor, q, neg_inverse)


@njit(nogil=True, inline="always")
def _centred(batch, j, lane, constants, lift):
    """One coefficient of a (limbs, 256, 16) batch in (-Q/2, Q/2), Q the product of the primes."""
    low = np.int64(batch[0, j, lane])
    q = np.int64(constants[0, Q])
    if batch.shape[0] == 1:
        return low - q if low > q >> 1 else low
    other = np.int64(constants[1, Q])
    difference = np.int64(batch[1, j, lane]) - low
    difference += other if difference < 0 else 0
    high = montgomery(np.uint64(difference) * np.uint64(lift), constants[1, Q], constants[1, NEG_INVERSE])
    value = low + q * np.int64(high)
    return value - q * other if value > (q * other) >> 1 else value


@njit(nogil=True)
def _scratch(others, limbs):
    at_once = 1 if others == 1 else PROBES
    batches = np.empty((others // at_once, limbs, N, BATCH), np.uint32)
    sums = np.empty(BLOCKS * PROBES * TILE, np.int64)
    return at_once, BATCH // at_once, batches, sums, np.empty(BLOCKS * PROBES * TILE, np.int64)


@njit(nogil=True, cache=True)
def products(rows, slots, others, constants, out, start, stop):
    """Inner products, left transformed: ``out[o, r, limb]`` = <rows[slots[r]], others[o]>.

    Args:
        rows: int32 tiled, (capacity, limbs, 4, width, 64), residues in (-q/2, q/2).
        slots: int64 (count,), which rows.
        others: int32 tiled; one, or a multiple of `PROBES`.
        constants: uint32 (limbs, 5), of `ntt.Modulus`.
        out: uint32 (others, count, limbs, 256), residues in [0, q); written for start <= r < stop.
        start: first position in ``slots``.
        stop: past the last.

    """
    at_once, step, batches, sums, totals = _scratch(others.shape[0], rows.shape[1])
    for r in range(start, stop, step):
        for limb in range(rows.shape[1]):
            q, neg_inverse = constants[limb, Q], constants[limb, NEG_INVERSE]
            factor = np.uint64(constants[limb, AFTER_SUM])
            _products(rows, slots[:stop], r, others, limb, constants[limb], batches, sums, totals)
            for o in range(out.shape[0]):
                for b in range(min(step, stop - r)):
                    for j in range(N):
                        value = batches[o // at_once, limb, j, b * at_once + o % at_once]
                        out[o, r + b, limb, j] = montgomery(np.uint64(value) * factor, q, neg_inverse)


@njit(nogil=True, cache=True)
def rounded_products(rows, slots, others, constants, tables, lift, shift, out, start, stop):
    """Inner products, transformed back, centred and rounded to multiples of ``2^shift``.

    Arguments as in `products`, and:
        tables: uint32 (limbs, 256), `ntt.Modulus.backward`.
        lift: q_0^-1 mod q_1 times 2^32 where there are two limbs, q_0 < q_1; else 0.
        shift: bits to drop.
        out: int16 or int32 (others, count, 256): the quotients, clamped to the type.

    """
    at_once, step, batches, sums, totals = _scratch(others.shape[0], rows.shape[1])
    half = np.int64(1) << (shift - 1)
    largest = np.int64(2) ** (8 * out.itemsize - 1) - 1
    for r in range(start, stop, step):
        _coefficients(rows, slots[:stop], r, others, constants, tables, batches, sums, totals)
        for o in range(out.shape[0]):
            batch = batches[o // at_once]
            for b in range(min(step, stop - r)):
                lane = b * at_once + o % at_once
                for j in range(N):
                    value = (_centred(batch, j, lane, constants, lift) + half) >> shift
                    out[o, r + b, j] = min(value, largest)


@njit(nogil=True, cache=True)
def differences(rows, slots, others, constants, tables, lift, shift, answer, unit, out, start, stop):
    """``answer * 2^shift`` minus the inner products, modulo Q and centred, in units of ``unit``.

    Arguments as in `rounded_products`, and:
        answer: int16 or int32 (others, count, 256), what `rounded_products` gave.
        unit: int64, positive.
        out: float32 (quotients) or int64 (rounded quotients), (others, count, 256).

    Returns:
        The largest absolute quotient, rounded up to an integer.

    """
    at_once, step, batches, sums, totals = _scratch(others.shape[0], rows.shape[1])
    modulus = np.int64(constants[0, Q])
    if rows.shape[1] == 2:
        modulus *= np.int64(constants[1, Q])
    largest = np.int64(0)
    for r in range(start, stop, step):
        _coefficients(rows, slots[:stop], r, others, constants, tables, batches, sums, totals)
        for o in range(out.shape[0]):
            batch = batches[o // at_once]
            for b in range(min(step, stop - r)):
                lane = b * at_once + o % at_once
                for j in range(N):
                    value = (np.int64(answer[o, r + b, j]) << shift) - _centred(
                        batch, j, lane, constants, lift
                    )
                    value -= modulus if value > modulus >> 1 else 0
                    value += modulus if value < -(modulus >> 1) else 0
                    largest = max(largest, abs(value))
                    _store(out, o, r + b, j, value, unit)
    return largest // unit + 1


def _store(out, o, r, j, value, unit):  # pragma: no cover
    """Write one quotient; compiled by the overload below."""
    raise AssertionError("for compiled code only")


@overload(_store, inline="always")
def _store_overload(out, o, r, j, value, unit):
    if out.dtype == float32:

        def approximate(out, o, r, j, value, unit):
            out[o, r, j] = np.float32(value) / np.float32(unit)

        return approximate

    def exact(out, o, r, j, value, unit):
        out[o, r, j] = (value + (unit >> 1)) // unit

    return exact


@njit(nogil=True, cache=True)
def add_transformed(values, sums, tables, constants, out):
    """``out`` = transform of ``values`` plus ``sums``, tiled.

    Args:
        values: int64 (count, 256), absolute values below 2^62; one polynomial a row.
        sums: uint32 (count, limbs, 256), residues in [0, q).
        tables: uint32 (limbs, 256), `ntt.Modulus.forward`.
        constants: uint32 (limbs, 5).
        out: int32 (limbs, 4, count, 64), written.

    """
    batch = np.empty((N, BATCH), np.uint32)
    count = values.shape[0]
    for limb in range(out.shape[0]):
        q = np.int64(constants[limb, Q])
        for first in range(0, count, BATCH):
            many = min(BATCH, count - first)
            batch[:] = 0
            for lane in range(many):
                for j in range(N):
                    batch[j, lane] = values[first + lane, j] % q
            forward(batch, tables[limb], constants[limb])
            for lane in range(many):
                for j in range(N):
                    value = np.int64(batch[j, lane]) + np.int64(sums[first + lane, limb, j])
                    value -= q if value >= q else 0
                    value -= q if value > q >> 1 else 0
                    out[limb, j // TILE, first + lane, j % TILE] = value


@njit(nogil=True, cache=True)
def subtract_and_transform_back(row, sums, tables, constants, lift, out):
    """``out`` = the coefficients of one tiled row minus ``sums``, centred: undoes `add_transformed`.

    Args:
        row: int32 (limbs, 4, count, 64), residues in (-q/2, q/2).
        sums: uint32 (count, limbs, 256), residues in [0, q).
        tables: uint32 (limbs, 256), `ntt.Modulus.backward`.
        constants: uint32 (limbs, 5).
        lift: as in `rounded_products`.
        out: int64 (count, 256), written.

    """
    limbs, count = row.shape[0], row.shape[2]
    batch = np.empty((limbs, N, BATCH), np.uint32)
    for first in range(0, count, BATCH):
        many = min(BATCH, count - first)
        batch[:] = 0
        for limb in range(limbs):
            q, neg_inverse = constants[limb, Q], constants[limb, NEG_INVERSE]
            factor = np.uint64(constants[limb, AFTER_BACKWARD])
            for lane in range(many):
                for j in range(N):
                    value = np.int64(row[limb, j // TILE, first + lane, j % TILE])
                    value -= np.int64(sums[first + lane, limb, j])
                    batch[limb, j, lane] = value % np.int64(q)
            backward(batch[limb], tables[limb], constants[limb])
            for j in range(N):
                for lane in range(BATCH):
                    batch[limb, j, lane] = montgomery(
                        np.uint64(batch[limb, j, lane]) * factor, q, neg_inverse
                    )
        for lane in range(many):
            for j in range(N):
                out[first + lane, j] = _centred(batch, j, lane, constants, lift)


@njit(nogil=True, cache=True)
def largest_residue(row):
    """Largest absolute value in each limb of a row int32 (limbs, ...) as int64 (limbs,)."""
    flat = row.reshape(row.shape[0], -1)
    largest = np.zeros(row.shape[0], np.int64)
    for limb in range(row.shape[0]):
        for k in range(flat.shape[1]):
            largest[limb] = max(largest[limb], abs(np.int64(flat[limb, k])))
    return largest
