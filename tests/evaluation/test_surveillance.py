"""The two-party evaluation: its rules, what it counts, and its page."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blindsight.core.errors import InsecureParametersError, UsageError
from blindsight.evaluation import bench_two_party as bench
from blindsight.evaluation import surveillance_accuracy as accuracy
from blindsight.evaluation.attacks import unauthenticated
from blindsight.evaluation.crowd import crowd_of, generated_crowd
from blindsight.evaluation.embeddings import PhotoEmbeddings
from blindsight.evaluation.pairs import Pair, PairList
from blindsight.evaluation.surveillance_attack import evaluate_attacks
from blindsight.evaluation.surveillance_bench import THESIS, Cost, measure
from blindsight.evaluation.surveillance_report import Surveillance, as_fields, report_of, tables
from blindsight.schemes.spdz2k.messages import Kind, Layout
from blindsight.schemes.spdz2k.params import Params
from blindsight.vision.folder import Photo, Rejection

CROWD = generated_crowd(20, 3, 16)


@pytest.fixture(scope="module")
def found():
    return accuracy.evaluate_accuracy(CROWD, (40, 127))


# -- who is compared ---------------------------------------------------------------------------------


def test_a_generated_crowd_is_neither_trivial_nor_hopeless():
    crowd = generated_crowd()
    right = accuracy._float_rule(crowd).rates(crowd.genuine)
    assert len(crowd.pairs) == 1200
    assert crowd.genuine.sum() == 600
    assert 0.9 < right[0] < 1.0
    assert np.allclose(np.linalg.norm(crowd.vectors, axis=1), 1.0)


def photos():
    one, two, three, four = (Photo(who, Path(f"{who}_{n}.jpg")) for who, n in ("a1", "a2", "b1", "c1"))
    vectors = {one: [3, 4], two: [3, 3], three: [0, -2]}
    embedded = {photo: np.array(vector, np.float32) for photo, vector in vectors.items()}
    pairs = PairList((Pair(one, two), Pair(one, three), Pair(one, four)))
    return pairs, PhotoEmbeddings("a model", embedded, (Rejection(four, "no-face", "No face."),))


def test_a_crowd_of_photos():
    pairs, embedded = photos()
    crowd = crowd_of(pairs, embedded, metric="euclidean", threshold=0.5, radius=np.inf)
    assert (crowd.threshold, crowd.radius, crowd.listed) == (0.25, 5.0, 3)
    assert crowd.genuine.tolist() == [True, False]
    rows = crowd.vectors[crowd.pairs]
    assert ((rows[:, 0] - rows[:, 1]) ** 2).sum(axis=1).tolist() == [1.0, 45.0]
    assert crowd_of(pairs, embedded, metric="euclidean", threshold=0.5, radius=9.0).radius == 9.0


def test_cosines_become_distances_of_directions():
    pairs, embedded = photos()
    crowd = crowd_of(pairs, embedded, metric="cosine", threshold=0.4, radius=np.inf)
    rows = crowd.vectors[crowd.pairs]
    cosine = (rows[:, 0] * rows[:, 1]).sum(axis=1)
    squared = ((rows[:, 0] - rows[:, 1]) ** 2).sum(axis=1)
    assert cosine == pytest.approx([21 / (5 * 18**0.5), -0.8])
    assert ((cosine > 0.4) == (squared < crowd.threshold)).all()
    assert (crowd.radius, crowd.threshold) == (1.0, pytest.approx(1.2))


# -- accuracy ----------------------------------------------------------------------------------------


def test_parameters_have_the_fewest_value_bits():
    for scale, radius in ((127, 1.0), (255, 1.0), (1023, 1.0), (127, 2.0)):
        params = accuracy.params_for(128, scale, radius)
        assert params.norm >= radius * scale + 128**0.5 / 2
        assert 4 * params.norm**2 < 2 ** (params.value_bits - 1)
        assert 4 * params.norm**2 >= 2 ** (params.value_bits - 2)
    with pytest.raises(InsecureParametersError, match="38 bits"):
        accuracy.params_for(128, 1023, 2.0)


def test_every_bit_is_that_of_the_integers(found):
    """The rule by hand, in Python's integers."""
    assert [one.scale for one in found.scales] == [40, 127, Params.for_radius(16).scale]
    for one in found.scales:
        assert one.differences == 0
        assert one.comparisons == 20 * 60 - 20 * 20  # 20 first photos, against 40 that are second ones
        for at, (a, b) in enumerate(CROWD.pairs.tolist()):
            x, c = (np.rint(CROWD.vectors[row] * one.scale).astype(int).tolist() for row in (a, b))
            squared = sum((p - q) ** 2 for p, q in zip(x, c, strict=True))
            assert one.integers.squared[at] == squared / one.scale**2
            assert bool(one.protocol[at]) is (squared < round(CROWD.threshold * one.scale**2))


