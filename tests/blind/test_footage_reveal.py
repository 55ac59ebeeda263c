"""Footage from the camera to the revealer, through two real parties; and everything that must not work."""

from __future__ import annotations

import io
import json
import threading
import time
from datetime import UTC, datetime, timedelta

import av
import numpy as np
import PIL.Image
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.blind.party_log import PartyLog
from blindsight.core.errors import (
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    UsageError,
)
from blindsight.schemes.footage.protect import share_segment
from blindsight.schemes.footage.public import About, SeedShare, Statement, parse_share
from blindsight.trusted.consent import sign_consent
from blindsight.trusted.footage_link import FootageCounts
from blindsight.trusted.footage_reveal import camera_keys, reveal_footage
from blindsight.trusted.recorder import Recorder
from blindsight.vision.video import frames
from blindsight.wire import tls
from blindsight.wire.channel import connect
from blindsight.wire.footage_messages import PURPOSE, Ask, Denied, Fetch, Granted, Kept, Ready, Refused
from blindsight.wire.party_messages import parse
from blindsight.wire.tls import Identity
from cli.running import run
from recording import BEGAN, HOUR, Studio, still, video
from surveillance import PARAMS, until
from two_parties import vectors

STILLS = 5


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """Two parties that hold a clip in pieces, and stills from an hour later on."""
    made = Studio(tmp_path_factory.mktemp("studio"), cameras=("gate", "hall"))
    made.clip, made.pieces = video(made.folder)
    for party in (1, 0):
        made.serve(party)
    with made.link() as link:
        recorder = made.recorder(link)
        for piece in made.pieces:
            recorder.segment(piece)
        for n in range(STILLS):
            recorder.still(still(10 * n), at=3600.0 + n)
        assert link.wait_kept(20)
        assert link.counts == FootageCounts(offered=len(made.pieces) + STILLS, kept=len(made.pieces) + STILLS)
    yield made
    made.close()


@pytest.fixture
def town(tmp_path):
    """Parties of this test alone, not yet started."""
    made = Studio(tmp_path)
    yield made
    made.close()


def stills_request(studio, **options):
    return studio.request(first=BEGAN + HOUR, **options)


def ask(studio, party, request, consents, who=None):
    """One party's answer to a request, and the channel."""
    channel = connect(who or studio.auditor, "127.0.0.1", studio.ports[party], f"party{party}")
    channel.send(Ask(request, tuple(consents)).pack(), 10)
    return parse(channel.receive(Granted.at_most, 10), Granted, Denied), channel


# -- what is revealed --------------------------------------------------------------------------


def test_video_comes_back_and_plays(studio, tmp_path):
    request = studio.request(last=BEGAN + timedelta(minutes=1))
    found = studio.reveal(tmp_path / "out", request)
    assert (found.gaps, found.refused, found.stopped) == ([], [], "")
    assert len(found.items) == len(studio.pieces) >= 5
    originals = [frame.pixels for frame in frames(str(studio.clip))]
    count = 0
    for item, piece in zip(found.items, studio.pieces, strict=True):
        data = (tmp_path / "out" / item["file"]).read_bytes()
        assert data == piece.data
        assert item["kind"] == "segment"
        with av.open(io.BytesIO(data)) as playing:
            for frame in playing.decode(video=0):
                np.testing.assert_array_equal(frame.to_ndarray(format="rgb24"), originals[count])
                count += 1
    assert count == len(originals)


def test_stills_come_back_with_what_proves_them(studio, tmp_path):
    found = studio.reveal(tmp_path / "out", stills_request(studio))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["items"] == found.items
    assert len(found.items) == STILLS
    for n, item in enumerate(manifest["items"]):
        with PIL.Image.open(tmp_path / "out" / item["file"]) as shown:
            np.testing.assert_array_equal(np.asarray(shown), still(10 * n))
        statement = Statement.parse(bytes.fromhex(item["statement"]))
        studio.camera_key().verify(bytes.fromhex(item["signature"]), statement.signed())
        assert statement.digest().hex() == item["digest"]
        assert item["first"] == f"2026-01-02T04:04:0{5 + n}Z"
    assert manifest["request"]["reason"] == "a theft"
    heads = [party["log"] for party in manifest["parties"]]
    assert heads[0] != heads[1]


