"""The key, and the tables that it expands to: one stream of AES a step, none of them a small seed."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import VaultError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.core.types import I32, U8, frozen
from blindsight.kernels import blocks
from blindsight.kernels.prg import SEED_BYTES, Stream
from blindsight.schemes.etc_image.params import Layout, Params
from blindsight.schemes.etc_image.public import NONCE_BYTES

_KEPT = 4
"""Sizes of image whose tables a key keeps."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What happens to each block of the scrambled image, in the words of `blindsight.kernels.blocks`.

    Attributes:
        order: int32 (blocks,), which block of the original it is.
        turns: uint8 (blocks,), 0 to 7.
        masks: uint8 (blocks,), 0 or 255.
        colours: uint8 (blocks,), 0 to 5; zeros where there is one channel.
    """

    order: I32
    turns: U8
    masks: U8
    colours: U8

    def inverse(self) -> Tables:
        """The tables that undo these."""
        back = np.empty_like(self.order)
        back[self.order] = np.arange(len(self.order), dtype=np.int32)
        return Tables(
            frozen(back),
            frozen(blocks.UNTURN[self.turns[back]]),
            frozen(self.masks[back]),
            frozen(blocks.UNCHANNEL[self.colours[back]]),
        )


class SecretKey:
    """32 bytes; everything else grows from them. Threads may share one."""

    __slots__ = ("_lock", "_seed", "_tables", "key_id")

    def __init__(self, seed: Secret) -> None:
        self._seed = seed
        self._lock = Lock()
        self._tables: OrderedDict[tuple[Params, int, int, bool], Tables] = OrderedDict()
        self.key_id = seed.derive("etc key id").hex()[:32]

    @classmethod
    def generate(cls) -> SecretKey:
        """A new key from the operating system's generator."""
        return cls(Secret.fresh())

    @classmethod
    def load(cls, seed: bytes) -> SecretKey:
        """The key that `export` gave out; `VaultError` unless it has 32 bytes."""
        if len(seed) != SEED_BYTES:
            raise VaultError("The key of scrambled images is damaged; it has 32 bytes.")
        return cls(Secret(seed))

    def export(self, token: ExportToken) -> bytes:
        """The 32 bytes that the whole key is."""
        return self._seed.export(token)

    def for_client(self, name: str) -> SecretKey:
        """A client's own key (the paper's key condition 2), for one who hands out keys."""
        return SecretKey(Secret(self._seed.derive("etc client", name.encode())))

    def for_image(self, nonce: bytes | None = None) -> tuple[SecretKey, bytes]:
        """A key for one image alone, and the nonce, 16 bytes, that it can be found by again."""
        nonce = os.urandom(NONCE_BYTES) if nonce is None else nonce
        return SecretKey(Secret(self._seed.derive("etc image", nonce))), nonce

    def seal_key(self) -> bytes:
        """32 bytes for sealing what belongs to images under this key, such as the names of classes."""
        return self._seed.derive("etc seal")

    def tables(self, params: Params, height: int, width: int, *, inverse: bool = False) -> Tables:
        """What to do with an image of this size, or how to undo it; kept for the next image."""
        wanted = (params, *params.grid(height, width), inverse)
        with self._lock:
            if wanted in self._tables:
                self._tables.move_to_end(wanted)
                return self._tables[wanted]
        found = self._expanded(params, wanted[1], wanted[2])
        found = found.inverse() if inverse else found
        with self._lock:
            self._tables[wanted] = found
            if len(self._tables) > _KEPT:
                self._tables.popitem(last=False)
        return found

    def _expanded(self, params: Params, rows: int, columns: int) -> Tables:
        count = rows * columns
        context = f"{params.params_id} {rows} {columns}".encode()

        def stream(step: str) -> Stream:
            return Stream(self._seed.derive(f"etc {step}", context))

        turns: NDArray[np.uint8] = stream("rotation and inversion").read(count) & np.uint8(7)
        masks: NDArray[np.uint8] = (stream("negative-positive").read(count) & np.uint8(1)) * np.uint8(255)
        if params.layout is Layout.COLOUR:
            colours = blocks.sixths(stream("colour components"), count)
        else:
            colours = np.zeros(count, np.uint8)
        order = blocks.permutation(stream("permutation"), count)
        return Tables(frozen(order), frozen(turns), frozen(masks), frozen(colours))

    def __repr__(self) -> str:
        return f"SecretKey({self.key_id}, <redacted>)"

    def __sklearn_clone__(self) -> SecretKey:
        """Cloned estimators share the key; there is no second copy of it."""
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret key is neither copied nor pickled")

    def __copy__(self) -> NoReturn:
        raise TypeError("a secret key is neither copied nor pickled")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        raise TypeError("a secret key is neither copied nor pickled")