def test_rates_by_hand(found):
    matched, genuine = found.floats.matches.tolist(), CROWD.genuine.tolist()
    tar = sum(m for m, g in zip(matched, genuine, strict=True) if g) / sum(genuine)
    far = sum(m for m, g in zip(matched, genuine, strict=True) if not g) / genuine.count(False)
    right = sum(m == g for m, g in zip(matched, genuine, strict=True)) / len(genuine)
    assert found.floats.rates(CROWD.genuine) == pytest.approx((right, tar, far))
    coarse = found.scales[0]
    assert found.changed(coarse) == sum(
        a != b for a, b in zip(matched, coarse.integers.matches.tolist(), strict=True)
    )


def test_several_lists_give_the_same(found, monkeypatch):
    monkeypatch.setattr(accuracy, "LONGEST_LIST", 7)
    again = accuracy.evaluate_accuracy(CROWD, (40,)).scales[0]
    assert again.protocol.tolist() == found.scales[0].protocol.tolist()
    assert again.differences == 0
    assert again.comparisons < found.scales[0].comparisons


@pytest.mark.parametrize("side", [0, 1])
def test_a_lie_is_counted(monkeypatch, side):
    class Lying(bench.InProcess):
        def compare(self, material, inputs):
            results = list(super().compare(material, inputs))
            bits = results[side].bits.copy()
            bits[0, 0] ^= True
            was = results[side]
            results[side] = type(was)(was.session, was.first, bits, was.receipt)
            return tuple(results)

    monkeypatch.setattr(accuracy, "InProcess", Lying)
    lied = accuracy.evaluate_accuracy(CROWD, (127,))
    assert all(one.differences > 0 for one in lied.scales)


def test_a_scale_that_does_not_fit_is_said():
    refused = accuracy.evaluate_accuracy(generated_crowd(4, 2, 16), (65535,)).scales[-1]
    assert refused.scale == 65535
    assert refused.integers is None
    assert "lower the scale" in refused.refused


# -- cost --------------------------------------------------------------------------------------------


def cost(entries, dim, threads):
    row = bench.bench_two_party(entries, dim, repeats=1, batch=2)
    return Cost(threads, row, 5000, 4500, 237_000, 236_000)


@pytest.fixture(scope="module")
def everything(found):
    return Surveillance(
        (cost(150, 128, 1), cost(150, 32, 1), cost(150, 128, 3)),
        (cost(5, 16, 1), cost(50, 16, 1)),
        found,
        evaluate_attacks(CROWD, entries=5, hunted=1, others=5),
    )


def test_measured_with_party_processes(monkeypatch):
    monkeypatch.setenv("BLINDSIGHT_THREADS", "7")
    one = measure(9, 8, 2, repeats=1, batch=4)
    assert os.environ["BLINDSIGHT_THREADS"] == "7"
    layout = Layout(Params.for_radius(8), 9)
    sizes = {kind: layout.size(kind, 1) for kind in Kind if kind is not Kind.GRANT}
    online = 2 * (sizes[Kind.INPUTS] + sizes[Kind.OPEN] + sizes[Kind.BITS] + sizes[Kind.CHECK])
    assert online < one.online_bytes < online + 200
    assert one.total_bytes - one.online_bytes == sizes[Kind.MATERIAL_0] + sizes[Kind.MATERIAL_1]
    assert one.online_bytes_batched < one.online_bytes
    assert one.total_bytes_batched - one.online_bytes_batched < one.total_bytes - one.online_bytes
    assert (one.threads, one.row.batch, one.thesis) == (2, 4, None)
    assert "two party processes" in one.row.network


def test_threads_are_set_where_there_were_none(monkeypatch):
    from blindsight.evaluation import surveillance_bench

    monkeypatch.delenv("BLINDSIGHT_THREADS", raising=False)
    with surveillance_bench._threads(3):
        assert os.environ["BLINDSIGHT_THREADS"] == "3"
    assert "BLINDSIGHT_THREADS" not in os.environ