def test_both_logs_have_it_before_anything_is_sent(studio, tmp_path):
    request = stills_request(studio, reason="an old debt")
    studio.reveal(tmp_path / "out", request)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    for party in (0, 1):
        assert until(lambda p=party: studio.kinds(p)[-1] == "revealed")
        begun, ended = studio.log(party)[-2:]
        assert (begun["kind"], begun["reason"], begun["camera"]) == ("reveal", "an old debt", "gate")
        assert (begun["revealer"], begun["items"]) == ("auditor", STILLS)
        assert begun["certificate"] == studio.auditor.own.fingerprint
        assert (ended["given"], ended["gaps"], ended["finished"]) == (STILLS, 0, True)
        # The head that the revealer was told is that of a log with the line in it.
        assert ended["previous"] == manifest["parties"][party]["log"]
        kept = studio.folder / f"data{party}" / "reveals" / begun["request"]
        stored = parse(kept.read_bytes(), Ask)
        assert stored.request == request


def test_a_withheld_region_stays_hidden(studio, tmp_path):
    """Each party keeps another corner to itself; tiles of 16 pixels, rounded outwards."""
    request = stills_request(studio)
    consents = studio.consents(request, [[(0, 0, 20, 10)], [(100, 80, 4000, 4000)]])
    found = studio.reveal(tmp_path / "out", request, consents)
    assert len(found.items) == STILLS
    expected = np.zeros((90, 120), bool)
    expected[:16, :32] = True
    expected[80:, 96:] = True
    for n, item in enumerate(found.items):
        assert item["withheld"] == [[0, 0, 32, 16], [96, 80, 24, 10]]
        with PIL.Image.open(tmp_path / "out" / item["file"]) as shown:
            pixels = np.asarray(shown)
        np.testing.assert_array_equal(pixels[~expected], still(10 * n)[~expected])
        assert set(np.unique(pixels[expected])) == {70, 120}
    # What party 0 handed over for a still of which it holds the seed is not the seed.
    granted, channel = ask(studio, 0, request, consents)
    assert isinstance(granted, Granted)
    forms = set()
    with channel:
        for item in found.items:
            channel.send(Fetch(bytes.fromhex(item["digest"])).pack(), 10)
            share = parse_share(channel.receive(1 << 20, 10))
            assert not isinstance(share, SeedShare)
            forms.add(share.statement.seeded)
    assert forms == {0, 1}


def test_video_is_not_given_in_part(studio, tmp_path):
    request = studio.request(last=BEGAN + timedelta(minutes=1))
    found = studio.reveal(tmp_path / "out", request, studio.consents(request, [[], [(0, 0, 1, 1)]]))
    assert found.items == []
    assert {(gap["party"], gap["reason"]) for gap in found.gaps} == {(1, "withheld")}
    assert len(found.gaps) == len(studio.pieces)


def test_only_the_range_and_the_camera(studio, tmp_path):
    first = BEGAN + HOUR + timedelta(seconds=1)
    found = studio.reveal(tmp_path / "a", studio.request(first=first, last=first + timedelta(seconds=1)))
    assert [item["first"] for item in found.items] == ["2026-01-02T04:04:06Z", "2026-01-02T04:04:07Z"]
    found = studio.reveal(tmp_path / "b", studio.request("hall", first=first))
    assert (found.items, found.gaps) == ([], [])


def test_both_together_keep_the_video_once(studio):
    """And one seed, a statement and a signature a piece and party."""
    sizes = [sum(path.stat().st_size for path in studio.files(party)) for party in (0, 1)]
    video_bytes = sum(len(piece.data) for piece in studio.pieces)
    picture_bytes = STILLS * still(0).nbytes
    pieces = len(studio.pieces) + STILLS
    assert video_bytes + picture_bytes < sum(sizes) < video_bytes + picture_bytes + 800 * pieces
    # Alternating seeds: neither has it all.
    assert min(sizes) > 0.2 * sum(sizes)


# -- what reveals nothing ----------------------------------------------------------------------


