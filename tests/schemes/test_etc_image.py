"""Scrambled images: undone exactly, distances kept to the bit, and what is refused."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core.claims import Claim
from blindsight.core.errors import (
    ImageError,
    ImageTooSmallError,
    KeyMismatchError,
    MalformedError,
    ParameterError,
    ParamsMismatchError,
    UsageError,
    VaultError,
)
from blindsight.core.secrets import ExportToken
from blindsight.schemes.etc_image import public
from blindsight.schemes.etc_image.params import Layout, Params
from blindsight.schemes.etc_image.protect import protect, protect_batch
from blindsight.schemes.etc_image.public import EtcImage
from blindsight.schemes.etc_image.reveal import reveal, reveal_batch
from blindsight.schemes.etc_image.secret import SecretKey
from reference import etc_image as slow

KEY = SecretKey.load(bytes(range(32)))
ALL = [
    Params.grey(),
    Params.grey(4),
    Params.colour(),
    Params.colour(8),
    Params.planes(),
    Params.planes(exact=True),
]

params = st.sampled_from(ALL)
sides = st.integers(16, 50)


def picture(params, height, width, seed=0):
    depth = () if params.channels == 1 else (3,)
    return np.random.default_rng(seed).integers(0, 256, (height, width, *depth), dtype=np.uint8)


def portrait(grey=True):
    colours = skimage.data.astronaut()[:192, 100:260]
    return np.ascontiguousarray(colours[:, :, 1]) if grey else np.ascontiguousarray(colours)


# -- undoing -----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(params, sides, sides, st.integers(0, 2**32), st.booleans())
def test_undone_exactly(which, height, width, seed, own_key):
    image = picture(which, height, width, seed)
    key = SecretKey.generate()
    made = protect(key, which, image, own_key=own_key)
    assert made.pixels.shape == which.shape(height, width)
    back = reveal(key, made)
    if which.layout is Layout.YCBCR:
        assert np.abs(back.astype(int) - image).max() <= 1
        again = protect(key, which, back)
        assert again.pixels.shape == made.pixels.shape
    else:
        assert (back == image).all()


@pytest.mark.parametrize("which", ALL, ids=lambda p: p.params_id)
@pytest.mark.parametrize(("height", "width"), [(16, 16), (33, 47), (48, 32)])
def test_like_the_twin(which, height, width):
    image = picture(which, height, width)
    found = protect(KEY, which, image).pixels
    assert (found == slow.protect(bytes(range(32)), which.layout.value, which.block, image)).all()


def test_a_vector_that_must_not_change():
    """The first bytes of a fixed image under a fixed key; another version would need another number."""
    image = np.arange(16 * 24, dtype=np.uint16).astype(np.uint8).reshape(16, 24)
    made = protect(KEY, Params.grey(), image)
    assert made.key_id == "3f552b022355bb5fe192b3338801f0c9"
    assert made.pixels[0, :8].tobytes().hex() == "a8a9aaabacadaeaf"


@pytest.mark.parametrize("which", ALL, ids=lambda p: p.params_id)
def test_batches_are_the_images_one_by_one(which):
    images = np.stack([picture(which, 40, 56, seed) for seed in range(5)])
    batch = protect_batch(KEY, which, images)
    for image, made in zip(images, batch, strict=True):
        assert (protect(KEY, which, image).pixels == made).all()
    if which.layout is not Layout.YCBCR:
        assert (reveal_batch(KEY, which, batch, 40, 56) == images).all()


@pytest.mark.parametrize("which", ALL, ids=lambda p: p.params_id)
def test_a_wrong_key_gives_another_image(which):
    image = portrait(grey=which.channels == 1)
    made = protect(KEY, which, image)
    other = SecretKey.generate()
    with pytest.raises(KeyMismatchError):
        reveal(other, made)
    forged = EtcImage(made.pixels, made.height, made.width, which, other.key_id)
    wrong = reveal(other, forged)
    hidden = np.corrcoef(wrong.ravel(), image.ravel())[0, 1]
    assert abs(hidden) < 0.25
    assert (wrong != image).mean() > 0.5


def test_an_own_key_leaves_nothing_in_common():
    image = portrait()
    one, two = (protect(KEY, Params.grey(), image, own_key=True) for _ in range(2))
    assert one.key_id == two.key_id == KEY.key_id
    assert one.nonce != two.nonce
    assert (one.pixels != two.pixels).mean() > 0.5
    assert (reveal(KEY, one) == reveal(KEY, two)).all()


# -- what is preserved, and so leaks -------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([p for p in ALL if not p.stacked]), st.integers(0, 2**32))
def test_distances_to_the_bit(which, seed):
    size = which.block
    images = np.stack([picture(which, 3 * size, 4 * size, seed + i) for i in range(4)])
    hidden = protect_batch(SecretKey.generate(), which, images)

    def distances(values):
        rows = values.reshape(4, -1).astype(np.int64)
        return ((rows[:, np.newaxis] - rows) ** 2).sum(axis=2)

    assert (distances(images) == distances(hidden)).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32))
def test_inner_products_after_z_scores(seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (12, 24, 32), dtype=np.uint8)
    images[:, 0, 0] = 7  # a pixel that never changes

    def products(values):
        rows = values.reshape(12, -1).astype(np.float64)
        spread = rows.std(axis=0)
        z = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return z @ z.T

    plain, hidden = products(images), products(protect_batch(SecretKey.generate(), Params.grey(), images))
    assert np.allclose(plain, hidden, rtol=0, atol=1e-10 * np.abs(plain).max())


def test_without_z_scores_inner_products_are_not_preserved():
    images = np.stack([picture(Params.grey(), 24, 32, seed) for seed in range(2)]).astype(np.uint8)
    hidden = protect_batch(KEY, Params.grey(), images)
    rows, masked = images.reshape(2, -1).astype(np.int64), hidden.reshape(2, -1).astype(np.int64)
    assert rows[0] @ rows[1] != masked[0] @ masked[1]


def test_the_claim_is_perceptual_and_says_so():
    assert public.CLAIM is Claim.PERCEPTUAL
    assert "Encryption" in public.LEAKAGE.not_claimed[0]
    assert any("distance" in sentence for sentence in public.LEAKAGE.of("learner"))


# -- key space, parameters -------------------------------------------------------------------------------


def test_key_space():
    assert Params.grey().key_space_bits(16, 16) == pytest.approx(math.log2(math.factorial(4) * 8**4 * 2**4))
    assert Params.colour().key_space_bits(32, 16) == pytest.approx(math.log2(2 * 8**2 * 2**2 * 6**2))
    assert Params.planes().key_space_bits(8, 8) == pytest.approx(math.log2(math.factorial(3) * 8**3 * 2**3))
    exact = sum(math.log2(k) for k in range(1, 481)) + 4 * 480
    assert Params.grey().key_space_bits(192, 160) == pytest.approx(exact)


@pytest.mark.parametrize("size", [0, 2, 7, 12, 128, -8])
def test_other_sizes_of_block_are_refused(size):
    with pytest.raises(ParameterError):
        Params.grey(size)


def test_parameters_travel_by_name():
    for which in ALL:
        assert Params.parse(which.params_id) == which
    for wrong in (
        "",
        "etc-grey",
        "etc-grey-08",
        "etc-grey-9",
        "etc-blue-8",
        "grey-8",
        "etc-grey-8 ",
        "etc-grey-٨",
    ):
        with pytest.raises(MalformedError):
            Params.parse(wrong)
    assert [p.fits_jpeg for p in ALL] == [True, False, True, False, True, True]


# -- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(7, 100), (100, 7), (1, 1)])
def test_smaller_than_a_block(height, width):
    with pytest.raises(ImageTooSmallError, match="smaller than one block of 8"):
        protect(KEY, Params.grey(), np.zeros((height, width), np.uint8))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((32, 32), np.uint16),
        np.zeros((32, 32), np.float64),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((32,), np.uint8),
    ],
    ids=["16-bit", "float", "colour", "flat"],
)
def test_other_pixels(pixels):
    with pytest.raises(ImageError):
        protect(KEY, Params.grey(), pixels)


def test_an_image_whose_parts_do_not_fit():
    made = protect(KEY, Params.grey(), picture(Params.grey(), 20, 30))
    fields = {"pixels": made.pixels, "height": 20, "width": 30, "params": made.params, "key_id": made.key_id}
    for wrong in (
        {"height": 33},
        {"width": 0},
        {"height": -20, "width": -30},
        {"key_id": "x"},
        {"nonce": b"short"},
        {"pixels": made.pixels[:8]},
        {"pixels": made.pixels.astype(np.int16)},
        {"params": Params.colour()},
    ):
        with pytest.raises((MalformedError, ImageTooSmallError)):
            EtcImage(**(fields | wrong))
    with pytest.raises(ParamsMismatchError, match="version 2"):
        EtcImage(**fields, version=2)
    with pytest.raises(ParamsMismatchError):
        made.require(Params.grey(16), made.key_id)
    with pytest.raises(KeyMismatchError):
        made.require(made.params, SecretKey.generate().key_id)
    made.require(made.params, KEY.key_id)


# -- the key -------------------------------------------------------------------------------------------------


def test_a_key_does_not_leave_by_accident():
    seed = KEY.export(ExportToken())
    assert seed == bytes(range(32))
    with pytest.raises(UsageError):
        KEY.export("please")
    assert seed.hex() not in repr(KEY)
    assert "redacted" in repr(KEY)
    for take in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            take(KEY)
    with pytest.raises(VaultError):
        SecretKey.load(bytes(31))


def test_keys_for_clients_and_images_are_others():
    ada, bob = KEY.for_client("ada"), KEY.for_client("bob")
    assert len({KEY.key_id, ada.key_id, bob.key_id, KEY.for_image(bytes(16))[0].key_id}) == 4
    assert KEY.for_client("ada").key_id == ada.key_id


def test_every_step_has_its_own_stream():
    tables = KEY.tables(Params.colour(), 320, 320)
    assert abs(np.corrcoef(tables.turns & 1, tables.masks)[0, 1]) < 0.2
    other = KEY.tables(Params.colour(), 320, 336)
    assert (tables.order != other.order[:400]).mean() > 0.9
    assert set(tables.turns) == set(range(8))
    assert set(tables.masks) == {0, 255}
    assert set(tables.colours) == set(range(6))
