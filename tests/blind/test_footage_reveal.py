"""Footage revealed by two real parties; and everything that must reveal nothing."""

from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import av
import numpy as np
import PIL.Image
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.blind.footage_store import FootageStore, listed
from blindsight.blind.party_log import PartyLog
from blindsight.core.errors import (
    BlindsightError,
    RefusedError,
    TamperedError,
    UnauthorizedError,
    UnavailableError,
)
from blindsight.schemes.footage.protect import share_still
from blindsight.schemes.footage.public import About, SeedShare, Statement, parse_share
from blindsight.trusted.consent import sign_consent, sign_request
from blindsight.trusted.footage_link import FootageCounts
from blindsight.trusted.footage_reveal import _checked
from blindsight.vision.video import frames
from blindsight.wire.channel import connect
from blindsight.wire.consent import opened_request
from blindsight.wire.footage_messages import Ask, Denied, Fetch, Granted
from blindsight.wire.party_messages import parse
from blindsight.wire.tls import Identity
from cli.running import run
from recording import BEGAN, HOUR, STILLS, still, stills_request
from surveillance import until


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
    assert {(gap["party"], gap["reason"]) for gap in found.gaps} == {(0, "withheld"), (1, "withheld")}
    assert len(found.gaps) == 2 * len(studio.pieces)


def test_only_the_range_and_the_camera(studio, tmp_path):
    first = BEGAN + HOUR + timedelta(seconds=1)
    found = studio.reveal(tmp_path / "a", studio.request(first=first, last=first + timedelta(seconds=1)))
    assert [item["first"] for item in found.items] == ["2026-01-02T04:04:06Z", "2026-01-02T04:04:07Z"]
    found = studio.reveal(tmp_path / "b", studio.request("hall", first=first))
    assert (found.items, found.gaps) == ([], [])


def test_both_together_keep_the_video_once(studio):
    """And one seed, a statement and a signature a piece and party."""
    sizes = [sum(path.stat().st_size for path in studio.files(party, "gate")) for party in (0, 1)]
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
    """Neither for who comes late, nor for who began in time."""
    request = stills_request(studio, hours=0.0005)
    consents = studio.consents(request)
    answer, channel = ask(studio, 1, request, consents)
    assert isinstance(answer, Granted)
    time.sleep(2.2)
    with channel:
        channel.send(Fetch(bytes.fromhex(_a_still(studio, 1).name)).pack(), 10)
        assert "expired" in parse(channel.receive(1 << 20, 10), Denied).reason
    assert until(lambda: studio.log(1)[-1]["kind"] == "revealed")
    refuse_at_both(studio, request, consents, "has expired")


def _a_still(studio, party, *, video=False):
    """The file of some share of a still, or of a segment."""
    for path in studio.files(party, "gate"):
        if (parse_share(path.read_bytes()[37:]).statement.about.first < BEGAN + HOUR) == video:
            return path
    raise AssertionError("there is none")


def test_what_was_not_granted_is_not_fetched(studio):
    """A revealer that asks for a digest outside its range loses the link, and the party stays."""
    request = stills_request(studio)
    answer, channel = ask(studio, 0, request, studio.consents(request))
    assert isinstance(answer, Granted)
    outside = _a_still(studio, 0, video=True).name
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

_LIES = {
    "lists one twice": "Party 1 lists less than it said, or something twice",
    "lists nothing": "Party 1 lists less than it said, or something twice",
    "lists rubbish": "bad items",
    "vanishes": "broke",
}