def refuse_at_both(studio, request, consents, message, who=None):
    """Both parties deny it, with a line in the log, and name no share."""
    for party in (0, 1):
        before = len(studio.log(party))
        answer, channel = ask(studio, party, request, consents, who)
        assert isinstance(answer, Denied)
        assert message in answer.reason
        with channel, pytest.raises(UnavailableError):
            channel.receive(1 << 20, 10)
        new = studio.log(party)[before:]
        assert [line["kind"] for line in new] == ["reveal-refused"]
        assert new[0]["revealer"] == (who or studio.auditor).own.name


@pytest.mark.parametrize("who", [0, 1])
def test_one_consent_alone(studio, who, tmp_path):
    request = stills_request(studio, by=who)
    one = sign_consent(studio.keys[who].read_bytes(), request)
    again = sign_consent(studio.keys[who].read_bytes(), request, [(0, 0, 8, 8)])
    for consents in ([one, one], [one, again]):
        refuse_at_both(studio, request, consents, f"The operator of party {1 - who} has not consented")
    with pytest.raises(RefusedError, match="Party 0 gives nothing: The operator of party"):
        studio.reveal(tmp_path / "out", request, [one, one])
    assert not (tmp_path / "out").exists()


def test_a_stranger_consents(studio, tmp_path):
    request = stills_request(studio)
    stranger = Ed25519PrivateKey.generate().private_bytes_raw()
    consents = [studio.consents(request)[0], sign_consent(stranger, request)]
    refuse_at_both(studio, request, consents, "nobody who is an operator here")


def test_another_request(studio):
    """Consents to an hour of this camera do not open another hour, or another camera."""
    consents = studio.consents(stills_request(studio))
    for other in (studio.request(), stills_request(studio), stills_request(studio, camera="hall")):
        refuse_at_both(studio, other, consents, "another request")


def test_an_altered_request(studio):
    request = stills_request(studio)
    consents = studio.consents(request)
    at = request.value.index(b"gate")
    altered = type(request)(request.value[:at] + b"hall" + request.value[at + 4 :], request.signature)
    refuse_at_both(studio, altered, consents, "does not carry the signature")


def test_somebody_else_with_the_same_papers(studio, tmp_path):
    request = stills_request(studio)
    thief = studio.revealer("thief")
    refuse_at_both(studio, request, studio.consents(request), "another revealer", who=thief)
    with pytest.raises(RefusedError):
        studio.reveal(tmp_path / "out", request, who=thief)


def test_somebody_whom_the_parties_do_not_know(studio, tmp_path):
    stranger = Identity.create(tmp_path / "stranger", "revealer", "stranger")
    for party in studio.identities[:2]:
        stranger.trust(party.folder / "certificate.pem")
    request = stills_request(studio, revealer=stranger)
    with pytest.raises(UnauthorizedError):
        studio.reveal(tmp_path / "out", request, who=stranger)


def test_an_expired_request(studio):
    request = stills_request(studio, hours=0.0005)
    consents = studio.consents(request)
    assert isinstance(ask(studio, 0, request, consents)[0], Granted)
    time.sleep(2.2)
    refuse_at_both(studio, request, consents, "has expired")


def test_it_expires_while_it_is_used(studio):
    request = stills_request(studio, hours=0.0005)
    answer, channel = ask(studio, 1, request, studio.consents(request))
    assert isinstance(answer, Granted)
    time.sleep(2.2)
    digest = next(path.name for path in studio.files(1))
    entries = [line for line in studio.log(1) if line["kind"] == "reveal"]
    assert entries
    with channel:
        for path in studio.files(1):
            statement = parse_share(path.read_bytes()[37:]).statement
            if statement.about.first >= BEGAN + HOUR:
                digest = path.name
        channel.send(Fetch(bytes.fromhex(digest)).pack(), 10)
        assert "expired" in parse(channel.receive(1 << 20, 10), Denied).reason


