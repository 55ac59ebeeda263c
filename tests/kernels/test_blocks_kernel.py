"""Moving, turning and colouring blocks, against the slow twin; and the draws behind them."""

import itertools
import math

import numpy as np
import pytest

from blindsight.kernels import blocks, colour
from blindsight.kernels.prg import Stream
from reference import etc_image as slow


def tables(rng, count):
    return (
        rng.permutation(count).astype(np.int32),
        rng.integers(0, 8, count).astype(np.uint8),
        (rng.integers(0, 2, count) * 255).astype(np.uint8),
        rng.integers(0, 6, count).astype(np.uint8),
    )


@pytest.mark.parametrize("depth", [(), (3,)], ids=["grey", "colour"])
@pytest.mark.parametrize("size", [4, 8, 16, 32])
def test_like_the_twin(size, depth):
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (3, 2 * size, 5 * size, *depth), dtype=np.uint8)
    made = tables(rng, 10)
    for image, found in zip(images, blocks.scramble(images, *made, size), strict=True):
        assert (found == slow.scramble(image, *made, size)).all()


@pytest.mark.parametrize("depth", [(), (3,)], ids=["grey", "colour"])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 8), (8, 17), (23, 31), (16, 25)])
def test_edges_are_repeated(height, width, depth):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (height, width, *depth), dtype=np.uint8)
    made = tables(rng, -(-height // 8) * -(-width // 8))
    found = blocks.scramble(image[np.newaxis], *made, 8)[0]
    assert (found == slow.scramble(slow.padded(image, 8), *made, 8)).all()


def test_many_threads_give_the_same(monkeypatch):
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (3, 256, 320, 3), dtype=np.uint8)
    made = tables(rng, 16 * 20)
    found = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("BLINDSIGHT_THREADS", threads)
        found.append(blocks.scramble(images, *made, 16))
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    assert (found[0][2] == slow.scramble(images[2], *made, 16)).all()


def test_every_turn_and_order_is_undone():
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    for turn in range(8):
        there = blocks.scramble(
            image, *(np.array([x], t) for x, t in ((0, "i4"), (turn, "u1"), (0, "u1"), (0, "u1"))), 8
        )
        undo = np.array([blocks.UNTURN[turn]])
        back = blocks.scramble(
            there, np.zeros(1, np.int32), undo, np.zeros(1, np.uint8), np.zeros(1, np.uint8), 8
        )
        assert (back == image).all()
    assert len({slow.turned(image[0], turn).tobytes() for turn in range(8)}) == 8
    for code, order in enumerate(blocks.CHANNELS):
        assert list(order[blocks.CHANNELS[blocks.UNCHANNEL[code]]]) == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 2, 3, 17, 480, 5000])
def test_permutation_like_the_twin(count):
    words = Stream(bytes(32)).read(64 * count + 64).tobytes()
    found = blocks.permutation(Stream(bytes(32)), count)
    assert found.tolist() == slow.permutation(words, count)
    assert sorted(found) == list(range(count))


def test_permutations_are_uniform():
    stream, count = Stream(b"\x01" * 32), 6000
    seen = dict.fromkeys(itertools.permutations(range(4)), 0)
    for _ in range(count):
        seen[tuple(blocks.permutation(Stream(stream.read(32).tobytes()), 4).tolist())] += 1
    expected = count / 24
    chi = sum((found - expected) ** 2 / expected for found in seen.values())
    assert chi < 23 + 6 * math.sqrt(2 * 23)


def test_sixths_like_the_twin():
    data = Stream(b"\x02" * 32).read(20000).tobytes()
    assert blocks.sixths(Stream(b"\x02" * 32), 5000).tolist() == slow.sixths(data, 5000)


@pytest.mark.parametrize("ycbcr", [True, False])
def test_planes(ycbcr):
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    images[0, 0, :8] = list(itertools.product((0, 255), repeat=3))
    planes = colour.to_planes(images, ycbcr=ycbcr)
    assert planes.shape == (2, 48, 24)
    again = colour.from_planes(planes, ycbcr=ycbcr)
    for which, r, c in np.ndindex(2, 16, 24):
        found = tuple(map(int, planes[which].reshape(3, 16, 24)[:, r, c]))
        pixel = images[which, r, c]
        assert found == (slow.planes(pixel) if ycbcr else tuple(pixel))
        assert tuple(again[which, r, c]) == (slow.back(*found) if ycbcr else tuple(pixel))
    assert np.abs(again.astype(int) - images).max() <= (1 if ycbcr else 0)


def test_no_colour_loses_more_than_one_step():
    """All of 2^24 colours in steps of three, and the corners."""
    values = np.array(sorted({*range(0, 256, 3), 254, 255}), np.uint8)
    cube = np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1).reshape(
        1, len(values), -1, 3
    )
    back = colour.from_planes(colour.to_planes(cube, ycbcr=True), ycbcr=True)
    assert np.abs(back.astype(np.int16) - cube).max() == 1
