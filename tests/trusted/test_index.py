"""`EncryptedIndex` against NumPy, and against every way to call it wrongly."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from blindsight.core.errors import (
    BlindsightError,
    CorruptVaultError,
    DimensionError,
    DuplicateError,
    MismatchError,
    NotFoundError,
    RefusedError,
    UsageError,
    VectorError,
    WrongPassphraseError,
)
from blindsight.core.types import Templates
from blindsight.trusted.index import EncryptedIndex, top
from blindsight.trusted.sealing import make_key_file
from blindsight.wire.messages import MAX_BODY, MAX_RECORD

D = 16
KINDS = [
    ("lattice", "approximate", "cosine"),
    ("lattice", "approximate", "inner_product"),
    ("lattice", "approximate", "euclidean"),
    ("lattice", "exact", "cosine"),
    ("lattice", "exact", "euclidean"),
    ("clear", "exact", "inner_product"),
    ("clear", "approximate", "euclidean"),
]


def make(scheme, precision, metric, matcher=None, **options):
    radius = 1.0 if metric == "cosine" else 2.5
    return EncryptedIndex(
        D, metric=metric, precision=precision, radius=radius, matcher=matcher, scheme=scheme,
        insecure_clear=scheme == "clear", **options,
    )  # fmt: skip


def vectors(random, count, metric="cosine"):
    made = random.normal(size=(count, D))
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made if metric == "cosine" else made * random.uniform(0.1, 2.49, (count, 1))


def expected(metric, model, queries):
    """Scores of every query with every vector of the model, by brute force; larger is closer."""
    ids = np.array(sorted(model))
    rows = np.array([model[i] for i in ids]) if len(ids) else np.empty((0, D))
    if metric == "euclidean":
        return ids, -np.linalg.norm(queries[:, None] - rows[None], axis=2)
    return ids, queries @ rows.T


def check(index, model, queries, k=7):
    """The index answers as NumPy does, up to the noise and the rounding that it declares."""
    found = index.search(queries, k)
    assert found.scores.shape == found.ids.shape == (len(queries), k)
    ids, exact = expected(index.metric, model, queries)
    filled = min(k, len(ids))
    assert (found.ids[:, filled:] == -1).all()
    assert np.isnan(found.scores[:, filled:]).all()
    if not filled:
        return
    scores, numbers = found.scores[:, :filled], found.ids[:, :filled]
    assert all(len(set(row)) == filled for row in numbers.tolist())
    at = {number: column for column, number in enumerate(ids.tolist())}
    mine = np.array([[exact[q, at[i]] for i in row] for q, row in enumerate(numbers.tolist())])
    radius = 1.0 if index.metric == "cosine" else 2.5
    similarity = 0.02 * radius**2
    if index.metric == "euclidean":  # |a - b|² has the noise, so compare the squares
        assert np.abs(scores**2 - mine**2).max() < 2 * similarity
        mine, exact = -(mine**2), -(exact**2)
        assert (np.diff(scores, axis=1) >= 0).all()
        similarity *= 2
    else:
        assert np.abs(scores - mine).max() < similarity
        assert (np.diff(scores, axis=1) <= 0).all()
    best = -np.sort(-exact, axis=1)[:, :filled]
    assert (mine >= best - 2 * similarity).all()


@pytest.mark.parametrize(("scheme", "precision", "metric"), KINDS)
def test_a_walk_of_operations_agrees_with_numpy(scheme, precision, metric, tmp_path, unlock):
    random = np.random.default_rng([len(scheme), len(precision), len(metric)])
    index, model, following = make(scheme, precision, metric), {}, 0
    queries = vectors(random, 3, metric)
    check(index, model, queries)
    sizes = [1, 256, 300, 1, 30, 511, 2, 80]
    for step in range(26):
        action = random.choice(
            ["add", "add", "remove", "rotate", "reload", "search"], p=[0.3, 0.1, 0.35, 0.08, 0.09, 0.08]
        )
        if action == "add":
            count = sizes[step % len(sizes)]
            new = vectors(random, count, metric)
            ids = random.permutation(np.arange(following, following + count) * 7)
            following += count
            index.add(ids, new)
            model |= dict(zip(ids.tolist(), new, strict=True))
        elif action == "remove" and model:
            some = random.permutation(sorted(model))[: int(random.integers(1, len(model) + 1))]
            some = some[: random.choice([1, 20, 400])]
            index.remove(some)
            for identifier in some.tolist():
                del model[identifier]
        elif action == "rotate":
            before = index._session.key_id
            index.rotate()
            assert index._session.key_id != before
        elif action == "reload":
            index.save(tmp_path / "saved", key_file=unlock.key_file)
            index.close()
            index = EncryptedIndex.load(tmp_path / "saved", key_file=unlock.key_file)
        assert len(index) == len(model)
        assert all(identifier in index for identifier in model)
        assert following * 7 not in index
        if action in ("remove", "rotate", "reload", "search") or step % 3 == 0:
            check(index, model, queries, k=int(random.choice([1, 7, 40])))
    assert index._session.rows * len(index._session.states) < following + 256 * 4
    index.close()


def test_freed_rows_are_used_again_and_old_templates_are_not_found(tmp_path):
    random = np.random.default_rng(1)
    index = make("lattice", "approximate", "cosine")
    old, new = vectors(random, 512), vectors(random, 512)
    index.add(np.arange(512), old)
    index.remove(np.arange(0, 512, 2))
    index.add(np.arange(1000, 1256), new[:256])
    assert len(index._session.states) == 2
    found = index.search(old[::2][:64], 1)
    assert (found.scores[:, 0] < 0.95).all()
    assert (index.search(new[:256], 1).ids[:, 0] == np.arange(1000, 1256)).all()
    assert (index.search(old[1::2], 1).ids[:, 0] == np.arange(1, 512, 2)).all()


def test_more_than_a_batch_of_blocks(monkeypatch):
    monkeypatch.setattr("blindsight.trusted.session._BATCH_BLOCKS", 2)
    random = np.random.default_rng(2)
    index, told = make("lattice", "approximate", "cosine"), []
    data = vectors(random, 5 * 256 + 3)
    index.add(np.arange(len(data)), data, progress=lambda done, of: told.append((done, of)))
    assert told == [(512, 1283), (1024, 1283), (1283, 1283)]
    assert (index.search(data, 1).ids[:, 0] == np.arange(len(data))).all()
    index.rotate()
    index.remove(np.arange(0, len(data), 3))
    assert len(index) == len(data) - len(range(0, len(data), 3))
    assert not set(index.search(data[:9], 3).ids[:, 0].tolist()) & set(range(0, len(data), 3))
    index.remove(np.array(sorted(set(range(len(data))) - set(range(0, len(data), 3)))))
    assert len(index) == 0
    assert (index.search(data[:2], 3).ids == -1).all()


def test_full_batches_at_the_real_size():
    """64 blocks and one more template: two commits of the real batch size."""
    random = np.random.default_rng(2)
    index = make("lattice", "approximate", "cosine")
    data = vectors(random, 64 * 256 + 1)
    index.add(np.arange(len(data)), data)
    picked = [0, 255, 256, 64 * 256 - 1, 64 * 256]
    assert index.search(data[picked], 1).ids[:, 0].tolist() == picked
    assert index._session.identity.revision == 2


@pytest.mark.parametrize(("dimension", "precision"), [(16, "exact"), (1500, "approximate"), (4096, "exact")])
def test_requests_stay_within_what_a_server_takes(dimension, precision):
    """However long the vectors are: a commit of full records, and the probes of a search."""
    session = EncryptedIndex(dimension, precision=precision)._session
    params = session._key.params
    assert session.batch * (params.body_bytes + MAX_RECORD) < MAX_BODY
    assert session.probes_at_once * params.probe_bytes < MAX_BODY
    assert session.batch >= 1
    assert session.probes_at_once >= 1


@pytest.mark.parametrize(
    "shape",
    [
        lambda v: v.tolist(), lambda v: v.astype(np.float32), lambda v: v.astype(np.float16),
        lambda v: np.asfortranarray(v), lambda v: np.repeat(v, 2, axis=0)[::2], lambda v: v[:, ::-1][:, ::-1],
        lambda v: np.ma.asarray(v), lambda v: v.astype(">f8"),
    ],
)  # fmt: skip
def test_vectors_come_in_many_shapes(shape):
    data = vectors(np.random.default_rng(3), 20)
    index = make("lattice", "exact", "cosine")
    index.add(range(20), shape(data))
    assert (index.search(shape(data), 1).ids[:, 0] == np.arange(20)).all()


def test_one_vector_and_one_identifier():
    data = vectors(np.random.default_rng(4), 2)
    index = make("lattice", "approximate", "cosine")
    index.add(7, data[0])
    index.add([8], data[1].tolist())
    assert index.search(data[1], 1).ids.tolist() == [[8]]
    assert 7 in index
    assert 9 not in index
    index.remove(7)
    assert 7 not in index
    index.add(np.empty(0, int), np.empty((0, D)))
    index.remove([])
    assert len(index) == 1


@pytest.mark.parametrize("ids", [[2**63 - 1, 0], np.array([5, 6], np.uint64), np.array([5, 6], np.int8)])
def test_any_integer_is_an_identifier(ids):
    data = vectors(np.random.default_rng(5), 2)
    index = make("lattice", "approximate", "cosine")
    index.add(ids, data)
    assert index.search(data, 1).ids[:, 0].tolist() == [int(i) for i in ids]
    index.remove(ids)
    assert len(index) == 0


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        ([1.0, 2.0], UsageError), ([1.5, 2.5], UsageError),
        (["1", "2"], UsageError), ([True, False], UsageError),
        ([-1, 2], UsageError), ([2**63, 1], UsageError), (np.array([2**64 - 1, 1], np.uint64), UsageError),
        ([2**64, 1], UsageError), ([None, 1], UsageError), ([3, 3], DuplicateError), ([1], UsageError),
        ([1, 2, 3], UsageError), ([[1, 2]], UsageError), ([0, 100], DuplicateError),
    ],
)  # fmt: skip
def test_other_identifiers_are_refused_and_nothing_is_stored(ids, error):
    data = vectors(np.random.default_rng(6), 3)
    index = make("lattice", "approximate", "cosine")
    index.add([100], data[2])
    with pytest.raises(error):
        index.add(ids, data[:2])
    assert len(index) == 1
    assert index._session.identity.revision == 1


@pytest.mark.parametrize(
    "ids", [[1.5], [1.0], ["1"], [2**63], [2**64], [-1], [2], [1, 2], [[1]], None, [True]]
)
def test_removing_takes_identifiers_that_are_there(ids):
    index = make("lattice", "approximate", "cosine")
    index.add([1], vectors(np.random.default_rng(7), 1))
    with pytest.raises((UsageError, NotFoundError)):
        index.remove(ids)
    assert 1 in index


NAN = np.full(D, 0.25) * [np.nan, *[1] * (D - 1)]
BAD = {
    "nan": (NAN, VectorError), "infinite": (np.array([np.inf] * D), VectorError),
    "huge": (np.full(D, 1e200), VectorError), "text": (["x"] * D, VectorError),
    "complex": (np.full(D, 1j), VectorError), "short": (np.ones(D - 1) / 9, DimensionError),
    "long": (np.ones(D + 1) / 9, DimensionError), "deep": (np.ones((1, 1, D)) / 9, DimensionError),
    "a number": (0.5, DimensionError),
}  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "metric"),
    [
        (bad, metric)
        for bad in BAD
        for metric in ("cosine", "euclidean")
        if (bad, metric) != ("huge", "cosine")
    ],
)
def test_bad_vectors_are_refused_and_nothing_is_stored(bad, metric):
    vector, error = BAD[bad]
    index = make("lattice", "approximate", metric)
    with pytest.raises(error):
        index.add([1], vector)
    with pytest.raises(error):
        index.search(vector)
    assert len(index) == 0
    assert index._session.identity.revision == 0


def test_a_huge_vector_has_a_direction():
    index = make("lattice", "approximate", "cosine")
    index.add([1], np.full(D, 1e308))
    assert index.search(np.full(D, 1e-200), 1).scores[0, 0] == pytest.approx(1, abs=0.02)


def test_ragged_vectors_are_refused():
    with pytest.raises(DimensionError):
        make("lattice", "approximate", "cosine").add([1, 2], [[1.0] * D, [1.0] * 3])


def test_a_bad_vector_or_identifier_in_a_later_batch_stops_everything(monkeypatch):
    monkeypatch.setattr("blindsight.trusted.session._BATCH_BLOCKS", 1)
    random = np.random.default_rng(8)
    for metric, bad in (("cosine", 0.0), ("inner_product", 9.0), ("euclidean", np.nan)):
        index = make("lattice", "approximate", metric)
        index.add([5000], vectors(random, 1, metric))
        data = vectors(random, 600, metric)
        with pytest.raises(DuplicateError):
            index.add([*range(599), 5000], data)
        with pytest.raises(UsageError):
            index.add([*range(599), -1], data)
        data[577] *= bad
        with pytest.raises(VectorError, match="577"):
            index.add(np.arange(600), data)
        assert len(index) == 1
        assert index._session.identity.revision == 1


def test_nothing_of_a_vector_or_score_is_in_an_error():
    index = make("lattice", "approximate", "cosine")
    with pytest.raises(BlindsightError) as caught:
        index.add([1], np.array([0.123456789] * (D - 1) + [np.nan]))
    assert "123456" not in str(caught.value)


def test_asking_for_no_neighbours_is_refused():
    with pytest.raises(UsageError):
        make("lattice", "approximate", "cosine").search(np.ones(D), 0)


def test_clear_has_to_be_asked_for_by_its_name():
    with pytest.raises(RefusedError):
        EncryptedIndex(D, scheme="clear")
    with pytest.raises(UsageError):
        EncryptedIndex(D, scheme="rot13")


def test_a_folder_is_free_again_after_a_failed_start(tmp_path):
    with pytest.raises(UsageError):
        EncryptedIndex(D, matcher=tmp_path, name="Not A Name")
    with EncryptedIndex(D, matcher=tmp_path, name="a-name"):
        pass
    with (
        EncryptedIndex(D, matcher=tmp_path, name="other"),
        pytest.raises(UsageError, match="Another process"),
    ):
        EncryptedIndex(D, matcher=tmp_path)
    EncryptedIndex(D, matcher=tmp_path).close()


def test_templates_of_another_encoding_are_refused():
    session = make("lattice", "approximate", "cosine")._session
    with pytest.raises(MismatchError):
        session.add(np.array([1]), Templates(np.ones((1, D), np.int32), "fixed-of-another"))


def test_top_agrees_with_sorting():
    random = np.random.default_rng(9)
    for _ in range(50):
        count = int(random.integers(0, 40))
        ids = np.where(random.random(count) < 0.3, -1, np.arange(count))
        raw = random.integers(0, 9, count)
        k = int(random.integers(1, 45))
        rows = top(raw, ids, k)
        assert (ids[rows] != -1).all()
        assert raw[rows].tolist() == sorted(raw[ids != -1].tolist(), reverse=True)[:k]
        assert len(set(rows.tolist())) == len(rows)


# -- saved and loaded --------------------------------------------------------------------------------


def test_an_index_without_its_vectors_finds_them_again(tmp_path, unlock, matcher):
    data = vectors(np.random.default_rng(10), 300)
    index = make("lattice", "approximate", "cosine", matcher)
    index.add(np.arange(300), data)
    index.save(tmp_path / "keys", key_file=unlock.key_file, include_blocks=False)
    index.save(tmp_path / "whole", key_file=unlock.key_file)
    assert (tmp_path / "whole").stat().st_size > (tmp_path / "keys").stat().st_size + 2 * 128 * D * 4
    with pytest.raises(UsageError, match="which matcher"):
        EncryptedIndex.load(tmp_path / "keys", key_file=unlock.key_file)
    index.remove([0])
    second = EncryptedIndex.load(tmp_path / "keys", key_file=unlock.key_file, matcher=matcher)
    assert second.search(data[:2], 1).ids[1, 0] == 1
    assert 0 not in second
    second.add([777], data[0])
    assert index.search(data[0], 1).ids[0, 0] == 777
    copy = EncryptedIndex.load(tmp_path / "whole", key_file=unlock.key_file, matcher=tmp_path / "elsewhere")
    assert (copy.search(data, 1).ids[:, 0] == np.arange(300)).all()
    copy.close()


def test_what_does_not_open_a_saved_index(tmp_path, unlock):
    index = make("lattice", "approximate", "cosine")
    index.add([1], np.ones(D))
    path = tmp_path / "saved"
    index.save(path, passphrase="right")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(WrongPassphraseError):
        EncryptedIndex.load(path, passphrase="wrong")
    with pytest.raises(WrongPassphraseError):
        EncryptedIndex.load(path, key_file=unlock.key_file)
    make_key_file(tmp_path / "other")
    index.save(path, key_file=unlock.key_file)
    with pytest.raises(WrongPassphraseError):
        EncryptedIndex.load(path, key_file=tmp_path / "other")
    with pytest.raises(UsageError):
        EncryptedIndex.load(tmp_path / "none", key_file=unlock.key_file)
    path.write_bytes(b"something else")
    with pytest.raises(UsageError):
        EncryptedIndex.load(path, key_file=unlock.key_file)


def test_a_damaged_file_leaves_no_gallery_behind(tmp_path, unlock, matcher, monkeypatch):
    monkeypatch.setattr("blindsight.trusted.session._BATCH_BLOCKS", 1)
    index = make("lattice", "approximate", "cosine")
    index.add(np.arange(600), vectors(np.random.default_rng(11), 600))
    path = tmp_path / "saved"
    index.save(path, key_file=unlock.key_file)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CorruptVaultError):
        EncryptedIndex.load(path, key_file=unlock.key_file, matcher=matcher)
    assert matcher.totals() == (0, 0, 0, 0)


# -- memory ------------------------------------------------------------------------------------------

MEMORY = """
import resource, sys, threading
import numpy as np
from blindsight.trusted.index import EncryptedIndex
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10
index = EncryptedIndex({dimension})
index.add(np.arange(300), np.random.default_rng(0).normal(size=(300, {dimension})))
random = np.random.default_rng(1)
data = random.standard_normal(({count}, {dimension}), np.float32)
base = peak()
index.add(np.arange(1000, 1000 + {count}), data)
print((peak() - base) / data.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_adding_many_vectors_takes_little_more_than_the_vectors():
    """The bound that is promised for a million: 2.5 times the vectors, their own memory included."""
    code = MEMORY.format(count=200_000, dimension=128)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.5