def test_what_was_not_granted_is_not_fetched(studio):
    """A revealer that asks for a digest outside its range loses the link, and the party stays."""
    request = stills_request(studio)
    answer, channel = ask(studio, 0, request, studio.consents(request))
    assert isinstance(answer, Granted)
    outside = next(
        path.name
        for path in studio.files(0)
        if parse_share(path.read_bytes()[37:]).statement.about.first < BEGAN + HOUR
    )
    with channel:
        channel.send(Fetch(bytes.fromhex(outside)).pack(), 10)
        with pytest.raises(UnavailableError):
            channel.receive(1 << 24, 10)
    assert until(lambda: studio.log(0)[-1]["kind"] == "revealed")
    assert (studio.log(0)[-1]["given"], studio.log(0)[-1]["finished"]) == (0, False)


@pytest.mark.parametrize(
    "message", [b"", b"rubbish", b"BSFS" + bytes(100), Fetch(bytes(32)).pack(), bytes(1 << 17)]
)
def test_rubbish_instead_of_a_request(studio, message):
    channel = connect(studio.auditor, "127.0.0.1", studio.ports[0], "party0")
    with channel:
        channel.send(message, 10)
        assert isinstance(parse(channel.receive(1 << 16, 10), Denied), Denied)
    assert studio.processes[0].running()


# -- parties that cheat, disks that fail ---------------------------------------------------------

_CHEATS = {
    "body": "Party 1's share of the footage is not the one that the camera made",
    "seed": "Party 1's share of the footage is not the one that the camera made",
    "signature": "Party 1 gave a share that the camera did not sign",
    "number": "Party 1 gave another share than it was asked for",
    "roots": "Party 1 gave another share than it was asked for",
    "other footage": "Party 1 gave another share than it was asked for",
    "withheld after all": "",
    "rubbish": "Party 1 gave something that is no share",
}

_CHEAT = """
import dataclasses
from blindsight.blind.footage_reveal import Reveal
honest = Reveal._opened
def cheating(self, grant, digest):
    share, cheat = honest(self, grant, digest), grant.request.reason
    if cheat == "other footage":
        request = grant.request
        held = self._store.held(request.camera, request.first, request.last)
        return honest(self, grant, held[held[0].digest == digest].digest)
    if cheat == "withheld after all":
        return "withheld"
    if cheat == "rubbish":
        return type("Rubbish", (), {"encode": lambda self: b"BSFS" + bytes(50)})()
    changes = {}
    if cheat == "body" and hasattr(share, "body"):
        changes["body"] = share.body.copy()
        changes["body"][len(share.body) // 2] ^= 1
    if cheat == "seed" and hasattr(share, "seed"):
        changes["seed"] = bytes(32)
    if cheat == "signature":
        changes["signature"] = bytes(64)
    if cheat == "number":
        about = dataclasses.replace(share.statement.about, number=1)
        changes["statement"] = dataclasses.replace(share.statement, about=about)
    if cheat == "roots":
        changes["statement"] = dataclasses.replace(share.statement, roots=(bytes(32), bytes(32)))
    return dataclasses.replace(share, **changes) if changes else share
Reveal._opened = cheating
"""


def test_a_changed_share_is_noticed_and_its_party_named(studio, tmp_path):
    """The reason in the request tells the cheating party 1 what to do."""
    studio.processes[1].stop()
    studio.serve(1, code=_CHEAT)
    try:
        found = {
            cheat: studio.reveal(tmp_path / cheat, stills_request(studio, reason=cheat)) for cheat in _CHEATS
        }
        papers = stills_request(studio, reason="signature")
        shown = run(
            "footage", "reveal", studio.write("cheat.request", "request", papers),
            *(studio.write(f"cheat.{n}", "consent", one) for n, one in enumerate(studio.consents(papers))),
            "--party0", f"127.0.0.1:{studio.ports[0]}", "--party1", f"127.0.0.1:{studio.ports[1]}",
            "--identity", studio.auditor.folder, "--out", tmp_path / "cli",
        )  # fmt: skip
    finally:
        studio.processes[1].kill()
        studio.serve(1)
    for cheat, message in _CHEATS.items():
        refused, items, gaps = found[cheat].refused, found[cheat].items, found[cheat].gaps
        if cheat == "withheld after all":
            assert {(gap["party"], gap["reason"]) for gap in gaps} == {(1, "withheld")}
            assert len(gaps) == STILLS
            continue
        assert gaps == []
        assert {one["party"] for one in refused} == {1}
        assert all(message in one["message"] for one in refused)
        halves = {"body": (2, 3), "seed": (2, 3)}.get(cheat, (STILLS,))
        assert len(refused) in halves
        assert len(refused) + len(items) == STILLS
        assert len(list((tmp_path / cheat).glob("*.png"))) == len(items)
    assert shown.code == 3
    assert shown.err.count("Party 1 gave a share that the camera did not sign") == STILLS


