"""The camera before two parties: who is seen once, what goes wrong with videos and parties, what is kept."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
import weakref
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

import streaming
from blindsight.blind import party_cameras, party_door, party_intake
from blindsight.core.errors import (
    DamagedVideoError,
    ModelMismatchError,
    TruncatedVideoError,
    UnreadableVideoError,
    UsageError,
    VideoEndedError,
    VideoSizeError,
    VideoStalledError,
)
from blindsight.schemes.spdz2k.compute import Session
from blindsight.trusted import camera as camera_module
from blindsight.trusted import camera_link
from blindsight.trusted.camera import Settings, require_fit, require_valid
from blindsight.trusted.camera_link import Counts
from blindsight.vision import Segmenter
from blindsight.wire import tls
from blindsight.wire.tls import Identity
from duo import Duo
from surveillance import Town, until
from watching import ANOTHER, EVERY_FRAME, QUICK, SOMEBODY, CoarseEmbedder, film, listed, scene, watch

pytest.importorskip("av")
LIVE = Settings(live=QUICK)


def _duo(folder):
    made = Duo(Town(folder, cameras=("gate",), people={"somebody": listed(SOMEBODY)}))
    yield made
    made.stop()
    made.town.close()


@pytest.fixture
def own_duo(tmp_path):
    """Parties that a test starts, stops or changes."""
    yield from _duo(tmp_path)


@pytest.fixture(scope="module")
def one_duo(tmp_path_factory):
    for made in _duo(tmp_path_factory.mktemp("town")):
        yield made.start()


@pytest.fixture
def duo(one_duo):
    """Parties that serve, and raised no alert yet."""
    for alerts in one_duo.alerts:
        alerts.clear()
    return one_duo


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Clips of 25 frames a second."""
    folder = tmp_path_factory.mktemp("films")
    crossing = [scene(SOMEBODY, 4 * i) for i in range(30)]
    film(folder / "somebody.mp4", crossing)
    film(folder / "another.mp4", [scene(ANOTHER, 4 * i) for i in range(30)])
    film(folder / "nobody.mp4", [scene(None)] * 30)
    film(folder / "live.ts", [scene(SOMEBODY, i) for i in range(100)], fmt="mpegts")
    film(folder / "long.ts", [scene(SOMEBODY, i % 140) for i in range(500)], fmt="mpegts")
    film(folder / "small.ts", [scene(SOMEBODY, 8, (160, 128))] * 30, fmt="mpegts")
    data = bytearray((folder / "somebody.mp4").read_bytes())
    middle = data.index(b"mdat") + len(data) // 3
    data[middle : middle + 900] = bytes(900)
    (folder / "damaged.mp4").write_bytes(data)
    return folder


def names(duo):
    """Entries of all alerts, of each party."""
    return [[name for alert in alerts for _, name in alert.matches] for alerts in duo.alerts]


def finish(camera, seconds=20.0):
    """Wait for the end; where it took too long, say how far it was."""
    assert camera.wait(seconds), (camera.progress, camera.link.counts, camera.link.trouble)
    return camera.progress


# -- who is sent -------------------------------------------------------------------------------


def test_one_person_is_one_alert(duo, films):
    with watch(duo.town, films / "somebody.mp4") as camera:
        progress = finish(camera)
    assert (progress.frames, progress.found, progress.tracks, progress.chosen) == (30, 30, 1, 1)
    assert camera.link.counts == Counts(1, 1, 1, sessions=1)
    assert names(duo) == [["somebody"], ["somebody"]]
    seconds = camera.clock.seconds
    assert all(
        seconds[stage] > 0 for stage in ("decode", "detect", "track", "embed", "deal", "share", "send")
    )
    assert camera.clock.counts["embed"] == 1


def test_another_person_is_none(duo, films):
    with watch(duo.town, films / "another.mp4") as camera:
        assert finish(camera).chosen == 1
    assert camera.link.counts.answered == 1
    assert names(duo) == [[], []]


def test_every_face_of_a_file_is_sent(duo, films):
    """A file waits for the parties, however little may wait here."""
    with watch(duo.town, films / "somebody.mp4", Settings(tracking=EVERY_FRAME), buffer=1) as camera:
        finish(camera)
    assert (camera.link.counts.answered, camera.link.counts.dropped) == (30, 0)
    assert len(names(duo)[0]) == 30


# -- videos ------------------------------------------------------------------------------------


def test_no_faces(duo, films):
    with watch(duo.town, films / "nobody.mp4") as camera:
        progress = finish(camera)
    assert (progress.frames, progress.found) == (30, 0)
    assert camera.link.counts == Counts(sessions=1)


def test_damage_comes_after_the_faces_before_it(duo, films):
    with watch(duo.town, films / "damaged.mp4") as camera, pytest.raises(DamagedVideoError, match="damaged"):
        camera.wait(20)
    assert 0 < camera.progress.frames < 30
    assert camera.link.counts.answered == 1


