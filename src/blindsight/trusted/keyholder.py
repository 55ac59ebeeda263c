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
from blindsight.wire.state import read_state, write_state

_KEYS: Final = frozenset({"scheme", "params", "secret", "last"})
_SCHEME: Final = re.compile(r"[a-z]{1,16}")


class KeyHolder:
    """Opens one total a round. Its file says so before the sum leaves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        fields = read_state(path, _KEYS)
        self.scheme = fields.text("scheme", _SCHEME)
        if self.scheme not in PARAMS:
            raise MalformedError("The key holder's file names a scheme that there is not.")
        self._wire = fields.wire("params")
        self.params: SumParams = PARAMS[self.scheme].from_wire(self._wire)
        self._secret = Secret(fields.blob("secret", 32, 1 << 20))
        self.last = fields.integer("last", 0, LAST_ROUND)
        self._half = self._opened()

    @classmethod
    def create(cls, path: Path, params: SumParams, secret: bytes) -> None:
        """Write a new key holder's state; for masking ``secret`` is all users' signing identities."""
        write_state(path, {"scheme": params.scheme, "params": params.wire(), "secret": secret, "last": 0})

    def _opened(self) -> Any:
        params: Any = self.params
        data = self._secret.export(ExportToken())
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
        opened: Opened = self._half.open(number, total)
        self.last = number
        write_state(
            self._path,
            {
                "scheme": self.scheme,
                "params": self._wire,
                "secret": self._secret.export(ExportToken()),
                "last": number,
            },
        )
        return opened