_CHEAT = """
import dataclasses, os
from blindsight.blind.footage_reveal import Reveal
from blindsight.wire.footage_messages import Items
begin, pack, now = Reveal._begin, Items.pack, [""]
def begun(self, grant, ask):
    now[0] = grant.request.reason
    return begin(self, grant, ask)
def listing(self):
    if now[0] == "lists one twice":
        return pack(Items(self.items[:1] * 2))
    if now[0] == "lists nothing":
        return pack(Items(()))
    if now[0] == "lists another time":
        return pack(Items(tuple(dataclasses.replace(item, first=0, last=0, number=0) for item in self.items)))
    if now[0] == "lists rubbish":
        return pack(Items((dataclasses.replace(self.items[0], first=5, last=4),)))
    return pack(self)
Reveal._begin, Items.pack = begun, listing
honest = Reveal._opened
def cheating(self, grant, digest):
    share, cheat = honest(self, grant, digest), grant.request.reason
    if cheat == "other footage":
        request = grant.request
        held = self._store.held(request.camera, request.first, request.last)
        return honest(self, grant, held[held[0].digest == digest].digest)
    if cheat == "vanishes":
        os._exit(1)
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
        found["lists another time"] = studio.reveal(
            tmp_path / "time", stills_request(studio, reason="lists another time")
        )
        lies = {}
        for lie in _LIES:
            with pytest.raises(BlindsightError) as raised:
                studio.reveal(tmp_path / lie, stills_request(studio, reason=lie))
            lies[lie] = raised.value.message
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
    honest = found["lists another time"].items
    assert sorted(item["first"] for item in honest) == [f"2026-01-02T04:04:0{5 + n}Z" for n in range(STILLS)]
    assert shown.code == 3
    assert f"{STILLS} pieces missing" in shown.err
    assert "Party 1 gave a share that the camera did not sign." in shown.err
    for lie, message in _LIES.items():
        assert message in lies[lie]
        assert json.loads((tmp_path / lie / "manifest.json").read_text())["stopped"] == lies[lie]


def test_each_half_is_checked_by_itself():
    """Also where both are wrong, and before they are put together."""
    key, operator = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate().private_bytes_raw()
    auditor = SimpleNamespace(role="revealer", name="auditor", fingerprint="ab" * 32)
    asked, _ = opened_request(sign_request(operator, "gate", BEGAN, BEGAN + HOUR, auditor, "why"))
    seed, body = share_still(still(0), About("gate", 1, BEGAN, BEGAN), key, seeded=1)
    digest = seed.statement.digest()
    assert _checked(1, seed, digest, asked) is seed
    assert _checked(0, body, digest, asked) is body
    other = share_still(still(0), About("gate", 1, BEGAN - HOUR, BEGAN - HOUR), key)[0]
    for party, half, of, message in (
        (1, replace(seed, seed=bytes(32)), digest, "Party 1's share"),
        (0, replace(body, body=body.body ^ np.uint8(1)), digest, "Party 0's share"),
        (0, seed, digest, "Party 0 gave another share"),
        (1, seed, bytes(32), "Party 1 gave another share"),
        (1, other, other.statement.digest(), "Party 1 gave footage that was not asked for"),
    ):
        with pytest.raises(TamperedError, match=message):
            _checked(party, half, of, asked)


def test_a_file_that_was_damaged_on_disk(studio, tmp_path):
    path = _a_still(studio, 0)
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
    """Party 0 keeps less than party 1: the rest is missing, and the manifest says at whom."""
    town.start("--footage-bytes", "130000")
    with town.link() as link:
        recorder = town.recorder(link)
        for n in range(8):
            recorder.still(still(n), at=float(n))
        assert link.wait_kept(20)
    assert until(lambda: "footage-dropped" in town.kinds(0))
    dropped = next(line for line in town.log(0) if line["kind"] == "footage-dropped")
    assert dropped["reason"] == "bytes"
    assert dropped["count"] in (1, 2)  # a seed takes little room
    found = town.reveal(tmp_path / "out", town.request())
    assert 2 <= len(found.items) < 8
    assert len(found.items) + len(found.gaps) == 8
    assert {(gap["party"], gap["reason"]) for gap in found.gaps} == {(0, "not-held")}
    lost = [gap["number"] for gap in found.gaps]
    assert max(lost) < min(item["number"] for item in found.items)  # the oldest went
    assert town.processes[0].stop() == 0
    # The last line of the log counts what went after the first was logged.
    counts = [line["count"] for line in town.log(0) if line["kind"] == "footage-dropped"]
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


def test_a_party_that_is_killed_or_stopped_while_it_stores(town, tmp_path):
    """Its third share is half-way; the camera sends it again, and nothing is lost. Then SIGTERM."""
    town.start(code=_DIES)
    victim = town.processes[0]
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
        stop = threading.Event()

        def record():
            while not stop.wait(0.002):
                recorder.still(still(3), at=9.0)

        thread = threading.Thread(target=record)
        thread.start()
        try:
            assert until(lambda: link.counts.kept >= 10)
            assert [process.stop() for process in town.processes] == [0, 0]
        finally:
            stop.set()
            thread.join()
        assert link.waiting > 0
        kept = link.counts.kept
    for party in (0, 1):
        folder = town.folder / f"data{party}"
        store = FootageStore(folder / "footage", party)
        assert len(listed(folder / "footage")) >= kept
        assert (store.found.missing, store.found.damaged) == (0, 0)
        store.close()
        PartyLog(folder).close()  # the chain is whole
