"""The watchlist of two parties from the command line: with both parties running, and by hand."""

from __future__ import annotations

import copy
import io
import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from blindsight.blind.dual_control import WatchlistFile
from blindsight.cli.watchlist_file import abbreviations
from blindsight.core.dual_control import Add, Change, Remove, SetThreshold, named
from blindsight.trusted.operator import Operator, addition, template
from blindsight.trusted.sealing import read_key_file
from blindsight.vision import open_embedder, read_image
from blindsight.wire.dual_control import Signed, encode_record
from blindsight.wire.tls import Identity
from cli.running import BLINDSIGHT, Result, run
from surveillance import Town, free_port, introduce, until


class Two(Town):
    """Two parties whose list is founded, changed and looked at by commands alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / "key0", folder / "key1"
        public = [run("keys", "operator", key, "--json").json["public_key"] for key in self.keys]
        made = run(
            "watchlist", "new", self.list(0), "--operator-0", public[0], "--operator-1", public[1], "--json"
        )
        assert made.code == 0, made.err
        self.founded = made.json
        self.processes = [None, None]
        self.ports = [free_port(), free_port()]

    def meet(self) -> None:
        """Identities for `serve`."""
        self.identities = [
            Identity.create(self.folder / name, role, name)
            for name, role in (("north", "party0"), ("south", "party1"), ("gate", "camera"))
        ]
        introduce(*self.identities)

    def list(self, party: int) -> Path:
        return self.folder / f"list{party}"

    def join(self) -> Two:
        joined = run(
            "watchlist", "join", self.founded["founding"], self.list(1),
            "--name", self.founded["name"], "--key", self.keys[1], "--json",
        )  # fmt: skip
        assert joined.code == 0, joined.err
        assert joined.json["party"] == 1
        return self

    def run(self, verb: str, party: int, *rest: object, key: int | None = None) -> Result:
        """A command on a party's list; ``key`` of whose operator, where it is not this party's."""
        signing = verb in {"propose", "approve", "reject", "withdraw"}
        options = ["--key", self.keys[party if key is None else key]] if signing else []
        return run("watchlist", verb, self.list(party), *rest, *options, "--json")

    def propose(self, party: int, *rest: object) -> str:
        proposed = self.run("propose", party, *rest, "--reason", "because")
        assert proposed.code == 0, proposed.err
        digest: str = proposed.json["proposal"]
        return digest

    def listed(self, party: int) -> Any:
        return self.run("list", party).json

    def waits(self, party: int, digest: str) -> bool:
        return digest in [one["proposal"] for one in self.listed(party)["waiting"]]

    # -- by hand, as running parties do it ----------------------------------------------------

    def operator(self, party: int) -> Operator:
        return Operator(party, read_key_file(self.keys[party])[:32])

    def give(self, party: int, signed: Signed, photos: list[bytes]) -> str:
        """Put a proposal into a party's file as the link between the parties does."""
        file = WatchlistFile(self.list(party))
        digest = file.propose(signed, photos)
        file.close()
        return digest.hex()

    def record(self, change: Change, *parties: int, forged: bool = False) -> None:
        """Append a record to the files; with a verdict that nobody signed, if it is ``forged``."""
        file = WatchlistFile(self.list(parties[0]))
        state = file.state
        file.close()
        signed = self.operator(0).propose(state.name, change, "because")
        judge = Operator(1, os.urandom(32)) if forged else self.operator(1)
        verdict = judge.decide(named("proposal", signed.value), True)
        encoded = encode_record(state.number + 1, state.head, signed, verdict)
        for party in parties:
            db = sqlite3.connect(self.list(party))
            db.execute("INSERT INTO records VALUES (?, ?)", (state.number + 1, encoded))
            db.commit()
            db.close()


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Two:
    """Founded and joined once; every test gets a copy."""
    return Two(tmp_path_factory.mktemp("founded")).join()


@pytest.fixture
def two(founded: Two, tmp_path: Path) -> Two:
    for path in founded.folder.iterdir():
        shutil.copy(path, tmp_path)
    copied = copy.copy(founded)
    copied.folder, copied.keys = tmp_path, (tmp_path / "key0", tmp_path / "key1")
    return copied


def somebody(name: str, seed: int = 1) -> Add:
    values = np.random.default_rng(seed).integers(-80, 81, 128).astype(np.int16)
    return Add(name, values, (bytes([seed]) * 32,))


# -- with both parties running -----------------------------------------------------------------