def test_a_file_that_was_damaged_on_disk(studio, tmp_path):
    path = next(
        p for p in studio.files(0) if parse_share(p.read_bytes()[37:]).statement.about.first >= BEGAN + HOUR
    )
    good = path.read_bytes()
    path.write_bytes(good[:-7] + bytes([good[-7] ^ 4]) + good[-6:])
    try:
        found = studio.reveal(tmp_path / "out", stills_request(studio))
        listed = run("footage", "list", studio.folder / "data0", "--check", "--json")
    finally:
        path.write_bytes(good)
    assert len(found.items) == STILLS - 1
    (gap,) = found.gaps
    assert (gap["party"], gap["reason"], gap["digest"]) == (0, "damaged", path.name)
    assert "footage-damaged" in studio.kinds(0)
    assert "footage-damaged" not in studio.kinds(1)
    assert listed.code == 3
    assert listed.json["damaged"] == [path.name]
    assert studio.reveal(tmp_path / "again", stills_request(studio)).gaps == []


def test_what_one_party_lacks(town, tmp_path):
    """Party 1 keeps less than party 0: the rest is missing, and the manifest says at whom."""
    town.serve(1, "--footage-bytes", "130000")
    town.serve(0)
    with town.link() as link:
        recorder = town.recorder(link)
        for n in range(8):
            recorder.still(still(n), at=float(n))
        assert link.wait_kept(20)
    assert until(lambda: "footage-dropped" in town.kinds(1))
    dropped = next(line for line in town.log(1) if line["kind"] == "footage-dropped")
    assert dropped["reason"] == "bytes"
    assert dropped["count"] in (1, 2)  # a seed takes little room
    found = town.reveal(tmp_path / "out", town.request())
    assert 2 <= len(found.items) < 8
    assert len(found.items) + len(found.gaps) == 8
    assert {(gap["party"], gap["reason"]) for gap in found.gaps} == {(1, "not-held")}
    lost = [gap["number"] for gap in found.gaps]
    assert max(lost) < min(item["number"] for item in found.items)  # the oldest went
    assert town.processes[1].stop() == 0
    # The last line of the log counts what went after the first was logged.
    counts = [line["count"] for line in town.log(1) if line["kind"] == "footage-dropped"]
    assert sum(counts) == len(lost)


_DIES = """
import os, signal, pathlib
real, seen = pathlib.Path.replace, [0]
def replace(self, target):
    seen[0] += self.name.endswith(".part")
    if seen[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
pathlib.Path.replace = replace
"""


def test_a_party_that_is_killed_while_it_stores(town, tmp_path):
    """Its third share is half-way; the camera sends it again, and nothing is lost."""
    town.serve(1)
    victim = town.serve(0, code=_DIES)
    with town.link() as link:
        recorder = town.recorder(link)
        for n in range(6):
            recorder.still(still(n), at=float(n))
        assert until(lambda: not victim.running())
        assert len([p for p in town.files(0) if not p.name.startswith(".")]) == 2
        town.serve(0)
        assert link.wait_kept(20)
        assert link.counts == FootageCounts(offered=6, kept=6)
    assert not [p for p in town.files(0) if p.name.startswith(".")]
    found = town.reveal(tmp_path / "out", town.request())
    assert (len(found.items), found.gaps) == (6, [])
    assert town.processes[0].stop() == 0
    PartyLog(town.folder / "data0").close()  # the chain is whole


# -- cameras -------------------------------------------------------------------------------------


