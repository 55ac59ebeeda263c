"""The threshold file: round trips, strict parsing, and no threshold for the wrong model."""

import contextlib
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core.errors import (
    MalformedError,
    MismatchError,
    ModelMismatchError,
    UsageError,
)
from blindsight.evaluation.calibration import LARGEST_FILE, Calibration, parse_at
from blindsight.evaluation.evidence import Rule, TooFewComparisonsError
from blindsight.evaluation.scores import Comparisons

MODEL = "net-1"


def comparisons(larger=True, impostors=6000):
    generator = np.random.default_rng(1)
    sign = 1 if larger else -1
    return Comparisons(
        sign * generator.normal(0.7, 0.1, 500), sign * generator.normal(0.0, 0.1, impostors), larger
    )


def made(metric="cosine", fmrs=(1e-3, 1e-2)):
    return Calibration.from_comparisons(
        comparisons(metric != "euclidean"), fmrs, model_id=MODEL, metric=metric, replicates=50
    )


@pytest.fixture(scope="module")
def calibration():
    return made()


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "euclidean"])
def test_thresholds_do_what_they_say(metric):
    found = made(metric)
    c = comparisons(metric != "euclidean")
    assert [point.fmr for point in found.points] == [1e-2, 1e-3]
    for point in found.points:
        matched = c.impostor >= point.threshold if c.larger_is_closer else c.impostor <= point.threshold
        assert matched.mean() == point.observed_fmr <= point.fmr
        assert point.observed_fmr in point.fmr_interval
        assert point.fnmr in point.fnmr_interval
        assert (point.impostor_pairs, point.genuine_pairs) == (6000, 500)
    assert [point.firm for point in found.points] == [True, False]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_round_trip(tmp_path, metric):
    found = made(metric)
    path = tmp_path / "calibration.json"
    found.save(path)
    found.save(path)
    assert Calibration.load(path) == found
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.json"]
    assert found.threshold_at("fmr=1e-3", model_id=MODEL, metric=metric) == found.points[1].threshold
    assert found.threshold_at(0.001, model_id=MODEL, metric=metric) == found.points[1].threshold


def test_another_model_is_refused(calibration):
    with pytest.raises(ModelMismatchError, match="net-2"):
        calibration.threshold_at("fmr=1e-3", model_id="net-2", metric="cosine")
    with pytest.raises(MismatchError, match="euclidean"):
        calibration.threshold_at("fmr=1e-3", model_id=MODEL, metric="euclidean")


def test_an_fmr_that_was_not_calibrated_is_not_guessed(calibration):
    with pytest.raises(UsageError, match=r"0\.01, 0\.001"):
        calibration.threshold_at("fmr=5e-3", model_id=MODEL, metric="cosine")


@pytest.mark.parametrize(
    ("text", "value"),
    [("fmr=1e-3", 1e-3), ("fmr=0.001", 1e-3), (" fmr=1E-3 ", 1e-3), ("fmr=0.1%", 1e-3), ("fmr=1", 1.0)],
)
def test_at(text, value):
    assert parse_at(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    ["", "fmr", "fmr=", "1e-3", "fmr=0", "fmr=-1", "fmr=2", "fmr=nan", "fmr=inf", "fmr=1e-999", "far=1e-3",
     "fmr=1e-3 x", "fmr==1e-3", "fmr=１e-3", "fmr=1_0e-3", "fmr=101%"],
)  # fmt: skip
def test_bad_at(text):
    with pytest.raises(UsageError, match="fmr=1e-3"):
        parse_at(text)


@settings(deadline=None)
@given(st.text(max_size=20) | st.text("fmr=0123456789e-+.%", max_size=12))
def test_at_is_a_rate_or_an_error(text):
    with contextlib.suppress(UsageError):
        assert 0 < parse_at(text) <= 1


