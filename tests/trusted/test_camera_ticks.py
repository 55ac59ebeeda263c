"""Ticks: the parties see the same messages at the same moments, whether anybody is there or not."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from scipy.stats import fisher_exact, mannwhitneyu

from blindsight.core.errors import VectorError
from blindsight.schemes.spdz2k.messages import Header, Kind
from blindsight.trusted.camera import Settings
from blindsight.trusted.camera_link import CameraLink, _Frame, _split
from blindsight.trusted.camera_ticks import Ticks
from blindsight.vision import TrackingPolicy
from blindsight.wire.channel import Channel
from surveillance import Town, until
from watching import SOMEBODY, CoarseEmbedder, film, listed, scene, watch

pytest.importorskip("av")
TICK = 0.2
OFTEN = TrackingPolicy(interval=0.0, repeat=0.15, patience=0.2)


class Greedy(CoarseEmbedder):
    """Holds the interpreter's lock for tens of milliseconds, as real ones do."""

    def embed(self, image, face):
        sum(range(1_500_000))
        return super().embed(image, face)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Both parties as processes. A list on which an input of zeros would be somebody, too."""
    people = {"somebody": listed(SOMEBODY), "zero": np.zeros(16, np.int32)}
    made = Town(tmp_path_factory.mktemp("town"), people=people)
    made.serve(1)
    made.serve(0, "--metrics-port", "0")
    yield made
    made.close()


class Wire:
    """What goes out to the parties, in order: when, to whom, which kind, how large."""

    def __init__(self, monkeypatch):
        self.sent, self.offered = [], []
        send, offer = Channel.send, CameraLink.offer

        def sending(channel, message, timeout=None):
            kind = Header.parse(message).kind if bytes(message[:2]) == b"b2" else None
            self.sent.append((time.monotonic(), channel.peer.role, kind, len(message)))
            send(channel, message, timeout)

        def offering(link, faces, dummies=0):
            self.offered.append((len(faces), dummies))
            return offer(link, faces, dummies)

        monkeypatch.setattr(Channel, "send", sending)
        monkeypatch.setattr(CameraLink, "offer", offering)

    def ticks(self, origin, count):
        """Of each tick: how late its first message was, and all messages without their times."""
        late, looks = [TICK] * count, [[] for _ in range(count)]
        for at, role, kind, size in self.sent:
            number = int((at - origin) / TICK) - 1
            if 0 <= number < count:
                if late[number] == TICK:
                    late[number] = at - origin - (number + 1) * TICK
                looks[number].append((role, kind, size))
        return late, looks


def differ(one, other):
    """Whether two samples of times are told apart, by their order or by their stragglers; p < 0.0001."""
    stragglers = [[int((times > 0.01).sum()), int((times <= 0.01).sum())] for times in (one, other)]
    return min(mannwhitneyu(one, other).pvalue, fisher_exact(stragglers).pvalue) < 0.0001


def test_ticks_with_faces_look_like_ticks_without(town, tmp_path, monkeypatch):
    """Number, kind, size, order and receivers of messages are equal, and times cannot be told apart."""
    wire = Wire(monkeypatch)
    scenes = [scene(SOMEBODY if (i // 20) % 2 else None, i % 130) for i in range(200)]
    settings = Settings(realtime=True, dummies=3, tick=TICK, tracking=OFTEN)
    with watch(town, film(tmp_path / "a.mp4", scenes), settings, embedder=Greedy(), ahead=3) as camera:
        assert camera.wait(40)
        counts, progress, origin = camera.link.counts, camera.progress, camera._ticks._origin
    assert len(wire.offered) == progress.ticks >= 33
    assert all(faces + dummies == 3 for faces, dummies in wire.offered)
    assert counts.answered == counts.sent == sum(faces for faces, _ in wire.offered) >= 15
    assert counts.dummies == 3 * progress.ticks - counts.sent
    late, looks = wire.ticks(origin, progress.ticks)
    late = np.array(late[1:-1])  # the first one deals, the last one may be cut short
    looks = [tuple(look) for look in looks[1:-1]]
    usual, how_often = Counter(looks).most_common(1)[0]
    assert Counter(kind for _, kind, _ in usual) == {Kind.INPUTS: 2, Kind.MATERIAL_0: 1, Kind.MATERIAL_1: 1}
    # Where the machine is busy elsewhere, a tick's material may go with the next one.
    assert how_often >= 0.7 * len(looks)
    unusual = np.array([float(look != usual) for look in looks])
    faces = np.array([faces > 0 for faces, _ in wire.offered])
    for there in (faces[1:-1], faces[2:]):  # in this tick; or embedded while this tick was due
        assert min(there.sum(), (~there).sum()) >= 10
        assert not differ(late[there], late[~there])
        assert not differ(unusual[there], unusual[~there])
        # The comparison is one that sees: had embedding delayed them, it would be found.
        assert differ(late[there] + 0.05, late[~there])


def test_work_keeps_out_of_the_way(town):
    """Embedders hold the interpreter; without `keep_quiet` the ticks wait for them."""

    def lateness(careful):
        at = []
        with town.camera() as link:
            link.wait_open(20)
            offer = link.offer
            link.offer = lambda *faces: (at.append(time.monotonic()), offer(*faces))
            ticks = Ticks(link, 16, 1, TICK, hold=False)
            ticks.start()
            longest = 0.0
            while ticks.count < 6:
                if careful:
                    ticks.keep_quiet(longest)
                began = time.monotonic()
                sum(range(1_000_000))
                longest = max(longest, time.monotonic() - began)
                time.sleep(0)
            ticks.close()
        return np.median([(when - ticks._origin) % TICK for when in at])

    assert any(2 * lateness(True) < lateness(False) for _ in range(3))  # or the machine is busy elsewhere


def test_dummies_match_nobody(town, tmp_path):
    """Not even an entry of zeros, which is what a dummy would be if it were a vector."""
    before = {party: len(town.processes[party].alerts()) for party in (0, 1)}
    film(tmp_path / "nobody.mp4", [scene(None)] * 25)
    settings = Settings(realtime=True, dummies=5, tick=TICK)
    with watch(town, tmp_path / "nobody.mp4", settings, ahead=5) as camera:
        assert camera.wait(20)
        assert camera.link.counts.dummies == 5 * camera.progress.ticks >= 20
    for party in (0, 1):
        assert len(town.processes[party].alerts()) == before[party]
        assert "abort" not in town.kinds(party)


def test_more_faces_than_dummies_hide(town, monkeypatch):
    """The parties count max(q, v), and the camera says how often v was more than q."""
    wire = Wire(monkeypatch)
    with town.camera() as link:
        link.wait_open(20)
        ticks = Ticks(link, 16, 2, TICK, hold=True)
        ticks.start()
        for _ in range(5):
            ticks.add(np.ones((1, 16), np.int32))
        assert ticks.due() == 5
        assert ticks.wait_sent(5)
        assert until(lambda: ticks.count >= 3)
        ticks.close()
        assert link.wait_answered(5)
    assert wire.offered[:3] == [(5, 0), (0, 2), (0, 2)]
    assert ticks.over == 1


def test_a_tick_that_finds_no_room(tmp_path):
    """Parties that are away: of a live source the newest ticks wait, a file's faces wait for a later one."""
    town = Town(tmp_path)
    town.serve(1)
    try:
        for hold in (True, False):
            with town.camera(buffer=4) as link:
                assert until(lambda link=link: link.known is not None)
                ticks = Ticks(link, 16, 3, TICK, hold=hold)
                ticks.start()
                ticks.add(np.ones((2, 16), np.int32))
                assert until(lambda ticks=ticks: ticks.count == 1)
                ticks.add(np.ones((1, 16), np.int32))
                time.sleep(3 * TICK)
                assert link.waiting == 3
                assert (ticks.due(), link.counts.dropped) == ((1, 0) if hold else (0, 3))
                ticks.close()
    finally:
        town.close()


