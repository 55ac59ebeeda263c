"""The benchmark measures what it says, and compares with the plaintext rule."""

import json

import pytest

from blindsight.evaluation import bench_two_party as bench
from blindsight.schemes.spdz2k.messages import Kind, Layout
from blindsight.schemes.spdz2k.params import Params
from cli.running import run


class Lying(bench.InProcess):
    """Parties whose second result is wrong in one bit."""

    def compare(self, material, inputs):
        one, other = super().compare(material, inputs)
        bits = other.bits.copy()
        bits[0, 0] ^= True
        return one, type(other)(other.session, other.first, bits, other.receipt)


def test_a_row():
    row = bench.bench_two_party(20, 16, repeats=2, batch=4)
    layout = Layout(Params.for_radius(16), 20)
    assert (row.entries, row.dim, row.security_bits, row.batch) == (20, 16, 40, 4)
    assert row.material_bytes == layout.size(Kind.MATERIAL_1, 1)
    assert row.wire_bytes == 2 * sum(layout.size(kind, 1) for kind in (Kind.OPEN, Kind.BITS, Kind.CHECK))
    assert row.total_ms >= row.online_ms > 0
    assert row.total_ms >= row.dealer_ms > 0
    assert min(row.online_ms_batched, row.evaluate_ms, row.evaluate_openssl_ms) > 0


def test_a_wrong_result_is_no_row():
    with pytest.raises(AssertionError, match="differ"):
        bench.bench_two_party(5, 16, repeats=1, batch=2, parties=Lying())


def test_comparisons_reach_the_edges():
    seen = []
    found = bench.compare_many(100_000, entries=60, dim=16, progress=lambda done, of: seen.append((done, of)))
    params = Params.for_radius(16)
    assert found.comparisons >= 100_000
    assert found.differences == 0
    assert found.edges > 100
    assert 0 < found.matches < found.comparisons
    assert found.least <= -0.9 * params.largest_threshold
    assert found.most >= 0.95 * 4 * params.norm**2
    assert seen[-1] == (100_000, 100_000)


def test_a_difference_is_counted(monkeypatch):
    monkeypatch.setattr(bench, "InProcess", Lying)
    assert bench.compare_many(2_000, entries=30, dim=4).differences > 0


QUICK = ("bench", "two-party", "--dim", "8", "--repeats", "1", "--batch", "2")


def test_the_command():
    done = run(*QUICK, "--entries", "9", "--json")
    assert done.code == 0, done.err
    row = json.loads(done.out)
    wanted = "entries online_ms online_ms_batched dealer_ms total_ms material_bytes wire_bytes security_bits"
    assert set(wanted.split()) <= set(row)
    assert "two party processes" in row["network"]
    layout = Layout(Params.for_radius(8), 9)
    rounds = 2 * sum(layout.size(kind, 1) for kind in (Kind.OPEN, Kind.BITS, Kind.CHECK))
    assert rounds < row["wire_bytes"] < rounds + 200
    assert 0 < row["online_ms"] < row["total_ms"]


def test_the_command_with_a_provider():
    done = run(*QUICK, "--entries", "9", "--source", "provider", "--json")
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert row["source"] == "provider"
    assert 0 < row["online_ms"] < row["total_ms"]
    assert run(*QUICK, "--in-process", "--source", "provider").code == 2


def test_the_command_in_one_process():
    several = run(*QUICK, "--in-process", "--entries", "1", "--entries", "2", "--json")
    assert [row["entries"] for row in json.loads(several.out)] == [1, 2]
    assert "online ms batched" in run(*QUICK, "--in-process", "--entries", "9").out


def test_the_check_as_a_command():
    done = run("bench", "two-party", "--check", "5000", "--entries", "50", "--dim", "8", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["differences"] == 0
    assert found["comparisons"] >= 5000
