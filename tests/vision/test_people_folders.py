from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from blindsight.core.errors import UnreadableImageError, UsageError
from blindsight.vision.people import PersonImage, list_people, parse_camera, parse_market_name
from real_data import DATA, needs


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def test_market_layout(tmp_path: Path) -> None:
    touch(tmp_path, "0007_c2s3_070952_01.jpg", "0007_c1s1_000001_00.jpg", "0002_c6s1_5_01.PNG")
    touch(tmp_path, "-1_c1s1_000401_03.jpg", "0000_c1s1_000151_01.jpg", "notes.txt", ".0002_c1s1_1_1.jpg")
    people = list_people(tmp_path)
    assert [(image.person, image.camera) for image in people.images] == [
        ("0002", "6"), ("0007", "1"), ("0007", "2"),
    ]  # fmt: skip
    assert people.people == ("0002", "0007")
    assert people.cameras == ("1", "2", "6")
    assert people.ignored == 4


def test_folders_with_cameras_in_the_names(tmp_path: Path) -> None:
    touch(tmp_path, "anna/cam1_0001.jpg", "anna/0001-c02.png", "bert/Camera_10.jpg", "bert/x.txt", "README")
    people = list_people(tmp_path)
    assert {(i.person, i.camera) for i in people.images} == {("anna", "1"), ("anna", "2"), ("bert", "10")}
    assert people.cameras == ("1", "2", "10")
    assert people.ignored == 2


@pytest.mark.parametrize(
    "name", ["7_c1s1_1_1.jpg", "0007_c1_1_1.jpg", "0007_cXs1_1_1.jpg", "portrait.jpg", "0007_c1s1_1.jpg"]
)
def test_names_that_market_does_not_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="PPPP_cCsS_frame_NN"):
        parse_market_name(name)
    touch(tmp_path, "0007_c2s3_070952_01.jpg", name)
    with pytest.raises(UsageError, match="PPPP_cCsS_frame_NN"):
        list_people(tmp_path)


@pytest.mark.parametrize("name", ["0001.jpg", "basic1.jpg", "c1_c2.jpg", "cam.jpg", "tric3x.jpg"])
def test_names_without_one_camera(name: str) -> None:
    with pytest.raises(UsageError, match="camera"):
        parse_camera(name)


def test_folders_that_cannot_be_read_as_people(tmp_path: Path) -> None:
    for call in (lambda: list_people(tmp_path / "none"), lambda: list_people(tmp_path)):
        with pytest.raises(UsageError):
            call()
    touch(tmp_path, "anna/cam1.jpg", "stray.jpg")
    with pytest.raises(UsageError, match="no person's folder"):
        list_people(tmp_path)
    with pytest.raises(UsageError, match="layout"):
        list_people(tmp_path, "peta")  # type: ignore[arg-type]


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "0007_c2s3_070952_01.png"
    PIL.Image.new("RGB", (64, 128), (9, 8, 7)).save(path)
    image = list_people(tmp_path).images[0].read()
    assert image.pixels.shape == (128, 64, 3)
    with pytest.raises(UnreadableImageError):
        PersonImage("1", "1", tmp_path / "gone.jpg").read()


@pytest.mark.data
@needs("market1501", "images")
def test_the_real_folder() -> None:
    people = list_people(DATA / "market1501" / "images")
    assert len(people.images) == 2593
    assert len(people.people) == 600
    assert people.cameras == ("1", "2", "3", "4", "5", "6")
