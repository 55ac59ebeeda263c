"""A user of a federation: its secrets and the rounds it has answered, on its own disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from blindsight.core.errors import MalformedError, RoundError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.core.summing import LAST_ROUND, MOST_USERS, SumParams, SumUser
from blindsight.core.types import I64, AnyArray
from blindsight.schemes.bfv_sum.params import Params as BfvParams
from blindsight.schemes.bfv_sum.public import PublicKey as BfvKey
from blindsight.schemes.dphe.params import Params as DpheParams
from blindsight.schemes.masking.params import Params as MaskingParams
from blindsight.schemes.masking.public import Group
from blindsight.schemes.paillier.params import Params as PaillierParams
from blindsight.schemes.paillier.public import PublicKey as PaillierKey
from blindsight.trusted.locking import LARGEST_LOCK, MORE, RoleFile, write_locked
from blindsight.trusted.sealing import Unlock
from blindsight.wire.state import read_state

PARAMS: Final[dict[str, Any]] = {
    "paillier": PaillierParams,
    "dphe": DpheParams,
    "bfv": BfvParams,
    "masking": MaskingParams,
}
KEYS: Final = frozenset({"role", "scheme", "params", "public", "user", "lock", "secret", "last"})
_ROLE: Final = re.compile("user")
_SCHEME: Final = re.compile(r"[a-z]{1,16}")


class Contributor:
    """One user. Its file says which round it answered last, before that round's update leaves.

    Args:
        path: of its file.
        unlock: what opens the file, where that is locked.
    """

    def __init__(self, path: Path, unlock: Unlock | None = None) -> None:
        fields = read_state(path, KEYS)
        self.scheme = fields.text("scheme", _SCHEME)
        if self.scheme not in PARAMS:
            raise MalformedError("A user's file names a scheme that there is not.")
        wire = fields.wire("params")
        self.params: SumParams = PARAMS[self.scheme].from_wire(wire)
        self._public = fields.blob("public", 32, 1 << 20)
        self.user = fields.integer("user", 0, MOST_USERS - 1)
        role = fields.text("role", _ROLE)
        about = _about(role, self.scheme, wire, self._public, self.user)
        lock = fields.blob("lock", 0, LARGEST_LOCK)
        size = {"paillier": 64, "bfv": 64, "dphe": 96, "masking": 32}[self.scheme] + (MORE if lock else 0)
        self._file = RoleFile(path, about, lock, fields.blob("secret", size, size), unlock)
        self.last = fields.integer("last", 0, LAST_ROUND)
        self._half = self._opened()

    @classmethod
    def create(
        cls,
        path: Path,
        params: SumParams,
        public: bytes,
        user: int,
        secrets: list[Secret],
        unlock: Unlock | None = None,
    ) -> None:
        """Write a new user's state.

        ``secrets``: group and own of the tags (paillier, bfv); shared, pair and own (dphe); the
        seed of the signing identity (masking).
        """
        joined = b"".join(secret.export(ExportToken()) for secret in secrets)
        about = _about("user", params.scheme, params.wire(), public, user)
        write_locked(path, about, Secret(joined), unlock)

    def _opened(self) -> Any:
        params: Any = self.params
        data = self._file.secret.export(ExportToken())
        parts = [Secret(data[at : at + 32]) for at in range(0, len(data), 32)]
        if self.scheme == "masking":
            from blindsight.schemes.masking.protect import MaskingUser
            from blindsight.schemes.masking.secret import Identity

            listed = {u: self._public[32 * u : 32 * u + 32] for u in range(len(self._public) // 32)}
            return MaskingUser(Group(params, listed), Identity(self.user, parts[0]), last=self.last)
        if self.scheme == "dphe":
            from blindsight.schemes.dphe.protect import DpheUser
            from blindsight.schemes.dphe.protect import Membership as Sparse

            key = PaillierKey.decode(self._public)
            return DpheUser(params, key, Sparse(self.user, *parts), last=self.last)
        from blindsight.schemes.tags.secret import Membership

        member = Membership(self.user, *parts)
        if self.scheme == "bfv":
            from blindsight.schemes.bfv_sum.protect import BfvUser

            return BfvUser(params, BfvKey(self._public), member, last=self.last)
        from blindsight.schemes.paillier.protect import PaillierUser

        return PaillierUser(params, PaillierKey.decode(self._public), member, last=self.last)

    def round(self, number: int, values: AnyArray) -> SumUser:
        """Take part in a round; `RoundError` for one that this user, or this file, answered before."""
        begun: SumUser = self._half.round(number, values)
        self.last = number
        self._file.used(number)
        return begun

    def resume(self, kept: bytes) -> SumUser:
        """A round of masking that was put aside between two steps; the others have one step."""
        if self.scheme != "masking":
            raise RoundError("This scheme's rounds have one step; there is nothing to go on with.")
        begun: SumUser = self._half.resume(kept)
        return begun

    def restore(self, number: int, values: I64) -> I64:
        """An opened sum in the weights' own order."""
        if self.scheme == "dphe":
            restored: I64 = self._half.restore(number, values)
            return restored
        return values


def _about(
    role: str, scheme: str, wire: dict[str, int | str], public: bytes, user: int
) -> dict[str, str | int | bytes | dict[str, int | str]]:
    return {"role": role, "scheme": scheme, "params": wire, "public": public, "user": user}