def test_a_file_that_was_cut_off(duo, films, tmp_path):
    data = (films / "live.ts").read_bytes()
    (tmp_path / "junk.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + data[:5000])
    film(tmp_path / "whole.mkv", [scene(None)] * 60)
    whole = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    for name, expected in (("junk.mp4", UnreadableVideoError), ("cut.mkv", TruncatedVideoError)):
        with watch(duo.town, tmp_path / name) as camera, pytest.raises(expected):
            camera.wait(20)
    with (
        watch(duo.town, tmp_path / "missing.mp4") as camera,
        pytest.raises(UnreadableVideoError, match="exist"),
    ):
        camera.wait(20)


def test_a_file_that_changes_its_size(duo, films, tmp_path):
    both = (films / "live.ts").read_bytes() + (films / "small.ts").read_bytes()
    (tmp_path / "both.ts").write_bytes(both)
    with watch(duo.town, tmp_path / "both.ts") as camera, pytest.raises(VideoSizeError, match="160 x 128"):
        camera.wait(20)
    assert camera.link.counts.answered == 1


def test_a_live_source_that_changes_its_size_is_opened_again(duo, films):
    both = (films / "live.ts").read_bytes(), (films / "small.ts").read_bytes()

    def play(number, send):
        for data in both if number == 0 else both[1:]:
            for piece in streaming.paced(data, 0.8):
                send(piece)
        if number:
            time.sleep(5)

    with streaming.http_camera(play) as (address, came), watch(duo.town, address, LIVE) as camera:
        assert until(lambda: len(came) == 2 and camera.link.counts.answered >= 2)
        camera.stop()
        assert camera.wait(5)


def test_a_live_source_that_stalls_is_given_up(duo, films):
    data = (films / "live.ts").read_bytes()

    def play(number, send):
        if number == 0:
            for piece in streaming.paced(data, 0.5):
                send(piece)
        time.sleep(5)

    with streaming.rtsp_camera(play) as (address, _), watch(duo.town, address, LIVE) as camera:
        with pytest.raises(VideoStalledError):
            camera.wait(20)
        assert camera.link.counts.answered >= 1


def test_rtsp_that_refuses(duo):
    with streaming.listening(lambda peer, _: peer.close()) as (port, came):
        with (
            watch(duo.town, f"rtsp://user:secret@127.0.0.1:{port}/x", LIVE) as camera,
            pytest.raises((UnreadableVideoError, VideoEndedError)) as refused,
        ):
            camera.wait(20)
        assert len(came) >= 2
    assert "secret" not in str(refused.value)


def test_a_live_source_never_falls_behind(duo, films):
    """However slow the embedder is, the newest frame is next."""

    class Slow(CoarseEmbedder):
        def embed(self, image, face):
            time.sleep(0.15)
            return super().embed(image, face)

    data = (films / "live.ts").read_bytes()

    def play(_, send):
        for piece in streaming.paced(data, 1.5, 100):
            send(piece)
        time.sleep(5)

    settings = replace(LIVE, tracking=EVERY_FRAME)
    with (
        streaming.http_camera(play) as (address, _),
        watch(duo.town, address, settings, embedder=Slow()) as camera,
    ):
        assert until(lambda: camera.progress.frames + camera.progress.missed > 90)
        assert camera.progress.missed > 50
        assert camera.progress.frames < 25


# -- parties -----------------------------------------------------------------------------------


def test_parties_that_come_later_and_go_and_come_back(own_duo, films):
    with watch(own_duo.town, films / "somebody.mp4") as camera:
        assert until(lambda: "refused" in camera.link.trouble.lower())
        assert camera.link.trouble.startswith("party 0: 127.0.0.1, port ")
        assert camera.progress.frames == 0
        own_duo.start(1)
        time.sleep(0.2)
        own_duo.start(0)
        finish(camera)
    assert names(own_duo)[0] == ["somebody"]

    def play(_, send):
        for piece in streaming.paced((films / "long.ts").read_bytes(), 20.0, 500):
            send(piece)

    settings = replace(LIVE, tracking=EVERY_FRAME)
    with streaming.http_camera(play) as (address, _), watch(own_duo.town, address, settings) as camera:
        assert until(lambda: camera.link.counts.answered > 3)
        own_duo.stop(1)
        assert until(lambda: camera.link.trouble)
        before = camera.progress.chosen
        assert until(lambda: camera.progress.chosen > before + 3)
        own_duo.start(1)
        counts = camera.link.counts
        assert until(lambda: camera.link.counts.answered > counts.answered + 3)
    assert camera.link.counts.sessions == 2


def test_parties_with_another_model(duo, films):
    class Other(CoarseEmbedder):
        model_id = "other"

    with watch(duo.town, films / "somebody.mp4", embedder=Other()) as camera:
        with pytest.raises(ModelMismatchError, match="list is of test, this camera embeds with other"):
            camera.wait(20)
        assert camera.progress.frames == 0
        assert camera.link.counts.sessions <= 1
    state = replace(_state(duo), dimension=32)
    with pytest.raises(ModelMismatchError, match="32 coordinates"):
        require_fit(CoarseEmbedder(), state)


def test_a_list_of_other_normalisation(duo, films):
    state = _state(duo)

    class Directions(CoarseEmbedder):
        metric = "cosine"

    with pytest.raises(ModelMismatchError, match="direction"):
        require_fit(Directions(), state)
    require_fit(Directions(), replace(state, normalised=True))
    require_fit(CoarseEmbedder(), state)


def _state(duo):
    with duo.town.camera() as link:
        return link.wait_open(20)


def expire(identity):
    """Put a certificate of last week in the place of its own."""
    own = identity.own
    key = load_pem_private_key((identity.folder / "key.pem").read_bytes(), None)
    old = tls._self_signed(key, own.role, own.name, datetime.now(UTC) - timedelta(days=9), timedelta(days=8))
    (identity.folder / "certificate.pem").write_bytes(old.public_bytes(Encoding.PEM))
    return identity.folder / "certificate.pem"


def test_an_expired_certificate(own_duo, films):
    """The camera's own: refused at the start, and when it comes to that later. A party's: said."""
    own_duo.start()
    town = own_duo.town
    party, camera = town.identities[1:]
    valid = camera.own
    with watch(town, films / "somebody.mp4", Settings(realtime=True)) as made:
        assert until(lambda: made.progress.frames > 2)
        camera.own = replace(valid, until=datetime.now(UTC) - timedelta(seconds=1))
        with pytest.raises(UsageError, match="expired"):
            made.wait(20)
    camera.own = valid
    camera.distrust("party1", "south")
    camera.trust(expire(party))
    with watch(town, films / "somebody.mp4") as made:
        assert until(lambda: made.link.trouble.startswith("party 1"))
        assert "certificate has expired" in made.link.trouble
        assert made.progress.frames == 0
    expire(camera)
    with pytest.raises(UsageError, match=r"expired on .* make another"):
        require_valid(Identity(camera.folder))
    with pytest.raises(UsageError, match="not a camera's"):
        require_valid(town.identities[0])


def test_sessions_that_are_refused_are_not_asked_for_without_end(duo, tmp_path, monkeypatch):
    long = [scene(SOMEBODY)] * 250

    def refuse(link, grant):
        link.over(grant.session, "refused")

    settings = Settings(realtime=True, fps=1.0)
    with watch(duo.town, film(tmp_path / "long.mp4", long), settings, most_pause=5.0) as camera:
        monkeypatch.setattr(party_cameras.CameraLink, "_open", refuse)
        assert until(lambda: "refuses this camera" in camera.link.trouble)
        time.sleep(1.0)
        assert camera.link.counts.sessions <= 6
        monkeypatch.undo()
        before = camera.link.counts.sessions
        assert until(lambda: camera.link.counts.sessions > before)
        camera.link.offer(listed(SOMEBODY)[None])
        assert until(lambda: camera.link.counts.answered)
        assert camera.link.trouble == ""
    assert camera.link.counts.lost == 1  # sent before the refusal came


def test_faces_out_of_range_are_refused_and_counted(duo, films, caplog):
    class Broken(CoarseEmbedder):
        def embed(self, image, face):
            self.length = {1.5: 2.5, 2.5: float("nan")}.get(self.length, 1.5)
            return super().embed(image, face)

    settings = Settings(tracking=EVERY_FRAME)
    with watch(duo.town, films / "somebody.mp4", settings, embedder=Broken()) as camera:
        progress = finish(camera)
    assert (progress.chosen, progress.refused) == (30, 20)
    assert camera.link.counts.answered == 10
    assert sum("A face was refused" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("source", ["file", "live"])
def test_parties_that_are_slow(own_duo, films, monkeypatch, caplog, source):
    """A file waits for them; of a live source the oldest faces go, and that is counted and said."""
    prometheus = pytest.importorskip("prometheus_client")
    from blindsight.trusted.camera_metrics import CameraMetrics

    class Slow(Session):
        def _comparison(self, material, inputs):
            time.sleep(0.4 if source == "live" else 0.1)
            return super()._comparison(material, inputs)

    monkeypatch.setattr(party_door, "Session", Slow)
    monkeypatch.setattr(party_intake, "_MOST_WINDOW", 4)
    caplog.set_level(logging.WARNING)
    own_duo.start()
    data = (films / "live.ts").read_bytes()

    def play(_, send):
        for piece in streaming.paced(data, 2.0):
            send(piece)
        time.sleep(5)

    settings = replace(LIVE, tracking=EVERY_FRAME)
    with streaming.http_camera(play) as (address, _):
        wanted = films / "somebody.mp4" if source == "file" else address
        with watch(own_duo.town, wanted, settings, buffer=4) as camera:
            if source == "file":
                finish(camera)
            else:
                assert until(lambda: camera.progress.chosen > 60)
            counts = camera.link.counts
            registry = prometheus.CollectorRegistry()
            registry.register(CameraMetrics(camera))
    said = [record.message for record in caplog.records if "faster than the parties" in record.message]
    if source == "file":
        assert (counts.answered, counts.dropped, said) == (30, 0, [])
        assert registry.get_sample_value("blindsight_camera_answered_total") == 30
    else:
        assert counts.dropped > 10
        assert counts.answered >= 4
        assert len(said) == 1  # not at every face
        assert registry.get_sample_value("blindsight_camera_dropped_total") >= counts.dropped
        assert registry.get_sample_value("blindsight_camera_frames_total") > 60


# -- what is kept ------------------------------------------------------------------------------


def test_nothing_is_kept(duo, films, monkeypatch):
    """Pixels, embeddings and integers are zeros when they were used, and nobody holds the shares."""
    seen, shares, embeddings = [], [], []

    class Watched(CoarseEmbedder):
        def embed(self, image, face):
            seen.append(image.pixels)
            found = super().embed(image, face)
            seen.append(found.vector)
            embeddings.append(weakref.ref(found.vector.base))
            return found

    quantised, shared = camera_module.quantise, camera_link.Sharer.share

    def quantise(params, vectors):
        seen.extend([vectors, quantised(params, vectors)])
        return seen[-1]

    def share(self, faces, *, dummies=0):
        found = shared(self, faces, dummies=dummies)
        seen.append(faces)
        shares.append(found.message)
        return found

    monkeypatch.setattr(camera_module, "quantise", quantise)
    monkeypatch.setattr(camera_link.Sharer, "share", share)
    settings = Settings(tracking=EVERY_FRAME, dummies=2, tick=0.2)
    with watch(duo.town, films / "somebody.mp4", settings, embedder=Watched()) as camera:
        assert until(lambda: camera.link.counts.sent >= 3)
        camera.stop()
        assert camera.wait(5)
        del seen[:4]  # the rehearsal's grey picture
        assert len(seen) > 12
        assert not any(array.any() for array in seen[:-4])
        seen.clear()
        gc.collect()
        assert not any(array() is not None for array in embeddings)
        shares = [message for message in shares if len(message) > 100]
        assert shares
        while shares:
            message = shares.pop()
            holders = [one for one in gc.get_referrers(message) if one is not sys._getframe()]
            assert not holders
        assert not camera.link._frames


def test_a_tap_sees_every_packet(duo, films):
    """What a recorder of footage needs: whole pieces, cut at key frames."""
    segmenter, pieces = Segmenter(0.5), []
    with watch(
        duo.town, films / "somebody.mp4", tap=lambda packet: pieces.append(segmenter.push(packet))
    ) as camera:
        finish(camera)
    pieces = [piece for piece in [*pieces, segmenter.finish()] if piece is not None]
    assert pieces[0].first == 0.0
    assert all(abs(one.last - two.first) < 1e-6 for one, two in pairwise(pieces))
    assert pieces[-1].last == pytest.approx(1.2, abs=0.01)


def test_it_stops_whatever_it_waits_for(own_duo, films):
    """Parties that never come, a silent source, a party that takes nothing: `stop` ends all of them."""
    threads = threading.active_count()
    with watch(own_duo.town, films / "somebody.mp4") as camera:
        time.sleep(0.3)
        camera.stop()
        assert camera.wait(3)
    own_duo.start()
    with (
        streaming.http_camera(lambda *_: time.sleep(6)) as (address, _),
        watch(own_duo.town, address, Settings()) as camera,
    ):
        assert until(lambda: camera.link.state is not None)
        time.sleep(0.3)
        camera.stop()
        assert camera.wait(3)
    own_duo.stop()
    assert until(lambda: threading.active_count() <= threads + 3)


@pytest.mark.parametrize(
    "wrong",
    [{"fps": 0.0}, {"fps": -1.0}, {"fps": float("nan")}, {"dummies": -1}, {"dummies": 2000}],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(UsageError):
        Settings(**wrong)


@pytest.mark.parametrize("wrong", [{"tick": 0.0}, {"tick": 1e9}, {"tick": float("nan")}, {"tick": -1.0}])
def test_ticks_out_of_range(duo, films, wrong):
    with pytest.raises(UsageError):
        watch(duo.town, films / "nobody.mp4", Settings(dummies=1, **wrong))
