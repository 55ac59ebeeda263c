"""The benchmark of private sums: its rows, and that it notices a wrong sum."""

import json
import sys

import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation import bench_aggregation as bench
from blindsight.evaluation.federations import plain_sum
from cli.running import run

FIELDS = {"scheme", "users", "weights", "encrypt_s", "decrypt_s", "bytes_per_weight", "exact"}


def test_one_document_with_a_row_a_scheme():
    options = [part for name in ("dphe-5", "masking", "bfv", "paillier-2048") for part in ("--scheme", name)]
    done = run("bench", "aggregation", "--weights", 300, "--summed", 2, "--json", *options)
    rows = json.loads(done.out)
    assert [row["scheme"] for row in rows] == ["dphe-5", "masking", "bfv", "paillier-2048"]
    for row in rows:
        assert set(row) >= FIELDS
        assert row["exact"] is True
        assert row["weights"] == 300
        assert row["encrypt_s"] > 0
        assert row["bytes_per_weight"] > 0
    assert rows[1]["users"] == 11


def test_a_table_for_a_person():
    done = run("bench", "aggregation", "--weights", 100, "--scheme", "masking")
    assert done.code == 0
    assert "masking" in done.out
    assert "B/weight" in done.out


@pytest.mark.parametrize(("name", "package"), [("flower-secagg", "flwr"), ("tenseal-ckks", "tenseal")])
def test_other_systems_are_measured_beside_ours(name, package):
    pytest.importorskip(package)
    (row,) = bench.bench_aggregation(5000, only=[name])
    assert (row.scheme, row.weights) == (name, 5000)
    assert row.encrypt_s > 0
    assert row.decrypt_s > 0
    assert row.bytes_per_weight > 4


def test_without_their_packages_they_are_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "flwr.common.secure_aggregation.quantization", None)
    monkeypatch.setitem(sys.modules, "flwr.common.secure_aggregation.ndarrays_arithmetic", None)
    told = []
    assert bench.bench_aggregation(50, only=["flower-secagg"], progress=told.append) == []
    assert "not installed" in told[-1]


def test_a_wrong_sum_is_noticed(monkeypatch):
    monkeypatch.setattr(bench, "plain_sum", lambda updates: plain_sum(updates) + 1)
    with pytest.raises(AssertionError, match="sum of masking"):
        bench.bench_aggregation(50, only=["masking"])


def test_unknown_schemes_are_refused():
    with pytest.raises(UsageError, match="no scheme 'rsa'"):
        bench.bench_aggregation(50, only=["rsa"])
    with pytest.raises(UsageError, match="two users"):
        bench.bench_aggregation(50, only=["bfv"], summed=1)
