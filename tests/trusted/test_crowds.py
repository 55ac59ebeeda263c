"""Two cameras' crowds: the whole matrix, exact, whoever is asked for and whatever goes wrong."""

import numpy as np
import pytest

from blindsight.core.errors import (
    DimensionError,
    ModelMismatchError,
    ParameterError,
    RefusedError,
    TamperedError,
    UsageError,
    VectorError,
)
from blindsight.core.types import Embedding
from blindsight.encoding import Quantiser
from blindsight.trusted.crowds import match_crowds
from blindsight.trusted.deciding import Policy
from blindsight.trusted.gallery import Gallery

D, LIMIT = 16, 0.5
MODEL = "people-test"


def person(vector, model=MODEL):
    return Embedding(np.asarray(vector, np.float32), model)


@pytest.fixture
def make(vault, matcher):
    made = []

    def gallery(scheme="lattice", bits=4, **options):
        gallery = Gallery.create(
            vault, f"g{len(made)}", model_id=MODEL, dimension=D, metric="euclidean", threshold=0.3,
            precision="exact", matcher=matcher, scheme=scheme,
            quantiser=Quantiser(bits, D, LIMIT), **options,
        )  # fmt: skip
        made.append(gallery)
        return gallery

    yield gallery
    for one in made:
        one.close()


def enroll(gallery, vectors, names):
    entries = [
        (name, person(vector), bytes([at]) * 32)
        for at, (name, vector) in enumerate(zip(names, vectors, strict=True))
    ]
    gallery.enroll(entries)


@pytest.mark.parametrize(("scheme", "batch", "bits"), [("lattice", 1, 6), ("bfv", 16, 4), ("bfv", 1, 8)])
def test_the_matrix_is_the_plaintexts(make, scheme, batch, bits):
    rng = np.random.default_rng(bits)
    gallery = make(scheme, bits, batch=batch)
    names = ["eve", "ann", "bob", "ann", "cat"]
    a, b = (rng.uniform(-LIMIT, LIMIT, (m, D)).astype(np.float32) for m in (5, 3 if batch == 1 else 20))
    enroll(gallery, a, names)
    seen = []
    found = match_crowds(gallery, [person(vector) for vector in b], lambda *step: seen.append(step))
    quantiser = Quantiser(bits, D, LIMIT)
    plain = quantiser.squared_distances(quantiser.quantise(b), quantiser.quantise(a))
    expected = np.stack(
        [
            plain[:, [at for at, name in enumerate(names) if name == one]].min(axis=1)
            for one in found.subjects
        ],
        1,
    )
    assert found.subjects == ("ann", "bob", "cat", "eve")
    np.testing.assert_array_equal(found.squared, expected)
    np.testing.assert_allclose(found.scores, quantiser.distances(expected), rtol=1e-6)
    assert not found.larger_is_closer
    assert seen[-1] == (len(b), len(b))
    order = [name for name, _ in found.ranking(0, 4)]
    assert expected[0, [found.subjects.index(name) for name in order]].tolist() == sorted(expected[0])
    decisions = gallery.identify([person(vector) for vector in b], k=4)
    assert [d.candidates[0].score for d in decisions] == pytest.approx(
        found.scores.min(axis=1).tolist(), rel=1e-5
    )
    messages = -(-len(b) // batch)
    assert found.traffic["up"] == messages * gallery.session._key.params.probe_bytes


def test_the_assignment_gives_nobody_twice(make):
    gallery = make()
    a = np.zeros((3, D), np.float32)
    a[:, 1] = 0.1
    a[0, 0], a[1, 0], a[2, 0] = -0.4, 0.0, 0.5
    enroll(gallery, a, ["left", "middle", "right"])
    b = np.zeros((4, D), np.float32)
    b[:, 1] = 0.1
    b[:, 0] = 0.05, 0.0, -0.2, 0.5  # two of them are nearest to the middle, one belongs to nobody
    found = match_crowds(gallery, [person(vector) for vector in b])
    names = [None if at is None else found.subjects[at] for at in found.assignment()]
    assert [found.ranking(q, 1)[0][0] for q in range(2)] == ["middle", "middle"]
    assert sorted(filter(None, names)) == ["left", "middle", "right"]
    assert names.count(None) == 1
    assert names[3] == "right"


def test_galleries_of_faces_can_be_matched_too(vault, matcher):
    gallery = Gallery.create(
        vault, "faces", model_id=MODEL, dimension=D, metric="cosine", threshold=0.3, matcher=matcher
    )
    vectors = np.eye(D, dtype=np.float32)[:3]
    enroll(gallery, vectors, ["a", "b", "c"])
    found = match_crowds(gallery, [person(vector) for vector in vectors[::-1]])
    assert found.squared is None
    np.testing.assert_allclose(found.scores, np.eye(3)[::-1], atol=0.02)
    assert found.assignment() == [2, 1, 0]
    gallery.close()


def test_what_cannot_be_matched(make):
    gallery = make()
    good = person(np.full(D, 0.1))
    with pytest.raises(UsageError, match="Nobody is enrolled"):
        match_crowds(gallery, [good])
    enroll(gallery, np.zeros((1, D)) + 0.2, ["a"])
    for error, probes in (
        (UsageError, []),
        (ModelMismatchError, [good, person(np.full(D, 0.1), "another")]),
        (VectorError, [good, person(np.full(D, 0.51))]),
        (DimensionError, [person(np.full(D + 1, 0.1))]),
    ):
        with pytest.raises(error) as caught:
            match_crowds(gallery, probes)
        assert "\n" not in caught.value.message
    with pytest.raises(VectorError, match="outside"):
        gallery.enroll([("b", person(np.full(D, -0.6)), bytes(32))])
    assert len(gallery) == 1


def test_the_policy_holds_for_crowds(make):
    gallery = make(daily_probes=3)
    enroll(gallery, np.zeros((1, D)) + 0.2, ["a"])
    good = person(np.full(D, 0.1))
    match_crowds(gallery, [good, good])
    with pytest.raises(RefusedError, match="used up"):
        match_crowds(gallery, [good, good])
    match_crowds(gallery, [good])
    gallery.set_policy(Policy(0.3, show_scores=False))
    with pytest.raises(RefusedError, match="hides its scores"):
        match_crowds(gallery, [good])


def test_a_matcher_that_swaps_answers_is_noticed(make, monkeypatch):
    gallery = make("bfv", batch=16)
    enroll(gallery, np.zeros((1, D)) + 0.2, ["a"])
    search = type(gallery.session.matcher).search
    answers = []

    def stale(self, *arguments):
        answers.append(search(self, *arguments))
        return answers[0]

    monkeypatch.setattr(type(gallery.session.matcher), "search", stale)
    good = person(np.full(D, 0.1))
    match_crowds(gallery, [good])
    with pytest.raises(TamperedError):
        match_crowds(gallery, [good])


def test_a_quantised_gallery_is_opened_again(make, vault, matcher):
    gallery = make("bfv", batch=16)
    enroll(gallery, np.zeros((1, D)) + 0.2, ["a"])
    again = Gallery.open(vault, gallery.name, matcher=matcher)
    assert again.session.identity.encoding == gallery.session.identity.encoding
    assert match_crowds(again, [person(np.full(D, 0.2))]).squared.tolist() == [[0]]
    again.rotate()
    assert match_crowds(again, [person(np.full(D, 0.2))]).squared.tolist() == [[0]]
    again.close()


@pytest.mark.parametrize("batch", [0, 17])
def test_batches_have_bounds(make, batch):
    with pytest.raises(ParameterError):
        make("bfv", batch=batch)