def test_a_camera_that_signs_with_another_key(studio):
    identity = studio.identities[3]
    with studio.link(1) as link:
        recorder = studio.recorder(link, 1)
        recorder._key = Ed25519PrivateKey.generate()
        recorder.still(still(0), at=0.0)
        assert link.wait_kept(10)
        assert (link.counts.kept, link.counts.refused, link.waiting) == (0, 1, 0)
        recorder._key = identity.signing_key()
        recorder._name = "gate"  # another camera's name
        recorder.still(still(0), at=0.0)
        assert link.wait_kept(10)
        assert (link.counts.kept, link.counts.refused) == (0, 2)
    refused = [line for party in (0, 1) for line in studio.log(party) if line["kind"] == "footage-refused"]
    assert {line["camera"] for line in refused} == {"hall"}
    assert "tampered" in {line["reason"] for line in refused}
    assert run("footage", "list", studio.folder / "data0", "--camera", "hall", "--json").json["footage"] == []


def raw_link(studio, party=0, which=1):
    channel = connect(
        studio.identities[2 + which], "127.0.0.1", studio.ports[party], f"party{party}", purpose=PURPOSE
    )
    assert parse(channel.receive(4096, 10), Ready) == Ready(party)
    return channel


def test_a_share_over_the_limit(studio):
    """200 MB are announced: the link ends before anything is read, and the next one works."""
    with raw_link(studio) as channel:
        channel._socket.setblocking(True)
        channel._socket.sendall((200_000_000).to_bytes(4, "little"))
        channel._socket.setblocking(False)
        with pytest.raises(UnavailableError):
            channel.receive(4096, 10)
    about = About("hall", 1, BEGAN, BEGAN)
    shares = share_segment(b"footage", about, studio.identities[3].signing_key())
    mine, other = sorted(shares, key=lambda share: share.party)
    with raw_link(studio) as channel:
        for message, reason in (
            (b"", "malformed"),
            (b"BSFS", "malformed"),
            (bytes(1000), "malformed"),
            (other.encode(), "malformed"),
            (mine.encode()[:-1], "malformed"),
        ):
            channel.send(message, 10)
            assert parse(channel.receive(4096, 10), Refused).reason == reason
        channel.send(mine.encode(), 10)
        assert parse(channel.receive(4096, 10), Kept).digest == mine.statement.digest()


def test_a_second_link_replaces_the_first(studio):
    with raw_link(studio) as first, raw_link(studio) as second:
        with pytest.raises(UnavailableError):
            first.receive(4096, 10)
        second.send(b"", 10)
        parse(second.receive(4096, 10), Refused)


def test_a_party_that_knows_nothing_of_footage(studio, monkeypatch, tmp_path):
    """The camera closes, rather than be taken for one that sends faces."""
    from wire.test_channel import Listening

    monkeypatch.setattr(tls, "PURPOSES", ("something-else",))
    server = Listening(studio.identities[0], "camera")
    with pytest.raises(UnavailableError, match="does not know"):
        connect(studio.identities[2], "127.0.0.1", server.port, "party0", purpose=PURPOSE)


def test_too_much_waits_at_the_camera(town):
    """No party is there: memory is bounded, the oldest goes, and is counted."""
    with town.link(buffer=90_000) as link:
        recorder = town.recorder(link)
        for n in range(7):  # 33 kB each
            recorder.still(still(n), at=float(n))
        assert link.counts.offered == 7
        assert link.counts.dropped == 5
        assert link.waiting <= 90_000
        for party in (1, 0):
            town.serve(party)
        assert link.wait_kept(20)
        assert (link.counts.kept, link.counts.dropped) == (2, 5)


