"""Messages about footage: read back as written, and nothing else is read."""

from __future__ import annotations

import numpy as np
import pytest

from blindsight.core.errors import MalformedError
from blindsight.wire.dual_control import Signed
from blindsight.wire.fields import pack
from blindsight.wire.footage_messages import (
    MOST_ITEMS,
    Ask,
    Denied,
    Done,
    Fetch,
    Gap,
    Granted,
    Item,
    Items,
    Kept,
    Page,
    Ready,
    Refused,
)
from blindsight.wire.party_messages import parse

SIGNED = Signed(b"value", bytes(64))
ITEM = Item(bytes(range(32)), (1 << 64) - 1, -5, 1 << 50, 4096)
MESSAGES = [
    Ready(1), Kept(bytes(32)), Refused(bytes(32), "full"), Ask(SIGNED, (SIGNED, SIGNED)),
    Denied("Party 1\u2019s operator has not consented."), Granted(0, 7, bytes(32)), Page(256),
    Items((ITEM,) * MOST_ITEMS), Items(()), Fetch(bytes(32)), Gap(bytes(32), "gone"), Done(),
]  # fmt: skip
KINDS = {type(message) for message in MESSAGES}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind)
def test_read_back(message) -> None:
    data = message.pack()
    assert len(data) <= message.at_most
    assert parse(data, *KINDS) == message
    with pytest.raises(MalformedError):
        parse(data, *(KINDS - {type(message)}))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind)
def test_damage_is_refused_or_harmless(message) -> None:
    """A changed message is refused, or is another valid one that encodes to what was read."""
    generator = np.random.default_rng(3)
    good = message.pack()
    for _ in range(200):
        data = bytearray(good)
        data[int(generator.integers(len(data)))] ^= int(generator.integers(1, 256))
        data = data[: int(generator.integers(len(data)))] if generator.random() < 0.2 else data
        try:
            found = parse(data, *KINDS)
        except MalformedError:
            continue
        assert parse(found.pack(), *KINDS) == found


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "ready", "party": 2},
        {"kind": "ready"},
        {"kind": "kept", "digest": bytes(31)},
        {"kind": "refused", "digest": bytes(32), "reason": "because"},
        {"kind": "ask", "request": SIGNED.wire(), "consents": [SIGNED.wire()]},
        {"kind": "ask", "request": SIGNED.wire(), "consents": [SIGNED.wire()] * 3},
        {"kind": "ask", "request": b"", "consents": [SIGNED.wire()] * 2},
        {"kind": "denied", "reason": "\x1b[2J"},
        {"kind": "denied", "reason": ""},
        {"kind": "granted", "party": 0, "items": -1, "log": bytes(32)},
        {"kind": "page", "after": -1},
        {"kind": "items", "items": [[bytes(32), 1, 2, 3, 4]] * (MOST_ITEMS + 1)},
        {"kind": "items", "items": [[bytes(32), 1, 3, 2, 4]]},
        {"kind": "items", "items": [[bytes(32), 1, 2, 253_402_300_800_000_000, 4]]},
        {"kind": "items", "items": [[bytes(32), 1, -62_135_596_800_000_001, 2, 4]]},
        {"kind": "items", "items": [[bytes(31), 1, 2, 3, 4]]},
        {"kind": "items", "items": [[bytes(32), True, 2, 3, 4]]},
        {"kind": "items", "items": [[bytes(32), 1, 2, 3]]},
        {"kind": "gap", "digest": bytes(32), "reason": ["gone"]},
        {"kind": "done", "more": 1},
    ],
)
def test_what_cannot_be(value) -> None:
    with pytest.raises(MalformedError):
        parse(pack(value), *KINDS)