def test_from_the_founding_to_an_alert(tmp_path: Path, photos: Path) -> None:
    """Two processes and a camera; every change is made by commands beside them, without a restart."""
    two = Two(tmp_path).join()
    two.meet()
    files = photos / "people" / "Eileen Collins"
    pipeline = open_embedder("dlib")
    try:
        parties = two.serve(1), two.serve(0)
        digest = two.propose(0, files / "portrait.jpg", files / "dark.jpg", "--add", "Collins")
        assert until(lambda: two.waits(1, digest))
        approved = two.run("approve", 1, digest, "--yes", "--reason", "seen")
        assert approved.code == 0, approved.err
        assert (approved.json["photos"], approved.json["matches"]) == (2, None)
        assert until(lambda: [two.listed(party)["number"] for party in (0, 1)] == [1, 1])
        founding = WatchlistFile(two.list(0)).state.founding
        face = template(founding, [pipeline.one_face(read_image(photos / "mirrored.jpg"))])
        face = face.astype(np.int32)[np.newaxis]
        with two.camera() as camera:
            before = camera.wait_open(20)
            assert before.entries == 1
            camera.offer(face.copy())
            for party in parties:
                assert until(lambda party=party: party.alerts())
                assert [name for _, name in party.alerts()[0]["matches"]] == ["Collins"]
            # A threshold that the same face does not pass, agreed while the camera looks on.
            digest = two.propose(1, "--threshold", "0.05")
            assert until(lambda: two.waits(0, digest))
            assert two.run("approve", 0, digest, "--yes").code == 0
            assert until(lambda: camera.state is not None and camera.state.head != before.head)
            camera.offer(face.copy())
            assert camera.wait_answered(20)
            assert [len(party.alerts()) for party in parties] == [1, 1]
        # A rejection while the proposer's party is away reaches it when it is back, and stays.
        digest = two.propose(0, "--remove", "Collins")
        assert until(lambda: two.waits(1, digest))
        assert parties[1].stop() == 0
        rejected = two.run("reject", 1, digest[:12], "--reason", "not yet")
        assert rejected.json["rejected"] is True
        assert two.waits(0, digest)
        two.serve(0)
        assert until(lambda: not two.waits(0, digest))
        assert until(lambda: two.kinds(1).count("agreed") >= 2)
        assert not two.waits(1, digest)
        (ended,) = two.run("history", 0).json["ended"]
        assert (ended["proposal"], ended["party"], ended["reason"]) == (digest, 1, "not yet")
    finally:
        two.close()
    records = two.run("history", 1).json["records"]
    assert [one["change"]["kind"] for one in records] == ["add", "threshold"]
    assert (records[0]["proposer"], records[0]["remark"]) == (0, "seen")
    same = run("watchlist", "diff", two.list(0), two.list(1), "--json")
    assert (same.code, same.json["same"], same.json["common"]) == (0, True, 2)
    entry = two.listed(0)["entries"][0]
    assert (entry["entry"], entry["photos"], entry["record"]) == ("Collins", 2, 1)
    assert two.listed(1)["threshold"] == pytest.approx(0.05, abs=1e-3)


# -- founding --------------------------------------------------------------------------------------


def test_a_list_is_founded_and_joined(tmp_path: Path) -> None:
    two = Two(tmp_path)
    said = two.founded
    assert (said["dimension"], said["normalised"], said["threshold"]) == (
        128,
        False,
        pytest.approx(0.6, 1e-3),
    )
    assert named("founding", Path(said["founding"]).read_bytes()).hex() == said["name"]
    out = two.list(1)
    shown = run("watchlist", "join", said["founding"], out, "--yes")
    assert shown.code == 0
    whole = "".join(shown.out.split())
    assert all(text in whole for text in (said["name"], *said["operators"]))
    assert out.stat().st_mode & 0o777 == 0o600
    assert two.listed(1)["entries"] == two.listed(1)["waiting"] == []
    assert "Nobody is on the list" in run("watchlist", "list", out).out
    assert run("watchlist", "join", said["founding"], out, "--yes").code == 2


