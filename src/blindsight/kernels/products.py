"""Vectors of correlated transfers, combined into one product each; and elements packed without gaps.

A product of ``depth`` transfers is made of that many (specs/dealerless.md, section 6). Rings have up to 64
bits (one word) or up to 128 (two words); sums wrap at the word and the caller clears the bits above.
Choices, strings and values are secret: they are multiplied, never branched on or used as an address.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blindsight.kernels.wide import high_product, masks

U64 = NDArray[np.uint64]
U8 = NDArray[np.uint8]

_WORD = 64


# -- corrections ----------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _correct(zero: U64, one: U64, values: U64, mask: U64, out: U64) -> None:
    depth = zero.shape[0] // values.shape[0]
    for i in range(values.shape[0]):
        low, high = values[i, 0], values[i, 1]
        for j in range(i * depth, (i + 1) * depth):
            less = zero[j, 0] - one[j, 0]
            summed = less + low
            carry = np.uint64(summed < less)
            borrow = np.uint64(zero[j, 0] < one[j, 0])
            out[j, 0] = summed & mask[0]
            out[j, 1] = (zero[j, 1] - one[j, 1] + high + carry - borrow) & mask[1]


def corrections(pads: U64, values: U64, bits: int) -> U64:
    """What the sender of the strings sends: q0 - q1 + v modulo 2^bits.

    Args:
        pads: uint64 (2, n · depth, 2): both strings of each transfer.
        values: uint64 (n, 2): v, the same for ``depth`` transfers.
        bits: of the ring.

    Returns:
        uint64 (n · depth, 2).

    """
    out = np.empty(pads.shape[1:], np.uint64)
    _correct(pads[0], pads[1], values, masks(bits), out)
    return out


# -- combining ------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _chosen_one(choices: U8, received: U64, added: U64, factors: U64, out: U64) -> None:
    depth = factors.shape[1]
    for i in range(out.shape[0]):
        a, b, y, z = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
        for h in range(depth):
            j = i * depth + h
            choice = np.uint64(choices[j])
            value = received[j, 0] + choice * added[j, 0]
            first, second = factors[0, h, 0], factors[1, h, 0]
            a += first * choice
            b += second * choice
            y += first * value
            z += second * value
        out[i, 0, 0], out[i, 1, 0], out[i, 2, 0], out[i, 3, 0] = a, b, y, z
        out[i, :, 1] = 0


@njit(nogil=True, cache=True)
def _chosen_two(choices: U8, received: U64, added: U64, factors: U64, out: U64) -> None:
    depth = factors.shape[1]
    for i in range(out.shape[0]):
        out[i, :, :] = 0
        for h in range(depth):
            j = i * depth + h
            choice = np.uint64(choices[j])
            part = choice * added[j, 0]
            low = received[j, 0] + part
            high = received[j, 1] + choice * added[j, 1] + np.uint64(low < part)
            for c in range(2):
                f, g = factors[c, h, 0], factors[c, h, 1]
                one = f * choice
                out[i, c, 0] += one
                out[i, c, 1] += g * choice + np.uint64(out[i, c, 0] < one)
                product = f * low
                out[i, 2 + c, 0] += product
                out[i, 2 + c, 1] += (
                    high_product(f, low) + f * high + g * low + np.uint64(out[i, 2 + c, 0] < product)
                )


@njit(nogil=True, cache=True)
def _kept_one(zero: U64, factors: U64, out: U64) -> None:
    depth = factors.shape[1]
    for i in range(out.shape[0]):
        y, z = np.uint64(0), np.uint64(0)
        for h in range(depth):
            value = zero[i * depth + h, 0]
            y -= factors[0, h, 0] * value
            z -= factors[1, h, 0] * value
        out[i, 0, 0], out[i, 1, 0] = y, z
        out[i, :, 1] = 0


@njit(nogil=True, cache=True)
def _kept_two(zero: U64, factors: U64, out: U64) -> None:
    depth = factors.shape[1]
    for i in range(out.shape[0]):
        for c in range(2):
            low, high = np.uint64(0), np.uint64(0)
            for h in range(depth):
                x, y = zero[i * depth + h, 0], zero[i * depth + h, 1]
                f, g = factors[c, h, 0], factors[c, h, 1]
                product = f * x
                high -= high_product(f, x) + f * y + g * x + np.uint64(low < product)
                low -= product
            out[i, c, 0], out[i, c, 1] = low, high


def chosen(choices: U8, received: U64, added: U64, factors: U64, bits: int) -> U64:
    """The chooser's half of products: Σ ρ·x and Σ ρ·(q_x + x·d), for both rows of factors.

    Args:
        choices: uint8 (n · depth,), 0 or 1.
        received: uint64 (n · depth, 2), the chosen strings.
        added: uint64 (n · depth, 2), the corrections of the other side.
        factors: uint64 (2, depth, 2), public.
        bits: of the ring.

    Returns:
        uint64 (n, 4, 2): Σ ρ x, Σ ρ̂ x, Σ ρ y, Σ ρ̂ y modulo 2^bits.

    """
    out = np.empty((len(choices) // factors.shape[1], 4, 2), np.uint64)
    (_chosen_one if bits <= _WORD else _chosen_two)(choices, received, added, factors, out)
    out &= masks(bits)
    return out


def kept(zero: U64, factors: U64, bits: int) -> U64:
    """The other half: -Σ ρ·q0 for both rows of factors, uint64 (n, 2, 2), modulo 2^bits."""
    out = np.empty((len(zero) // factors.shape[1], 2, 2), np.uint64)
    (_kept_one if bits <= _WORD else _kept_two)(zero, factors, out)
    out &= masks(bits)
    return out


# -- without gaps ---------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _squeeze(values: U64, bits: int, out: U64) -> None:
    at, filled = 0, 0
    word = np.uint64(0)
    for i in range(values.size):
        word |= values[i] << np.uint64(filled)
        if filled + bits >= 64:
            out[at] = word
            at += 1
            taken = 64 - filled
            word = values[i] >> np.uint64(taken) if taken < bits else np.uint64(0)
            filled = bits - taken
        else:
            filled += bits
    if filled:
        out[at] = word


@njit(nogil=True, cache=True)
def _stretch(words: U64, bits: int, mask: np.uint64, out: U64) -> None:
    at, used = 0, 0
    for i in range(out.size):
        value = words[at] >> np.uint64(used)
        if used + bits > 64:
            value |= words[at + 1] << np.uint64(64 - used)
        used += bits
        if used >= 64:
            at, used = at + 1, used - 64
        out[i] = value & mask


def squeezed_bytes(count: int, bits: int) -> int:
    """Bytes of ``count`` elements of a ring of that many bits."""
    low = min(bits, _WORD)
    return -(-count * low // 8) + -(-count * (bits - low) // 8)


def squeeze(values: U64, bits: int) -> bytes:
    """Elements uint64 (n, 2) as they travel: all low parts without gaps, then all high parts."""
    flat, parts = values.reshape(-1, 2), []
    for word, width in ((0, min(bits, _WORD)), (1, bits - _WORD)):
        if width > 0:
            out = np.zeros(-(-len(flat) * width // 64), np.uint64)
            _squeeze(np.ascontiguousarray(flat[:, word]), width, out)
            parts.append(out.astype("<u8", copy=False).tobytes()[: -(-len(flat) * width // 8)])
    return b"".join(parts)


def stretch(data: bytes, count: int, bits: int) -> U64:
    """Undo `squeeze`: uint64 (count, 2). `ValueError` for another length, or a filling bit that is set."""
    if len(data) != squeezed_bytes(count, bits):
        raise ValueError("these bytes are not that many elements")
    values, at = np.zeros((count, 2), np.uint64), 0
    for word, width in ((0, min(bits, _WORD)), (1, bits - _WORD)):
        if width > 0:
            size = -(-count * width // 8)
            if count and data[at + size - 1] >> ((count * width - 1) % 8 + 1):
                raise ValueError("a filling bit is set")
            words = np.frombuffer(data[at : at + size] + bytes(-size % 8 + 8), "<u8").astype(np.uint64)
            out = np.empty(count, np.uint64)
            _stretch(words, width, masks(width)[0], out)
            values[:, word] = out
            at += size
    return values
