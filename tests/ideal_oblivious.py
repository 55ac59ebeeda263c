"""What the oblivious layer promises, given by somebody whom both trust: for tests with small keys.

Both ends draw from one seed. There is no message but in `commit_and_open`.
"""

from __future__ import annotations

import hashlib

import numpy as np

from blindsight.kernels import wide
from blindsight.kernels.prg import Stream
from blindsight.schemes.oblivious.coins import commit_and_open
from blindsight.schemes.oblivious.tags import Tags
from blindsight.schemes.oblivious.transfers import RandomOTs


class Ideal:
    """One end. ``keys`` are both parties' α."""

    def __init__(self, party, seed, keys, security):
        self.party, self.security, self.alpha = party, security, keys[party]
        self.session = hashlib.sha256(seed).digest()
        self._keys = keys
        self._stream = Stream(hashlib.sha256(seed + b"stream").digest())
        self._calls = 0
        self.over = False

    def end(self):
        self.over = True

    def _words(self, *shape):
        return self._stream.read(8 * int(np.prod(shape))).view("<u8").astype(np.uint64).reshape(shape)

    def random_ots(self, choices):
        pads = self._words(2, 2, len(choices), 2)  # sender, string
        theirs = pads[1 - self.party]
        received = np.where(choices[:, np.newaxis], theirs[1], theirs[0])
        return RandomOTs(received, pads[self.party])
        yield

    def authenticate(self, values, bits, checks=1):
        keys = self._words(2, len(values), 2)  # of the inputs of each
        alpha = wide.from_ints([self._keys[1 - self.party]])
        own = wide.sub(wide.mul(values, alpha), keys[self.party])
        return Tags(wide.reduce(own, bits), wide.reduce(keys[1 - self.party], bits))
        yield

    def coin(self, count):
        return self._stream.read(count).tobytes()
        yield

    def commit_and_open(self, message, size=None):
        self._calls += 1
        return (
            yield from commit_and_open(self.party, self.session + bytes([self._calls % 256]), message, size)
        )


def ideal_pair(seed=b"seed", security=40):
    stream = Stream(hashlib.sha256(seed + b"keys").digest())
    low = (1 << security) - 1
    keys = [int.from_bytes(stream.read(8).tobytes(), "little") & low for _ in range(2)]
    return [Ideal(party, seed, keys, security) for party in (0, 1)]
