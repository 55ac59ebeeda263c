"""`probe`: a real face asked about by one party, answered by the other, with what both had prepared."""

from __future__ import annotations

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from blindsight.blind.dual_control import WatchlistFile
from blindsight.core.dual_control import named
from blindsight.schemes.spdz2k.params import Params
from blindsight.trusted.operator import Operator, addition, found
from blindsight.vision import open_embedder, read_image
from blindsight.wire.dual_control import encode_record
from blindsight.wire.tls import Identity
from cli.running import BLINDSIGHT, run
from surveillance import free_port, introduce


class Pair:
    """Two parties who agreed on one person."""

    def __init__(self, folder: Path, photo: Path) -> None:
        self.folder = folder
        self.identities = [Identity.create(folder / f"id{n}", f"party{n}", f"n{n}") for n in (0, 1)]
        introduce(*self.identities)
        pipeline = open_embedder("dlib")
        embedding = pipeline.one_face(read_image(photo))
        operators = [Operator(n, os.urandom(32)) for n in (0, 1)]
        params = Params.for_radius(128, radius=1.7)
        keys = (operators[0].public_key, operators[1].public_key)
        founding = found(
            embedding.model_id, 128, False, params.scale, params.norm, params.value_bits, 0.6, keys
        )
        for n in (0, 1):
            WatchlistFile.create(folder / f"list{n}", founding).close()
        first = WatchlistFile(folder / "list0")
        change = addition(first.state.founding, "eileen-collins", [photo.read_bytes()], [embedding])
        signed = operators[0].propose(first.state.name, change, "wanted")
        verdict = operators[1].decide(named("proposal", signed.value), True)
        record = encode_record(1, first.state.head, signed, verdict)
        first.close()
        for n in (0, 1):
            copy = WatchlistFile(folder / f"list{n}")
            copy.extend([record])
            copy.close()
        assert sha256(photo.read_bytes()).digest() in change.photos

    def both(self, verb: str, *options: tuple[str, ...]) -> list[tuple[int, dict]]:
        address = f"127.0.0.1:{free_port()}"
        processes = [
            subprocess.Popen(
                [
                    *(*BLINDSIGHT, verb, "--id", str(n), "--identity", str(self.identities[n].folder)),
                    *("--peer" if n == 0 else "--listen", address, "--stock", str(self.folder / f"stock{n}")),
                    *("--watchlist", str(self.folder / f"list{n}"), "--wait", "30", "--json", *options[n]),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in (0, 1)
        ]
        return [
            (process.returncode, json.loads(out))
            for process, (out, _) in [(p, p.communicate(timeout=90)) for p in processes]
        ]


@pytest.fixture(scope="module")
def pair(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("pair"), photos / "people" / "Eileen Collins" / "portrait.jpg")


def test_a_face_is_asked_about_until_the_stock_is_empty(pair: Pair, photos: Path) -> None:
    filled = pair.both("preprocess", ("--faces", "3", "--batch", "3"), ("--faces", "3", "--batch", "3"))
    assert [code for code, _ in filled] == [0, 0]
    (code, asked), (other, answered) = pair.both("probe", (str(photos / "mirrored.jpg"),), ())
    assert (code, other) == (0, 0)
    assert asked["results"][0]["matches"] == answered["results"][0]["matches"] == ["eileen-collins"]
    assert (asked["left"], answered["left"]) == (2, 2)
    assert asked["results"][0]["photo"].endswith("mirrored.jpg")
    assert answered["results"][0]["photo"] is None

    dark = str(photos / "people" / "Eileen Collins" / "dark.jpg")
    ends = pair.both("probe", (), (dark, dark, dark))
    assert [code for code, _ in ends] == [3, 3]
    for _, said in ends:
        assert said["error"] == "stock-empty"
        assert [result["matches"] for result in said["results"]] == [["eileen-collins"]] * 2
    assert run("preprocess", "--stock", pair.folder / "stock0", "--status", "--json").json["level"] == 0


def test_nobody_asks(pair: Pair) -> None:
    ends = pair.both("probe", (), ())
    assert [(code, said["error"]) for code, said in ends] == [(3, "mismatch")] * 2
