"""Messages of the parties: they come back as they were sent, and nothing else is taken for one."""

from __future__ import annotations

import contextlib

import pytest

from blindsight.core.errors import MalformedError
from blindsight.wire import party_messages as pm
from blindsight.wire.dual_control import Signed
from blindsight.wire.fields import pack

SIGNED = Signed(b"value", bytes(64))
MESSAGES = [
    pm.State(1, True, "", "dlib", True, 128, 1442, 1448, 24, 150, bytes(32), b"h" * 32, 128),
    pm.Credit(bytes(16), 3),
    pm.Over(bytes(16), "abort-opening"),
    pm.Deal(bytes(16), b"d" * 32, 64),
    pm.Opened(bytes(16), b"d" * 32),
    pm.Stored(bytes(16), 64),
    pm.Hello(bytes(32), (b"r" * 32,)),
    pm.Have(()),
    pm.Sync(4, bytes(32), (b"w" * 32, b"v" * 32), (b"v" * 32,)),
    pm.Relay((pm.Proposed(SIGNED, (b"photo",)),), (SIGNED,)),
    pm.Get(7),
    pm.Records((b"one", b"two")),
    pm.At(9, bytes(32)),
    pm.Run(bytes(16), 5, 32),
    pm.Go(5, 0),
    pm.Confirm(bytes(32), b"l" * 32),
]
CLASSES = tuple({type(message) for message in MESSAGES})


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind)
def test_there_and_back(message):
    data = message.pack()
    assert len(data) <= message.at_most
    assert pm.parse(data, *CLASSES) == message
    others = tuple(cls for cls in CLASSES if cls is not type(message))
    with pytest.raises(MalformedError, match="another message"):
        pm.parse(data, *others)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind)
def test_damaged(message):
    """Every byte cut off or altered: refused, or another message that is as well-formed."""
    data = message.pack()
    for at in range(len(data)):
        with pytest.raises(MalformedError):
            pm.parse(data[:at], *CLASSES)
        for change in (1, 0x80, 0xFF):
            altered = data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]
            with contextlib.suppress(MalformedError):
                assert pm.parse(pm.parse(altered, *CLASSES).pack(), *CLASSES)
    with pytest.raises(MalformedError):
        pm.parse(data + b"\x00", *CLASSES)


def test_every_kind_is_tried():
    here = {cls.kind for cls in pm.Message.__subclasses__() if cls.__module__ == pm.__name__}
    assert here == {message.kind for message in MESSAGES}


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "run", "session": bytes(16), "first": 0, "count": 33},
        {"kind": "run", "session": bytes(15), "first": 0, "count": 1},
        {"kind": "run", "session": bytes(16), "first": -1, "count": 1},
        {"kind": "run", "session": bytes(16), "first": True, "count": 1},
        {"kind": "go", "first": 0, "count": 1, "more": 1},
        {"kind": "hello", "version": 2, "name": bytes(32), "unresolved": []},
        {"kind": "have", "receipts": [bytes(31)]},
        {"kind": "have", "receipts": [bytes(32)] * 257},
        {"kind": "records", "records": [b""]},
        {"kind": "records", "records": [b"x"] * 65},
        {"kind": "records", "records": [bytes((64 << 10) + 1)]},
        {"kind": "over", "session": bytes(16), "reason": "a <b>reason</b>"},
        {"kind": "relay", "proposals": [{}], "verdicts": []},
        {"kind": ["run"], "session": bytes(16)},
        [1, 2],
        7,
    ],
)
def test_out_of_range(value):
    with pytest.raises(MalformedError):
        pm.parse(pack(value), *CLASSES)