def test_joining_refuses(tmp_path: Path) -> None:
    two = Two(tmp_path)
    founding, out = two.founded["founding"], tmp_path / "out"
    assert run("watchlist", "join", founding, out, "--name", "00" * 32).code == 2
    assert run("keys", "operator", tmp_path / "stranger").code == 0
    stranger = run("watchlist", "join", founding, out, "--yes", "--key", tmp_path / "stranger")
    assert stranger.code == 2
    assert "neither" in stranger.err
    asked = subprocess.run(
        [*BLINDSIGHT, "watchlist", "join", founding, str(out)], capture_output=True, stdin=subprocess.DEVNULL
    )
    assert asked.returncode == 2
    whole = Path(founding).read_bytes()
    for bad in (b"", whole[:-1], whole + b"\x00", bytes(4000), Path(two.list(0)).read_bytes()):
        (tmp_path / "bad").write_bytes(bad)
        refused = run("watchlist", "join", tmp_path / "bad", out, "--yes")
        assert refused.code == 3
        assert "not the founding" in refused.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "because"),
    [
        ({"--operator-1": "ab"}, "64 hex digits"),
        ({"--operator-1": "AA" * 32}, "same operator"),
        ({"--threshold": "0"}, "positive"),
        ({"--threshold": "nan"}, "positive"),
        ({"--threshold": "90"}, "larger"),
        ({"--value-bits": "8"}, "Rounding"),
        ({"--embedder": "nobody"}, "no embedder"),
    ],
)
def test_a_list_that_cannot_be_founded(tmp_path: Path, options: dict[str, str], because: str) -> None:
    given = {"--operator-0": "aa" * 32, "--operator-1": "bb" * 32} | options
    flat = [part for pair in given.items() for part in pair]
    refused = run("watchlist", "new", tmp_path / "list", *flat)
    assert refused.code in (2, 3), refused.out
    assert re.search(because, refused.err), refused.err
    assert list(tmp_path.iterdir()) == []


# -- proposing -------------------------------------------------------------------------------------


def test_what_cannot_be_proposed(two: Two, photos: Path) -> None:
    two.record(somebody("known"), 0, 1)
    good = photos / "people" / "Eileen Collins" / "portrait.jpg"
    for code, because, rest in (
        (3, "already", (good, "--add", "known")),
        (2, "letters", (good, "--add", "Eileen Collins")),
        (2, "not an image", (photos / "broken.jpg", "--add", "a")),
        (4, "No face", (photos / "faceless.png", "--add", "a")),
        (2, "several faces", (photos / "crowd.png", "--add", "a")),
        (2, "twice", (good, good, "--add", "a")),
        (2, "does not exist", (photos / "none.jpg", "--add", "a")),
        (2, "--add needs", ("--add", "a")),
        (2, "one change", ("--remove", "known", "--threshold", "0.5")),
        (2, "one change", ()),
        (3, "not on the list", ("--remove", "nobody")),
        (3, "already", ("--threshold", repr(two.listed(0)["threshold"] - 1e-9))),
        (2, "positive", ("--threshold", "-1")),
        (2, "at most 8", (*[good] * 9, "--add", "a")),
    ):
        refused = two.run("propose", 0, *rest, "--reason", "because")
        assert (refused.code, because in refused.err) == (code, True), (rest, refused.err)
        assert refused.json["message"]
    assert two.run("propose", 0, "--remove", "known", "--reason", "").code == 3
    assert two.listed(0)["waiting"] == []


def test_signing_with_a_key_of_somebody_else(two: Two, tmp_path: Path) -> None:
    assert run("keys", "operator", tmp_path / "stranger").code == 0
    foreign = ("--key", tmp_path / "stranger", "--json")
    change = ("--threshold", "0.5", "--reason", "because")
    refused = run("watchlist", "propose", two.list(0), *change, *foreign)
    assert (refused.code, "neither" in refused.err) == (2, True)
    digest = two.propose(0, "--threshold", "0.5")
    assert two.run("approve", 0, digest, "--yes").code == 3
    assert two.run("reject", 0, digest).code == 3
    assert "withdraw" in two.run("reject", 0, digest).err
    assert "reject" in two.run("withdraw", 0, digest, key=1).err
    assert run("watchlist", "approve", two.list(0), digest, "--yes", *foreign).code == 2
    assert two.waits(0, digest)
    assert two.run("withdraw", 0, digest).json["withdrawn"] is True
    assert two.listed(0)["waiting"] == []


