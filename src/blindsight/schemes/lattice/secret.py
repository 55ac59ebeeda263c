"""The secret key: two families of short ring vectors, all from one 32-byte seed."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from blindsight.core.errors import VaultError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.core.types import I32, frozen
from blindsight.kernels import ring, sampling
from blindsight.kernels.accumulate import TILE
from blindsight.kernels.prg import SEED_BYTES, Stream
from blindsight.kernels.ring import TILES
from blindsight.schemes.lattice.params import Params
from blindsight.schemes.lattice.public import tables


class SecretKey:
    """Gallery secrets s_1 … s_width and probe secrets t_1 … t_width, uniform ternary.

    Held transformed, in the two orders in which the kernels read them: ``by_coordinate`` is
    int32 (width, limbs, 4, rank, 64), ``by_element`` int32 (rank, limbs, 4, width, 64).
    """

    __slots__ = ("_seed", "gallery_by_coordinate", "gallery_by_element", "key_id", "params",
                 "probe_by_coordinate", "probe_by_element")  # fmt: skip

    def __init__(self, params: Params, seed: Secret) -> None:
        self.params = params
        self._seed = seed
        self.key_id = seed.derive("lattice key id").hex()[:32]
        self.gallery_by_coordinate, self.gallery_by_element = self._short("lattice gallery secrets")
        self.probe_by_coordinate, self.probe_by_element = self._short("lattice probe secrets")

    @classmethod
    def generate(cls, params: Params) -> SecretKey:
        """A new key from the operating system's generator."""
        return cls(params, Secret.fresh())

    @classmethod
    def load(cls, params: Params, seed: bytes) -> SecretKey:
        """The key that `export` gave out."""
        if len(seed) != SEED_BYTES:
            raise VaultError("The stored lattice key is damaged.")
        return cls(params, Secret(seed))

    def export(self, token: ExportToken) -> bytes:
        """The 32 bytes that the whole key grows from."""
        return self._seed.export(token)

    def noise(self, block_seed: bytes) -> Stream:
        """The stream that a block's errors are drawn from (specification, section 4).

        A function of the key and of the block's fresh seed, so that whoever holds the key can
        take the errors off again and edit a block without adding a second error to it.
        """
        return Stream(self._seed.derive("lattice block noise", block_seed))

    def _short(self, purpose: str) -> tuple[I32, I32]:
        p = self.params
        t = tables(p.primes)
        drawn = sampling.ternary(Stream(self._seed.derive(purpose)), p.width * p.rank * p.rows)
        values = drawn.astype(np.int64).reshape(p.width * p.rank, p.rows)
        out = np.empty((p.limbs, TILES, p.width * p.rank, TILE), np.int32)
        none = np.zeros((len(values), p.limbs, p.rows), np.uint32)
        ring.add_transformed(values, none, t.forward, t.constants, out)
        split = out.reshape(p.limbs, TILES, p.width, p.rank, TILE)
        by_coordinate = np.ascontiguousarray(split.transpose(2, 0, 1, 3, 4))
        by_element = np.ascontiguousarray(split.transpose(3, 0, 1, 2, 4))
        return frozen(by_coordinate), frozen(by_element)

    def __repr__(self) -> str:
        return f"SecretKey({self.params.params_id}, {self.key_id}, <redacted>)"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret key is neither copied nor pickled")