def test_what_cannot_be_calibrated():
    good = {"model_id": MODEL, "metric": "cosine", "replicates": 20}
    with pytest.raises(TooFewComparisonsError, match="30,000 impostor pairs"):
        Calibration.from_comparisons(comparisons(), [1e-4], **good)
    with pytest.raises(TooFewComparisonsError, match="rule of 30"):
        Calibration.from_comparisons(comparisons(), [1e-3], **good, rule=Rule.OF_30)
    with pytest.raises(UsageError, match="against"):
        Calibration.from_comparisons(comparisons(larger=False), [1e-2], **good)
    with pytest.raises(UsageError, match="contradict"):
        Calibration.from_comparisons(comparisons(), [1e-2, 1e-2], **good)
    with pytest.raises(UsageError, match="at least one"):
        Calibration.from_comparisons(comparisons(), [], **good)
    with pytest.raises(UsageError, match="named"):
        Calibration.from_comparisons(comparisons(), [1e-2], **good | {"model_id": ""})


def test_files_that_are_not_there(tmp_path, calibration):
    with pytest.raises(UsageError, match="opened"):
        Calibration.load(tmp_path / "none.json")
    with pytest.raises(UsageError, match="written"):
        calibration.save(tmp_path / "none" / "calibration.json")
    (tmp_path / "large").write_bytes(b" " * (LARGEST_FILE + 1))
    with pytest.raises(MalformedError, match="large"):
        Calibration.load(tmp_path / "large")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe{}")
    with pytest.raises(MalformedError, match="UTF-8"):
        Calibration.load(tmp_path / "bytes")


def edits():
    """Ways to spoil one field: path, value."""
    for key in ("format", "version", "model_id", "metric", "created", "points"):
        yield from (((key,), bad) for bad in (None, 7, "x", [], {}, True, [[]], [1]))
    for key in ("fmr", "threshold", "observed_fmr", "impostor_pairs", "genuine_pairs", "fnmr", "interval"):
        yield from ((("points", 0, key), bad) for bad in (None, "x", [], True, -1e400, 10**400, math.nan))
    for key in ("fmr", "observed_fmr", "fnmr"):
        yield from ((("points", 0, key), bad) for bad in (-0.1, 1.1))
    for key in ("impostor_pairs", "genuine_pairs"):
        yield from ((("points", 0, key), bad) for bad in (0, -5, 2.5, 1 << 60))
    for key in ("confidence", "fmr", "fnmr"):
        yield from (
            (("points", 0, "interval", key), bad) for bad in (None, 2, [1], [0.5, 0.1], [0, 2], ["a", 1])
        )
    yield ("points", 0, "fmr"), 0.0
    yield ("points", 1, "threshold"), -5.0
    yield ("points", 1, "fmr"), 1e-2
    yield ("points", 0, "observed_fmr"), 0.9
    yield ("extra",), 1
    yield ("points", 0, "extra"), 1
    yield ("points", 0, "interval", "extra"), 1
    yield ("version",), 2


@pytest.mark.parametrize(("path", "bad"), list(edits()), ids=str)
def test_spoiled_fields(calibration, path, bad):
    fields = json.loads(calibration.dumps())
    place = fields
    for key in path[:-1]:
        place = place[key]
    if path == ("model_id",) and isinstance(bad, str):
        return
    place[path[-1]] = bad
    with pytest.raises(MalformedError) as caught:
        Calibration.loads(json.dumps(fields))
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("key", ["format", "points", "model_id"])
def test_a_key_that_is_missing_or_twice(calibration, key):
    fields = json.loads(calibration.dumps())
    value = fields.pop(key)
    with pytest.raises(MalformedError):
        Calibration.loads(json.dumps(fields))
    twice = calibration.dumps().replace("{", "{" + f'"{key}": {json.dumps(value)},', 1)
    with pytest.raises(MalformedError):
        Calibration.loads(twice)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_corrupted_bytes_never_crash(calibration_text, data):
    raw = bytearray(calibration_text.encode())
    kind = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    at = data.draw(st.integers(0, len(raw) - 1))
    if kind == "cut":
        raw = raw[:at]
    elif kind == "flip":
        raw[at] = data.draw(st.integers(0, 127))
    else:
        raw[at:at] = data.draw(st.binary(max_size=8)).translate(bytes(i & 127 for i in range(256)))
    with contextlib.suppress(MalformedError):
        Calibration.loads(raw.decode())


@pytest.fixture(scope="module")
def calibration_text(calibration):
    return calibration.dumps()


@pytest.mark.parametrize("text", ["", "null", "[]", "[" * 100_000, '{"a":' * 50_000, "1" * 10_000, "NaN"])
def test_hostile_json(text):
    with pytest.raises(MalformedError):
        Calibration.loads(text)
