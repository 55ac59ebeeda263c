"""A user's half: integers to packed, tagged, encrypted updates."""

from __future__ import annotations

import numpy as np

from blindsight.core.summing import Once, OneAnswer, checked_values
from blindsight.core.types import I64, AnyArray
from blindsight.schemes.bfv_sum.compute import round_id
from blindsight.schemes.bfv_sum.params import DEGREE, Params
from blindsight.schemes.bfv_sum.public import U64, PublicKey, ring, write
from blindsight.schemes.seal.library import sealapi
from blindsight.schemes.tags.secret import Membership, tags


class BfvUser:
    """One user of a federation, over its rounds; ``last`` is the last one it took part in."""

    def __init__(self, params: Params, public: PublicKey, member: Membership, *, last: int = 0) -> None:
        self._params = params
        self._public = public
        self._member = member
        self._once = Once(last)
        self._ring = ring(params)
        key = self._ring.public_key(public.residues(params))
        self._encryptor = sealapi().Encryptor(self._ring.seal, key)

    def round(self, number: int, values: AnyArray) -> OneAnswer:
        """Take part in a round with these integers; `RoundError` for a round that is past."""
        identity = round_id(self._params, self._public, number)
        checked = checked_values(self._params, values)
        self._once.use(number)
        plain = slots_of(self._params, self._member, number, checked)
        return OneAnswer(identity, self._member.user, lambda: self._encrypted(plain))

    def _encrypted(self, slots: U64) -> bytes:
        api, primes = sealapi(), len(self._params.moduli.primes)
        plain, ciphertext = api.Plaintext(), api.Ciphertext()
        out = np.empty((self._params.groups, 2, primes, DEGREE), np.uint64)
        for group, row in enumerate(slots):
            self._ring.encoder.encode(row.astype(np.int64).tolist(), plain)
            self._encryptor.encrypt(plain, ciphertext)
            out[group] = self._ring.residues(ciphertext, 2, primes)
        return write(self._params, out)


def slots_of(params: Params, member: Membership, number: int, values: I64) -> U64:
    """Offset integers, several a slot, and the tag in the last one: uint64 (groups, degree)."""
    p, t = params, params.moduli.plain
    flat = np.zeros((p.groups, p.slots), np.uint64)
    flat.reshape(-1)[: p.weights] = (values + (1 << (p.bits - 1))).astype(np.uint64)
    of = member.coefficients(number, p.groups, p.slots, t)
    made = tags(flat, of, member.offsets(number, p.groups, t), t)
    out = np.empty((p.groups, DEGREE), np.uint64)
    places = np.arange(p.in_slot, dtype=np.uint64) * np.uint64(p.slot_bits)
    out[:, :-1] = (flat.reshape(p.groups, DEGREE - 1, p.in_slot) << places).sum(axis=2, dtype=np.uint64)
    out[:, -1] = made
    return out
