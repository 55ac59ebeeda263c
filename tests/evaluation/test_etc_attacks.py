"""The attacks on scrambled images work, and say by how much. None of them is given the key."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import skimage.data

from blindsight.evaluation.attacks import linking, squares
from blindsight.evaluation.attacks.known_image import known_image
from blindsight.evaluation.attacks.puzzle import solve
from blindsight.evaluation.etc_experiment import through_jpeg
from blindsight.kernels import colour
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.protect import protect_batch
from blindsight.schemes.etc_image.secret import SecretKey
from faces import people
from reference import etc_image as slow

GREY = Params.grey()


def resized(pixels, width, height, grey=True):
    picture = PIL.Image.fromarray(pixels)
    return np.array((picture.convert("L") if grey else picture).resize((width, height)))[np.newaxis]


@pytest.fixture(scope="module")
def portrait():
    """192 × 160, grey: 480 blocks."""
    return resized(skimage.data.astronaut()[:256, 96:310], 160, 192)


@pytest.fixture(scope="module")
def cat():
    return resized(skimage.data.chelsea(), 160, 192)


# -- squares -------------------------------------------------------------------------------------------


def test_turns_are_the_kernels():
    block = np.arange(16).reshape(4, 4)
    for turn in range(8):
        seen = squares.turned(block, turn)
        assert (seen == slow.turned(block, turn)).all()
        assert (squares.turned(seen, squares.INVERSE[turn]) == block).all()
        for after in range(8):
            both = squares.turned(seen, after)
            assert (squares.turned(block, squares.COMPOSED[after][turn]) == both).all()
        for at in range(4):
            line, backwards = squares.SHOWN[turn][at]
            wanted = squares.side(block, line)
            assert (squares.side(seen, at) == (wanted[::-1] if backwards else wanted)).all()
            assert squares.TURN_THAT_SHOWS[at, line, backwards] == turn


def test_places_move_as_pixels_do():
    block = np.arange(9).reshape(3, 3)
    for turn in range(8):
        seen = squares.turned(block, turn)
        for row, column in np.ndindex(3, 3):
            to = squares.moved((row - 1, column - 1), turn)
            assert seen[to[0] + 1, to[1] + 1] == block[row, column]


@pytest.mark.parametrize("shape", [(2, 16, 24), (2, 16, 24, 3)])
def test_cut_and_joined(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    blocks = squares.cut(images, 8)
    assert blocks.shape[:2] == (6, 2)
    assert (squares.joined(blocks, 3) == images).all()


# -- a known image -------------------------------------------------------------------------------------


def test_one_known_image_gives_all_480_positions(portrait, cat):
    key = SecretKey.generate()
    hidden = protect_batch(key, GREY, portrait)
    found = known_image(portrait, hidden, 8)
    tables = key.tables(GREY, 192, 160)
    assert found.right(tables) == 480
    assert found.ambiguous == 0
    # A block that is its own mirror image does not say how it was turned; there are one or two.
    assert found.wholly_right(tables) >= 476
    assert (found.open(protect_batch(key, GREY, cat)) == cat).mean() > 0.99


@pytest.mark.parametrize("params", [Params.colour(), Params.colour(32)], ids=lambda p: p.params_id)
def test_one_known_image_in_colour(params):
    key = SecretKey.generate()
    photo = resized(skimage.data.astronaut(), 128, 128, grey=False)
    other = resized(skimage.data.coffee(), 128, 128, grey=False)
    found = known_image(photo, protect_batch(key, params, photo), params.block)
    assert found.right(key.tables(params, 128, 128)) == len(found.order)
    assert (found.open(protect_batch(key, params, other)) == other).all()


def test_one_known_image_in_planes():
    key = SecretKey.generate()
    photo = resized(skimage.data.astronaut()[:256, 96:352], 64, 64, grey=False)
    planes = colour.to_planes(photo, ycbcr=True)
    found = known_image(planes, protect_batch(key, Params.planes(), photo), 8)
    tables = key.tables(Params.planes(), 64, 64)
    assert found.right(tables) >= 0.98 * len(tables.order)


def test_jpeg_does_not_help(portrait):
    key = SecretKey.generate()
    hidden = protect_batch(key, GREY, portrait)
    found = known_image(portrait, through_jpeg(hidden, 80), 8)
    assert found.right(key.tables(GREY, 192, 160)) > 0.95 * 480


def test_equal_blocks_cannot_be_told_apart():
    """A black background has no places; the attack says so."""
    image = np.zeros((1, 32, 32), np.uint8)
    image[0, :16] = np.random.default_rng(0).integers(0, 256, (16, 32))
    key = SecretKey.generate()
    found = known_image(image, protect_batch(key, GREY, image), 8)
    assert found.ambiguous == 8
    assert found.right(key.tables(GREY, 32, 32)) >= 8


def test_keys_of_their_own_end_it(portrait, cat):
    key = SecretKey.generate()
    one, two = key.for_image()[0], key.for_image()[0]
    found = known_image(portrait, protect_batch(one, GREY, portrait), 8)
    assert found.right(two.tables(GREY, 192, 160)) < 20
    assert (found.open(protect_batch(two, GREY, cat)) != cat).mean() > 0.5


# -- scrambled images alone ----------------------------------------------------------------------------


def test_many_images_under_one_key_give_the_key():
    images, _ = people(4, 4, 64, 48, seed=5)
    key = SecretKey.generate()
    hidden, tables = protect_batch(key, GREY, images), key.tables(GREY, 64, 48)
    solution = solve(hidden, 8)
    assert solution.neighbours(tables) > 0.95
    placed, right = solution.aligned(tables)
    assert right >= 0.95 * 48
    back = solution.picture(placed, hidden)
    assert (back == images).mean() > 0.9


def test_more_images_make_it_surer():
    images, _ = people(8, 4, 64, 48, seed=6)
    key = SecretKey.generate()
    tables = key.tables(GREY, 64, 48)
    hidden = protect_batch(key, GREY, np.random.default_rng(0).permutation(images))
    rates = [solve(hidden[:count], 8).neighbours(tables) for count in (1, 4, 32)]
    assert rates[0] < rates[2]
    assert rates[2] > 0.95


def test_keys_of_their_own_end_that_too():
    images, _ = people(4, 4, 64, 48, seed=5)
    keys = [SecretKey.generate() for _ in images]
    pairs = zip(keys, images, strict=True)
    hidden = np.stack([protect_batch(key, GREY, image[np.newaxis])[0] for key, image in pairs])
    assert solve(hidden, 8).neighbours(keys[0].tables(GREY, 64, 48)) < 0.2


@pytest.mark.parametrize(
    ("params", "least"), [(Params.colour(32), 0.6), (Params.grey(32), 0.6)], ids=["colour", "grey"]
)
def test_a_puzzle_of_large_blocks_is_solved(params, least):
    photo = resized(skimage.data.astronaut()[:384, 64:448], 384, 384, grey=params.channels == 1)
    key = SecretKey.generate()
    solution = solve(protect_batch(key, params, photo), 32)
    assert solution.neighbours(key.tables(params, 384, 384)) > least


def test_colours_come_back_in_order():
    photo = resized(skimage.data.astronaut()[:384, 64:448], 384, 384, grey=False)
    key = SecretKey.generate()
    params = Params.colour(32)
    hidden = protect_batch(key, params, photo)
    tables = key.tables(params, 384, 384)
    solution = solve(hidden, 32)
    placed, right = solution.aligned(tables)
    shown = solution.picture(placed, hidden)
    cells = [(p.row, p.column) for p in placed.values() if 0 <= p.row < 12 and 0 <= p.column < 12]
    windows = [(0, slice(32 * r, 32 * r + 32), slice(32 * c, 32 * c + 32)) for r, c in cells]
    same = sum((shown[window] == photo[window]).all() for window in windows)
    assert same >= right > 50


def test_no_solver_finds_what_is_not_there():
    noise = np.random.default_rng(0).integers(0, 256, (1, 96, 96), dtype=np.uint8)
    key = SecretKey.generate()
    assert solve(protect_batch(key, GREY, noise), 8).neighbours(key.tables(GREY, 96, 96)) < 0.1


# -- linking -------------------------------------------------------------------------------------------


def test_linking():
    images, owners = people(6, 6, 48, 40, seed=7)
    key = SecretKey.generate()
    hidden = protect_batch(key, GREY, images)
    assert linking.distances_kept(images, hidden)
    assert not linking.distances_kept(images, through_jpeg(hidden, 60))
    flat = images.reshape(len(images), -1)
    covered = hidden.reshape(len(images), -1)
    assert linking.same_person(flat, owners) == linking.same_person(covered, owners) > 0.5
    twice = [
        np.stack([protect_batch(SecretKey.generate(), GREY, image[np.newaxis])[0] for image in images])
        for _ in range(2)
    ]
    assert linking.same_image(*(linking.marks(once, 8) for once in twice)) == 1.0
    other = np.random.default_rng(0).permutation(images)
    assert linking.same_image(linking.marks(images, 8), linking.marks(other, 8)) < 0.5
