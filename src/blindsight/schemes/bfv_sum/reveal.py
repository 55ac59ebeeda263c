"""The key holder's half: totals to sums, after their tags were checked."""

from __future__ import annotations

import hmac

import numpy as np

from blindsight.core.errors import TamperedError
from blindsight.core.summing import AGGREGATOR, Kind, Once, Opened, parse_users
from blindsight.schemes.bfv_sum.compute import round_id
from blindsight.schemes.bfv_sum.params import DEGREE, Params
from blindsight.schemes.bfv_sum.public import read, ring
from blindsight.schemes.bfv_sum.secret import SecretKey
from blindsight.schemes.seal.library import guarded, sealapi
from blindsight.schemes.tags.secret import coefficients, offsets, tags

_NOT_THAT_SUM = (
    "This total is not the sum of the updates it names: one was dropped, doubled or altered. "
    "It is not opened."
)


class BfvKeyHolder:
    """See `blindsight.core.summing.SumKeyHolder`. ``last`` is the last round it opened."""

    def __init__(self, params: Params, key: SecretKey, *, last: int = 0) -> None:
        self._params = params
        self._key = key
        self._once = Once(last)
        key.public.residues(params)

    def open(self, number: int, total: bytes) -> Opened:
        """The sum of a round; errors as of `paillier.reveal.PaillierKeyHolder.open`."""
        p, t = self._params, self._params.moduli.plain
        identity = round_id(p, self._key.public, number)
        body = identity.parse(total, Kind.TOTAL, AGGREGATOR, 2 + p.update_bytes, p.largest_total)
        users, rest = parse_users(p, body)
        residues = read(p, rest)
        self._once.use(number)
        found, context = np.empty((p.groups, DEGREE), np.int64), ring(p)
        plain = sealapi().Plaintext()
        with guarded(_NOT_THAT_SUM, TamperedError):
            for group in range(p.groups):
                self._key.decryptor.decrypt(context.ciphertext(residues[group]), plain)
                found[group] = context.encoder.decode_int64(plain)
        slots = np.where(found < 0, found + t, found).astype(np.uint64)
        places = np.arange(p.in_slot, dtype=np.uint64) * np.uint64(p.slot_bits)
        mask = np.uint64((1 << p.slot_bits) - 1)
        flat = ((slots[:, :-1, np.newaxis] >> places) & mask).reshape(p.groups, p.slots)
        registrar = self._key.registrar
        of = coefficients(registrar.group, number, p.groups, p.slots, t)
        shares = [offsets(registrar.member(user).own, number, p.groups, t) for user in users]
        wanted = tags(flat, of, [sum(each) for each in zip(*shares, strict=True)], t)
        same = hmac.compare_digest(
            np.array(wanted, "<u8").tobytes(), np.ascontiguousarray(slots[:, -1], "<u8").tobytes()
        )
        values = flat.reshape(-1)[: p.weights].astype(np.int64) - (len(users) << (p.bits - 1))
        most = len(users) * ((1 << (p.bits - 1)) - 1)
        over = (slots[:, :-1] >> np.uint64(p.in_slot * p.slot_bits)).any()
        if not same or over or np.abs(values).max() > most:
            raise TamperedError(_NOT_THAT_SUM)
        return Opened(values, users)
