"""Calibrating an embedder, and deciding at a false match rate."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from blindsight.core.types import Embedding
from blindsight.evaluation.calibration import Calibration
from blindsight.evaluation.comparing import compare_photos
from blindsight.evaluation.pairs import folder_pairs
from blindsight.vision.faces import Face, FaceBox, FacePipeline
from cli.running import run

D = 16


class Everywhere:
    """A detector that finds one face as large as the photo; none on a black one."""

    def detect(self, image):
        return [Face(FaceBox(0, 0, image.width, image.height))] if image.pixels.any() else []


class Colours:
    """An embedder of flat photos: similar colours are one person."""

    model_id, dimension, threshold, radius = "colours", D, 0.5, 2.0

    def __init__(self, metric):
        self.metric = metric

    def embed(self, image, face):
        colour = image.pixels.reshape(-1, 3).mean(axis=0) / 255
        vector = np.zeros(D, np.float32)
        vector[:3] = colour / np.linalg.norm(colour)
        return Embedding(vector, self.model_id)


@pytest.fixture
def flat(tmp_path):
    generator = np.random.default_rng(5)
    for person in range(12):
        colour = generator.uniform(40, 255, 3)
        (tmp_path / "people" / f"person {person}").mkdir(parents=True)
        for photo in range(3):
            shade = np.clip(colour + generator.normal(0, 12, 3), 1, 255).astype(np.uint8)
            pixels = np.broadcast_to(shade, (40, 40, 3)).copy()
            Image.fromarray(pixels).save(tmp_path / "people" / f"person {person}" / f"{photo}.png")
    return tmp_path / "people"


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_photos_are_compared_as_the_metric_says(flat, metric):
    Image.new("RGB", (40, 40)).save(flat / "person 0" / "black.png")
    pairs = folder_pairs(flat)
    seen = []
    comparisons, rejected = compare_photos(
        FacePipeline(Everywhere(), Colours(metric)), pairs, on_photo=seen.append
    )
    assert len(seen) == len(pairs.photos) == 37
    assert [rejection.reason for rejection in rejected.rejections] == ["no-face"]
    assert comparisons.failures_to_acquire.rate == pytest.approx(1 / 37)
    assert (len(comparisons.genuine), len(comparisons.impostor)) == (36, 594)
    assert comparisons.larger_is_closer is (metric == "cosine")
    if metric == "cosine":
        assert comparisons.genuine.mean() > comparisons.impostor.mean()
    else:
        assert comparisons.genuine.mean() < comparisons.impostor.mean()
    assert len(np.unique(comparisons.impostor_subjects)) == 12


@pytest.fixture
def portraits(tmp_path):
    """Two folders of the one real face: for the arithmetic it does not matter that nobody else is there."""
    whole = astronaut()
    for person, pixels in {"one": whole, "two": whole[:, ::-1]}.items():
        folder = tmp_path / "portraits" / person
        folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "a.png")
        Image.fromarray(pixels[:400]).save(folder / "b.png")
    return tmp_path / "portraits"


def test_the_command_writes_a_file_that_decides(people, photos, portraits, tmp_path):
    file = tmp_path / "thresholds.json"
    done = run("calibrate", portraits, "--fmr", "1", "--out", file, "--json")
    assert done.code == 0
    assert done.json["points"][0]["fmr"] == 1
    assert (done.json["genuine_pairs"], done.json["impostor_pairs"]) == (2, 4)
    threshold = Calibration.load(file).points[0].threshold
    at = ["--at", "fmr=1", "--calibration", file, "--json"]
    for command in (["identify", "people", photos / "mirrored.jpg"],
                    ["verify", "people", photos / "mirrored.jpg", "Eileen Collins"]):  # fmt: skip
        decided = people.run(*command, *at)
        assert decided.json["threshold"] == pytest.approx(threshold)
        assert decided.code == (0 if decided.json["match"] else 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--at", "fmr=1"], "--calibration"),
        (["--at", "fmr=1", "--threshold", "0.5", "--calibration", "t.json"], "not both"),
        (["--at", "fmr=0.5", "--calibration", "t.json"], "0.5"),
        (["--at", "strict", "--calibration", "t.json"], "fmr=1e-3"),
        (["--at", "fmr=1", "--calibration", "other.json"], "calibrate that model"),
        (["--at", "fmr=1", "--calibration", "broken.json"], "not JSON"),
        (["--at", "fmr=1", "--calibration", "none.json"], "cannot be opened"),
    ],
)
def test_a_rate_that_cannot_be_had_is_refused(
    people, photos, portraits, tmp_path, options, said, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run("calibrate", portraits, "--fmr", "1", "--out", "t.json").code == 0
    fields = json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps(fields | {"model_id": "another"}))
    (tmp_path / "broken.json").write_text("{")
    done = people.run("identify", "people", photos / "mirrored.jpg", *options)
    assert done.code in (2, 3)
    assert said in done.err


def test_too_few_impostors_are_refused(portraits, tmp_path):
    done = run("calibrate", portraits, "--fmr", "0.001", "--out", tmp_path / "t.json")
    assert done.code == 2
    assert "impostor" in done.err
    assert not (tmp_path / "t.json").exists()
