"""Streams of seeds, bit matrices and the linear hash against Python's integers."""

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from blindsight.kernels import aes, bits, carryless, leaves
from reference import oblivious as twin
from reference.wide import numbers
from two_talkers import words

WAYS = [True] if aes.LANES == 0 else [True, False]


def test_secret_keys_are_expanded_as_public_ones():
    keys = words(7, 2)
    expected = aes.round_keys([key.tobytes() for key in keys])
    np.testing.assert_array_equal(aes.secret_round_keys(keys), expected)


@pytest.mark.parametrize("portable", WAYS)
@pytest.mark.parametrize(("start", "blocks"), [(0, 1), (5, 31), (2**33, 70)])
def test_sums_over_streams(portable, start, blocks):
    seeds = words(2, 16, 2)
    trees = leaves.Trees(seeds, portable=portable)
    u, v = trees.fold_bits(start, blocks)
    sums, weighted = trees.fold_words(start, blocks)
    for tree in range(2):
        streams = [twin.blocks(seed.tobytes(), start, blocks) for seed in seeds[tree]]
        for i in range(blocks):
            column = [stream[i] for stream in streams]
            total, parts = 0, [0] * 4
            for j, block in enumerate(column):
                total ^= block
                for e in range(4):
                    parts[e] ^= block * (j >> e & 1)
            assert numbers(u[tree, 2 * i : 2 * i + 2]) == [total]
            assert [numbers(v[tree, e, 2 * i : 2 * i + 2])[0] for e in range(4)] == parts
            assert numbers(sums[tree, i]) == [sum(column) % 2**128]
            assert numbers(weighted[tree, i]) == [sum(j * b for j, b in enumerate(column)) % 2**128]


def test_trees_have_sixteen_leaves():
    with pytest.raises(ValueError, match="sixteen"):
        leaves.Trees(words(2, 8, 2))


@pytest.mark.parametrize("width", [1, 2, 9, 130])
def test_transposition(width):
    columns = words(128, width)
    rows = bits.transpose(columns)

    def as_bits(matrix):
        return np.unpackbits(matrix.view(np.uint8), axis=1, bitorder="little")

    np.testing.assert_array_equal(as_bits(columns).T, as_bits(rows))
    with pytest.raises(ValueError, match="128"):
        bits.transpose(columns[:64])


@pytest.mark.parametrize("portable", WAYS)
def test_the_hash_of_rows(portable):
    rows, offset, key = words(77, 2), words(2), os.urandom(16)
    before = rows.copy()
    hashed = bits.hash_rows(rows, offset, key, portable=portable)
    np.testing.assert_array_equal(rows, before)
    shift = numbers(offset)[0]
    expected = [twin.row_hash(key, x ^ shift, j) for j, x in enumerate(numbers(rows))]
    assert numbers(hashed) == expected
    cipher = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()
    assert cipher.update(bytes(16)) == twin.aes(key, 0).to_bytes(16, "little")


@pytest.mark.parametrize("portable", [True, False])
def test_the_hash_of_columns(portable):
    columns, weights = words(3, 12), words(6, 2)
    columns[0] = np.uint64(2**64 - 1)
    weights[0] = np.uint64(2**64 - 1)
    hashed = carryless.column_hashes(columns, weights, portable=portable)
    for column, found in zip(columns, hashed, strict=True):
        whole = sum(word << 64 * i for i, word in enumerate(int(w) for w in column))
        assert numbers(found) == [twin.column_hash(numbers(weights), whole)]
    with pytest.raises(ValueError, match="one weight"):
        carryless.column_hashes(columns, weights[:5])
