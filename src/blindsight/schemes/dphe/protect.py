"""A user's half: non-zeros, permuted twice and encrypted one by one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from gmpy2 import mpz

from blindsight.core.errors import VectorError
from blindsight.core.secrets import Secret
from blindsight.core.summing import OneAnswer, checked_values
from blindsight.core.types import I64, AnyArray
from blindsight.schemes.dphe.compute import round_id
from blindsight.schemes.dphe.params import Params
from blindsight.schemes.dphe.public import pair_permutation, permutation, write_entries
from blindsight.schemes.dphe.receipts import receipt
from blindsight.schemes.paillier.protect import EncryptingUser


@dataclass(frozen=True, slots=True)
class Membership:
    """What one user holds beside the public key.

    Attributes:
        user: its number.
        shared: all users' secret that P grows from; hidden from the aggregator.
        pair: this user's and the aggregator's, that P(i) grows from.
        own: this user's and the key holder's, for receipts.
    """

    user: int
    shared: Secret = field(repr=False)
    pair: Secret = field(repr=False)
    own: Secret = field(repr=False)


def shared_permutation(params: Params, shared: Secret, number: int) -> I64:
    """P: of this round where parameters say ``fresh``, else the one of all rounds."""
    return permutation(shared, "dphe shared", number if params.fresh else 0, params.weights)


class DpheUser(EncryptingUser[Params, Membership]):
    """One user: encrypts its non-zeros, one by one."""

    def round(self, number: int, values: AnyArray) -> OneAnswer:
        """Take part in a round; `VectorError` for more non-zeros than the padding has room for."""
        p = self._params
        identity = round_id(p, self._public, number)
        checked = checked_values(p, values)
        support = support_of(p, np.flatnonzero(checked))
        self._once.use(number)
        once = shared_permutation(p, self._member.shared, number)[support]
        twice = pair_permutation(self._member.pair, number, p.weights)[once]
        order = np.argsort(twice)
        return OneAnswer(
            identity, self._member.user, lambda: self._body(number, twice[order], checked[support[order]])
        )

    def _body(self, number: int, places: I64, values: I64) -> bytes:
        plaintexts = [mpz(v) % self._public.n for v in values.tolist()]
        entries = write_entries(places, self._encrypted(plaintexts))
        return receipt(self._member.own, number, sha256(entries).digest()) + entries

    def restore(self, number: int, values: I64) -> I64:
        """Undo P on an opened sum."""
        return np.asarray(values[shared_permutation(self._params, self._member.shared, number)])


def support_of(params: Params, nonzero: I64) -> I64:
    """The places that are sent, ascending: the non-zeros, and as many others as the padding wants.

    The others are drawn by the operating system's generator. Raises `VectorError` for more
    non-zeros than the padding has room for.
    """
    if not params.padded:
        return nonzero
    if len(nonzero) > params.padded:
        raise VectorError(
            f"The update has {len(nonzero)} non-zeros and is to be padded to {params.padded}; raise the "
            "regularisation or the padding."
        )
    others = np.setdiff1d(np.arange(params.weights), nonzero, assume_unique=True)
    more = secrets.SystemRandom().sample(range(len(others)), params.padded - len(nonzero))
    return np.sort(np.concatenate([nonzero, others[more]]))