def test_a_live_recorder(studio, tmp_path):
    """Packets as `frames` taps them; times are those of arrival."""
    before = datetime.now(UTC)
    with studio.link(1) as link:
        recorder = Recorder(studio.identities[3], link, seconds=0.4)
        shown = sum(1 for _ in frames(str(studio.clip), tap=recorder.packet))
        recorder.finish()
        assert link.wait_kept(20)
        assert link.counts.kept == len(studio.pieces)
        assert (shown, recorder.faults) == (72, 0)
    after = datetime.now(UTC)
    found = reveal_footage(
        studio.auditor,
        request := studio.request("hall", first=before, last=after),
        studio.consents(request),
        studio.addresses,
        [studio.camera_key(1)],
        tmp_path / "out",
    )
    assert [(tmp_path / "out" / item["file"]).read_bytes() for item in found.items] == [
        piece.data for piece in studio.pieces
    ]
    numbers = [item["number"] for item in found.items]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_faces_do_not_wait_for_footage(town):
    """Faces are answered while megabytes of video are on their way on the other link."""
    for party in (1, 0):
        town.serve(party)
    faces = vectors(PARAMS, 1, town.generator, longest=True)

    def latencies(camera, count):
        taken = []
        for _ in range(count):
            begin = time.monotonic()
            camera.offer(faces)
            assert camera.wait_answered(20)
            taken.append(time.monotonic() - begin)
        return sorted(taken)

    with town.camera() as camera, town.link(buffer=1 << 30) as link:
        camera.wait_open(30)
        latencies(camera, 5)
        quiet = latencies(camera, 15)
        stop = threading.Event()
        key, data = town.identities[2].signing_key(), np.random.default_rng(1).bytes(24 << 20)

        def record():
            number = 0
            while not stop.is_set():
                if link.waiting < 60 << 20:
                    number += 1
                    at = BEGAN + timedelta(seconds=number)
                    link.offer(share_segment(data, About("gate", number, at, at), key, seeded=number % 2))
                time.sleep(0.01)

        thread = threading.Thread(target=record)
        thread.start()
        assert until(lambda: link.counts.kept >= 1)
        busy = latencies(camera, 15)
        kept = link.counts.kept
        assert link.waiting > 0  # it was busy to the end
        stop.set()
        thread.join()
    print(f"median {1000 * quiet[7]:.0f} ms alone, {1000 * busy[7]:.0f} ms beside {kept} segments of 24 MiB")
    # Were they to wait, each would take as long as a segment or more; on two busy cores they are slower.
    assert busy[7] < max(0.5, 5 * quiet[7])


# -- the command line ------------------------------------------------------------------------------


def test_the_commands(studio, tmp_path):
    """As both operators and the revealer would do it."""
    papers = tmp_path / "footage.request"
    asked = run(
        "footage", "request", "--camera", "gate", "--from", "2026-01-02T05:04:05+01:00",
        "--to", "2026-01-02T04:30:00Z", "--reason", "a theft", "--key", studio.keys[1],
        "--revealer", studio.auditor.folder / "certificate.pem", "--out", papers, "--json",
    )  # fmt: skip
    assert asked.code == 0
    assert (asked.json["first"], asked.json["operator"]) == (
        "2026-01-02T04:04:05Z",
        studio.operators[1].public_key.hex(),
    )
    consents = []
    for party, regions in ((0, ["--withhold", "0,0,20,10"]), (1, [])):
        out = tmp_path / f"consent{party}"
        given = run("footage", "consent", papers, "--key", studio.keys[party], *regions, "--out", out,
                    "--yes", "--json")  # fmt: skip
        assert given.json["request"]["request"] == asked.json["request"]
        consents.append(out)
    dial = ["--party0", f"127.0.0.1:{studio.ports[0]}", "--party1", f"127.0.0.1:{studio.ports[1]}",
            "--identity", studio.auditor.folder]  # fmt: skip
    done = run("footage", "reveal", papers, *consents, *dial, "--out", tmp_path / "out", "--json")
    assert done.code == 0
    assert [item["withheld"] for item in done.json["items"]] == [[[0, 0, 32, 16]]] * STILLS
    assert len(list((tmp_path / "out").glob("*.png"))) == STILLS
    # For a person.
    shown = run("footage", "reveal", papers, *consents, *dial, "--out", tmp_path / "more")
    assert "1 region withheld" in shown.out
    assert f"{STILLS} items of gate" in shown.out
    # Into the same folder, with one consent, by somebody else, of an unknown camera.
    assert (
        "not an empty folder"
        in run("footage", "reveal", papers, *consents, *dial, "--out", tmp_path / "out").err
    )
    one = run("footage", "reveal", papers, consents[0], consents[0], *dial, "--out", tmp_path / "n", "--json")
    assert (one.code, one.json["error"]) == (3, "refused")
    assert run("footage", "reveal", papers, consents[0], *dial, "--out", tmp_path / "n").code == 2
    dial[-1] = studio.identities[2].folder
    assert (
        "not a revealer's" in run("footage", "reveal", papers, *consents, *dial, "--out", tmp_path / "n").err
    )
    assert not (tmp_path / "n").exists()


