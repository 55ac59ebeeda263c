"""Features of whole images, and their cache."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image as Pillow

from blindsight.core.errors import ModelError, UnreadableImageError, UsageError
from blindsight.vision.image_features import FeatureCache, Gradients, open_features
from blindsight.vision.images import Image

from vision.test_onnx_people import tiny  # isort: skip


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "astronaut.png"
    Pillow.fromarray(skimage.data.astronaut()[:200, :300]).save(path)
    return path


def test_gradients_have_norm_one_and_tell_images_apart():
    features = Gradients()
    one, two = (features.of(Image(picture)) for picture in (skimage.data.astronaut(), skimage.data.coffee()))
    assert one.shape == (features.dimension,)
    assert one.dtype == np.float32
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ two < 0.8 < one @ features.of(Image(skimage.data.astronaut()[::2, ::2]))
    assert np.isfinite(features.of(Image(np.zeros((40, 40, 3), np.uint8)))).all()


def test_any_backbone_sees_the_whole_image(tmp_path, photo):
    model = tiny(tmp_path / "m.onnx", shape=(1, 3, 32, 32))
    model.with_suffix(".toml").write_text(
        'layout = "nchw"\nsize = 32\ncolour = "rgb"\nmean = [0, 0, 0]\nstd = [255, 255, 255]\n'
        'alignment = "crop"\ndimension = 3\nmetric = "cosine"\n'
        "threshold = 0.5\nnormalise = false\nradius = 2\n"
    )
    features = open_features(f"onnx:{model}")
    found = FeatureCache(features, None).of(photo)
    wanted = skimage.data.astronaut()[:200, :300].reshape(-1, 3).mean(axis=0)
    assert found @ wanted / np.linalg.norm(wanted) > 0.99
    model.with_suffix(".toml").write_text(model.with_suffix(".toml").read_text().replace("crop", "arcface"))
    with pytest.raises(ModelError):
        open_features(f"onnx:{model}")


def test_faces_are_embedded(tmp_path):
    path = tmp_path / "a.png"
    Pillow.fromarray(skimage.data.astronaut()).save(path)
    features = open_features("faces")
    assert FeatureCache(features, tmp_path / "cache").of(path).shape == (128,)


def test_names_that_are_none():
    for name in ("resnet", "onnx:", "onnx"):
        with pytest.raises(UsageError):
            open_features(name)


def test_features_are_kept_and_damage_is_computed_again(tmp_path, photo):
    calls = []

    class Counted(Gradients):
        def of(self, image):
            calls.append(image)
            return super().of(image)

    folder = tmp_path / "cache"
    first = FeatureCache(Counted(), folder).of(photo)
    again = FeatureCache(Counted(), folder).all([photo, photo])
    assert len(calls) == 1
    assert np.array_equal(again[0], first)
    (kept,) = folder.glob("*/*.npy")
    for damage in (b"", kept.read_bytes()[:50], b"\x80\x04N.", np.zeros(3, np.float32).tobytes()):
        kept.write_bytes(damage)
        assert np.array_equal(FeatureCache(Counted(), folder).of(photo), first)
    assert len(calls) == 5
    photo.write_bytes(b"no image")
    with pytest.raises(UnreadableImageError):
        FeatureCache(Counted(), folder).of(photo)
