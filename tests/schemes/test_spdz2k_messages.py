"""Grants, masks, headers and bits as bytes; corrupt ones are refused."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core.errors import BlindsightError, MalformedError, ParameterError, UsageError
from blindsight.schemes.spdz2k.messages import (
    MAX_BYTES,
    MAX_FACES,
    Header,
    Kind,
    Layout,
    cut,
    pack_bits,
    unpack_bits,
)
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.public import Grant, Masks, Source
from two_parties import FULL, SMALL, Rig, through, vectors, watchlist

RNG = np.random.default_rng(5)


def granted(**changes):
    fields = {
        "session": bytes(range(16)), "party": 1, "source": Source.PROVIDER, "camera": "gate-3",
        "params": SMALL, "entries": 7, "watchlist": bytes(32), "alpha": 2**64 - 5,
    }  # fmt: skip
    return Grant(**{**fields, **changes})


def test_a_grant_by_its_bytes():
    """The layout of the specification, section 8, written down once more."""
    expected = (
        b"b2\x01\x01" + bytes(range(16)) + bytes(12) + b"\x01\x02\x06" + bytes(5)
        + b"".join(n.to_bytes(4, "little") for n in (4, 10, 50, 15, 7, 0))
        + bytes(32) + (2**64 - 5).to_bytes(8, "little") + b"gate-3"
    )  # fmt: skip
    assert granted().to_bytes() == expected
    assert Grant.parse(expected) == granted()


def test_a_grant_keeps_its_key_to_itself():
    assert str(2**64 - 5) not in repr(granted())


def test_contexts():
    """Equal for both parties, different for all else."""
    assert granted(party=0, alpha=1).context == granted().context
    others = [
        granted(session=bytes(16)), granted(source=Source.CAMERA), granted(camera="gate-4"),
        granted(params=Params(4, 10, 49, 15)), granted(entries=8), granted(watchlist=bytes(31) + b"1"),
    ]  # fmt: skip
    assert len({grant.context for grant in [granted(), *others]}) == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"party": 2}, {"session": bytes(15)}, {"source": 1}, {"camera": ""}, {"camera": "a" * 65},
        {"camera": "gate 3"}, {"camera": "gate\n"}, {"camera": "gäte"}, {"entries": 0}, {"entries": 65537},
        {"watchlist": bytes(31)}, {"alpha": -1}, {"alpha": 2**64},
    ],
    ids=str,
)  # fmt: skip
def test_no_grant(changes):
    with pytest.raises(UsageError):
        granted(**changes)


def test_no_message_is_over_the_limit():
    for params, entries in ((FULL, 65536), (FULL, 150), (SMALL, 1)):
        layout = granted(params=params, entries=entries).layout
        assert 1 <= layout.most_faces <= MAX_FACES
        assert layout.size(Kind.MATERIAL_1, layout.most_faces) <= MAX_BYTES
    assert Layout(FULL, 65536).size(Kind.MATERIAL_1, Layout(FULL, 65536).most_faces + 1) > MAX_BYTES


def test_damaged_grants():
    data = granted().to_bytes()
    for stop in range(len(data)):
        with pytest.raises(BlindsightError):
            Grant.parse(data[:stop])
    for place in range(len(data)):
        for flip in (1, 0x40, 0x80, 0xFF):
            changed = bytearray(data)
            changed[place] ^= flip
            try:
                found = Grant.parse(bytes(changed))
            except (MalformedError, ParameterError):
                continue
            assert found.to_bytes() == bytes(changed)
            assert found != granted()
    for more in (b"x", b"\n", b"x" * 70):
        with pytest.raises(MalformedError):
            Grant.parse(data + more)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data):
    for parse in (Grant.parse, Header.parse, lambda b: Masks.parse(b, SMALL)):
        with pytest.raises((MalformedError, ParameterError)):
            parse(data)


@pytest.mark.parametrize(
    ("kind", "first", "count", "good"),
    [
        (Kind.OPEN, 0, 1, True), (Kind.OPEN, 2**63 - 1, MAX_FACES, True), (Kind.OPEN, 2**63, 1, False),
        (Kind.OPEN, 0, 0, False), (Kind.OPEN, 0, MAX_FACES + 1, False), (Kind.GRANT, 0, 1, False),
        (Kind.GRANT, 0, 0, True),
    ],
)  # fmt: skip
def test_headers(kind, first, count, good):
    header = Header(kind, bytes(range(16)), first, count)
    if good:
        assert Header.parse(header.pack()) == header
        assert len(header.pack()) == 32
    else:
        with pytest.raises(MalformedError):
            Header.parse(header.pack())


@pytest.mark.parametrize(
    "change", [(0, b"c"), (1, b"3"), (2, b"\0"), (2, b"\2"), (3, b"\0"), (3, b"\x0a"), (3, b"\xff")]
)
def test_headers_of_something_else(change):
    data = bytearray(Header(Kind.OPEN, bytes(16), 0, 1).pack())
    data[change[0] : change[0] + 1] = change[1]
    with pytest.raises(MalformedError):
        Header.parse(bytes(data))


@pytest.mark.parametrize("entries", [1, 7, 8, 9, 150])
@pytest.mark.parametrize("count", [1, 3])
def test_bits(entries, count):
    bits = RNG.integers(0, 2, (count, entries), dtype=np.uint8)
    packed = pack_bits(bits)
    assert len(packed) == count * -(-entries // 8)
    assert packed[0] & 1 == bits[0, 0]
    np.testing.assert_array_equal(unpack_bits(packed, count, entries), bits)
    if entries % 8:
        with pytest.raises(MalformedError):
            unpack_bits(packed[:-1] + bytes([packed[-1] | 0x80]), count, entries)


def test_sizes_that_the_specification_names():
    layout = Layout(FULL, 150)
    assert layout.size(Kind.MATERIAL_0, 1) == 32 + 112_832
    assert layout.size(Kind.MATERIAL_1, 1) == 32 + 119_696
    assert layout.size(Kind.INPUTS, 1) == 32 + 1_032
    assert 2 * sum(layout.size(kind, 1) for kind in (Kind.OPEN, Kind.BITS, Kind.CHECK)) == 2_790
    assert layout.size(Kind.ABORT, 1) == 33


@pytest.mark.parametrize("count", [1, 5])
def test_messages_have_the_sizes_that_were_said(count):
    rig = Rig(watchlist(SMALL, 11, RNG))
    layout = rig.dealer.grants[0].layout
    material, shared = rig.deal(vectors(SMALL, count, RNG))
    assert len(material[0]) == layout.size(Kind.MATERIAL_0, count)
    assert len(material[1]) == layout.size(Kind.MATERIAL_1, count)
    assert len(shared.message) == layout.size(Kind.INPUTS, count)
    runs = [s.begin(m, shared.message) for s, m in zip(rig.sessions, material, strict=True)]
    messages = [run.start() for run in runs]
    for kind in (Kind.OPEN, Kind.BITS, Kind.CHECK):
        assert {len(m) for m in messages} == {layout.size(kind, count)}
        assert {run.expected_bytes for run in runs} == {layout.size(kind, count)}
        messages = [run.receive(messages[1 - p]) for p, run in enumerate(runs)]


def test_masks():
    masks = Rig(watchlist(SMALL, 3, RNG), source=Source.PROVIDER).dealer.deal(4).masks
    data = masks.to_bytes()
    again = Masks.parse(data, SMALL)
    assert (again.session, again.first) == (masks.session, 0)
    np.testing.assert_array_equal(again.values, masks.values)
    assert "values" not in repr(masks)
    for wrong in (data[:-1], data + b"\0", data[:32], os.urandom(len(data)), b""):
        with pytest.raises(MalformedError):
            Masks.parse(wrong, SMALL)
    with pytest.raises(MalformedError):
        Masks.parse(data, FULL)


def test_messages_are_cut_by_faces():
    w = watchlist(SMALL, 5, RNG)
    rig = Rig(w)
    x = vectors(SMALL, 6, RNG)
    material, shared = rig.deal(x)
    layout = rig.dealer.grants[0].layout
    found = {}
    for first, count in ((0, 1), (1, 3), (5, 1)):
        inputs = cut(shared.message, layout, first, count)
        parts = [cut(m, layout, first, count) for m in material]
        runs = [s.begin(m, inputs) for s, m in zip(rig.sessions, parts, strict=True)]
        one, _ = through(runs)
        found |= dict(zip(range(first, first + count), one.bits.tolist(), strict=True))
    for face, number in zip(x, shared.numbers, strict=True):
        if number in found:
            assert found[number] == w.matches(face[np.newaxis])[0].tolist()
    assert cut(shared.message, layout, 0, 6) == shared.message
    opening = Header(Kind.OPEN, bytes(16), 0, 1).pack()
    for message, first, count in (
        (shared.message, 0, 7), (shared.message, 6, 1), (shared.message, 0, 0), (shared.message, -1, 2),
        (shared.message[:-8], 0, 1), (opening + bytes(88), 0, 1), (b"", 0, 1),
    ):  # fmt: skip
        with pytest.raises(MalformedError):
            cut(message, layout, first, count)