def test_a_digest_may_be_cut_as_long_as_it_is_clear(two: Two) -> None:
    name, operator = bytes.fromhex(two.founded["name"]), two.operator(0)
    digests = [
        two.give(0, operator.propose(name, SetThreshold(number), "because"), []) for number in range(1, 18)
    ]
    first = next(d for d in digests if sum(other[0] == d[0] for other in digests) > 1)
    unclear = two.run("show", 0, first[0])
    assert unclear.code == 2
    assert "more digits" in unclear.err
    assert first[:8] in unclear.err
    assert two.run("show", 0, first[:16].upper()).json["proposal"] == first
    for wrong in ("", "xyz", "00" * 32, first + "00"):
        assert two.run("show", 0, wrong).code == 2
    refused = two.run("approve", 0, first[:16], "--yes", key=1)
    assert (refused.code, "whole digest" in refused.err) == (2, True)
    shown = run("watchlist", "list", two.list(0)).out
    assert shown.count("party 1 decides") == 17


def test_abbreviations_tell_apart() -> None:
    alike = [bytes([1, 2, 3, 4, 5, 6, n]) for n in (7, 8)]
    assert abbreviations([bytes(32), b"\xff" * 32]) == ["00000000", "ffffffff"]
    assert abbreviations(alike) == ["01020304050607", "01020304050608"]


# -- approving -------------------------------------------------------------------------------------


def signed_addition(two: Two, photo: bytes, values: Any) -> Signed:
    name = bytes.fromhex(two.founded["name"])
    return two.operator(0).propose(name, Add("a", values, (sha256(photo).digest(),)), "because")


def test_a_template_that_is_not_of_the_photos(two: Two, photos: Path) -> None:
    """The proposer's own software may sign what it likes: the other side embeds the photos itself."""
    photo = (photos / "mirrored.jpg").read_bytes()
    digest = two.give(1, signed_addition(two, photo, somebody("a").values), [photo])
    refused = two.run("approve", 1, digest, "--yes")
    assert (refused.code, refused.json["error"]) == (3, "tampered")
    assert "not the embedding" in refused.err
    assert two.listed(1)["waiting"][0]["approved"] is False
    founding = WatchlistFile(two.list(1)).state.founding
    embedding = open_embedder("dlib").one_face(read_image(photos / "mirrored.jpg"))
    honest = addition(founding, "a", [photo], [embedding])
    nearly = signed_addition(two, photo, honest.values + np.int16(2))
    assert two.run("approve", 1, two.give(1, nearly, [photo]), "--yes").code == 0


def test_photos_that_are_none(two: Two, tmp_path: Path) -> None:
    for photo, code in ((b"GIF89a is all there is", 2), (_faceless(), 4)):
        digest = two.give(1, signed_addition(two, photo, somebody("a").values), [photo])
        refused = two.run("approve", 1, digest, "--yes")
        assert (refused.code, "Reject the proposal" in refused.err) == (code, True), refused.err
    unreadable = two.listed(1)["waiting"][0]["proposal"]
    assert two.run("show", 1, unreadable, "--photos", tmp_path / "look").code == 2
    assert two.run("reject", 1, unreadable).code == 0
    assert len(two.listed(1)["waiting"]) == 1


def _faceless() -> bytes:
    stream = io.BytesIO()
    PIL.Image.new("RGB", (200, 200), "grey").save(stream, "PNG")
    return stream.getvalue()


def test_photos_exchanged_in_the_file(two: Two, photos: Path, tmp_path: Path) -> None:
    digest = two.propose(0, photos / "mirrored.jpg", "--add", "Collins")
    looked = two.run("show", 0, digest, "--photos", tmp_path / "look")
    (written,) = looked.json["photo_files"]
    assert PIL.Image.open(written).size == (256, 256)
    assert Path(written).stat().st_mode & 0o777 == 0o600
    db = sqlite3.connect(two.list(0))
    db.execute("UPDATE photos SET photo = ?", ((photos / "crowd.png").read_bytes(),))
    db.commit()
    db.close()
    for verb, rest in (("show", ("--photos", tmp_path / "look")), ("approve", ("--yes",))):
        refused = two.run(verb, 0, digest, *rest, **({"key": 1} if verb == "approve" else {}))
        assert (refused.code, "not those" in refused.err) == (3, True)


