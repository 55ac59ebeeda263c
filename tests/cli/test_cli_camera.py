"""``serve camera`` end to end: three processes, a real face, dlib; and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import urllib.request

import pytest

import clips
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import quantise
from blindsight.trusted.camera_clock import FOOTAGE, PICTURES, PROTECTION
from blindsight.vision import Image, open_embedder
from cli.running import BLINDSIGHT, run
from duo import Duo
from surveillance import Process, Town

pytest.importorskip("av")
PARAMS = Params.for_radius(128, radius=2.0)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Parties with the astronaut and strangers on their list, of dlib's model."""
    pipeline = open_embedder("dlib")
    face = pipeline.largest_face(Image(clips.picture(0), "a frame"))
    made = Town(
        tmp_path_factory.mktemp("town"), params=PARAMS, threshold=PARAMS.threshold(0.6**2),
        model_id=face.model_id, people={"astronaut": quantise(PARAMS, face.vector)[0]},
    )  # fmt: skip
    made.serve(1)
    made.serve(0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return clips.clip(tmp_path_factory.mktemp("clip") / "astronaut.mp4", 30)


@pytest.fixture
def signals():
    """Commands that run in this process take signals over."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def arguments(town, source, *options):
    ports = [f"127.0.0.1:{port}" for port in town.ports]
    return [
        "serve", "camera", "--identity", str(town.identities[2].folder), "--source", str(source),
        "--party0", ports[0], "--party1", ports[1], *options,
    ]  # fmt: skip


def watching(town, source, *options):
    return Process([*BLINDSIGHT, *arguments(town, source, "--json", *options)], {})


def alerts(town):
    return [[name for alert in party.alerts() for _, name in alert["matches"]] for party in town.processes]


def test_an_alert_for_the_person_and_only_once(town, clip):
    """A file, to its end: what is printed is what was done."""
    camera = watching(town, clip, "--dummies", "2", "--tick", "0.5", "--every", "0.3", "--metrics-port", "0")
    started = camera.wait_for("started")
    assert (started["camera"], started["source"]) == ("gate", "astronaut.mp4")
    opened = camera.wait_for("open")
    assert opened["entries"] == 11
    address = f"http://127.0.0.1:{started['metrics_port']}/metrics"
    text = urllib.request.urlopen(address, timeout=10).read().decode()
    assert "blindsight_camera_open 1.0" in text
    assert 'blindsight_camera_stage_seconds_total{stage="detect"}' in text
    over = camera.wait_for("over")
    assert camera._process.wait(10) == 0
    assert [said["event"] for said in camera.said].count("counts") >= 1
    assert (over["reason"], over["frames"], over["found"], over["tracks"]) == ("ended", 30, 30, 1)
    assert over["sent"] == over["answered"] == 1
    assert over["sent"] + over["dummies"] == 2 * over["ticks"]
    assert 0 < over["protection_share"] < 0.5
    assert list(over["stage_seconds"]) == [*PICTURES, *PROTECTION, FOOTAGE]
    assert alerts(town) == [["astronaut"], ["astronaut"]]


def test_no_alert_at_another_threshold(clip, tmp_path, signals):
    """The same camera and the same face; a list on which she would have to be closer than she is."""
    face = open_embedder("dlib").largest_face(Image(clips.picture(0), "a frame"))
    far = quantise(PARAMS, face.vector)[0]
    far[:40] += 30
    strict = Duo(
        Town(tmp_path, params=PARAMS, threshold=PARAMS.threshold(0.15**2), model_id=face.model_id,
             people={"astronaut": far})
    ).start()  # fmt: skip
    try:
        done = run(*arguments(strict.town, clip))
        assert done.code == 0
        assert "1 face, 1 answered" in done.out
        assert done.err == "the video is over\n"
        assert strict.alerts == ([], [])
    finally:
        strict.stop()


@pytest.mark.parametrize(("kind", "pieces", "every"), [("stills", 3, "0.5"), ("segments", 2, "0.5")])
def test_footage_is_kept_by_both(town, clip, kind, pieces, every, signals):
    """30 frames, 24 a second, a key frame every 12: stills at 0, 0.5 and 1 s, segments of half a second."""
    before = [len(held(town, party)) for party in (0, 1)]
    told = run(*arguments(town, clip, "--json", "--footage", kind, "--footage-every", every))
    assert told.code == 0, told.err
    counts = told.lines[-1]["footage"]
    assert counts["offered"] == counts["kept"] >= pieces
    assert (counts["refused"], counts["dropped"]) == (0, 0)
    both = [held(town, party)[before[party] :] for party in (0, 1)]
    assert len(both[0]) == len(both[1]) == counts["kept"]
    assert {one["kind"] for one in both[0]} == {kind.removesuffix("s")}
    assert {one["digest"] for one in both[0]} == {one["digest"] for one in both[1]}


def held(town, party):
    shown = run("footage", "list", town.folder / f"data{party}", "--camera", "gate", "--json")
    return shown.json["footage"] if shown.code == 0 else []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(town, clip, number):
    camera = watching(town, clip, "--realtime")
    camera.wait_for("started")
    os.kill(camera._process.pid, number)
    assert camera.wait_for("over")["reason"] == "stopped"
    assert camera._process.wait(5) == 0
    assert camera.errors == "stopped\n"


def test_so_many_seconds(town, clip, signals):
    told = run(*arguments(town, clip, "--json", "--realtime", "--seconds", "0.7"))
    assert (told.code, told.lines[-1]["reason"]) == (0, "stopped")
    assert told.lines[-1]["frames"] < 30


def test_what_is_refused(town, clip, tmp_path, signals):
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no video at all" * 99)
    party = str(town.identities[0].folder)
    cases = [
        (arguments(town, tmp_path / "none.mp4"), 2, "does not exist"),
        (arguments(town, "ftp://127.0.0.1/x"), 2, "begins with rtsp://"),
        (arguments(town, junk), 2, "damaged or of a kind"),
        (arguments(town, clip, "--party0", "nowhere"), 2, "not a host and a port"),
        (arguments(town, clip, "--party1", "127.0.0.1:0"), 2, "not a host and a port"),
        (arguments(town, clip, "--identity", party), 2, "not a camera's"),
        (arguments(town, clip, "--identity", str(tmp_path)), 3, "no identity"),
        (arguments(town, clip, "--embedder", "magic"), 2, "no embedder"),
        (arguments(town, clip, "--detector", "magic"), 2, "no detector"),
        (arguments(town, clip, "--embedder", "dlib:68"), 3, "this camera embeds with dlib"),
        (arguments(town, clip, "--fps", "0"), 2, "above 0"),
        (arguments(town, clip, "--dummies", "-1"), 2, "--dummies"),
        (arguments(town, clip, "--dummies", "65"), 2, "--buffer"),
        (arguments(town, clip, "--dummies", "2", "--tick", "0.01"), 2, "A tick lasts"),
        (arguments(town, clip, "--buffer", "0"), 2, "--buffer"),
        (arguments(town, clip, "--repeat", "-3"), 2, "tracking policy"),
        (arguments(town, clip, "--seconds", "0"), 2, "--seconds"),
        (arguments(town, clip, "--metrics-port", "70000"), 2, "--metrics-port"),
    ]
    for given, code, text in cases:
        told = run(*given, "--json")
        assert told.code == code, (given, told)
        last = json.loads(told.out.splitlines()[-1])
        assert text in last["message"], (given, told)
        assert "Traceback" not in told.err
