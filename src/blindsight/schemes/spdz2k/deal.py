"""The dealer: makes the correlated randomness of a camera session (specification, section 4).

On the camera, or on a provider that never sees a face. Parties consume material, and must
never be able to make it: who deals knows both halves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import frozen
from blindsight.kernels import dcf
from blindsight.kernels.prg import SEED_BYTES
from blindsight.schemes.spdz2k.expand import expand
from blindsight.schemes.spdz2k.messages import HASH_BYTES, SESSION_BYTES, Header, Kind, Layout
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.public import Grant, Masks, Source, generator_key, msb_mask

_SEED_WORDS = SEED_BYTES // 8
_KINDS = (Kind.MATERIAL_0, Kind.MATERIAL_1)


@dataclass(frozen=True, slots=True)
class Dealt:
    """Material of consecutive faces: each half for its party alone, the masks for the camera."""

    material: tuple[bytearray, bytearray] = field(repr=False)
    masks: Masks


class Dealer:
    """Opens one session at construction, then deals for its faces in order.

    Args:
        params: the parameter set.
        watchlist: digest of the watchlist that both parties agreed on, 32 bytes.
        entries: how many entries it has.
        camera: the camera's name.
        source: whether this is the camera or a provider.

    """

    def __init__(
        self,
        params: Params,
        watchlist: bytes,
        entries: int,
        *,
        camera: str,
        source: Source = Source.CAMERA,
        _random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if len(watchlist) != HASH_BYTES:
            raise UsageError("The watchlist is named by its digest, 32 bytes.")
        self._random = _random
        session = _random(SESSION_BYTES)
        # alpha i checks the shares of party i, and is held by the other.
        self._alphas = np.frombuffer(_random(16), np.uint64)
        alpha_0, alpha_1 = (int(alpha) for alpha in self._alphas)
        common = (source, camera, params, entries, watchlist)
        self.grants = Grant(session, 0, *common, alpha_1), Grant(session, 1, *common, alpha_0)
        self._layout = Layout(params, entries)
        self._next = 0

    @property
    def session(self) -> bytes:
        """The 16 bytes that name the session."""
        return self.grants[0].session

    @property
    def next(self) -> int:
        """The number of the next face that is dealt for."""
        return self._next

    def deal(self, count: int) -> Dealt:
        """Material for the next ``count`` faces, at most `Layout.most_faces`."""
        layout, params = self._layout, self._layout.params
        if not 1 <= count <= layout.most_faces:
            raise UsageError(f"Deal for 1 to {layout.most_faces} faces at a time.")
        first, self._next = self._next, self._next + count
        n = layout.entries

        messages, rows, drawn = [], [], []
        for party in (0, 1):
            message = bytearray(layout.size(_KINDS[party], count))
            message[:32] = Header(_KINDS[party], self.session, first, count).pack()
            row = np.frombuffer(message, "<u8", offset=32).reshape(count, -1)
            row[:, :_SEED_WORDS] = np.frombuffer(self._random(count * SEED_BYTES), "<u8").reshape(count, -1)
            messages.append(message)
            rows.append(row)
            drawn.append(expand(row, layout, party))
        zero, one = drawn
        payload = zero.payload ^ one.payload
        v, d = layout.values, params.dimension + 1
        opened = zero.values[:, 0] + one.values[:, 0]
        masks, r = opened[:, :d].copy(), np.ascontiguousarray(opened[:, d:])

        explicit = rows[1][:, _SEED_WORDS:]
        explicit[:, :v] = self._alphas[1] * one.values[:, 0] + zero.values[:, 2]  # M_1
        explicit[:, v : 2 * v] = zero.values[:, 1] - self._alphas[0] * zero.values[:, 0]  # B_0
        w = (msb_mask(r, params)[..., np.newaxis] & payload) ^ zero.offset
        explicit[:, 2 * v : 2 * v + 2 * n] = w.reshape(count, 2 * n)

        start = layout.corrections_at(1)
        dcf.generate(
            r & np.uint64(2**params.levels - 1),
            payload,
            (zero.roots, one.roots),
            rows[1],
            start,
            params.levels,
            [generator_key(self.session, first + i) for i in range(count)],
        )
        rows[0][:, layout.corrections_at(0) :] = rows[1][:, start:]
        return Dealt((messages[0], messages[1]), Masks(self.session, first, frozen(masks)))
