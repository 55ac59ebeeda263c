"""The experiment and the audit on generated people: figures, reports, what is refused."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation.bench_etc import bench_etc, natural
from blindsight.evaluation.etc_attacks import audit
from blindsight.evaluation.etc_experiment import Agreement, Experiment, run
from blindsight.evaluation.etc_report import (
    audit_document,
    audit_report,
    experiment_document,
    experiment_report,
)
from blindsight.evaluation.people_images import PeopleImages, read_people
from blindsight.learning.etc_model import Classifier
from blindsight.vision.folder import RejectionReport
from faces import people


@pytest.fixture(scope="module")
def data():
    images, owners = people(5, 15, 64, 48, seed=3)
    return PeopleImages(images, owners, tuple("abcde"), RejectionReport(()))


def test_the_experiment(data, tmp_path):
    experiment = Experiment(data, seed=1)
    assert (experiment.trained, experiment.queries) == (35, 40)
    rows = run(experiment, ratios=(20,), qualities=(60,))
    assert [row.classifier for row in rows] == list(Classifier)
    for row in rows:
        assert Agreement.of(row.plain, row.common) == Agreement(0.0, 0.0, 0.0)
        assert row.plain.accuracy > 0.8
        if row.each is not None:
            assert row.each.eer <= row.plain.eer + 0.02, "a key for each only helps while keys are kept"
            assert row.stolen.comparisons().impostor.mean() > row.each.comparisons().impostor.mean()
            assert np.allclose(row.stolen.comparisons().genuine, row.each.comparisons().genuine)
            assert Agreement.of(row.plain, row.jpeg[60]).median > 0
            assert Agreement.of(row.plain, row.jpeg_same_pixels[60]).median > 0
    by_position = {kernel: experiment.by_position(kernel, 20) for kernel in ("linear", "rbf")}
    assert all(found.changed == 0.0 for found in by_position.values())
    content = json.loads(json.dumps(experiment_document(experiment, rows, by_position)))
    assert content["rows"][0]["paper_plain"] == 0.0223
    assert content["rows"][0]["paper_each"] == 0.000744
    page = experiment_report(experiment, rows, by_position, 1).write(tmp_path).read_text()
    assert "not encrypted" in page
    assert {path.stem for path in (tmp_path / "csv").iterdir()} == {
        "condition-1", "by-position", "figure-4", "table-1", "table-2", "jpeg"}  # fmt: skip


def test_a_key_for_each_image_ends_learning(data):
    experiment = Experiment(data)
    assert experiment.key_of_each_image(Classifier.SVM_LINEAR, 20).accuracy < 0.5
    assert experiment.common(Classifier.SVM_LINEAR, 20).accuracy > 0.8


def test_the_audit(data, tmp_path):
    photo = natural(64, 64, colour=True)
    found = audit(data, [("cloud", photo)], pairs=(1, 2), together=(1, 8))
    assert found.known[0].positions == 1.0
    assert found.known[0].error == 0.0
    assert found.distances_kept
    assert found.together[0].neighbours < found.together[1].neighbours > 0.9
    rates = {one.what: one.rate for one in found.linking}
    assert rates["same person, plain images"] == rates["same person, one key"]
    by_name = {one.what: one for one in found.mitigations}
    own = by_name["a key for each image, blocks of 8"]
    assert own.known < 0.2
    assert own.eer > by_name["none: one key, blocks of 8"].eer
    assert by_name["smaller blocks: 4"].bytes > by_name["none: one key, blocks of 8"].bytes
    json.dumps(audit_document(found), allow_nan=False)
    page = audit_report(found, {"Images": 75}).write(tmp_path).read_text()
    assert page.count("data:image/png;base64") > 10
    assert "PERCEPTUAL" in page


def test_a_folder_of_people(tmp_path):
    images, owners = people(3, 4, 40, 60, seed=4, colour=True)
    for number, (image, owner) in enumerate(zip(images, owners, strict=True)):
        folder = tmp_path / f"p{owner}"
        folder.mkdir(exist_ok=True)
        PIL.Image.fromarray(image).save(folder / f"{number}.png")
    (tmp_path / "p1" / "broken.png").write_bytes(b"no image")
    alone = tmp_path / "alone"
    alone.mkdir()
    PIL.Image.fromarray(images[0]).save(alone / "one.png")
    found = read_people(tmp_path, size=(32, 24))
    assert found.pixels.shape == (12, 32, 24)
    assert found.names == ("p0", "p1", "p2")
    assert found.rejected.counts == {"image-unreadable": 1}
    assert read_people(tmp_path, size=(32, 24), colour=True).pixels.shape == (12, 32, 24, 3)
    one, two = found.halves(0)
    assert (one ^ two).all()
    assert [int(one[found.people == k].sum()) for k in range(3)] == [2, 2, 2]
    with pytest.raises(UsageError, match="fewer than two people"):
        read_people(tmp_path / "p1")


def test_cut_not_scaled():
    """Extended Yale B's width of 168 loses four columns on either side."""
    from blindsight.vision.fitting import fitted

    image = np.random.default_rng(0).integers(0, 256, (192, 168), dtype=np.uint8)
    assert (fitted(image, 192, 160, grey=True) == image[:, 4:164]).all()


def test_bench():
    rows = bench_etc(((64, 48, False), (64, 48, True)), repeats=3)
    assert [(row.width, row.height, row.colour) for row in rows] == [(64, 48, False), (64, 48, True)]
    for row in rows:
        assert row.ratio == pytest.approx(row.encrypt_ms / row.jpeg_ms, abs=0.01)
        assert row.encrypt_ms > 0
    spectrum = np.abs(np.fft.rfft2(natural(256, 256, colour=False).astype(float)))
    assert spectrum[0, 4:8].mean() > 5 * spectrum[0, 64:96].mean()
