from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from cli.running import run, run_apart


@pytest.mark.slow
def test_two_parties_from_end_to_end(tmp_path: Path) -> None:
    picture = tmp_path / "seen.png"
    told = run_apart(
        "demo", "surveillance", "--entries", "5", "--picture", picture, "--json", TMPDIR=str(tmp_path)
    )
    assert told.code == 0, told.err
    story = told.json
    assert story["unlisted"]["alerts"] == [[], []]
    assert story["unlisted"]["faces_sent"] == story["unlisted"]["answered"] > 0
    north, south = story["recognised"]["alerts"]
    assert north == south
    assert {entry for matches in north for _, entry in matches} == {"person-of-interest"}
    assert story["recognised"]["receipts"][0] == story["recognised"]["receipts"][1]
    assert story["cheated"]["alerts"] == [0, 0]
    assert set(story["cheated"]["aborts"]) == {"abort-opening"}
    assert story["cheated"]["evidence"] == len(story["cheated"]["aborts"])
    assert story["revealed"]["refused_with_one_consent"] is True
    assert story["revealed"]["as_the_camera_saw_it"] is True
    assert story["revealed"]["gaps"] == []
    with PIL.Image.open(picture) as drawn:
        assert drawn.size[0] > drawn.size[1] > 300
    assert [path.name for path in tmp_path.iterdir()] == ["seen.png"]


def test_usage() -> None:
    assert run("demo", "surveillance", "--source", "a.mp4").code == 2
