"""`serve watchlist`, `lookup` and `bench seal`."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from blindsight.evaluation import bench_seal
from cli.running import BLINDSIGHT, Served, run


@contextlib.contextmanager
def listed(path: Path, *options: str) -> Iterator[tuple[Served, dict]]:
    command = [*BLINDSIGHT, "serve", "watchlist", str(path), "--port", "0", "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = json.loads(process.stdout.readline())
        yield Served(process, said["url"], Path(said["token_file"])), said
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_a_list_of_photos_is_asked(photos: Path, tmp_path: Path) -> None:
    with listed(photos / "people", "--token-file", str(tmp_path / "token")) as (server, said):
        assert said["rows"] == ["Eileen Collins"] * 2
        assert said["count"] == 2
        ask = ("--server", server.url, "--token-file", server.token_file, "--json")
        found = run("lookup", photos / "mirrored.jpg", *ask)
        assert found.code == 0, found.err
        assert {match["row"] for match in found.json["matches"]} == {0, 1}
        assert found.json["bytes"]["received"] < 60_000
        none = run("lookup", photos / "mirrored.jpg", *ask, "--threshold", "0.01")
        assert (none.code, none.json["matches"]) == (1, [])
        (tmp_path / "wrong").write_text("0123456789abcdef")
        refused = run(
            "lookup", photos / "mirrored.jpg", "--server", server.url, "--token-file", tmp_path / "wrong"
        )
        assert refused.code == 3
        assert run("lookup", photos / "faceless.png", *ask).code == 4


def test_vectors_of_another_model_are_refused(photos: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "list.npy", np.eye(128)[:3])
    with listed(tmp_path / "list.npy", "--model-id", "some model") as (server, said):
        assert said["count"] == 3
        assert server.token_file == tmp_path / "list.npy.token"
        ask = ("--server", server.url, "--token-file", server.token_file, "--json")
        refused = run("lookup", photos / "mirrored.jpg", *ask)
        assert (refused.code, refused.json["error"]) == (3, "model-mismatch")


def test_lists_that_cannot_be(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", np.arange(9))
    (tmp_path / "not.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "empty").mkdir()
    for path in ("whole.npy", "not.npy", "nothing.npy"):
        assert run("serve", "watchlist", tmp_path / path, "--model-id", "m", "--port", "0").code == 2
    np.save(tmp_path / "good.npy", np.eye(16))
    assert run("serve", "watchlist", tmp_path / "good.npy", "--port", "0").code == 2
    assert run("serve", "watchlist", tmp_path / "empty", "--port", "0").code == 2
    open_to_all = ("--model-id", "m", "--host", "0.0.0.0", "--port", "0")
    assert run("serve", "watchlist", tmp_path / "good.npy", *open_to_all).code == 3


def test_bench_seal_prints_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_seal, "_PAUSE", 0.0)
    small = ("--templates", "300", "--watched", "300", "--repeats", "2", "--sample", "3")
    found = run("bench", "seal", *small, "--json").json
    for name in (
        "verify_ratio_vs_tenseal", "verify_bytes_ratio_vs_tenseal", "identify_ratio_vs_tenseal_loop",
        "plaintext_gallery_ms", "plaintext_gallery_up_bytes", "plaintext_gallery_down_bytes", "lattice_ms",
        "seed_loop_ms",
    ):  # fmt: skip
        assert found[name] > 0
    assert found["plaintext_gallery_exact"] is True
    assert found["verify_bytes_ratio_vs_tenseal"] >= 5
    assert found["verify_tenseal_bytes"] > 800_000  # two times 331 kB, and the answer
    assert found["verify_error_max"] < 1e-4
    assert found["identify_error_max"] < 2e-3
    assert found["identify_tenseal_loop_sample"] == 3