def test_a_face_that_cannot_be_sent_ends_the_ticks(town):
    with town.camera() as link:
        link.wait_open(20)
        ticks = Ticks(link, 16, 1, TICK, hold=True)
        ticks.start()
        ticks.add(np.full((1, 16), 1000, np.int32))
        with pytest.raises(VectorError):
            ticks.wait_sent(5)
        with pytest.raises(VectorError):
            ticks.add(np.ones((1, 16), np.int32))
        ticks.close()


def test_a_cut_frame_draws_what_goes_first():
    """Faces are neither first nor last in the sequence of messages; none is lost or doubled."""
    first = Counter()
    for _ in range(3000):
        frame = _Frame(np.arange(1, 4, dtype=np.int32)[:, np.newaxis], 5)
        taken = _split(frame, 2)
        assert (len(taken), len(frame)) == (2, 6)
        assert np.concatenate([taken.faces, frame.faces]).ravel().tolist() == [1, 2, 3]
        first[len(taken.faces)] += 1
    expected = {0: 10 / 28, 1: 15 / 28, 2: 3 / 28}  # hypergeometric
    for faces, part in expected.items():
        assert abs(first[faces] - 3000 * part) < 5 * np.sqrt(3000 * part * (1 - part))


def test_large_ticks_are_cut_alike(town, monkeypatch):
    """Messages of a tick over 32 do not depend on how many of its inputs are faces."""
    looks = []
    for faces in (0, 7, 40):
        with monkeypatch.context() as patch:
            wire = Wire(patch)
            with town.camera(ahead=40, buffer=64) as link:
                link.wait_open(20)
                assert until(lambda link=link: link._session and link._session.sharer.stock == 40)
                link.offer(np.ones((faces, 16), np.int32), 40 - faces)
                assert link.wait_answered(10)
                assert until(lambda wire=wire: sum(sent[2] is Kind.INPUTS for sent in wire.sent) == 4)
            looks.append([sent[1:] for sent in wire.sent if sent[2] is Kind.INPUTS])
    assert looks[0] == looks[1] == looks[2]
