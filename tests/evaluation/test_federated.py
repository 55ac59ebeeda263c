"""The tables of seed 003's paper, the attack on DPHE, and the command that prints them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from blindsight.core.errors import UsageError
from blindsight.evaluation import federated
from blindsight.evaluation.attacks.dphe_supports import attack_study, draw, identify
from blindsight.evaluation.federated import Plan
from blindsight.evaluation.federated_plots import draw_methods, draw_sparsities
from blindsight.evaluation.kept_rows import KeptRows
from blindsight.evaluation.learning_data import among, generated, read_dataset
from blindsight.vision.image_features import FeatureCache, Gradients
from cli.running import run
from real_data import DATA, needs


@pytest.fixture(scope="module")
def small():
    return generated(6, 20)


def test_every_protected_sum_gives_the_plain_model(small):
    plan = Plan(users=(3, 5), rounds=3, alphas=(1e-4, 1e-2), ciphertexts=700)
    found = federated.study(small, plan)
    assert [row.users for row in found.methods] == [3] * 7 + [5] * 7
    summed = {(row.method, row.users): row for row in found.methods if row.protected_rounds}
    assert {method for method, _ in summed} == set(federated.PROTECTED)
    for row in summed.values():
        assert row.exact
        assert abs(row.difference) <= 0.1
        assert row.encrypt_s > 0
        assert row.bytes_per_weight > 1
        assert row.rounds == 3
    for method in ("masking", "bfv", "paillier-2048"):
        assert [(summed[method, u].protected_rounds, summed[method, u].protected_users) for u in (3, 5)] == [
            (3, 3),
            (3, 5),
        ]
    assert (summed["dphe", 5].protected_rounds, summed["dphe", 5].protected_users) == (1, 5)
    dense, sparse = found.sparsities
    assert dense.nonzero > sparse.nonzero
    assert dense.dphe_bytes > sparse.dphe_bytes
    assert dense.dense_bytes == sparse.dense_bytes


def test_what_is_too_slow_is_summed_in_the_open_and_says_so(small):
    plan = Plan(users=(3,), rounds=2, schemes=("dphe", "paillier-2048"), alphas=(1e-4,), ciphertexts=4)
    found = federated.study(small, plan)
    dphe, paillier = found.methods[3:]
    assert (dphe.protected_rounds, dphe.protected_users, dphe.encrypt_s) == (0, 0, None)
    assert (paillier.protected_rounds, paillier.protected_users) == (1, 2)
    assert paillier.difference == dphe.difference
    assert found.sparsities[0].dphe_encrypt_s is None
    assert found.sparsities[0].dense_encrypt_s > 0
    assert draw_sparsities(found).csv.splitlines()[1].split(",")[3] == ""


def test_a_wrong_sum_ends_the_study(small, monkeypatch):
    real = federated.private_sum
    monkeypatch.setattr(federated, "private_sum", lambda *a: replace(real(*a), values=np.zeros(120, int)))
    with pytest.raises(AssertionError, match="plain"):
        federated.study(small, Plan(users=(3,), rounds=1, schemes=("masking",), alphas=()))


def test_an_interrupted_study_goes_on_where_it_was(small, tmp_path, monkeypatch):
    plan = Plan(users=(3, 4), rounds=2, schemes=("masking", "bfv"), alphas=())
    begun = []

    def interrupted(done, what):
        begun.append(what)
        if what == "4 users, bfv":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        federated.study(small, plan, kept=KeptRows(tmp_path), progress=interrupted)
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 8  # all but the interrupted row; SGD on all images is one for both numbers of users
    measured = []
    real = federated.private_sum
    monkeypatch.setattr(federated, "private_sum", lambda *a: measured.append(a) or real(*a))
    found = federated.study(small, plan, kept=KeptRows(tmp_path))
    assert len(found.methods) == plan.rows == 10
    assert len(measured) == 2  # the rounds of the row that was missing
    kept[0].write_text(kept[0].read_text()[:-9])
    again = federated.study(small, plan, kept=KeptRows(tmp_path))
    assert [row.accuracy for row in again.methods] == [row.accuracy for row in found.methods]
    measured.clear()
    other = Plan(users=(3,), rounds=1, schemes=("masking",), alphas=())
    federated.study(small, other, kept=KeptRows(tmp_path))
    assert len(measured) == 1  # rows of another plan are other rows


def test_both_tables_are_drawn(small, tmp_path):
    found = federated.study(
        small, Plan(users=(3, 5), rounds=1, schemes=("masking",), alphas=(1e-4,), ciphertexts=300)
    )
    plot = draw_methods(found, folder=tmp_path)
    assert len(plot.csv.splitlines()) == 9
    assert "masking" in plot.svg
    assert len(draw_sparsities(found, folder=tmp_path).csv.splitlines()) == 2
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".png", ".csv"}
    for draw_one in (draw_methods, draw_sparsities):
        with pytest.raises(UsageError, match="nothing"):
            draw_one(replace(found, methods=(), sparsities=()))


def test_images_are_dealt_out_once(small):
    shares = among(small, 7)
    assert sum(len(x) for x, _ in shares) == len(small.train)
    assert {len(x) for x, _ in shares} <= {25, 26}
    for users in (1, 10**6):
        with pytest.raises(UsageError):
            among(small, users)


def test_images_are_read_from_lists(tmp_path):
    generator = np.random.default_rng(1)
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(generator.integers(0, 256, (30, 40, 3)).astype(np.uint8)).save(path)
    (tmp_path / "train.txt").write_text("cat/1.png\ndog/1.png\n\n")
    (tmp_path / "test.txt").write_text("cat/2.png\n")
    seen = []
    cache = FeatureCache(Gradients(), None)
    found = read_dataset(tmp_path, cache, lambda done, of: seen.append((done, of)))
    assert found.classes == ("cat", "dog")
    assert found.train_labels.tolist() == [0, 1]
    assert found.test_labels.tolist() == [0]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for bad in ("../secret.png\n", "/etc/passwd\n", "cat\n", "a/b/c.png\n", ""):
        (tmp_path / "test.txt").write_text(bad)
        with pytest.raises(UsageError, match="list"):
            read_dataset(tmp_path, cache, lambda done, of: None)
    (tmp_path / "test.txt").unlink()
    with pytest.raises(UsageError, match=r"test\.txt"):
        read_dataset(tmp_path, cache, lambda done, of: None)


# -- the attack ----------------------------------------------------------------------------------


def test_histories_that_are_one_of_a_kind_are_identified():
    published = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1]], bool)
    permuted = np.array([3, 0, 2, 1])  # weight k is at slot permuted[k]
    filled = np.zeros_like(published)
    filled[:, permuted] = published
    found = identify(filled, published)
    assert found.tolist() == [1, 3, -1, 0]  # the weight that never was anything stays unknown
    twins = published.copy()
    twins[:, 1] = twins[:, 0]
    filled[:, permuted] = twins
    assert identify(filled, twins).tolist() == [-1, 3, -1, -1]
    with pytest.raises(UsageError):
        identify(filled[:, :3], published)


def test_one_permutation_falls_and_the_remedies_hold(tmp_path):
    results = {one.name: one for one in attack_study(rounds=25, tries=(2, 12, 25))}
    paper = results["one P for all rounds"]
    assert paper.identified[0] < 0.05
    assert paper.identified[1] > 0.15
    assert paper.identified[-1] > 0.6
    assert paper.wrong[-1] < 0.05
    for remedy in ("fresh P each round", "one P, dense"):
        assert results[remedy].identified[-1] < 0.02
    assert results["one P, padded"].identified[-1] < 0.3 * paper.identified[-1]
    assert results["one P, dense"].bytes_per_weight > paper.bytes_per_weight
    plot = draw(list(results.values()), folder=tmp_path)
    assert plot.csv.splitlines()[0] == "way,rounds,identified,wrong"
    assert (tmp_path / "dphe-supports.png").stat().st_size > 10_000
    with pytest.raises(UsageError):
        draw([])


# -- the command -----------------------------------------------------------------------------------


def test_the_command_prints_one_document(tmp_path):
    small = (
        "--classes",
        4,
        "--dimension",
        15,
        "--users",
        3,
        "--rounds",
        2,
        "--scheme",
        "masking",
        "--scheme",
        "bfv",
    )
    found = json.loads(run("evaluate", "learning", *small, "--alpha", 0.001, "--json").out)
    assert found["weights"] == 60
    assert [row["method"] for row in found["methods"]][-2:] == ["masking", "bfv"]
    assert len(found["sparsities"]) == 1
    shown = run("evaluate", "learning", *small, "--alpha", 0.001, "--plots", tmp_path, "--keep", tmp_path)
    assert shown.code == 0
    assert (tmp_path / "learning-users.svg").is_file()
    assert "local only" in shown.out


@pytest.mark.data
@needs("caltech101", "train.txt")
def test_real_images_are_learned(tmp_path):
    done = run(
        "evaluate", "learning", DATA / "caltech101", "--cache", tmp_path, "--users", 5, "--rounds", 6,
        "--scheme", "masking", "--scheme", "bfv", "--alpha", 0.003, "--json",
    )  # fmt: skip
    rows = {row["method"]: row for row in json.loads(done.out)["methods"]}
    assert rows["masking"]["accuracy"] > rows["local only"]["accuracy"] + 10
    assert abs(rows["masking"]["difference"]) <= 0.1
    assert abs(rows["bfv"]["difference"]) <= 0.1
