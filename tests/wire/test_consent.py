"""Requests and consents: what both operators agreed to, and nothing else."""

from __future__ import annotations

import dataclasses
import os
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.core.consent import Grant, granted, signable
from blindsight.core.errors import BlindsightError, MalformedError, RefusedError, TamperedError, UsageError
from blindsight.trusted.consent import sign_consent, sign_request
from blindsight.wire.consent import (
    decode_consent,
    decode_request,
    encode_consent,
    encode_request,
    opened_consent,
    opened_request,
    read_file,
    to_file,
)
from blindsight.wire.dual_control import Signed
from blindsight.wire.fields import pack
from recording import BEGAN, HOUR

KEYS = [os.urandom(32) for _ in range(3)]
PUBLIC = [Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw() for key in KEYS]
OPERATORS = PUBLIC[0], PUBLIC[1]
REVEALER = SimpleNamespace(role="revealer", name="auditor", fingerprint="ab" * 32)


def request(by: int = 0, **other: object) -> Signed:
    options = {"first": BEGAN, "last": BEGAN + HOUR, "hours": 1.0, "reason": "a theft"} | other
    return sign_request(
        KEYS[by], "gate", options["first"], options["last"], REVEALER, options["reason"], options["hours"]
    )


def judge(signed: Signed, consents: list[Signed], now: float | None = None, revealer: str = "ab") -> Grant:
    asked, digest = opened_request(signed)
    agreed = [opened_consent(one) for one in consents]
    return granted(asked, digest, agreed, OPERATORS, bytes.fromhex(revealer * 32), now or time.time())


def signed_again(signed: Signed, by: int, kind: str, **changes: object) -> Signed:
    """Changed, and signed by ``by`` without any check."""
    decode, encode = {
        "request": (decode_request, encode_request),
        "consent": (decode_consent, encode_consent),
    }[kind]
    encoded = encode(dataclasses.replace(decode(signed.value), **changes))
    return Signed(encoded, Ed25519PrivateKey.from_private_bytes(KEYS[by]).sign(signable(kind, encoded)))


def test_both_consented() -> None:
    asked = request()
    consents = [sign_consent(KEYS[1], asked, [(1, 2, 3, 4)]), sign_consent(KEYS[0], asked)]
    grant = judge(asked, consents)
    assert grant.withhold == ((), ((1, 2, 3, 4),))
    assert grant.request.camera == "gate"


class TestRefused:
    def test_one_operator_did_not_consent(self) -> None:
        asked = request()
        for who in (0, 1):
            consent = sign_consent(KEYS[who], asked)
            for consents in ([consent], [consent, consent], [consent, sign_consent(KEYS[who], asked)]):
                with pytest.raises(RefusedError, match=f"party {1 - who} has not consented"):
                    judge(asked, consents)
        with pytest.raises(RefusedError):
            judge(asked, [])

    def test_a_stranger_asked_or_consented(self) -> None:
        asked = request(by=2)
        with pytest.raises(TamperedError):
            judge(asked, [sign_consent(KEYS[i], asked) for i in (0, 1)])
        asked = request()
        with pytest.raises(TamperedError):
            judge(asked, [sign_consent(KEYS[i], asked) for i in (0, 2)])

    def test_expired(self) -> None:
        asked = request()
        consents = [sign_consent(KEYS[i], asked) for i in (0, 1)]
        until = decode_request(asked.value).until
        judge(asked, consents, until - 1)
        with pytest.raises(RefusedError, match="expired"):
            judge(asked, consents, until)
        old = signed_again(asked, 0, "request", at=1000, until=2000)
        with pytest.raises(RefusedError, match="expired"):
            sign_consent(KEYS[1], old)

    def test_for_another_revealer(self) -> None:
        asked = request()
        with pytest.raises(RefusedError, match="another revealer"):
            judge(asked, [sign_consent(KEYS[i], asked) for i in (0, 1)], revealer="ac")

    def test_consents_to_another_request(self) -> None:
        asked, other = request(), request()
        with pytest.raises(TamperedError):
            judge(asked, [sign_consent(KEYS[0], asked), sign_consent(KEYS[1], other)])

    def test_altered_after_it_was_consented_to(self) -> None:
        """By the one who asked, who can sign it again."""
        asked = request()
        consents = [sign_consent(KEYS[i], asked) for i in (0, 1)]
        later = decode_request(asked.value).last + 1
        for change in ({"camera": "hall"}, {"last": later}, {"revealer": bytes(32)}, {"reason": "none"}):
            with pytest.raises(BlindsightError):
                judge(signed_again(asked, 0, "request", **change), consents)

    def test_one_signature_is_not_the_other(self) -> None:
        """A request's signature under a consent, one operator's under the other's name."""
        asked = request()
        consent = sign_consent(KEYS[0], asked)
        with pytest.raises(TamperedError):
            opened_consent(Signed(consent.value, asked.signature))
        with pytest.raises(TamperedError):
            opened_consent(signed_again(consent, 0, "consent", operator=PUBLIC[1]))
        with pytest.raises(MalformedError):
            opened_request(consent)
        with pytest.raises(MalformedError):
            opened_consent(asked)