def test_approving_asks(two: Two) -> None:
    """At a terminal, where the digest may be short: no is no, and yes is yes."""
    digest = two.propose(0, "--threshold", "0.5")
    command = [*BLINDSIGHT, "watchlist", "approve", str(two.list(0)), digest[:8], "--key", str(two.keys[1])]
    for answer, code in ((b"n\n", 130), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        os.write(ours, answer)
        said, _ = process.communicate(timeout=60)
        os.close(ours)
        os.close(theirs)
        assert process.returncode == code, said
        assert "threshold 0.5, now 0.6" in said
        assert two.listed(0)["waiting"][0]["approved"] is (code == 0)
    again = two.run("approve", 0, digest, "--yes", key=1)
    assert (again.code, "approved already" in again.err) == (3, True)
    refused = two.run("reject", 0, digest, key=1)
    assert (refused.code, "opposite" in refused.err) == (3, True)


def test_two_proposals_for_one_name(two: Two, photos: Path) -> None:
    first = two.propose(0, photos / "mirrored.jpg", "--add", "Collins")
    again = two.run(
        "propose", 0, photos / "people/Eileen Collins/dark.jpg", "--add", "Collins", "--reason", "x"
    )
    assert (again.code, "waits already" in again.err) == (0, True)
    assert two.run("approve", 0, first, "--yes", key=1).code == 0
    file = WatchlistFile(two.list(0))
    file.append(file.next_record())
    file.close()
    refused = two.run("approve", 0, again.json["proposal"], "--yes", key=1)
    assert (refused.code, "already" in refused.err) == (3, True)
    known = two.run("propose", 0, photos / "mirrored.jpg", "--add", "Her", "--reason", "x")
    assert "match Collins, who is on the list" in known.err


# -- comparing copies ------------------------------------------------------------------------------


def test_an_entry_added_behind_the_others_back(two: Two) -> None:
    """The corrupt party's file does not open any more, and `diff` names record and entry."""
    two.record(somebody("known"), 0, 1)
    two.record(somebody("enemy", 2), 1, forged=True)
    assert two.run("list", 1).code == 3
    Identity.create(two.folder / "south", "party1", "south")
    refused = run(
        "serve", "party", "--id", "1", "--identity", two.folder / "south", "--watchlist", two.list(1),
        "--data", two.folder / "data",
    )  # fmt: skip
    assert (refused.code, "signature" in refused.err) == (3, True)
    found = run("watchlist", "diff", two.list(0), two.list(1), "--json")
    assert found.code == 1
    assert (found.json["only_there"], found.json["common"]) == (["enemy"], 1)
    assert "signature" in found.json["there"]["fault"]
    shown = run("watchlist", "diff", two.list(0), two.list(1))
    assert shown.code == 1
    assert "Record 2 there is not valid" in shown.out
    assert "enemy" in shown.out


def test_a_fork_is_shown_with_every_entry_that_differs(two: Two, tmp_path: Path) -> None:
    two.record(somebody("known"), 0, 1)
    two.record(somebody("left", 2), 0)
    two.record(somebody("right", 3), 1)
    two.record(SetThreshold(90_000), 1)
    assert run("watchlist", "dump", two.list(1), tmp_path / "dump").code == 0
    for other in (two.list(1), tmp_path / "dump"):
        found = run("watchlist", "diff", two.list(0), other, "--json")
        assert (found.code, found.json["fork"]) == (1, 2)
        assert (found.json["only_here"], found.json["only_there"]) == (["left"], ["right"])
        assert [one["entry"] for one in found.json["parted"]] == ["left", "right"]
        assert found.json["thresholds"][1] < found.json["thresholds"][0]
    shown = run("watchlist", "diff", two.list(0), tmp_path / "dump").out
    assert "part at record 2" in shown
    assert all(word in shown for word in ("left", "right", "threshold"))
    assert run("watchlist", "dump", two.list(1), tmp_path / "dump").code == 2


def test_a_copy_that_is_behind_and_one_of_another_list(two: Two, tmp_path: Path) -> None:
    two.record(somebody("known"), 0, 1)
    two.record(Remove("known"), 0)
    behind = run("watchlist", "diff", two.list(0), two.list(1))
    assert behind.code == 1
    assert "1 record" in behind.out
    assert "known" in behind.out
    (tmp_path / "other").mkdir()
    other = Two(tmp_path / "other")
    found = run("watchlist", "diff", two.list(0), other.list(0), "--json")
    assert (found.code, found.json["other_list"]) == (1, True)
    assert "founded apart" in run("watchlist", "diff", two.list(0), other.list(0)).out
    foreign = other.operator(0).propose(bytes.fromhex(two.founded["name"]), SetThreshold(7), "because")
    with pytest.raises(Exception, match="signature"):
        two.give(0, foreign, [])
    (tmp_path / "no").write_text(json.dumps({"founding": 1}))
    assert run("watchlist", "diff", two.list(0), tmp_path / "no").code == 3
    assert run("watchlist", "diff", two.list(0), tmp_path / "none").code == 2
