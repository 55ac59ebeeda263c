"""Comparison functions and AES against their slow twins."""

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from blindsight.kernels import aes, dcf
from blindsight.kernels.accumulate import address
from reference import two_party as twin

WAYS = [True] if aes.LANES == 0 else [True, False]
mix = aes.mix
CHUNK = aes.BLOCKS


@njit
def mixed(blocks, keys):
    for first in range(0, len(blocks), CHUNK):
        mix(address(blocks, 2 * first), address(keys, 0))


def words(*shape):
    return np.frombuffer(os.urandom(8 * int(np.prod(shape))), np.uint64).reshape(shape).copy()


def number(pair):
    return int(pair[0]) | int(pair[1]) << 64


def fips(key, block):
    return Cipher(algorithms.AES128(key), modes.ECB()).encryptor().update(block)


# -- AES -------------------------------------------------------------------------------------------------


def test_the_schedule_of_the_standard():
    """FIPS 197, appendix A.1."""
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    schedule = aes.round_keys([key])[0].view(np.uint8).reshape(11, 16)
    assert bytes(schedule[0]) == key
    assert bytes(schedule[1]).hex() == "a0fafe1788542cb123a339392a6c7605"
    assert bytes(schedule[10]).hex() == "d014f9a8c9ee2589e13f0cc8b6630ca6"


@pytest.mark.skipif(aes.LANES == 0, reason="no AES instructions here")
def test_hardware_is_aes():
    """FIPS 197, appendix C.1, and random blocks against OpenSSL."""
    key = bytes(range(16))
    blocks = words(4 * aes.BLOCKS, 2)
    blocks[0] = np.frombuffer(bytes.fromhex("00112233445566778899aabbccddeeff"), np.uint64)
    before = blocks.copy()
    mixed(blocks, aes.round_keys([key]))
    assert (blocks[0] ^ before[0]).tobytes().hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    for old, new in zip(before, blocks, strict=True):
        assert (old ^ new).tobytes() == fips(key, old.tobytes())


def test_portable_is_aes():
    key, blocks = os.urandom(16), words(7, 2)
    out = np.empty_like(blocks)
    aes.mix_portable(blocks, key, out)
    for old, new in zip(blocks, out, strict=True):
        assert number(new) == twin.mix(key, number(old))


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(17), bytes(32)])
def test_keys_of_another_length(key):
    with pytest.raises(ValueError, match="16"):
        aes.round_keys([bytes(16), key])


# -- the comparison function ----------------------------------------------------------------------


def make(faces, entries, levels, points=None, start=0, portable=True):
    roots = words(faces, entries, 2), words(faces, entries, 2)
    for root in roots:
        root[..., 0] &= np.uint64(2**64 - 4)
    points = words(faces, entries) % np.uint64(2**levels) if points is None else points
    payloads = words(faces, entries, 2)
    keys = [os.urandom(16) for _ in range(faces)]
    rows = np.zeros((faces, start + dcf.correction_words(levels, entries)), np.uint64)
    dcf.generate(points, payloads, roots, rows, start, levels, keys, portable=portable)
    return points, payloads, roots, rows, keys


@pytest.mark.parametrize("portable", WAYS)
@pytest.mark.parametrize(("faces", "entries", "levels"), [(1, 1, 1), (2, 3, 7), (1, 17, 23), (3, 33, 12)])
def test_keys_and_results_are_the_twins(portable, faces, entries, levels):
    points, payloads, roots, rows, keys = make(faces, entries, levels, start=3, portable=portable)
    at = words(faces, entries) % np.uint64(2**levels)
    results = [dcf.evaluate(p, at, roots[p], rows, 3, levels, keys, portable=portable) for p in (0, 1)]
    assert not rows[:, :3].any()
    for f in range(faces):
        body = rows[f, 3 : 3 + 4 * levels * entries].reshape(levels, entries, 2, 2)
        last = rows[f, 3 + 4 * levels * entries :].reshape(entries, 2)
        for j in range(entries):
            root = [number(roots[p][f, j]) for p in (0, 1)]
            expected = twin.dcf_generate(keys[f], levels, int(points[f, j]), number(payloads[f, j]), *root)
            found = [(number(body[i, j, 0]), number(body[i, j, 1])) for i in range(levels)], number(last[j])
            assert found == expected
            for p in (0, 1):
                told = twin.dcf_evaluate(keys[f], levels, p, root[p], *expected, int(at[f, j]))
                assert number(results[p][f, j]) == told


@pytest.mark.parametrize("portable", WAYS)
@pytest.mark.parametrize("levels", [1, 2, 5])
def test_every_point_against_every_input(portable, levels):
    size = 2**levels
    point, at = (x.reshape(1, -1).astype(np.uint64) for x in np.divmod(np.arange(size * size), size))
    _, payloads, roots, rows, keys = make(1, size * size, levels, points=point, portable=portable)
    both = [dcf.evaluate(p, at, roots[p], rows, 0, levels, keys, portable=portable) for p in (0, 1)]
    found = both[0] ^ both[1]
    expected = np.where((at < point)[..., np.newaxis], payloads, np.uint64(0))
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=30, deadline=None)
@given(
    levels=st.integers(1, 23),
    data=st.data(),
    portable=st.sampled_from(WAYS),
)
def test_below_is_the_payload_and_the_rest_is_nothing(levels, data, portable):
    top = 2**levels - 1
    number_ = st.one_of(st.integers(0, top), st.sampled_from([0, 1 & top, top // 2, top]))
    point = data.draw(number_)
    at = data.draw(st.one_of(number_, st.sampled_from([max(0, point - 1), point, min(top, point + 1)])))
    points, ats = np.array([[point]], np.uint64), np.array([[at]], np.uint64)
    _, payloads, roots, rows, keys = make(1, 1, levels, points=points, portable=portable)
    both = [dcf.evaluate(p, ats, roots[p], rows, 0, levels, keys, portable=portable) for p in (0, 1)]
    assert number((both[0] ^ both[1])[0, 0]) == (number(payloads[0, 0]) if at < point else 0)


@pytest.mark.skipif(aes.LANES == 0, reason="no AES instructions here")
def test_both_ways_agree():
    points, _, roots, rows, keys = make(2, 150, 23, portable=False)
    at = points ^ np.uint64(5)
    for p in (0, 1):
        one, other = (dcf.evaluate(p, at, roots[p], rows, 0, 23, keys, portable=w) for w in WAYS)
        np.testing.assert_array_equal(one, other)


def test_one_key_alone_looks_random():
    """The corrections of two very different functions under the same roots share no word."""
    same = np.zeros((1, 40), np.uint64)
    _, _, _, rows, _ = make(1, 40, 16, points=same)
    _, _, _, others, _ = make(1, 40, 16, points=same + np.uint64(2**16 - 1))
    assert not (rows == others).any()
    ones = np.unpackbits(np.concatenate([rows, others]).view(np.uint8)).mean()
    assert abs(ones - 0.5) < 0.01
