"""How blocks, probes and answers lie in memory and on the wire: all of it may travel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blindsight.core.types import I32, U8, AnyArray, frozen
from blindsight.kernels import ntt, sampling
from blindsight.kernels.accumulate import TILE
from blindsight.kernels.prg import Stream
from blindsight.kernels.ring import TILES
from blindsight.schemes.lattice.params import Params


@dataclass(frozen=True, slots=True)
class Tables:
    """The constants that the kernels take for a modulus of one or two primes."""

    constants: NDArray[np.uint32]
    forward: NDArray[np.uint32]
    backward: NDArray[np.uint32]
    lift: int


@lru_cache
def tables(primes: tuple[int, ...]) -> Tables:
    """Tables of a modulus, made once."""
    moduli = [ntt.modulus(p) for p in primes]
    lift = pow(primes[0], -1, primes[1]) * 2**32 % primes[1] if len(primes) == 2 else 0
    return Tables(
        frozen(np.stack([m.constants for m in moduli])),
        frozen(np.stack([m.forward for m in moduli])),
        frozen(np.stack([m.backward for m in moduli])),
        lift,
    )


def tiled(data: U8, params: Params, width: int) -> I32:
    """Bytes (count, ...) seen as int32 (count, limbs, 4, width, 64), read-only."""
    view: AnyArray = data.view("<i4").reshape(data.shape[0], params.limbs, TILES, width, TILE)
    return frozen(view)


def answer_type(params: Params) -> type[np.int16] | type[np.int32]:
    """The integer type of one rounded score."""
    return np.int16 if params.limbs == 1 else np.int32


def public_matrix(seed: bytes, params: Params) -> I32:
    """The ring elements A that a seed stands for: int32 (limbs, 4, rank, 64), transformed.

    Uniform residues are uniform in any basis, so they are drawn in the transformed one.
    Prime by prime, element by element, position by position (specification, section 4).
    """
    stream = Stream(seed)
    out = np.empty((params.limbs, TILES, params.rank, TILE), np.int32)
    for limb, prime in enumerate(params.primes):
        drawn = sampling.uniform(stream, params.rank * params.rows, prime)
        out[limb] = drawn.reshape(params.rank, TILES, TILE).transpose(1, 0, 2)
    return out
