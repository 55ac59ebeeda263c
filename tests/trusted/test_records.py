"""Sealed records: what they say, what their size tells, and where they do not open."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core.errors import CorruptVaultError, TamperedError
from blindsight.core.matching import Block
from blindsight.core.types import frozen
from blindsight.trusted.records import BlockState, Label, content_digest, open_record, seal_record
from blindsight.trusted.sealing import Seal, pack, unpack

SEAL = Seal(bytes(range(32)))
ROWS = 256
IDS = frozen(np.arange(ROWS, dtype=np.int64) - 1)


def labels(names):
    return {
        row: Label(name, bytes([row]) * 32, "2030-01-01T00:00:00+00:00") for row, name in enumerate(names)
    }


def block(of, *, place="gallery", number=3, version=7, ids=IDS):
    head, body = b"h" * 32, np.arange(4096, dtype=np.uint8)
    record = seal_record(SEAL, place, number, version, content_digest(head, body), ids, of)
    return Block(number, version, head, body, record)


names = st.lists(st.text(min_size=1, max_size=40), max_size=ROWS)


@settings(max_examples=40, deadline=None)
@given(names, st.lists(st.integers(-1, 2**63 - 1), min_size=1, max_size=ROWS))
def test_records_and_states_come_back_as_they_went(names, ids):
    encodable = [name for name in names if name.isprintable()]
    array = frozen(np.array(ids, np.int64))
    sealed = block(labels(encodable), ids=array)
    back, of = open_record(SEAL, "gallery", sealed)
    assert back.tolist() == ids
    assert of == labels(encodable)
    hint = frozen(np.frombuffer(bytes(range(100)), np.uint8))
    state = BlockState(2**40, b"d" * 32, b"head", hint, array, labels(encodable))
    again = BlockState.load(state.stored())
    assert (again.version, again.digest, again.head, again.labels) == (
        2**40,
        b"d" * 32,
        b"head",
        state.labels,
    )
    assert again.ids.tolist() == ids
    assert again.hint.tobytes() == bytes(range(100))


def test_a_record_opens_only_where_it_was_sealed():
    good = block(labels(["Alice"]))
    open_record(SEAL, "gallery", good)
    body = np.array(good.body)
    body[9] ^= 1
    for moved in (
        replace(good, block_id=4), replace(good, version=8), replace(good, version=6),
        replace(good, head=b"i" + good.head[1:]), replace(good, body=body), replace(good, record=b""),
        replace(good, record=good.record[:-1]), replace(good, record=good.record + b"x"),
        replace(good, record=block(labels(["Alice"]), number=4).record),
        replace(good, record=block(labels(["Alice"]), version=6).record),
        replace(good, record=block(labels(["Alice"]), place="another").record),
    ):  # fmt: skip
        with pytest.raises(TamperedError):
            open_record(SEAL, "gallery", moved)
    with pytest.raises(TamperedError):
        open_record(SEAL, "another", good)
    with pytest.raises(TamperedError):
        open_record(Seal(bytes(32)), "gallery", good)
    for at in range(0, len(good.record), 97):
        flipped = bytearray(good.record)
        flipped[at] ^= 1
        with pytest.raises(TamperedError):
            open_record(SEAL, "gallery", replace(good, record=bytes(flipped)))


def test_places_do_not_run_into_each_other():
    """Block 1 version 23 is not block 12 version 3, whatever the gallery is called."""
    sealed = {}
    for number, version in itertools.product((1, 2, 12, 123), (1, 3, 23, 123)):
        sealed[number, version] = block({}, number=number, version=version)
    for one, other in itertools.permutations(sealed, 2):
        with pytest.raises(TamperedError):
            open_record(SEAL, "gallery", replace(sealed[one], block_id=other[0], version=other[1]))


def test_the_same_record_is_never_the_same_bytes():
    one, two = block(labels(["Alice"])), block(labels(["Alice"]))
    assert one.record != two.record
    pieces = [{made.record[i : i + 8] for i in range(0, 400, 8)} for made in (one, two)]
    assert not pieces[0] & pieces[1]


def test_the_size_of_a_record_says_little_about_names():
    """512 bytes are the grain: one name more or less, or a longer one, rarely shows."""
    sizes = [len(block(labels(["x" * n])).record) for n in range(1, 129)]
    assert len(set(sizes)) <= 2
    assert all(size % 512 == 28 for size in sizes)
    full = len(block(labels(["x" * 128] * ROWS)).record)
    assert full <= 64 << 10  # what a server takes


def test_records_that_are_no_records_are_corrupt():
    for data in (b"", b"\x80\x80", b"\xc1", pack({"ids": b"123", "labels": []})[:-1], b"\x93\x01\x02\x03",
                 b"\xdf\xff\xff\xff\xff", b"\x81\xa1a" * 5000, b"\x91" * 100_000, b"\xa1\xff"):  # fmt: skip
        with pytest.raises(CorruptVaultError):
            unpack(data)
    for fields in (
        {},
        {"ids": b"123", "labels": []},
        {"ids": bytes(8), "labels": [[1]]},
        {"ids": 3, "labels": []},
    ):
        with pytest.raises(CorruptVaultError):
            BlockState.load(pack(fields))
