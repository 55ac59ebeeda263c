"""The pairs experiment: protected scores against plain ones, by the way that users take."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import ModelError, UsageError
from blindsight.encoding import Encoding
from blindsight.evaluation.embeddings import PhotoEmbeddings
from blindsight.evaluation.lfw import evaluate_pairs
from blindsight.evaluation.lfw_report import as_fields, report_of
from blindsight.evaluation.pairs import Pair, PairList, read_pairs
from blindsight.evaluation.protected import CONTENDERS, Space, contenders, search_gallery, search_pairs
from blindsight.schemes.seal import library
from blindsight.vision.folder import Photo, Rejection
from lying import Between
from real_data import DATA, needs

D = 16
QUICK = ("lattice", "lattice-exact")


def people(count=6, dimension=D, seed=1, spread=0.35):
    """Three photos each of some people, and vectors of norm 1.4 as dlib's are."""
    generator = np.random.default_rng(seed)
    vectors, photos = {}, []
    for person in range(count):
        middle = generator.standard_normal(dimension)
        photos.append([Photo(f"p{person}", Path(f"p{person}_{n}.jpg")) for n in range(3)])
        for photo in photos[-1]:
            vector = middle + spread * generator.standard_normal(dimension)
            vectors[photo] = (1.4 * vector / np.linalg.norm(vector)).astype(np.float32)
    genuine = [Pair(group[0], group[at]) for group in photos for at in (1, 2)]
    impostor = [Pair(one[0], other[1]) for one, other in pairwise(photos)]
    return PairList((*genuine, *impostor)), vectors


