"""The camera's benchmark counts what was sent and compared, and where the time went."""

import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation import bench_camera as bench
from blindsight.trusted.camera_clock import FOOTAGE, PICTURES, PROTECTION, StageClock
from cli.running import run
from watching import SOMEBODY, film, pipeline, scene

pytest.importorskip("av")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("films")
    film(made / "somebody.mp4", [scene(SOMEBODY, 4 * i) for i in range(10)])
    film(made / "nobody.mp4", [scene(None)] * 10)
    return made


@pytest.fixture
def quick(monkeypatch):
    """The command with an embedder for generated films."""
    monkeypatch.setattr("blindsight.vision.open_embedder", lambda name, **options: pipeline())


def test_two_passes(folder, quick):
    """A film of ten frames, twice over, cropped to 4:3."""
    told = run(
        "bench", "camera", "--source", folder / "somebody.mp4", "--entries", 7, "--size", "160x120",
        "--frames", 20, "--json",
    )  # fmt: skip
    assert told.code == 0
    tracked, every = (bench.CameraBench(**row) for row in told.json)
    assert (tracked.sending, every.sending) == ("tracked", "every face")
    for row in (tracked, every):
        assert (row.width, row.height, row.entries, row.frames) == (160, 120, 7, 20)
        assert row.faces_found == 20
        assert all(getattr(row, f"{stage}_ms") > 0 for stage in (*PICTURES, *PROTECTION))
        assert row.frames_per_second == pytest.approx(20 / row.seconds, rel=0.01)
        parts = sum(getattr(row, f"{stage}_ms") for stage in PROTECTION)
        assert row.protection_ms == pytest.approx(parts, rel=0.01)
        frame, face = (sum(getattr(row, f"{s}_ms") for s in part) for part in (PICTURES[:3], PICTURES[3:]))
        whole = 20 * frame + row.faces_sent * (face + parts)
        assert row.protection_share == pytest.approx(row.faces_sent * parts / whole, rel=0.02)
    assert 1 <= tracked.faces_sent < every.faces_sent == 20


def test_parties_that_compare_something_else_are_no_row(folder, quick, monkeypatch):
    monkeypatch.setattr(bench, "_SECONDS", 0.2)
    monkeypatch.setattr(bench._Compared, "run", lambda self: None)
    told = run("bench", "camera", "--source", folder / "somebody.mp4", "--size", "160x120", "--frames", 2)
    assert (told.code, told.out) == (3, "")
    assert "did not compare all" in told.err


def test_a_table(folder, quick, monkeypatch):
    """Without a single party: what is printed of a row."""
    row = bench.CameraBench("tracked", 640, 480, 150, 300, 10.0, 30.0, 40, 4, 0.4, *[1.5] * 8, 6.0, 0.0123)
    monkeypatch.setattr(bench, "bench_camera", lambda *given, **more: [row])
    told = run("bench", "camera", "--source", folder / "somebody.mp4")
    assert told.code == 0
    assert "1.23 %" in told.out
    assert "detect, ms a frame" in told.out
    assert "deal, ms a face sent" in told.out


def test_what_cannot_be_measured(folder):
    with pytest.raises(UsageError, match="repeat"):
        bench.bench_camera("rtsp://127.0.0.1/x", pipeline())
    with pytest.raises(UsageError, match="finds no face"):
        bench.bench_camera(str(folder / "nobody.mp4"), pipeline(), entries=1, size=(160, 120), count=3)
    for size in ("640", "0x0", "641x480", "99999x99999"):
        told = run("bench", "camera", "--source", folder / "nobody.mp4", "--size", size, "--json")
        assert (told.code, told.json["error"]) == (2, "usage")


def test_the_clock():
    clock = StageClock()
    assert clock.protection_share == 0.0
    with clock("detect"):
        pass
    with pytest.raises(ZeroDivisionError), clock("send"):
        raise ZeroDivisionError
    assert clock.counts == {
        stage: int(stage in ("detect", "send")) for stage in (*PICTURES, *PROTECTION, FOOTAGE)
    }
    assert 0.0 < clock.protection_share < 1.0
    assert clock.longest("send") > 0.0
    clock.restart()
    assert sum(clock.seconds.values()) == 0.0
    assert clock.longest("send") > 0.0
