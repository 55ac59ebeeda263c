"""Messages of the watch-list service, and the client's side of it over HTTP.

``specs/watchlist.md`` lists all keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from blindsight.core.errors import MalformedError
from blindsight.core.matching import Wire
from blindsight.wire.client import RemoteMatcher
from blindsight.wire.fields import Fields, pack, unpack
from blindsight.wire.messages import Raw

MAX_BODY: Final = 2 << 20
MAX_TEMPLATES: Final = 1 << 20
DIGEST: Final = re.compile(r"[0-9a-f]{64}")

_MAX_PIECE: Final = 1 << 20
_MAX_ANSWER: Final = 64 << 20
_MODEL_ID: Final = re.compile(r"[ -~]{1,128}")


@dataclass(frozen=True, slots=True)
class Description:
    """What a watch list is, for one who is going to ask it.

    Attributes:
        params: of the scheme, as they travel.
        encoding: of vectors to integers, flat.
        model_id: of the model that the templates come from.
        count: templates.

    """

    params: Wire
    encoding: Wire
    model_id: str
    count: int


def encode_description(found: Description) -> bytes:
    """What a watch list answers first."""
    return pack(
        {
            "params": dict(found.params),
            "encoding": dict(found.encoding),
            "model_id": found.model_id,
            "count": found.count,
        }
    )


def decode_description(data: Raw) -> Description:
    """What a watch list is."""
    fields = Fields(unpack(data), "watch list", frozenset({"params", "encoding", "model_id", "count"}))
    return Description(
        params=fields.wire("params"),
        encoding=fields.wire("encoding"),
        model_id=fields.text("model_id", _MODEL_ID),
        count=fields.integer("count", 1, MAX_TEMPLATES),
    )


def encode_piece(at: int, data: bytes) -> bytes:
    """A piece of evaluation keys."""
    return pack({"at": at, "data": data})


def decode_piece(data: Raw) -> tuple[int, bytes]:
    """Where a piece begins, and its 1 to 2^20 bytes."""
    fields = Fields(unpack(data), "piece of keys", frozenset({"at", "data"}))
    return fields.integer("at", 0, 1 << 32), fields.blob("data", 1, _MAX_PIECE)


def encode_received(count: int) -> bytes:
    """How many bytes of keys are here."""
    return pack({"received": count})


def decode_received(data: Raw) -> int:
    """How many bytes of keys are there."""
    return Fields(unpack(data), "receipt", frozenset({"received"})).integer("received", 0, 1 << 32)


def encode_question(digest: str, probe: bytes) -> bytes:
    """Which keys, and the probe."""
    return pack({"digest": digest, "probe": probe})


def decode_question(data: Raw) -> tuple[str, bytes]:
    """Which keys, and the probe."""
    fields = Fields(unpack(data), "question", frozenset({"digest", "probe"}))
    return fields.text("digest", DIGEST), fields.blob("probe", 1, MAX_BODY)


def encode_answer(answer: bytes, server_ms: float) -> bytes:
    """Encrypted scores, and what they took."""
    return pack({"answer": answer, "server_ms": server_ms})


def decode_answer(data: Raw) -> tuple[bytes, float]:
    """Encrypted scores, and the server's milliseconds."""
    fields = Fields(unpack(data), "answer", frozenset({"answer", "server_ms"}))
    return fields.blob("answer", 1, _MAX_ANSWER), fields.number("server_ms")


class RemoteWatchList:
    """A watch list on another machine; arguments and errors as `RemoteMatcher`'s."""

    def __init__(self, url: str, token: str, **options: Any) -> None:
        self._server = RemoteMatcher(url, token, **options)

    def describe(self) -> Description:
        return decode_description(self._server.call("GET", "/v1/watchlist"))

    def received(self, digest: str) -> int:
        return decode_received(self._server.call("GET", _keys(digest)))

    def piece(self, digest: str, at: int, data: bytes) -> int:
        return decode_received(self._server.call("POST", _keys(digest), encode_piece(at, data)))

    def score(self, digest: str, probe: bytes) -> tuple[bytes, float]:
        """The answer, and the server's milliseconds."""
        return decode_answer(self._server.call("POST", "/v1/watchlist/score", encode_question(digest, probe)))

    @property
    def traffic(self) -> Mapping[str, int]:
        """Bytes sent and received so far."""
        return {"sent": self._server.sent_bytes, "received": self._server.received_bytes}

    def close(self) -> None:
        self._server.close()


def _keys(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise MalformedError("Keys are named by the 64 hexadecimal digits of their SHA-256.")
    return f"/v1/keys/{digest}"
