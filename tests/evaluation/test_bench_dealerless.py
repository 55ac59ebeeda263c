"""The benchmark without a dealer measures what it says, and compares with the plaintext rule."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from blindsight.evaluation import bench_dealerless as bench
from cli.running import run

SMALL = bench.Plan(entries=3, dim=4, faces=3, batch=2, together=2, units=False)
ASKED = {"entries", "faces", "offline_s_per_face", "offline_mb_per_face", "online_ms", "security_bits"}


def test_a_row_in_one_process_and_over_tls():
    alone = bench.in_process(SMALL)
    with bench.Networked() as parties:
        row = parties.measure(SMALL)
    for found in (alone, row):
        assert set(asdict(found)) >= ASKED
        assert (found.entries, found.faces, found.security_bits, found.value_bits) == (3, 3, 40, 24)
        assert found.matches >= 1
        assert (
            min(
                found.offline_s_per_face,
                found.online_ms,
                found.online_ms_batched,
                found.setup_s,
                found.peak_mb,
            )
            > 0
        )
    # Framing is five bytes a message; what the protocol says is the same.
    assert alone.online_rounds == row.online_rounds
    assert row.online_kb * 1e3 == pytest.approx(alone.online_kb * 1e3 + 2 * 5 * row.online_rounds)
    assert row.offline_mb_per_face == pytest.approx(alone.offline_mb_per_face, rel=0.05)
    assert "TLS" in row.network


def test_a_wrong_result_is_no_row(monkeypatch):
    class Wrong(bench.Watchlist):
        def matches(self, faces):
            return ~super().matches(faces)

    monkeypatch.setattr(bench, "Watchlist", Wrong)
    with pytest.raises(AssertionError, match="differ"):
        bench.in_process(SMALL)


def test_the_command():
    wanted = ("--source", "none", "--entries", "2", "--dim", "4", "--faces", "2", "--in-process", "--json")
    found = run("bench", "two-party", *wanted)
    assert found.code == 0, found.err
    document = found.json
    assert set(document) >= ASKED
    assert {"transfer", "tag", "triple", "and_triple", "square", "random_bit", "edabit", "comparison"} == set(
        document["units"]
    )
    assert all(cost["us"] > 0 and cost["bytes"] > 0 for cost in document["units"].values())
    refused = run("bench", "two-party", "--source", "nobody")
    assert refused.code == 2
    assert "provider" in refused.err
