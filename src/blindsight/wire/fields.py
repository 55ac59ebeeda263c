"""Msgpack maps, taken apart strictly: exact keys, exact types, ranges; anything else is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgpack

from blindsight.core.errors import MalformedError

INT_MAX: Final = (1 << 63) - 1

_MAX_DEPTH_ARRAY: Final = 1 << 18
_MAX_KEYS: Final = 64
_MAX_STR: Final = 4096


def pack(value: Any) -> bytes:
    """A message as bytes; buffers become binary strings."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack(data: bytes | bytearray | memoryview) -> Any:
    """The one value that ``data`` encodes, all of it. Raises `MalformedError`."""
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_unique,
            max_str_len=_MAX_STR,
            max_bin_len=len(data),
            max_array_len=_MAX_DEPTH_ARRAY,
            max_map_len=_MAX_KEYS,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
        raise MalformedError("This is not a message: it is cut off, too long, or not msgpack.") from None


class Fields:
    """The fields of one message, by name. ``what`` names the message in errors.

    Raises `MalformedError` unless ``value`` is a map with exactly ``keys``.
    """

    def __init__(self, value: Any, what: str, keys: frozenset[str]) -> None:
        self._what = what
        if not isinstance(value, dict) or value.keys() != keys:
            self._refuse("is not a map of " + ", ".join(sorted(keys)))
        self._value: Mapping[str, Any] = value

    def integer(self, key: str, low: int, high: int = INT_MAX) -> int:
        value = self._value[key]
        if type(value) is not int or not low <= value <= high:
            self._refuse(f"has a bad {key}: not an integer from {low} to {high}")
        return value

    def number(self, key: str) -> float:
        """A finite float that is not negative."""
        value = self._value[key]
        if type(value) is not float or not math.isfinite(value) or value < 0:
            self._refuse(f"has a bad {key}: not a number")
        return value

    def flag(self, key: str) -> bool:
        value = self._value[key]
        if type(value) is not bool:
            self._refuse(f"has a bad {key}: neither true nor false")
        return value

    def text(self, key: str, pattern: re.Pattern[str]) -> str:
        value = self._value[key]
        if type(value) is not str or not pattern.fullmatch(value):
            self._refuse(f"has a bad {key}")
        return value

    def texts(self, key: str, low: int, high: int) -> tuple[str, ...]:
        """A list of ``low`` to ``high`` texts, none of them empty."""
        value = self.many(key, low, high)
        if not all(type(entry) is str and entry for entry in value):
            self._refuse(f"has a bad {key}: not a list of texts")
        return tuple(value)

    def blob(self, key: str, low: int, high: int) -> bytes:
        value = self._value[key]
        if type(value) is not bytes or not low <= len(value) <= high:
            self._refuse(f"has a bad {key}: not {low} to {high} bytes")
        return value

    def many(self, key: str, low: int, high: int) -> list[Any]:
        value = self._value[key]
        if type(value) is not list or not low <= len(value) <= high:
            self._refuse(f"has a bad {key}: not a list of {low} to {high}")
        return value

    def any(self, key: str) -> Any:
        """The value as it came; the caller takes it apart."""
        return self._value[key]

    def wire(self, key: str) -> dict[str, int | str]:
        """A flat parameter set: up to 32 short names to 64-bit integers or short strings."""
        value = self._value[key]
        if type(value) is not dict or len(value) > 32:
            self._refuse(f"has a bad {key}: not a small map")
        for name, entry in value.items():
            good_value = (type(entry) is int and abs(entry) <= INT_MAX) or (
                type(entry) is str and len(entry) <= 64
            )
            if type(name) is not str or len(name) > 64 or not good_value:
                self._refuse(f"has a bad {key}: not short names to integers or short strings")
        return value

    def _refuse(self, why: str) -> NoReturn:
        raise MalformedError(f"This {self._what} {why}.")


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found
