"""Bytes that must not leave memory by accident."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any, NoReturn

from blindsight.core.errors import UsageError


class ExportToken:
    """Whoever passes one means to take a secret out of memory. Every export is a grep away."""


class Secret:
    """A secret byte string: no ``repr``, no pickle, no copy; out only by `export`."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    @classmethod
    def fresh(cls, size: int = 32) -> Secret:
        """New random bytes from the operating system."""
        return cls(os.urandom(size))

    def derive(self, purpose: str, context: bytes = b"") -> bytes:
        """32 bytes that are a pseudorandom function of the purpose and the context."""
        message = purpose.encode() + b"\x00" + context
        return hmac.new(self._value, message, hashlib.sha256).digest()

    def export(self, token: ExportToken) -> bytes:
        """The bytes themselves, for one who says so explicitly."""
        if not isinstance(token, ExportToken):
            raise UsageError("Taking a secret out of memory needs an export token.")
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<redacted>)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        raise TypeError("a secret is not hashable")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")

    def __copy__(self) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")
