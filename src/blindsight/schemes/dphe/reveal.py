"""The key holder's half: packed totals to sums in permuted order."""

from __future__ import annotations

import numpy as np
from gmpy2 import mpz

from blindsight.core.errors import MalformedError, TamperedError
from blindsight.core.secrets import Secret
from blindsight.core.summing import AGGREGATOR, Kind, Once, Opened, parse_users
from blindsight.schemes.dphe.compute import round_id
from blindsight.schemes.dphe.params import RECEIPT_BYTES, Params
from blindsight.schemes.dphe.public import read_places
from blindsight.schemes.dphe.receipts import is_receipt
from blindsight.schemes.paillier.public import read
from blindsight.schemes.paillier.secret import SecretKey


class DpheKeyHolder:
    """See `blindsight.core.summing.SumKeyHolder`; sums come out in the order of P."""

    def __init__(self, params: Params, key: SecretKey, *, last: int = 0) -> None:
        self._params = params
        self._key = key
        self._once = Once(last)
        round_id(params, key.public, 1)

    def own(self, user: int) -> Secret:
        """What user ``user`` makes its receipts with."""
        return self._key.registrar.member(user).own

    def open(self, number: int, total: bytes) -> Opened:
        """The sum of a round, permuted: `protect.DpheUser.restore` undoes that.

        Raises:
            RoundError: this round was opened before.
            TooFewError: fewer users than the parameters' ``minimum``.
            TamperedError: a receipt that its user did not make, or an impossible sum.
        """
        p = self._params
        identity = round_id(p, self._key.public, number)
        body = identity.parse(total, Kind.TOTAL, AGGREGATOR, 2, p.largest_total)
        users, rest = parse_users(p, body)
        receipts, rest = rest[: len(users) * RECEIPT_BYTES], rest[len(users) * RECEIPT_BYTES :]
        places, packed = read_places(rest, p.weights)
        if len(packed) != -(-len(places) // p.slots) * p.ciphertext_bytes:
            raise MalformedError("A sparse total does not have as many ciphertexts as its places need.")
        for k, user in enumerate(users):
            if not is_receipt(self.own(user), number, receipts[k * RECEIPT_BYTES : (k + 1) * RECEIPT_BYTES]):
                raise TamperedError("A receipt in this total was not made by its user; it is not opened.")
        ciphertexts = read(self._key.public, packed)
        self._once.use(number)
        values = np.zeros(p.weights, np.int64)
        digits = [d for m in self._key.decrypt(ciphertexts) for d in self._digits(m)]
        if any(digits[len(places) :]):
            raise TamperedError("A sparse total holds weights outside its places; it is not opened.")
        values[places] = digits[: len(places)]
        if np.abs(values).max(initial=0) > len(users) * ((1 << (p.bits - 1)) - 1):
            raise TamperedError("A sparse total holds a weight that cannot be; it is not opened.")
        return Opened(values, users)

    def _digits(self, packed: mpz) -> list[int]:
        """Signed digits of ``slot_bits`` bits, the lowest first."""
        p, n = self._params, self._key.public.n
        number = int(packed if packed <= n // 2 else packed - n)
        half, whole = 1 << (p.slot_bits - 1), 1 << p.slot_bits
        out = []
        for _ in range(p.slots):
            digit = (number + half) % whole - half
            number = (number - digit) >> p.slot_bits
            out.append(digit)
        if number:
            raise TamperedError("A sparse total holds a weight that cannot be; it is not opened.")
        return out