@pytest.mark.parametrize("kind", ["request", "consent"])
def test_each_bit_counts(kind: str) -> None:
    asked = request()
    signed = asked if kind == "request" else sign_consent(KEYS[0], asked, [(0, 0, 16, 16)])
    opened = {"request": opened_request, "consent": opened_consent}[kind]
    for at in range(len(signed.value) + 64):
        whole = bytearray(signed.value + signed.signature)
        whole[at] ^= 1 << (at % 8)
        with pytest.raises(BlindsightError):
            opened(Signed(bytes(whole[:-64]), bytes(whole[-64:])))


@pytest.mark.parametrize(
    "other",
    [
        {"last": BEGAN - HOUR},
        {"last": BEGAN + timedelta(days=32)},
        {"reason": ""},
        {"reason": "x" * 1001},
        {"reason": "two\nlines"},
        {"hours": 0.0},
        {"hours": 800.0},
        {"first": BEGAN.replace(year=1960), "last": BEGAN.replace(year=1960)},
    ],
)
def test_requests_that_cannot_be(other: dict[str, object]) -> None:
    with pytest.raises((MalformedError, UsageError)):
        request(**other)


def test_only_a_revealer_sees_footage() -> None:
    camera = SimpleNamespace(role="camera", name="gate", fingerprint="ab" * 32)
    with pytest.raises(UsageError, match="revealer alone"):
        sign_request(KEYS[0], "gate", BEGAN, BEGAN, camera, "why")


@pytest.mark.parametrize(
    "region", [(0, 0, 0, 1), (-1, 0, 1, 1), (0, 0, 1, 9000), (0, 0, 1), "abcd", (0, 0, 1, True)]
)
def test_regions_that_cannot_be(region: object) -> None:
    asked = request()
    with pytest.raises(MalformedError):
        sign_consent(KEYS[0], asked, [region])
    with pytest.raises(MalformedError):
        sign_consent(KEYS[0], asked, [(0, 0, 1, 1)] * 65)


def test_times_beyond_all_calendars() -> None:
    asked = request()
    for change in (
        {"first": 253_402_300_800_000_000, "last": 253_402_300_800_000_000},
        {"at": 253_402_300_700, "until": 253_402_300_800},
    ):
        with pytest.raises(MalformedError):
            opened_request(signed_again(asked, 0, "request", **change))


def test_other_encodings_of_the_same_value() -> None:
    asked = request()
    value = dict(reversed(list(_map(asked.value).items())))
    with pytest.raises(MalformedError):
        decode_request(pack(value))
    with pytest.raises(MalformedError):
        decode_request(asked.value + b"\x00")


def test_files(tmp_path) -> None:
    asked = request()
    path = tmp_path / "request"
    path.write_bytes(to_file("request", asked))
    assert read_file(path, "request") == asked
    with pytest.raises(MalformedError, match="footage consent"):
        read_file(path, "consent")
    good = path.read_bytes()
    for bad in (b"", good[:-1], good + b"\x00", good[:40], b"\x00" * 20_000, good + bytes(20_000)):
        path.write_bytes(bad)
        with pytest.raises(MalformedError, match="damaged"):
            read_file(path, "request")
    with pytest.raises(UsageError):
        read_file(tmp_path / "nowhere", "request")


def _map(value: bytes) -> dict[str, object]:
    import msgpack

    return msgpack.unpackb(value)
