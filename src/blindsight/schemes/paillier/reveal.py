"""The key holder's half: totals to sums, after their tags were checked."""

from __future__ import annotations

import hmac

import numpy as np
from gmpy2 import mpz

from blindsight.core.errors import TamperedError
from blindsight.core.summing import AGGREGATOR, Kind, Once, Opened, parse_users
from blindsight.core.types import I64
from blindsight.kernels.packing import packed_bytes, unpack_bits
from blindsight.schemes.paillier.compute import round_id
from blindsight.schemes.paillier.params import TAG_MODULUS, Params
from blindsight.schemes.paillier.public import read
from blindsight.schemes.paillier.secret import SecretKey
from blindsight.schemes.tags.secret import coefficients, offsets, tags

_NOT_THAT_SUM = (
    "This total is not the sum of the updates it names: one was dropped, doubled or altered. "
    "It is not opened."
)


class PaillierKeyHolder:
    """See `blindsight.core.summing.SumKeyHolder`. ``last`` is the last round it opened."""

    def __init__(self, params: Params, key: SecretKey, *, last: int = 0) -> None:
        self._params = params
        self._key = key
        self._once = Once(last)
        round_id(params, key.public, 1)

    def open(self, number: int, total: bytes) -> Opened:
        """The sum of a round.

        Raises:
            RoundError: this round was opened before: two totals of one round differ by one user.
            TooFewError: fewer users than the parameters' ``minimum``.
            TamperedError: not the sum of exactly the updates that it names.
        """
        p = self._params
        identity = round_id(p, self._key.public, number)
        body = identity.parse(total, Kind.TOTAL, AGGREGATOR, 2 + p.update_bytes, p.largest_total)
        users, rest = parse_users(p, body)
        if len(rest) != p.update_bytes:
            raise TamperedError(_NOT_THAT_SUM)
        ciphertexts = read(self._key.public, rest)
        self._once.use(number)
        values = self._checked(number, users, self._key.decrypt(ciphertexts))
        return Opened(values, users)

    def _checked(self, number: int, users: tuple[int, ...], plaintexts: list[mpz]) -> I64:
        p = self._params
        above = p.slots * p.slot_bits
        mask = (mpz(1) << above) - 1
        size = packed_bytes(p.slots, p.slot_bits)
        data = b"".join(int(m & mask).to_bytes(size, "little") for m in plaintexts)
        slots = unpack_bits(np.frombuffer(data, np.uint8).reshape(p.groups, size), p.slots, p.slot_bits)
        registrar = self._key.registrar
        of = coefficients(registrar.group, number, p.groups, p.slots, TAG_MODULUS)
        shares = [offsets(registrar.member(user).own, number, p.groups, TAG_MODULUS) for user in users]
        wanted = tags(slots, of, [sum(each) for each in zip(*shares, strict=True)], TAG_MODULUS)
        found = [int(m >> above) % TAG_MODULUS for m in plaintexts]
        same = hmac.compare_digest(
            b"".join(tag.to_bytes(8, "little") for tag in wanted),
            b"".join(tag.to_bytes(8, "little") for tag in found),
        )
        offset = len(users) << (p.bits - 1)
        values = slots.reshape(-1)[: p.weights].astype(np.int64) - offset
        most = len(users) * ((1 << (p.bits - 1)) - 1)
        if not same or any(m >> (above + p.tag_bits) for m in plaintexts) or np.abs(values).max() > most:
            raise TamperedError(_NOT_THAT_SUM)
        return values