def test_a_consent_is_asked_for(studio, tmp_path, monkeypatch):
    path = studio.write("asked.request", "request", stills_request(studio))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    said = run("footage", "consent", path, "--key", studio.keys[0])
    assert said.code == 130
    assert "a theft" in said.err
    assert studio.auditor.own.fingerprint in said.err
    assert not list(studio.folder.glob("asked.request.consent*"))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run("footage", "consent", path, "--key", studio.keys[0]).code == 0
    assert len(list(studio.folder.glob("asked.request.consent*"))) == 1
    assert "exists already" in run("footage", "consent", path, "--key", studio.keys[0], "--yes").err


def test_the_list(studio):
    document = run("footage", "list", studio.folder / "data1", "--json").json
    gate = next(row for row in document["footage"] if row["camera"] == "gate")
    assert (gate["stills"], gate["segments"]) == (STILLS, len(studio.pieces))
    assert gate["first"].startswith("2026-01-02T03:04:05")
    checked = run("footage", "list", studio.folder / "data1", "--check")
    assert "none damaged" in checked.out
    assert "gate" in checked.out
    pieces = run("footage", "list", studio.folder / "data1", "--camera", "gate", "--json").json["footage"]
    assert len(pieces) == STILLS + len(studio.pieces)
    assert run("footage", "list", studio.folder, "--json").json["error"] == "not-found"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "yesterday"], "is not a time"),
        (["--from", "2026-01-02T03:00:00"], "no time zone"),
        (["--to", "2025-01-01T00:00:00Z"], "does not end before it begins"),
        (["--reason", ""], "1 to 1000"),
        (["--camera", "no/where"], "bad camera"),
    ],
)
def test_requests_that_cannot_be(studio, tmp_path, options, message):
    good = {"--camera": "gate", "--from": "2026-01-02T03:00:00Z", "--to": "2026-01-02T04:00:00Z",
            "--reason": "why", "--key": studio.keys[0],
            "--revealer": studio.auditor.folder / "certificate.pem", "--out": tmp_path / "r"}  # fmt: skip
    good[options[0]] = options[1]
    said = run("footage", "request", *[word for pair in good.items() for word in pair])
    assert said.code in (2, 3)
    assert message in said.err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("region", ["1,2,3", "a,b,c,d", "0,0,0,5", "-1,0,5,5", ""])
def test_regions_that_cannot_be(studio, region):
    path = studio.folder / "regions.request"
    if not path.exists():
        studio.write("regions.request", "request", stills_request(studio))
    assert run("footage", "consent", path, "--key", studio.keys[0], f"--withhold={region}", "--yes").code == 2


def test_which_camera_keys(studio, tmp_path):
    stranger = Identity.create(tmp_path / "other", "camera", "gate")
    certificate = stranger.folder / "certificate.pem"
    assert len(camera_keys(studio.auditor, "gate")) == 1
    assert len(camera_keys(studio.auditor, "gate", [certificate])) == 2
    with pytest.raises(UsageError):
        camera_keys(studio.auditor, "hall", [certificate])
    with pytest.raises(NotFoundError):
        camera_keys(studio.auditor, "roof")
    # An older certificate beside the present one does no harm, a wrong one alone shows nothing.
    request = stills_request(studio)
    papers = studio.auditor, request, studio.consents(request), studio.addresses
    both = camera_keys(studio.auditor, "gate", [certificate])
    assert len(reveal_footage(*papers, both, tmp_path / "a").items) == STILLS
    found = reveal_footage(*papers, [stranger.own.public_key], tmp_path / "b")
    assert found.items == []
    assert {one["party"] for one in found.refused} == {None}
    assert "No certificate" in found.refused[0]["message"]
