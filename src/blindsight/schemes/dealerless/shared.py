"""Authenticated shares of one party (specification, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import UsageError
from blindsight.kernels import wide

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shared:
    """One party's half of an array of ⟦x⟧ in a ring; arithmetic that needs neither key nor message.

    Attributes:
        bits: of the ring, the security bits included.
        share: uint64 (..., 2): x_i. Secret.
        tag: uint64 (..., 2): m_i. Secret.
    """

    bits: int
    share: U64 = field(repr=False)
    tag: U64 = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array of values."""
        return self.share.shape[:-1]

    def __len__(self) -> int:
        return len(self.share)

    def __add__(self, other: Shared) -> Shared:
        self._meet(other)
        return self._both(wide.add(self.share, other.share), wide.add(self.tag, other.tag))

    def __sub__(self, other: Shared) -> Shared:
        self._meet(other)
        return self._both(wide.sub(self.share, other.share), wide.sub(self.tag, other.tag))

    def __neg__(self) -> Shared:
        return self._both(wide.negate(self.share), wide.negate(self.tag))

    def times(self, factors: U64) -> Shared:
        """Times public numbers, uint64 (..., 2), broadcast."""
        return self._both(wide.mul(self.share, factors), wide.mul(self.tag, factors))

    def combine(self, matrix: I64) -> Shared:
        """Linear forms of the last axis with public signed coefficients int64 (N, d): (..., N)."""
        return self._both(wide.combine(matrix, self.share), wide.combine(matrix, self.tag))

    def total(self) -> Shared:
        """Sum over the last axis."""
        return self._both(wide.total(self.share), wide.total(self.tag))

    def doubled(self, times: int = 1) -> Shared:
        """2^times · x, in the ring that is as much larger: nothing is lost."""
        share, tag = wide.shift_left(self.share, times), wide.shift_left(self.tag, times)
        return Shared(self.bits + times, share, tag)

    def reduced(self, bits: int) -> Shared:
        """The same values in a smaller ring."""
        if bits > self.bits:
            raise UsageError("A share can be reduced to a smaller ring only.")
        return Shared(bits, wide.reduce(self.share, bits), wide.reduce(self.tag, bits))

    def reshape(self, *shape: int) -> Shared:
        """Another shape of the array of values."""
        return Shared(self.bits, self.share.reshape(*shape, 2), self.tag.reshape(*shape, 2))

    def __getitem__(self, key: Any) -> Shared:
        """By the axes of the array of values, from the first; the words stay."""
        return Shared(self.bits, self.share[key], self.tag[key])

    def _meet(self, other: Shared) -> None:
        if self.bits != other.bits:
            raise UsageError("Shares of two rings do not meet; reduce one of them.")

    def _both(self, share: U64, tag: U64) -> Shared:
        return Shared(self.bits, wide.reduce(share, self.bits), wide.reduce(tag, self.bits))


def stack(parts: Sequence[Shared], axis: int = 0) -> Shared:
    """Several of one shape and ring beside each other."""
    return Shared(
        parts[0].bits, np.stack([p.share for p in parts], axis), np.stack([p.tag for p in parts], axis)
    )


def join(parts: Sequence[Shared]) -> Shared:
    """Several of one ring after each other, along the first axis."""
    return Shared(
        parts[0].bits, np.concatenate([p.share for p in parts]), np.concatenate([p.tag for p in parts])
    )