@pytest.fixture
def matcher(tmp_path):
    made = LocalMatcher(tmp_path / "matcher", allow_insecure_clear=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """All schemes on eleven of twelve people's pairs; the last photo has no face."""
    pairs, vectors = people(4)
    gone = pairs.pairs[1].second
    del vectors[gone]
    embeddings = PhotoEmbeddings("a model", vectors, (Rejection(gone, "no-face", "No face."),))
    matcher = LocalMatcher(tmp_path_factory.mktemp("matcher"), allow_insecure_clear=True)
    found = evaluate_pairs(
        pairs, embeddings, contenders(()), matcher, metric="euclidean", radius=2.0, singles=3
    )
    assert matcher.galleries() == []
    matcher.close()
    return found


def test_every_scheme_in_both_ways(everything):
    found = everything
    assert len(found.pairs) == 10
    assert found.listed == 11
    assert found.failures.rate == pytest.approx(1 / 12)
    assert list(found.runs_of("1:N")) == list(found.runs_of("1:1")) == list(CONTENDERS)
    for run in found.runs:
        complete = run.mode == "1:N" or run.contender.name == "ckks"
        assert len(run.pairs) == (10 if complete else 3)
        assert {found.pairs[at].genuine for at in run.pairs} == {True, False}
        assert found.agreement(run).median < {"lattice": 5, "ckks": 0.02}.get(run.contender.name, 0.5)


def test_plain_scores_are_distances_of_the_embeddings(everything):
    found = everything
    vectors = found.embeddings.vectors
    for score, pair in zip(found.plain, found.pairs, strict=True):
        difference = vectors[pair.first].astype(float) - vectors[pair.second].astype(float)
        assert score == pytest.approx(sum(x * x for x in difference.tolist()) ** 0.5)


@pytest.mark.parametrize("name", ["clear", "lattice-exact", "bfv"])
def test_exact_schemes_give_the_quantised_plaintext_to_the_bit(everything, name):
    for mode in ("1:N", "1:1"):
        run = everything.runs_of(mode)[name]
        assert run.equal == run.compared >= 3
    # By hand: the integers, their product, the distance.
    run, vectors = everything.runs_of("1:N")[name], everything.embeddings.vectors
    encoding = Encoding(D, "euclidean", radius=2.0)
    if name != "clear":
        encoding = Encoding.integers(D, "euclidean", radius=2.0)
    for at, pair in enumerate(everything.pairs):
        template, probe = encoding.templates(vectors[pair.first]), encoding.probes(vectors[pair.second])
        product = sum(
            x * y for x, y in zip(template.values[0].tolist(), probe.values[0].tolist(), strict=True)
        )
        assert run.scores[at] == float(encoding.scores(np.array([[product]]), probe)[0, 0])


def test_ckks_errs_less_than_the_paper(everything):
    for mode in ("1:N", "1:1"):
        assert everything.agreement(everything.runs_of(mode)["ckks"]).median < 0.02


def test_sizes_are_serialised_ones(everything):
    for mode, run in ((run.mode, run) for run in everything.runs):
        assert run.sizes.probe > 56 or run.contender.name == "clear"
        assert run.sizes.answer > 56
        assert (run.sizes.keys > 0) == (mode == "1:1" and run.contender.name == "ckks")
    assert everything.wrapper.python_bytes < 100
    assert everything.wrapper.serialised_bytes > 300_000
    assert everything.paper_loop_ms > everything.runs_of("1:1")["ckks"].times.match


def test_the_report(everything, tmp_path):
    page = report_of(everything, names=("pairs.txt", "photos")).write_page(tmp_path / "lfw.html").read_text()
    assert "56 bytes" in page
    assert f"{everything.wrapper.serialised_bytes:,}" in page
    assert "Euclidean distance" in page
    csv = {path.name: path.read_text().splitlines() for path in (tmp_path / "lfw-csv").iterdir()}
    assert len(csv["summary.csv"]) == 1 + len(everything.runs)
    for name in ("table-1", "table-2"):
        assert len(csv[f"{name}.csv"]) == 1 + len(everything.runs)
        assert "Yang" in csv[f"{name}-paper.csv"][0]
    rows = [line.split(",") for line in csv["figure-4-1-n.csv"][1:]]
    assert len(rows) == 10 * len(CONTENDERS)
    for scheme, pair, plain, protected, rate in rows:
        assert float(plain) == everything.plain[int(pair) - 1]
        assert float(protected) == everything.runs_of("1:N")[scheme].scores[int(pair) - 1]
        assert float(rate) == pytest.approx(100 * abs(float(plain) - float(protected)) / float(plain))
    assert {line.split(",")[0] for line in csv["figure-5-gallery.csv"][1:]} == {"plain", *CONTENDERS}
    fields = json.loads(json.dumps(as_fields(everything)))
    assert [(run["scheme"], run["mode"]) for run in fields["runs"]] == [
        (run.contender.name, run.mode) for run in everything.runs
    ]
    assert fields["rejected"][0]["reason"] == "no-face"


def test_searches_name_the_people(everything):
    searches = everything.searches(everything.runs_of("1:N")["clear"])
    assert searches.gallery == ("p0", "p1", "p2", "p3")
    assert set(searches.mates) <= {0, 1, 2, 3}
    with pytest.raises(UsageError):
        everything.searches(everything.runs_of("1:1")["clear"])


def test_the_cosine(matcher):
    pairs, vectors = people(5)
    found = evaluate_pairs(
        pairs, PhotoEmbeddings("m", vectors, ()), contenders(["ckks"]), matcher,
        metric="cosine", radius=float("inf"), singles=2,
    )  # fmt: skip
    assert [run.contender.name for run in found.runs] == ["clear", "ckks"] * 2
    assert found.larger_is_closer
    for run in found.runs:
        assert found.agreement(run).median < 0.02
        assert found.auc_difference(run) < 1e-3


def test_an_embedder_without_a_bound_on_its_norms(matcher):
    pairs, vectors = people(3)
    found = evaluate_pairs(
        pairs, PhotoEmbeddings("m", vectors, ()), contenders(QUICK), matcher,
        metric="euclidean", radius=float("inf"), singles=2,
    )  # fmt: skip
    assert found.agreement(found.runs_of("1:N")["lattice-exact"]).median < 0.5
    assert found.paper_loop_ms is None
    assert found.wrapper is None
    assert as_fields(found)["python_object_bytes"] is None


def test_a_scheme_that_is_off_by_one_is_noticed(matcher):
    """The count of equal scores, and the error, of a matcher that computes another product."""
    pairs, vectors = people(4)
    first = np.stack([vectors[pair.first] for pair in pairs.pairs]).astype(float)
    second = np.stack([vectors[pair.second] for pair in pairs.pairs]).astype(float)
    space, every = Space(D, "euclidean", 2.0), np.arange(len(first))
    lying = Between(matcher)

    def more(answer, *_):
        answer.scores.view("<i8")[:] += 1
        return answer

    for lie, equal in (({}, True), ({"search": more}, False)):
        lying.lies = lie
        run = search_gallery(CONTENDERS["clear"], space, first, second, (every, every), lying)
        assert run.equal == (run.compared if equal else 0)
        one = search_pairs(CONTENDERS["clear"], space, first[:2], second[:2], every[:2], lying)
        assert one.equal == (2 if equal else 0)
    assert lying.inner.galleries() == []


def test_galleries_go_also_where_a_search_fails(matcher):
    lying = Between(matcher)

    def fails(method, when):
        if method == "search":
            raise KeyboardInterrupt

    lying.fails = fails
    ones = np.ones((2, D))
    with pytest.raises(KeyboardInterrupt):
        search_gallery(
            CONTENDERS["lattice"], Space(D, "cosine", 1.0), ones, ones, (np.arange(2), np.arange(2)), lying
        )
    assert matcher.galleries() == []


def test_schemes_by_name(monkeypatch):
    assert [c.name for c in contenders(())] == list(CONTENDERS)
    assert [c.name for c in contenders(["lattice", "lattice"])] == ["clear", "lattice"]
    with pytest.raises(UsageError, match="bfv2"):
        contenders(["bfv2"])
    library.sealapi.cache_clear()
    monkeypatch.setitem(sys.modules, "tenseal.sealapi", None)
    try:
        for name in ("ckks", "bfv"):
            with pytest.raises(ModelError, match=r"blindsight\[seal\]"):
                contenders([name])
        assert len(contenders(QUICK)) == 3
    finally:
        monkeypatch.undo()
        library.sealapi.cache_clear()


def test_too_few_faces(matcher):
    pairs, vectors = people(3)
    for kind in (pairs.genuine, pairs.impostor):
        left = {photo: vectors[photo] for pair in kind[:1] for photo in (pair.first, pair.second)}
        rejections = tuple(Rejection(photo, "no-face", "None.") for photo in set(vectors) - set(left))
        with pytest.raises(UsageError, match="Too few faces"):
            evaluate_pairs(
                pairs, PhotoEmbeddings("m", left, rejections), contenders(QUICK), matcher,
                metric="cosine", radius=1.0,
            )  # fmt: skip
    with pytest.raises(UsageError, match="two pairs"):
        evaluate_pairs(
            pairs, PhotoEmbeddings("m", vectors, ()), contenders(QUICK), matcher,
            metric="cosine", radius=1.0, singles=1,
        )  # fmt: skip


@pytest.mark.data
@needs("embeddings", "lfw_fold01-08_mobilefacenet128.npz")
def test_real_pairs_have_the_same_roc(matcher):
    """1,200 official pairs by a public network: AUC as in the clear; exact is exact."""
    pairs = read_pairs(DATA / "lfw" / "pairs_fold01_02.txt", DATA / "lfw" / "images")
    with np.load(DATA / "embeddings" / "lfw_fold01-08_mobilefacenet128.npz") as file:
        known = dict(zip(file["names"].tolist(), file["emb"], strict=True))
    vectors = {photo: known[f"{photo.subject}/{photo.path.name}"] for photo in pairs.photos}
    found = evaluate_pairs(
        pairs, PhotoEmbeddings("mobilefacenet", vectors, ()), contenders(QUICK), matcher,
        metric="cosine", radius=1.0, singles=20,
    )  # fmt: skip
    for run in found.runs_of("1:N").values():
        assert len(run.pairs) == 1200
        assert found.auc(run) > 0.995
        assert found.auc_difference(run) < 1e-3
    exact = found.runs_of("1:N")["lattice-exact"]
    assert exact.equal == exact.compared > 500_000


@pytest.mark.data
@pytest.mark.slow
@needs("lfw", "pairs_fold01_02.txt")
def test_real_photos_under_every_scheme(matcher):
    """A few official pairs with dlib: the same ROC, CKKS within the paper's error, BFV to the bit."""
    from blindsight.evaluation.embeddings import embed_photos
    from blindsight.vision import open_embedder

    whole = read_pairs(DATA / "lfw" / "pairs_fold01_02.txt", DATA / "lfw" / "images")
    pairs = PairList((*whole.genuine[:3], *whole.impostor[:2]))
    pipeline = open_embedder("dlib")
    found = evaluate_pairs(
        pairs, embed_photos(pipeline, pairs.photos), contenders(()), matcher,
        metric="euclidean", radius=pipeline.embedder.radius, singles=2,
    )  # fmt: skip
    for run in found.runs:
        assert found.auc_difference(run) < 1e-3
    for mode in ("1:N", "1:1"):
        assert found.agreement(found.runs_of(mode)["ckks"]).median < 0.02
        bfv = found.runs_of(mode)["bfv"]
        assert bfv.equal == bfv.compared > 0
