"""The key holder of a federation: the secret key and the rounds it has opened, on its own disk.

For masking there is no key; the same file then only remembers what was opened.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from blindsight.core.errors import MalformedError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.core.summing import LAST_ROUND, Opened, SumParams
from blindsight.schemes.masking.public import Group
from blindsight.trusted.contributor import PARAMS
from blindsight.trusted.locking import LARGEST_LOCK, RoleFile, write_locked
from blindsight.trusted.sealing import Unlock
from blindsight.wire.state import read_state

KEYS: Final = frozenset({"role", "scheme", "params", "lock", "secret", "last"})
_ROLE: Final = re.compile("key holder")
_SCHEME: Final = re.compile(r"[a-z]{1,16}")


class KeyHolder:
    """Opens one total a round. Its file says so before the sum leaves.

    Args:
        path: of its file.
        unlock: what opens the file, where that is locked.
    """

    def __init__(self, path: Path, unlock: Unlock | None = None) -> None:
        fields = read_state(path, KEYS)
        self.scheme = fields.text("scheme", _SCHEME)
        if self.scheme not in PARAMS:
            raise MalformedError("The key holder's file names a scheme that there is not.")
        wire = fields.wire("params")
        self.params: SumParams = PARAMS[self.scheme].from_wire(wire)
        about = {"role": fields.text("role", _ROLE), "scheme": self.scheme, "params": wire}
        lock, data = fields.blob("lock", 0, LARGEST_LOCK), fields.blob("secret", 32, 1 << 20)
        self._file = RoleFile(path, about, lock, data, unlock)
        self.last = fields.integer("last", 0, LAST_ROUND)
        self._half = self._opened()

    @classmethod
    def create(cls, path: Path, params: SumParams, secret: bytes, unlock: Unlock | None = None) -> None:
        """Write a new key holder's state; for masking ``secret`` is all users' signing identities."""
        about = {"role": "key holder", "scheme": params.scheme, "params": params.wire()}
        write_locked(path, about, Secret(secret), unlock)

    def _opened(self) -> Any:
        params: Any = self.params
        data = self._file.secret.export(ExportToken())
        if self.scheme == "masking":
            from blindsight.schemes.masking.reveal import MaskingReader

            listed = {u: data[32 * u : 32 * u + 32] for u in range(len(data) // 32)}
            return MaskingReader(Group(params, listed), last=self.last)
        if self.scheme == "bfv":
            from blindsight.schemes.bfv_sum.reveal import BfvKeyHolder
            from blindsight.schemes.bfv_sum.secret import SecretKey as BfvSecret

            return BfvKeyHolder(params, BfvSecret.load(params, data), last=self.last)
        from blindsight.schemes.paillier.secret import SecretKey

        key = SecretKey.load(data)
        if self.scheme == "dphe":
            from blindsight.schemes.dphe.reveal import DpheKeyHolder

            return DpheKeyHolder(params, key, last=self.last)
        from blindsight.schemes.paillier.reveal import PaillierKeyHolder

        return PaillierKeyHolder(params, key, last=self.last)

    def open(self, number: int, total: bytes) -> Opened:
        """The sum of a round; errors as of the scheme's."""
        found: Opened = self._half.open(number, total)
        self.last = number
        self._file.used(number)
        return found