def test_which_line_is_the_thesis(everything):
    one, small, three = everything.table
    assert one.thesis is THESIS[0]
    assert one.thesis_online_s == 0.363
    assert (small.thesis, small.thesis_online_s) == (None, 0.105)
    assert (three.thesis, three.thesis_online_s) == (None, None)
    assert everything.sizes[0].thesis is None
    assert everything.reference is one


def test_ratios(everything):
    made = {table.name: table for table in tables(everything)}
    assert list(made) == ["costs", "beside-thesis", "neighbours", "entries", "accuracy", "corrupt-party"]
    beside = {row[:3]: row[3:] for row in made["beside-thesis"].rows}
    assert len(beside) == 21
    assert beside["total, MB", 128, 1] == ("104,551", "0.237", "441,143 ×")
    assert beside["online, MB", 128, 16] == ("4.24", None, None)
    thesis, here, ratio = beside["online, ms", 32, 1]
    own = everything.table[1].row.online_ms
    assert (thesis, here) == ("105", f"{own:.3g}" if own < 100 else f"{own:,.0f}")
    assert ratio is not None
    # One of many beside one of a batch, one face beside one face.
    row = everything.table[0].row
    cells = {one[0]: one for one in made["neighbours"].rows}
    for name, theirs, ours in (
        ("MP-SPDZ with a dealer, one face", 1.5, row.total_ms),
        ("MP-SPDZ with a dealer, one of a batch", 0.55, row.total_ms_batched),
    ):
        assert float(cells[name][-2].split()[0].replace(",", "")) == pytest.approx(theirs / ours, rel=0.01)


def test_the_line_without_a_dealer(everything):
    from blindsight.evaluation.bench_dealerless import Row

    alone = Row(150, 128, 4, 0.5, 20.0, 1.0, 5.0, 2.0, 16, 9.0, 40.0, 33, 40, 24, 1.0, 0, 99.0, {}, "none")
    made = {table.name: table for table in tables(replace(everything, alone=alone))}
    rows = {row[0]: row[1:] for row in made["neighbours"].rows}
    assert rows["here, no dealer"][:5] == ("active, no dealer", "505", "5", "20", "0.04")
    assert rows["here, no dealer, one of 16"][:3] == ("active, no dealer", "502", "2")
    assert as_fields(replace(everything, alone=alone))["without_dealer"]["offline_s_per_face"] == 0.5


def test_the_page_and_the_document(everything, tmp_path):
    page = report_of(everything, {"entries": 150}).write_page(tmp_path / "surveillance.html")
    text = page.read_text()
    for words in (
        "Neighbours",
        "not in this run",
        "Linear in entries",
        "Section 3.3",
        "without authentication",
    ):
        assert words in text
    names = {path.stem for path in (tmp_path / "surveillance-csv").iterdir()}
    assert names == {
        "costs", "beside-thesis", "neighbours", "entries", "accuracy", "corrupt-party",
        "time-over-threads", "time-of-systems", "time-over-entries", "roc", "distances", "attack",
    }  # fmt: skip
    fields = json.loads(json.dumps(as_fields(everything)))
    assert [line["threads"] for line in fields["thesis"]] == [1, 2, 4, 8, 16]
    assert {one["differences"] for one in fields["accuracy"]["scales"]} == {0}
    assert len(fields["attacks"]["outcomes"]) == 11
    assert fields["table"][1]["thesis_online_s"] == 0.105


def test_parts_that_did_not_run_are_left_out():
    empty = Surveillance()
    assert tables(empty) == ()
    assert "<section>" not in report_of(empty, {}).html()
    assert as_fields(empty)["accuracy"] is None
    other = Surveillance(table=(cost(5, 16, 1),))
    assert [table.name for table in tables(other)] == ["costs"]


def test_the_insecure_protocol_is_no_scheme():
    """Nothing but the experiment imports it."""
    source = Path(unauthenticated.__file__).parents[2]
    users = [path.name for path in source.rglob("*.py") if "attacks.unauthenticated" in path.read_text()]
    assert users == ["surveillance_attack.py"]


def test_a_list_without_a_kind_of_pairs():
    pairs, embedded = photos()
    with pytest.raises(UsageError, match="Too few faces"):
        crowd_of(PairList(pairs.pairs[:1]), embedded, metric="euclidean", threshold=1.0, radius=1.0)
