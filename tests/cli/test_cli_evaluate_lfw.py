"""``evaluate lfw``: pairs of photos under a real matcher, and everything that is refused."""

import shutil

import PIL.Image
import pytest
import skimage.data

from cli.running import run
from real_data import DATA, needs


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    """Two folders of the one real face: for the arithmetic it does not matter that nobody else is there."""
    root = tmp_path_factory.mktemp("pairs")
    whole = skimage.data.astronaut()[:256, 96:352]
    for person, pixels in {"one": whole, "two": whole[:, ::-1]}.items():
        folder = root / "images" / person
        folder.mkdir(parents=True)
        for number, cut in enumerate((256, 240, 230), start=1):
            PIL.Image.fromarray(pixels[:cut]).save(folder / f"{person}_{number:04d}.png")
    (root / "images" / "nobody").mkdir()
    PIL.Image.new("RGB", (80, 80), "grey").save(root / "images" / "nobody" / "nobody_0001.png")
    return root


PAIRS = "one 1 2\ntwo 1 3\none 1 two 1\none 2 two 3\none 3 nobody 1\n"


@pytest.fixture
def command(portraits, tmp_path):
    """The command on a list and a copy of the photos, which a test may change."""
    shutil.copytree(portraits / "images", tmp_path / "images")
    (tmp_path / "pairs.txt").write_text(PAIRS)
    return ["evaluate", "lfw", "--pairs", tmp_path / "pairs.txt", "--images", tmp_path / "images"]


def test_the_command_writes_a_report_and_keeps_the_embeddings(command, tmp_path):
    options = ["--scheme", "lattice-exact", "--singles", "2", "--embeddings", tmp_path / "kept.npz"]
    done = run(*command, *options, "--report", tmp_path / "lfw.html", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["pairs"], found["listed_pairs"], found["genuine_pairs"]) == (4, 5, 2)
    assert [rejected["reason"] for rejected in found["rejected"]] == ["no-face"]
    assert "nobody" in done.err
    assert [(one["scheme"], one["mode"]) for one in found["runs"]] == [
        ("clear", "1:N"), ("lattice-exact", "1:N"), ("clear", "1:1"), ("lattice-exact", "1:1"),
    ]  # fmt: skip
    for one in found["runs"]:
        assert one["equal_integers"] == one["compared_integers"] > 0
        assert one["auc_difference"] == 0
        assert one["ms"]["match"] > 0
    assert found["runs"][1]["bytes"]["server_peak"] > 1 << 20
    assert (tmp_path / "lfw.html").read_text().startswith("<!DOCTYPE html>")
    assert (tmp_path / "lfw-csv" / "table-1.csv").exists()
    # The second run takes the embeddings from the file, and notices that a photo is another one.
    photo = tmp_path / "images" / "one" / "one_0001.png"
    PIL.Image.open(photo).rotate(1).save(photo)
    again = run(*command, *options)
    assert again.code == 2
    assert "one_0001.png" in again.err
    (tmp_path / "kept.npz").write_bytes(b"not this")
    assert "damaged" in run(*command, *options).err


@pytest.mark.parametrize(
    ("pairs", "options", "said"),
    [
        ("one 1 2\none 1 two 9\n", [], "line 2: there is no photo two/two_0009"),
        ("one 1 2\none 1 three 1\n", [], "no photo three/three_0001"),
        ("one 1 2\none 1\n", [], "line 2: a pair is"),
        ("one 1 2\none 1 two x\n", [], "whole number"),
        ("", [], "empty"),
        ("3 1\none 1 2\n", [], "announces"),
        (PAIRS, ["--scheme", "rot13"], "no scheme 'rot13'; choose among clear, lattice"),
        (PAIRS, ["--embedder", "eyes"], "no embedder"),
        ("one 1 2\none 1 nobody 1\n", [], "Too few faces"),
        (PAIRS, ["--report", "."], "HTML file"),
        (PAIRS, ["--report", "no/where.html"], "no folder"),
        (PAIRS, ["--embeddings", "no/where.npz"], "no folder"),
        (PAIRS, ["--singles", "1"], "singles"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_sentence(
    command, tmp_path, monkeypatch, pairs, options, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.txt").write_text(pairs)
    done = run(*command, *options)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.glob("*.html"))


def test_files_that_are_not_there(command, tmp_path):
    (tmp_path / "pairs.txt").unlink()
    assert "cannot be opened" in run(*command).err
    assert "not a folder" in run(*command[:-1], tmp_path / "nothing").err


@pytest.mark.data
@needs("lfw", "pairs_fold01_02.txt")
def test_a_missing_photo_of_the_official_list(tmp_path):
    done = run(
        "evaluate", "lfw", "--pairs", DATA / "lfw" / "pairs.txt", "--images", DATA / "lfw" / "images",
    )  # fmt: skip
    assert done.code == 2
    assert "there is no photo" in done.err
