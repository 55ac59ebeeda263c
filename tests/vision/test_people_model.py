"""The one file of a trained model: kept whole, refused when damaged, clipping where it says."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import msgpack
import numpy as np
import pytest

pytest.importorskip("sklearn")

from blindsight.core.errors import ModelError, ModelMismatchError, UsageError
from blindsight.encoding import FeatureMap, LinearEncoding
from blindsight.trusted.people import train_people
from blindsight.vision import PeopleModel, open_embedder
from blindsight.vision.attribute_table import AttributeTable
from blindsight.vision.people_features import features_of
from generated_people import COLUMNS, draw, values

N = 24
PEOPLE, CAMERAS = tuple(range(40)), (1, 2, 3)


@pytest.fixture(scope="module")
def crowd():
    pairs = [(person, camera) for person in PEOPLE for camera in CAMERAS]
    table = AttributeTable(COLUMNS, {f"{person:04d}": values(person) for person in PEOPLE})
    return features_of(draw(*pair) for pair in pairs), [f"{person:04d}" for person, _ in pairs], table


@pytest.fixture(scope="module")
def model(crowd) -> PeopleModel:
    return train_people(*crowd, bits=5, dimension=N, least_people=3)


def test_training_gives_a_model_that_tells_people_apart(crowd, model):
    again = train_people(*crowd, bits=5, dimension=N, least_people=3)
    assert again.model_id == model.model_id
    assert (model.dimension, model.bits, model.metric) == (N, 5, "euclidean")
    assert model.limit == float(np.float32(model.limit)) == LinearEncoding.of(model.quantiser).limit
    one, same, other = (model.embed(draw(*pair)).vector for pair in ((60, 1), (60, 3), (64, 1)))
    assert np.linalg.norm(one - same) < np.linalg.norm(one - other)
    assert np.linalg.norm(one - same) < 2 * model.threshold


def test_round_trip(model, tmp_path):
    path = tmp_path / "people.model"
    model.save(path)
    model.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["people.model"]
    loaded = PeopleModel.load(path)
    assert (
        loaded.model_id
        == model.model_id
        == "people-" + hashlib.sha256(path.read_bytes()[:-32]).hexdigest()[:12]
    )
    pipeline = open_embedder(f"people:{path}")
    embedding = pipeline.one_face(draw(70, 2))
    np.testing.assert_array_equal(embedding.vector, model.embed(draw(70, 2)).vector)
    embedding.require_model(model.model_id)
    with pytest.raises(ModelMismatchError):
        embedding.require_model("people-0")
    with pytest.raises(UsageError, match="people:<path>"):
        open_embedder("people:")


def test_features_never_leave_the_quantisers_range(model):
    wild = np.where(np.random.default_rng(0).random((50, N)) < 0.5, -1.0, 1.0).astype(np.float32)
    made = model.features(wild)
    assert np.abs(model.map.apply(wild)).max() > model.limit  # else this test shows nothing
    assert np.abs(made).max() <= model.limit
    LinearEncoding.of(model.quantiser).templates(made)


def test_damage_is_noticed(model, tmp_path: Path):
    data = model.to_bytes()
    rng = np.random.default_rng(0)
    for at in [0, 20, len(data) - 1, *rng.integers(0, len(data), 12).tolist()]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        with pytest.raises(ModelError):
            PeopleModel.from_bytes(bytes(damaged))
    for short in (b"", data[:31], data[:32], data[:-1], data[: len(data) // 2], data + b"\0"):
        with pytest.raises(ModelError):
            PeopleModel.from_bytes(short)
    with pytest.raises(ModelError, match="cannot be read"):
        PeopleModel.load(tmp_path / "none")
    with pytest.raises(ModelError, match="cannot be written"):
        model.save(tmp_path / "no" / "folder")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "blindsight-attributes"}, {"version": 2}, {"version": True}, {"version": "1"},
        {"extra": 1}, {"attributes": b""}, {"attributes": "text"}, {"attributes": None},
        {"attributes": b"\0" * 99},
        {"components": b""}, {"components": b"\0" * 7}, {"components": 3}, {"components": b"\0" * 4 * N},
        {"components": np.full(N * N, math.nan, "<f4").tobytes()}, {"offset": b"\0" * 4}, {"offset": None},
        {"offset": np.full(N, math.inf, "<f4").tobytes()}, {"bits": 0}, {"bits": 9}, {"bits": True},
        {"bits": 4.0}, {"limit": 0.0}, {"limit": -1.0}, {"limit": math.nan}, {"limit": math.inf},
        {"limit": 1}, {"limit": 0.1}, {"threshold": -0.5}, {"threshold": math.nan}, {"threshold": "0"},
        {"threshold": 1e300},
    ],
)  # fmt: skip
def test_well_signed_nonsense_is_refused(model, change):
    fields = msgpack.unpackb(model.to_bytes()[:-32])
    body = msgpack.packb(fields | change)
    with pytest.raises(ModelError) as caught:
        PeopleModel.from_bytes(body + hashlib.sha256(body).digest())
    assert "\n" not in caught.value.message


def test_other_files_are_refused(model):
    for body in (b"\xc1", msgpack.packb(3), msgpack.packb({1: 2}), b"\x93", msgpack.packb({"format": 1})):
        with pytest.raises(ModelError):
            PeopleModel.from_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(ModelError, match="not a file of a model of people"):
        PeopleModel.from_bytes(model.attributes.to_bytes())


def test_a_metric_of_another_dimension_is_refused(model):
    other = FeatureMap(np.eye(N - 1, dtype=np.float32), np.zeros(N - 1, np.float32))
    with pytest.raises(ModelError, match="train the model again"):
        PeopleModel(model.attributes, other, model.bits, model.limit, model.threshold)
