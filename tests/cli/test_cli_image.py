"""``image``, ``bench etc``, ``evaluate etc`` and ``serve learner`` as they are typed."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import skimage.data

from cli.running import BLINDSIGHT, run, run_apart
from faces import people

SIZE = (40, 32)  # height, width


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key, and images of three people: ``people/<name>/<number>.png``."""
    root = tmp_path_factory.mktemp("images")
    assert run("image", "key", root / "key").code == 0
    images, owners = people(3, 8, *SIZE, seed=11)
    for number, (image, owner) in enumerate(zip(images, owners, strict=True)):
        folder = root / "people" / ("Ada", "Bob", "Eve")[owner]
        folder.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(folder / f"{number:02d}.png")
    return root


def bad_files(folder: Path) -> dict[str, str]:
    """Files that cannot be scrambled, and a word of what is said of each."""
    folder.mkdir()
    grey = PIL.Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40).astype(np.uint8))
    rgb = PIL.Image.merge("RGB", [grey] * 3)
    grey.resize((7, 7)).save(folder / "small.png")
    rgb.save(folder / "whole.jpg")
    (folder / "truncated.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:400])
    (folder / "whole.jpg").unlink()
    PIL.Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40)).save(folder / "wide.png")
    grey.convert("P").save(folder / "palette.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.save(folder / "animated.png", save_all=True, append_images=[rgb.rotate(90), rgb.rotate(180)])
    rgb.convert("RGBA").save(folder / "clear.png")
    grey.save(folder / "old.pgm")
    (folder / "empty.png").write_bytes(b"")
    return {
        "small.png": "smaller than one block",
        "truncated.jpg": "damaged or incomplete",
        "wide.png": "16-bit",
        "palette.png": "palette",
        "cmyk.jpg": "CMYK",
        "animated.png": "animated",
        "clear.png": "transparency",
        "empty.png": "neither a PNG nor a JPEG",
        "old.pgm": "neither a PNG nor a JPEG",
    }


# -- encrypt and decrypt -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--own-keys"], ["--layout", "grey", "--block", "16"]], ids=str)
def test_there_and_back(root: Path, tmp_path: Path, options: list[str]) -> None:
    made = run(
        "image",
        "encrypt",
        root / "people",
        "--key",
        root / "key",
        "--out",
        tmp_path / "a",
        *options,
        "--json",
    )
    assert made.code == 0, made.err
    assert made.json["claim"] == "perceptual"
    assert len(made.json["written"]) == 24
    assert run("image", "decrypt", tmp_path / "a", "--key", root / "key", "--out", tmp_path / "b").code == 0
    for path in (root / "people").rglob("*.png"):
        name = path.relative_to(root / "people")
        before, hidden, after = (
            np.asarray(PIL.Image.open(at / name)) for at in (root / "people", tmp_path / "a", tmp_path / "b")
        )
        assert (before == after).all()
        assert hidden.shape != before.shape or (hidden != before).mean() > 0.5


@pytest.mark.parametrize("layout", ["auto", "colour", "ycbcr", "rgb"])
def test_colour_and_jpeg(root: Path, tmp_path: Path, layout: str) -> None:
    photo = skimage.data.astronaut()[:150, 100:230]
    PIL.Image.fromarray(photo).save(tmp_path / "photo.png")
    common = ["--key", root / "key"]
    options = [*common, "--out", tmp_path / "a", "--layout", layout, "--quality", "95"]
    made = run("image", "encrypt", tmp_path / "photo.png", *options, "--json")
    assert made.json["written"] == [str(tmp_path / "a" / "photo.jpg")]
    assert run("image", "decrypt", tmp_path / "a", *common, "--out", tmp_path / "b").code == 0
    back = np.asarray(PIL.Image.open(tmp_path / "b" / "photo.png")).astype(float)
    assert back.shape == photo.shape
    assert np.sqrt(((back - photo) ** 2).mean()) < 10


def test_orientation_is_applied(root: Path, tmp_path: Path) -> None:
    image = PIL.Image.fromarray(skimage.data.astronaut()[:48, :64])
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    run("image", "encrypt", tmp_path / "turned.png", "--key", root / "key", "--out", tmp_path / "a")
    run("image", "decrypt", tmp_path / "a", "--key", root / "key", "--out", tmp_path / "b")
    back = np.asarray(PIL.Image.open(tmp_path / "b" / "turned.png"))
    assert (back == np.rot90(np.asarray(image), -1)).all()


def test_bad_files_are_reported_and_stop_nothing(root: Path, tmp_path: Path) -> None:
    words = bad_files(tmp_path / "files")
    PIL.Image.fromarray(skimage.data.camera()[:64, :64]).save(tmp_path / "files" / "good.png")
    made = run(
        "image", "encrypt", tmp_path / "files", "--key", root / "key", "--out", tmp_path / "out", "--json"
    )
    assert made.code == 0
    assert made.json["written"] == [str(tmp_path / "out" / "good.png")]
    told = {Path(one["file"]).name: one for one in made.json["rejected"]}
    assert told.keys() == words.keys()
    for name, word in words.items():
        assert word in told[name]["message"], told[name]
        assert told[name]["message"].endswith(".")
    plain = run("image", "encrypt", tmp_path / "files", "--key", root / "key", "--out", tmp_path / "again")
    assert "1 image scrambled, 9 rejected." in plain.out
    assert "cmyk.jpg" in plain.err
    only_bad = run(
        "image", "encrypt", tmp_path / "files" / "cmyk.jpg", "--key", root / "key", "--out", tmp_path / "o"
    )
    assert only_bad.code == 2


def test_interrupted(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle: what was written is whole, there is no more, and the same command goes on."""
    written = Path.write_bytes

    def press(self: Path, data: bytes) -> int:
        if len(list((tmp_path / "out").rglob("*.png"))) == 3:
            written(self, data[:10])
            raise KeyboardInterrupt
        return written(self, data)

    monkeypatch.setattr(Path, "write_bytes", press)
    arguments = ("image", "encrypt", root / "people", "--key", root / "key", "--out", tmp_path / "out")
    stopped = run(*arguments)
    assert (stopped.code, stopped.err) == (130, "error: Interrupted.\n")
    monkeypatch.undo()
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(left) == 3
    for path in left:
        PIL.Image.open(path).load()
    assert len(run(*arguments, "--json").json["written"]) == 24


def test_a_model_that_got_no_image_does_not_stay(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    place = ["--folder", tmp_path / "learner"]
    monkeypatch.setattr("blindsight.trusted.etc_client.ImageClient.send", press)
    assert train(root, place, "faces").code == 130
    monkeypatch.undo()
    assert train(root, place, "faces").json["version"] == 1


def test_wrong_keys(root: Path, tmp_path: Path) -> None:
    source = root / "people" / "Ada"
    run("image", "encrypt", source, "--key", root / "key", "--out", tmp_path / "a")
    run("image", "key", tmp_path / "other")
    wrong = run(
        "image", "decrypt", tmp_path / "a", "--key", tmp_path / "other", "--out", tmp_path / "b", "--json"
    )
    assert wrong.code == 2
    assert {one["reason"] for one in wrong.json["rejected"]} == {"key-mismatch"}
    old = tmp_path / "old"
    old.write_text((root / "key").read_text().replace("key-1:", "key-7:"))
    old.chmod(0o600)
    refused = run("image", "encrypt", source, "--key", old, "--out", tmp_path / "c", "--json")
    assert (refused.code, refused.json["error"]) == (2, "key-file")
    assert "version 7" in refused.json["message"]
    not_hidden = run("image", "decrypt", source, "--key", root / "key", "--out", tmp_path / "d", "--json")
    assert {one["reason"] for one in not_hidden.json["rejected"]} == {"malformed"}


def test_usage(root: Path, tmp_path: Path) -> None:
    key = ["--key", root / "key", "--out", tmp_path / "out"]
    (twins := tmp_path / "twins").mkdir()
    for ending in ("png", "jpg"):
        PIL.Image.new("L", (16, 16)).save(twins / f"one.{ending}")
    model = ["image", "train", root / "people", "--model", "x", "--key", root / "key"]
    for arguments in (
        ["image", "encrypt", tmp_path / "none", *key],
        ["image", "encrypt", twins, *key],
        ["image", "encrypt", root / "people", *key, "--quality", "0"],
        ["image", "key", root / "key"],
        model,
        [*model, "--folder", tmp_path / "l", "--size", "big"],
        [*model, "--folder", tmp_path / "l", "--key-condition", "none"],
    ):
        told = run(*arguments, "--json")
        assert (told.code, told.json["error"]) == (2, "usage"), arguments
    unknown = run("image", "encrypt", root / "people" / "Ada", *key, "--layout", "sepia", "--json")
    assert unknown.code == 2
    assert "There is no layout sepia" in unknown.json["rejected"][0]["message"]
    grey = run("image", "encrypt", root / "people" / "Ada", *key, "--layout", "colour", "--json")
    assert "other kind" in grey.json["rejected"][0]["message"]


# -- train and predict ---------------------------------------------------------------------------------


def train(root: Path, place: list[object], name: str, *options: object, people: Path | None = None):
    return run("image", "train", people or root / "people", "--model", name, "--key", root / "key", *place,
               "--ratio", "4", *options, "--json")  # fmt: skip


def predict(root: Path, place: list[object], name: str, *options: object):
    return run("image", "predict", *options, "--model", name, "--key", root / "key", *place, "--json")


@pytest.mark.parametrize("classifier", ["svm-linear", "svm-rbf", "knn", "forest"])
def test_train_and_predict(root: Path, tmp_path: Path, classifier: str) -> None:
    place = ["--folder", tmp_path / "learner"]
    (made := tmp_path / "people").mkdir()
    for person in (root / "people").iterdir():
        (made / person.name).symlink_to(person)
    bad = bad_files(made / "Mallory")
    done = train(root, place, "faces", "--classifier", classifier, "--size", "32x40", people=made)
    assert done.code == 0, done.err
    assert (done.json["version"], done.json["people"], done.json["images"]) == (1, 4, 25)
    assert {Path(one["file"]).name for one in done.json["rejected"]} == bad.keys() - {"small.png"}
    found = predict(root, place, "faces", root / "people")
    assert found.code == 0
    right = [one["person"] == Path(one["file"]).parent.name for one in found.json["images"]]
    assert len(right) == 24
    assert sum(right) >= 22
    assert train(root, place, "faces", "--classifier", classifier).json["version"] == 2


def test_a_model_of_another_size_key_or_condition(root: Path, tmp_path: Path) -> None:
    place = ["--folder", tmp_path / "learner"]
    one = root / "people" / "Bob" / "08.png"
    assert train(root, place, "common").code == 0
    assert train(root, place, "each", "--key-condition", "each").json["key_condition"] == "each"
    small = tmp_path / "small.png"
    PIL.Image.open(one).resize((24, 24)).save(small)
    size = predict(root, place, "common", small)
    assert (size.code, size.json["error"]) == (3, "params-mismatch")
    assert predict(root, place, "common", small, "--fit").code == 0
    nobody = predict(root, place, "each", one)
    assert (nobody.code, nobody.json["error"]) == (3, "key-mismatch")
    bob = predict(root, place, "each", one, "--as", "Bob").json["images"][0]
    eve = predict(root, place, "each", one, "--as", "Eve").json["images"][0]
    assert bob["person"] == "Bob"
    assert bob["claimed_score"] > 0 > eve["claimed_score"] or eve["person"] != "Bob"
    mixed = train(root, place, "each")
    assert (mixed.code, mixed.json["error"]) == (3, "params-mismatch")
    run("image", "key", tmp_path / "other")
    other = run("image", "predict", one, "--model", "common", "--key", tmp_path / "other", *place, "--json")
    assert (other.code, other.json["error"]) == (3, "key-mismatch")
    missing = predict(root, place, "nothing", one)
    assert (missing.code, missing.json["error"]) == (3, "not-found")


def test_one_class(root: Path, tmp_path: Path) -> None:
    (alone := tmp_path / "people").mkdir()
    (alone / "Ada").symlink_to(root / "people" / "Ada")
    told = train(root, ["--folder", tmp_path / "learner"], "x", people=alone)
    assert (told.code, told.json["error"]) == (2, "usage")
    assert "only one class" in told.json["message"]


def test_over_http(root: Path, tmp_path: Path) -> None:
    command = [*BLINDSIGHT, "serve", "learner", "--data", str(tmp_path / "data"), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = json.loads(process.stdout.readline())
        place = ["--server", said["url"], "--token-file", said["token_file"]]
        assert train(root, place, "faces", "--quality", "95").code == 0
        found = predict(root, place, "faces", root / "people" / "Eve", "--quality", "95").json["images"]
        assert sum(one["person"] == "Eve" for one in found) >= 7
        assert (
            run(
                "image", "predict", root, "--model", "faces", "--key", root / "key", "--server", said["url"]
            ).code
            == 2
        )
        stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
        assert b"Ada" not in stored
        assert bytes.fromhex((root / "key").read_text().split(":")[1]) not in stored
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err


# -- bench and evaluate --------------------------------------------------------------------------------


def test_bench() -> None:
    rows = run_apart("bench", "etc", "--repeats", "3", "--json").json
    assert [(row["width"], row["height"], row["colour"]) for row in rows] == [
        (160, 192, False),
        (1920, 1080, True),
    ]
    for row in rows:
        assert row.keys() == {"width", "height", "colour", "encrypt_ms", "jpeg_ms", "ratio"}
        assert row["ratio"] == pytest.approx(row["encrypt_ms"] / row["jpeg_ms"], abs=0.01)


def test_evaluate(root: Path, tmp_path: Path) -> None:
    found = run("evaluate", "etc", root / "people", "--out", tmp_path / "report", "--ratio", "80", "--json")
    assert found.code == 0, found.err
    assert {row["identical_decisions"] for row in found.json["rows"]} == {True}
    assert Path(found.json["report"]).is_file()
    few = run("evaluate", "etc", root / "people", "--attack", "--out", tmp_path / "report", "--json")
    assert (few.code, few.json["error"]) == (2, "usage")
    assert "64 images" in few.json["message"]
    alone = run("evaluate", "etc", root / "people" / "Ada", "--out", tmp_path / "report", "--json")
    assert (alone.code, alone.json["error"]) == (2, "usage")
