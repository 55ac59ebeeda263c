"""The aggregator of a federation: its state on disk, and a server for each round. No key that decrypts.

It counts attempts. A round that was begun and not finished keeps its number for good, as users
answer a number once: the next attempt has the next number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from blindsight.core.claims import Leakage
from blindsight.core.errors import MalformedError, RefusedError
from blindsight.core.secrets import Secret
from blindsight.core.summing import LAST_ROUND, SumParams, SumServer
from blindsight.schemes.bfv_sum import compute as bfv
from blindsight.schemes.bfv_sum.public import PublicKey as BfvKey
from blindsight.schemes.dphe import compute as dphe
from blindsight.schemes.masking import compute as masking
from blindsight.schemes.masking.public import Group
from blindsight.schemes.paillier import compute as paillier
from blindsight.schemes.paillier.public import PublicKey as PaillierKey
from blindsight.wire.state import read_state, write_state

_KEYS: Final = frozenset({"scheme", "params", "public", "pairs", "attempt"})
_SCHEME: Final = re.compile(r"[a-z]{1,16}")
_LARGEST_KEY: Final = 1 << 20


class Aggregator:
    """One federation as the aggregator sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        fields = read_state(path, _KEYS)
        self.scheme = fields.text("scheme", _SCHEME)
        self._wire = fields.wire("params")
        self._public = fields.blob("public", 32, _LARGEST_KEY)
        self._pairs = fields.blob("pairs", 0, 32 * 10_000)
        self.attempt = fields.integer("attempt", 0, LAST_ROUND)
        self.params = _params(self.scheme, self._wire)
        self.leakage: Leakage = _MODULES[self.scheme].LEAKAGE

    @classmethod
    def create(
        cls, path: Path, scheme: str, params: SumParams, public: bytes, pairs: Iterable[Secret] = ()
    ) -> None:
        """Write a new aggregator's state.

        Args:
            path: of the file.
            scheme: ``paillier``, ``dphe``, ``bfv`` or ``masking``.
            params: of the scheme.
            public: the public key; for masking all users' signing identities, by number.
            pairs: for DPHE, what each user and the aggregator share.
        """
        from blindsight.core.secrets import ExportToken

        joined = b"".join(pair.export(ExportToken()) for pair in pairs)
        write_state(
            path, {"scheme": scheme, "params": params.wire(), "public": public, "pairs": joined, "attempt": 0}
        )

    def begin(self, users: Iterable[int]) -> tuple[int, SumServer]:
        """A new attempt with these users: its number, which is on disk before anybody is asked."""
        if self.attempt >= LAST_ROUND:
            raise RefusedError("This federation has used up its round numbers; begin a new one.")
        self.attempt += 1
        write_state(
            self._path,
            {
                "scheme": self.scheme,
                "params": self._wire,
                "public": self._public,
                "pairs": self._pairs,
                "attempt": self.attempt,
            },
        )
        return self.attempt, self._server(self.attempt, list(users))

    def _server(self, number: int, users: list[int]) -> SumServer:
        params: Any = self.params
        if self.scheme == "bfv":
            return bfv.server(params, BfvKey(self._public), number, users)
        if self.scheme == "masking":
            return masking.MaskingServer(Group(params, identities(self._public)), number, users)
        key = PaillierKey.decode(self._public)
        if self.scheme == "paillier":
            return paillier.server(params, key, number, users)
        pairs = {user: Secret(self._pairs[32 * user : 32 * user + 32]) for user in users}
        return dphe.server(params, key, number, pairs)


_MODULES: Final[dict[str, Any]] = {"paillier": paillier, "dphe": dphe, "bfv": bfv, "masking": masking}


def _params(scheme: str, wire: dict[str, int | str]) -> SumParams:
    if scheme not in _MODULES:
        raise MalformedError("The aggregator's file names a scheme that there is not.")
    found: SumParams = _MODULES[scheme].parse_params(wire)
    return found


def identities(public: bytes) -> dict[int, bytes]:
    """Signing identities of 32 bytes, one after the other, by user number."""
    return {user: public[32 * user : 32 * user + 32] for user in range(len(public) // 32)}
