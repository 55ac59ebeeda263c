"""Features, training, the model's file, and re-identification of generated and real people."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import msgpack
import numpy as np
import pytest

pytest.importorskip("sklearn")

from blindsight.core.errors import DimensionError, ModelError, UsageError, VectorError
from blindsight.encoding import Quantiser
from blindsight.encoding.metric import LMNN
from blindsight.vision.attribute_model import AttributeModel, embed_people
from blindsight.vision.attribute_table import Attribute, AttributeTable, Literal, read_attribute_table
from blindsight.vision.attribute_training import areas, candidates, choose, train_attributes
from blindsight.vision.images import Image
from blindsight.vision.people import list_people
from blindsight.vision.people_features import DIMENSION, features_of, person_features
from generated_people import COLUMNS, draw, values
from real_data import DATA, needs

CAMERAS = (1, 2, 3)
PEOPLE = tuple(range(90))
N = 24


def rank(distances: np.ndarray, probes: np.ndarray, gallery: np.ndarray, n: int) -> float:
    """Share of probes whose person is among the n nearest."""
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :n]
    return float((gallery[nearest] == probes[:, None]).any(axis=1).mean())


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a[:, None].astype(float) - b[None]) ** 2).sum(axis=2)


@pytest.fixture(scope="module")
def crowd():
    """Features (270, D), persons and cameras of the figures, and their table."""
    pairs = [(person, camera) for person in PEOPLE for camera in CAMERAS]
    features = features_of(draw(*pair) for pair in pairs)
    table = AttributeTable(COLUMNS, {f"{person:04d}": values(person) for person in PEOPLE})
    return features, np.array([f"{p:04d}" for p, _ in pairs]), np.array([c for _, c in pairs]), table


@pytest.fixture(scope="module")
def trained(crowd):
    features, persons, _, table = crowd
    known = persons < "0050"
    return train_attributes(features[known], list(persons[known]), table, dimension=N, penalty=0.3)


class TestFeatures:
    def test_shape_range_and_norm(self, crowd) -> None:
        features = crowd[0]
        assert features.shape == (270, DIMENSION) == (270, 35715)
        assert features.dtype == np.float32
        assert features.min() >= 0.0
        assert np.linalg.norm(features, axis=1).max() <= 1.0 + 1e-5

    def test_any_crop_gives_finite_features(self) -> None:
        rng = np.random.default_rng(0)
        for pixels in (
            np.zeros((128, 64, 3)), np.full((128, 64, 3), 255), np.full((1, 1, 3), 77),
            rng.integers(0, 256, (300, 90, 3)), np.tile([255, 0, 0], (40, 50, 1)),
        ):  # fmt: skip
            found = person_features(Image(pixels.astype(np.uint8)))
            assert np.isfinite(found).all()
            assert found.shape == (DIMENSION,)

    def test_repeat_exactly_and_do_not_depend_on_the_batch(self) -> None:
        one = draw(3, 1)
        np.testing.assert_array_equal(person_features(one), features_of([draw(4, 2), one])[1])
        assert features_of([]).shape == (0, DIMENSION)

    def test_size_matters_little_and_clothes_matter_much(self) -> None:
        person, larger, other = draw(3, 1), draw(3, 1, height=256, width=128), draw(5, 1)
        same = np.linalg.norm(person_features(person) - person_features(larger))
        assert same < 0.5 * np.linalg.norm(person_features(person) - person_features(other))


class TestCandidates:
    table = AttributeTable(("age", "hat"), {str(i): (i % 3, 1 + (i % 2)) for i in range(12)})
    people = tuple(table.rows)

    def test_supports(self) -> None:
        singles, pairs = candidates(self.table, self.people, 2)
        assert [str(one) for one in singles] == ["age=0", "age=1", "age=2", "hat=2"]
        assert {str(pair) for pair in pairs} == {f"age={a} & hat={h}" for a in range(3) for h in (1, 2)}
        assert candidates(self.table, self.people, 3)[1] == []
        assert candidates(self.table, self.people, 5)[0] == [Attribute((Literal("hat", 2),))]

    def test_choice_prefers_what_tells_people_apart_and_is_new(self) -> None:
        rng = np.random.default_rng(0)
        owners = np.repeat(np.arange(40), 3)
        person = rng.normal(size=(40, 2))[owners]
        noise = rng.normal(size=(120, 1))
        small = rng.normal(size=(120, 4)) * 0.1
        columns = np.column_stack([person[:, 0], person[:, 0], noise, person[:, 1]])
        assert choose(columns + small, owners, 1, 2).tolist() == [0, 3]
        assert sorted(choose(columns, owners, 1, 4).tolist()) == [0, 1, 2, 3]

    def test_areas_agree_with_counting(self) -> None:
        rng = np.random.default_rng(1)
        scores, truth = rng.integers(0, 6, (40, 3)).astype(float), rng.random((40, 3)) < 0.4
        for at, found in enumerate(areas(scores, truth)):
            wins = [
                (a > b) + 0.5 * (a == b)
                for a in scores[truth[:, at], at]
                for b in scores[~truth[:, at], at]
            ]  # fmt: skip
            assert found == pytest.approx(np.mean(wins))


class TestTraining:
    def test_confidences_are_right_about_strangers(self, crowd, trained) -> None:
        features, persons, _, table = crowd
        strangers = persons >= "0050"
        confidences = trained.model.confidences(features[strangers])
        assert confidences.dtype == np.float32
        assert np.abs(confidences).max() <= 1.0
        assert trained.auc.mean() > 0.9
        truth = np.stack(
            [table.truth(one, list(persons[strangers])) for one in trained.model.attributes], axis=1
        )
        assert ((confidences > 0) == truth).mean() > 0.85

    def test_attributes_first_then_co_occurrences(self, trained) -> None:
        lengths = [len(attribute.literals) for attribute in trained.model.attributes]
        assert len(lengths) == N
        assert lengths == sorted(lengths)
        assert {1, 2} == set(lengths)
        assert trained.confidences.shape == (150, N)

    def test_training_repeats(self, crowd, trained) -> None:
        features, persons, _, table = crowd
        known = persons < "0050"
        again = train_attributes(features[known], list(persons[known]), table, dimension=N, penalty=0.3)
        assert again.model.model_id == trained.model.model_id
        np.testing.assert_array_equal(again.confidences, trained.confidences)

    def test_people_are_recognised_across_cameras(self, crowd, trained) -> None:
        features, persons, cameras, _ = crowd
        known = persons < "0050"
        confidences = trained.model.confidences(features)
        gallery, probes = ~known & (cameras == 1), ~known & (cameras == 3)
        chance = 1 / gallery.sum()

        def rate(vectors: np.ndarray) -> float:
            return rank(squared(vectors[probes], vectors[gallery]), persons[probes], persons[gallery], 1)

        learned = LMNN(max_iter=3, tol=None, init="rca").fit(trained.confidences, persons[known])
        mapped = learned.transform(confidences)
        assert rate(confidences) > 15 * chance
        assert rate(mapped) >= rate(confidences) - 0.05
        quantiser = Quantiser.spanning(6, learned.transform(trained.confidences))
        integers = quantiser.quantise(mapped, clip=True)
        assert abs(rate(integers) - rate(mapped)) <= 0.1

    def test_what_cannot_be_trained_on(self, crowd) -> None:
        features, persons, _, table = crowd
        known = persons < "0050"
        few, names = features[known], list(persons[known])
        broken = few.copy()
        broken[3, 5] = math.nan
        for error, call in (
            (UsageError, lambda: train_attributes(few, ["x", *names[1:]], table, dimension=N)),
            (UsageError, lambda: train_attributes(few, names, table, dimension=5000)),
            (UsageError, lambda: train_attributes(few, names, table, dimension=2)),
            (UsageError, lambda: train_attributes(few, names, table, dimension=N, folds=1)),
            (UsageError, lambda: train_attributes(few, names, table, dimension=N, penalty=0.0)),
            (UsageError, lambda: train_attributes(few[:30], names[:30], table, dimension=N)),
            (DimensionError, lambda: train_attributes(few[:-1], names, table, dimension=N)),
            (DimensionError, lambda: train_attributes(few[:, :-1], names, table, dimension=N)),
            (VectorError, lambda: train_attributes(broken, names, table, dimension=N)),
        ):
            with pytest.raises(error):
                call()


class TestModelFile:
    def test_round_trip(self, trained, crowd, tmp_path: Path) -> None:
        path = tmp_path / "people.attributes"
        trained.model.save(path)
        trained.model.save(path)
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
        loaded = AttributeModel.load(path)
        assert loaded.model_id == trained.model.model_id
        assert loaded.attributes == trained.model.attributes
        np.testing.assert_array_equal(
            loaded.confidences(crowd[0][:9]), trained.model.confidences(crowd[0][:9])
        )
        embedding = loaded.embed(draw(70, 2))
        assert embedding.model_id == loaded.model_id
        assert loaded.dimension == len(embedding.vector) == N
        np.testing.assert_allclose(embed_people(loaded, [draw(70, 2)])[0], embedding.vector)

    def test_damage_is_noticed(self, trained, tmp_path: Path) -> None:
        data = trained.model.to_bytes()
        rng = np.random.default_rng(0)
        for at in [0, 20, len(data) - 1, *rng.integers(0, len(data), 12)]:
            damaged = bytearray(data)
            damaged[at] ^= 1 << int(rng.integers(0, 8))
            with pytest.raises(ModelError):
                AttributeModel.from_bytes(bytes(damaged))
        for short in (b"", data[:31], data[:32], data[:-1], data[: len(data) // 2], data + b"\0"):
            with pytest.raises(ModelError):
                AttributeModel.from_bytes(short)
        with pytest.raises(ModelError, match="cannot be read"):
            AttributeModel.load(tmp_path / "none")
        with pytest.raises(ModelError, match="cannot be written"):
            trained.model.save(tmp_path / "no" / "folder")

    @pytest.mark.parametrize(
        "change",
        [
            {"format": "other"}, {"version": 2}, {"features": "stripes-0"}, {"version": True, "bias": None},
            {"weights": b""}, {"weights": b"\0" * 8}, {"weights": "text"}, {"bias": b"\0" * 7}, {"bias": 3},
            {"attributes": []}, {"attributes": None}, {"attributes": ["a=1", "a=1"]}, {"attributes": [3]},
            {"attributes": ["up"] * N}, {"extra": 1}, {"slope": b"\0" * 4 * N},
            {"offset": np.full(N, np.nan, dtype="<f4").tobytes()},
        ],
    )  # fmt: skip
    def test_well_signed_nonsense_is_refused(self, trained, change) -> None:
        fields = msgpack.unpackb(trained.model.to_bytes()[:-32])
        body = msgpack.packb(fields | change)
        with pytest.raises(ModelError) as caught:
            AttributeModel.from_bytes(body + hashlib.sha256(body).digest())
        assert "\n" not in caught.value.message
        for body in (b"\xc1", msgpack.packb(3), msgpack.packb({1: 2}), b"\x93"):
            with pytest.raises(ModelError):
                AttributeModel.from_bytes(body + hashlib.sha256(body).digest())

    def test_a_bit_more_weight_is_another_model(self, trained) -> None:
        model = trained.model
        other = AttributeModel(
            model.attributes,
            model.weights,
            np.nextafter(model.bias, np.float32(9)),
            model.slope,
            model.offset,
        )
        assert other.model_id != model.model_id
        with pytest.raises(DimensionError):
            model.confidences(np.zeros((1, 3), dtype=np.float32))
        with pytest.raises(ModelError):
            AttributeModel(model.attributes[:-1], model.weights, model.bias, model.slope, model.offset)
        with pytest.raises(ModelError):
            AttributeModel(model.attributes, model.weights, model.bias, -model.slope, model.offset)


@pytest.mark.data
@pytest.mark.slow
@needs("market1501", "images")
def test_real_people_are_recognised_across_cameras() -> None:
    """One small split of Market-1501: 120 people to learn from, 60 others to recognise."""
    folder = list_people(DATA / "market1501" / "images")
    table = read_attribute_table(DATA / "market1501" / "attributes.csv")
    order = np.random.default_rng(0).permutation(np.array(folder.people))
    images = [one for one in folder.images if one.person in set(order[:180])]
    persons = np.array([one.person for one in images])
    features = features_of(one.read() for one in images)
    known = np.isin(persons, order[:120])
    trained = train_attributes(features[known], list(persons[known]), table, least_people=3)
    assert trained.model.dimension == 95
    learned = LMNN(max_iter=3, tol=None, init="rca").fit(trained.confidences, persons[known])
    mapped = learned.transform(trained.model.confidences(features[~known]))
    others = persons[~known]
    gallery = np.unique(others, return_index=True)[1]
    probes = np.setdiff1d(np.arange(len(others)), gallery)

    def rates(vectors: np.ndarray) -> list[float]:
        distances = squared(vectors[probes], vectors[gallery])
        return [rank(distances, others[probes], others[gallery], n) for n in (1, 5, 10, 20)]

    real = rates(mapped)
    assert real[0] > 0.3
    assert real[3] > 0.8
    for bits in range(4, 9):
        quantiser = Quantiser.spanning(bits, learned.transform(trained.confidences), modulus=6234113)
        integers = quantiser.quantise(mapped, clip=True)
        np.testing.assert_array_equal(
            quantiser.squared_distances(integers[probes], integers[gallery]),
            squared(integers[probes], integers[gallery]),
        )
        assert np.abs(np.array(rates(integers)) - real).max() < 0.1
