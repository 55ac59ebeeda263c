"""Containers of arrays: what goes in comes out, everything else is refused."""

import hashlib
import struct

import msgpack
import numpy as np
import pytest

from blindsight.core.errors import MalformedError
from blindsight.wire import arrays

FACTS = {"name": "x", "count": 3}
PARTS = {
    "pixels": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "labels": np.array([1, 2, 3], np.int64),
    "single": np.array([1.5, -2.5], np.float32),
    "none": np.empty((0, 5)),
    "cube": np.arange(8, dtype=np.int32).reshape(2, 2, 2),
}


def container(header, body=b""):
    head = msgpack.packb(header)
    whole = arrays.MAGIC + struct.pack("<I", len(head)) + head + body
    return whole + hashlib.sha256(whole).digest()


def test_round_trip():
    facts, found = arrays.decode(arrays.encode(FACTS, PARTS), "thing")
    assert facts == FACTS
    assert list(found) == list(PARTS)
    for name, part in PARTS.items():
        assert found[name].dtype == part.dtype
        assert (found[name] == part).all()
        assert not found[name].flags.writeable


def test_big_endian_goes_in_little():
    _, found = arrays.decode(arrays.encode({}, {"a": np.array([1, 256], ">i4")}), "thing")
    assert found["a"].tolist() == [1, 256]


@pytest.mark.parametrize(
    "part", [np.zeros(2, complex), np.array(["x"]), np.array([object()]), np.zeros((1, 1, 1, 1))]
)
def test_other_arrays_have_no_place(part):
    with pytest.raises(ValueError, match="no place"):
        arrays.encode({}, {"a": part})


def test_every_bit_counts():
    good = arrays.encode(FACTS, PARTS)
    for at in range(len(good)):
        broken = bytearray(good)
        broken[at] ^= 1
        with pytest.raises(MalformedError):
            arrays.decode(bytes(broken), "thing")
    for length in range(len(good)):
        with pytest.raises(MalformedError):
            arrays.decode(good[:length], "thing")


ENTRY = {"name": "a", "dtype": "u1", "shape": [2]}


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ({"facts": {}}, b""),
        ({"facts": {}, "arrays": [], "more": 1}, b""),
        ({"facts": {}, "arrays": []}, b"left over"),
        ({"facts": {}, "arrays": [ENTRY]}, b"1"),
        ({"facts": {}, "arrays": [ENTRY, ENTRY]}, b"1234"),
        ({"facts": {}, "arrays": [{**ENTRY, "shape": [-2]}]}, b"12"),
        ({"facts": {}, "arrays": [{**ENTRY, "shape": [1 << 62, 1 << 62]}]}, b"12"),
        ({"facts": {}, "arrays": [{**ENTRY, "shape": [True]}]}, b"1"),
        ({"facts": {}, "arrays": [{**ENTRY, "dtype": "O8"}]}, b"12345678"),
        ({"facts": {}, "arrays": [{**ENTRY, "dtype": "f2"}]}, b"1234"),
        ({"facts": {}, "arrays": [{**ENTRY, "name": "../a"}]}, b"12"),
        ({"facts": {}, "arrays": [{**ENTRY, "name": f"a{k}", "shape": [0]} for k in range(40)]}, b""),
        ([], b""),
    ],
)
def test_wrong_headers(header, body):
    with pytest.raises(MalformedError):
        arrays.decode(container(header, body), "thing")


def test_a_header_as_long_as_it_says():
    good = arrays.encode(FACTS, PARTS)
    for length in (0, 2**31, 2**32 - 1):
        whole = good[:8] + struct.pack("<I", length) + good[12:-32]
        with pytest.raises(MalformedError):
            arrays.decode(whole + hashlib.sha256(whole).digest(), "thing")
