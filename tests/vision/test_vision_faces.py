from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from blindsight.core.errors import (
    ImageError,
    ModelError,
    NoFaceError,
    SeveralFacesError,
    UsageError,
    VectorError,
)
from blindsight.core.types import Embedding
from blindsight.vision import (
    DlibDetector,
    DlibEmbedder,
    Face,
    FaceBox,
    FacePipeline,
    Image,
    Landmarks,
    open_embedder,
    read_image,
)
from blindsight.vision.dlib_faces import find_weights, locate_landmarks
from blindsight.vision.faces import require_radius


def distance(a: Embedding, b: Embedding) -> float:
    return float(np.linalg.norm(a.vector - b.vector))


def scaled(image: Image, width: int) -> Image:
    height = round(image.height * width / image.width)
    return Image(np.asarray(PIL.Image.fromarray(image.pixels).resize((width, height))), image.source)


class TestDetection:
    def test_one_face_where_it_is(self, astronaut: Image) -> None:
        (face,) = DlibDetector().detect(astronaut)
        assert abs((face.box.left + face.box.right) / 2 - 223) < 15
        assert abs((face.box.top + face.box.bottom) / 2 - 127) < 15
        assert 70 < face.box.width < 120
        assert face.score > 1.0

    @pytest.mark.parametrize("width", [240, 1024, 3000])
    def test_boxes_are_mapped_back(self, astronaut: Image, width: int) -> None:
        # At 240 pixels the face is 41 wide and found on the second, doubled try.
        (small,) = DlibDetector().detect(astronaut)
        found = DlibDetector().detect(scaled(astronaut, width))[0]
        for side in ("left", "top", "right", "bottom"):
            there = getattr(found.box, side) * 512 / width
            assert abs(there - getattr(small.box, side)) < 15

    def test_a_weak_face_counts_only_where_it_is_alone(self, astronaut: Image) -> None:
        # In this photo the patch on the suit scores a little over zero after JPEG.
        stream = io.BytesIO()
        PIL.Image.fromarray(astronaut.pixels).save(stream, "JPEG", quality=95)
        image = read_image(stream.getvalue())
        (sure,) = DlibDetector().detect(image)
        everything = DlibDetector(sure=0.0).detect(image)
        assert len(everything) == 2
        assert sure in everything
        assert DlibDetector(sure=99.0).detect(image) == everything

    @pytest.mark.parametrize("shape", [(1, 1), (1, 4096), (3, 2), (300, 300)])
    def test_noise_and_slivers_have_no_face(self, pipeline: FacePipeline, shape: tuple[int, int]) -> None:
        noise = np.random.default_rng(7).integers(0, 256, (*shape, 3), dtype=np.uint8)
        image = Image(noise, "noise.png")
        with pytest.raises(NoFaceError, match=r"No face was found in noise\.png; use"):
            pipeline.one_face(image)
        with pytest.raises(NoFaceError):
            pipeline.largest_face(image)
        assert pipeline.all_faces(image) == []

    def test_several_faces(self, pipeline: FacePipeline, crowd: Image) -> None:
        with pytest.raises(SeveralFacesError, match=r"crowd\.png shows 2 faces"):
            pipeline.one_face(crowd)
        (_, first), (_, second) = pipeline.all_faces(crowd)
        assert distance(first, second) < 0.2

    def test_the_largest_face_comes_first(self, pipeline: FacePipeline, astronaut: Image) -> None:
        pixels = np.zeros((700, 1300, 3), dtype=np.uint8)
        pixels[:360, :360] = scaled(astronaut, 360).pixels
        pixels[:700, 500:1200] = scaled(astronaut, 700).pixels
        image = Image(pixels)
        faces = pipeline.all_faces(image)
        assert faces[0][0].box.left > 500
        assert distance(faces[0][1], pipeline.largest_face(image)) == 0.0

    def test_faces_below_the_smallest_size_are_passed_over(self, astronaut: Image) -> None:
        (face,) = DlibDetector().detect(astronaut)
        width = min(face.box.width, face.box.height)
        assert len(FacePipeline(DlibDetector(), DlibEmbedder(), width).all_faces(astronaut)) == 1
        with pytest.raises(NoFaceError, match=f"at least {width + 1} pixels"):
            FacePipeline(DlibDetector(), DlibEmbedder(), width + 1).one_face(astronaut)

    def test_threads_do_not_disturb_each_other(self, astronaut: Image, pipeline: FacePipeline) -> None:
        images = [scaled(astronaut, width) for width in (240, 400, 512, 640)] * 2
        alone = [pipeline.one_face(image).vector for image in images]
        with ThreadPoolExecutor(4) as pool:
            together = [embedding.vector for embedding in pool.map(pipeline.one_face, images)]
        np.testing.assert_array_equal(together, alone)


class TestDlibEmbedder:
    def test_shape_norm_and_identity(self, pipeline: FacePipeline, astronaut: Image) -> None:
        embedding = pipeline.one_face(astronaut)
        assert embedding.vector.shape == (pipeline.embedder.dimension,) == (128,)
        assert 1.0 < np.linalg.norm(embedding.vector) < pipeline.embedder.radius
        assert embedding.model_id == pipeline.embedder.model_id
        assert (pipeline.embedder.metric, pipeline.embedder.threshold) == ("euclidean", 0.6)

    def test_agrees_with_dlibs_own_example(self, pipeline: FacePipeline, astronaut: Image) -> None:
        import dlib

        box = dlib.get_frontal_face_detector()(astronaut.pixels)[0]
        shape = dlib.shape_predictor(str(find_weights("shape_predictor_5_face_landmarks.dat")))(
            astronaut.pixels, box
        )
        net = dlib.face_recognition_model_v1(str(find_weights("dlib_face_recognition_resnet_model_v1.dat")))
        expected = np.array(net.compute_face_descriptor(astronaut.pixels, shape), dtype=np.float32)
        np.testing.assert_array_equal(pipeline.one_face(astronaut).vector, expected)

    def test_every_exif_orientation_gives_the_same_face(
        self, pipeline: FacePipeline, astronaut: Image
    ) -> None:
        inverse = {6: PIL.Image.Transpose.ROTATE_90, 8: PIL.Image.Transpose.ROTATE_270,
                   3: PIL.Image.Transpose.ROTATE_180, 2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
                   4: PIL.Image.Transpose.FLIP_TOP_BOTTOM, 5: PIL.Image.Transpose.TRANSPOSE,
                   7: PIL.Image.Transpose.TRANSVERSE}  # fmt: skip
        upright = pipeline.one_face(astronaut)
        for tag, turn in inverse.items():
            exif = PIL.Image.Exif()
            exif[0x0112] = tag
            stream = io.BytesIO()
            PIL.Image.fromarray(astronaut.pixels).transpose(turn).save(stream, "JPEG", quality=95, exif=exif)
            assert distance(pipeline.one_face(read_image(stream.getvalue())), upright) < 0.1, tag

    def test_model_id_names_weights_and_landmarks(self) -> None:
        five, sixty_eight, jitter = DlibEmbedder(), DlibEmbedder(points=68), DlibEmbedder(jitter=5)
        assert five.model_id == "dlib-resnet-v1-4f80be07/5pt"
        assert sixty_eight.model_id.endswith("/68pt")
        assert jitter.model_id == five.model_id + "-jitter5"
        assert len({five.model_id, sixty_eight.model_id, jitter.model_id}) == 3

    def test_landmark_variants_agree_on_the_person(self, astronaut: Image, pipeline: FacePipeline) -> None:
        (face,) = DlibDetector().detect(astronaut)
        other = DlibEmbedder(points=68).embed(astronaut, face)
        assert 0.0 < distance(other, DlibEmbedder().embed(astronaut, face)) < 0.4
        assert distance(DlibEmbedder(jitter=3).embed(astronaut, face), pipeline.one_face(astronaut)) < 0.4

    def test_a_box_outside_the_image_still_embeds(self, astronaut: Image) -> None:
        vector = DlibEmbedder().embed(astronaut, Face(FaceBox(-900, -900, -700, -700))).vector
        assert vector.shape == (128,)

    @pytest.mark.data
    def test_lfw_pairs_separate_at_the_threshold(self, data: Path, pipeline: FacePipeline) -> None:
        same, different = lfw_pairs(data, 12)
        near = [distance(*(pipeline.largest_face(read_image(p)) for p in pair)) for pair in same]
        far = [distance(*(pipeline.largest_face(read_image(p)) for p in pair)) for pair in different]
        assert sum(d < 0.6 for d in near) >= 11
        assert sum(d > 0.6 for d in far) >= 11


def lfw_pairs(data: Path, count: int) -> tuple[list[tuple[Path, Path]], list[tuple[Path, Path]]]:
    """The first matching and the first mismatching pairs of LFW's first fold."""
    same, different = [], []

    def photo(person: str, number: str) -> Path:
        return data / "lfw" / "images" / person / f"{person}_{int(number):04d}.jpg"

    for line in (data / "lfw" / "pairs_fold01_02.txt").read_text().splitlines()[1:]:
        match line.split("\t"):
            case [a, i, j]:
                same.append((photo(a, i), photo(a, j)))
            case [a, i, b, j]:
                different.append((photo(a, i), photo(b, j)))
    return same[:count], different[:count]


class TestWeights:
    def test_missing_folder_and_variable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ModelError, match="put it there"):
            DlibEmbedder(models=tmp_path).check()
        monkeypatch.setenv("BLINDSIGHT_MODELS", str(tmp_path))
        with pytest.raises(ModelError, match="BLINDSIGHT_MODELS"):
            open_embedder("dlib")

    def test_the_variable_is_obeyed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        name = "shape_predictor_5_face_landmarks.dat"
        shutil.copy(find_weights(name), tmp_path)
        monkeypatch.setenv("BLINDSIGHT_MODELS", str(tmp_path))
        assert find_weights(name) == tmp_path / name

    def test_nothing_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("BLINDSIGHT_MODELS", raising=False)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ModelError, match=r'pip install "blindsight\[face\]"'):
            find_weights("any.dat")

    @pytest.mark.parametrize("content", [b"", b"not a model", bytes(1000)])
    def test_corrupt(self, tmp_path: Path, astronaut: Image, content: bytes) -> None:
        shutil.copy(find_weights("shape_predictor_5_face_landmarks.dat"), tmp_path)
        (tmp_path / "dlib_face_recognition_resnet_model_v1.dat").write_bytes(content)
        (face,) = DlibDetector().detect(astronaut)
        with pytest.raises(ModelError, match="not a readable dlib model"):
            DlibEmbedder(models=tmp_path).embed(astronaut, face)

    @pytest.mark.parametrize(
        ("missing", "statement", "extra"),
        [
            ("dlib", "vision.open_embedder('dlib')", "face"),
            ("dlib", "vision.open_embedder('onnx:any.onnx')", "face"),
            ("PIL", "vision.read_image(b'x')", "face"),
            (
                "onnxruntime",
                "from blindsight.vision.onnx_embedder import _session_of; _session_of(b'', 'm')",
                "onnx",
            ),
        ],
    )
    def test_a_missing_package_names_its_extra(self, missing: str, statement: str, extra: str) -> None:
        program = (
            f"import sys\nfor name in ('dlib', 'PIL', 'onnxruntime'): sys.modules[name] = None\n"
            f"from blindsight import vision\nfrom blindsight.core.errors import ModelError\n"
            f"try:\n    {statement}\nexcept ModelError as error:\n    print(error)\n"
        )
        env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=env, check=True
        )
        assert f'pip install "blindsight[{extra}]"' in done.stdout, missing


class TestValues:
    def test_five_of_sixty_eight(self, astronaut: Image) -> None:
        (face,) = DlibDetector().detect(astronaut)
        five = locate_landmarks(astronaut, face).five()
        left_eye, right_eye, nose, left_mouth, right_mouth = five
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
        given = Landmarks(five)
        assert locate_landmarks(astronaut, Face(face.box, landmarks=given)) is given

    def test_values_are_checked(self) -> None:
        with pytest.raises(ImageError):
            FaceBox(5, 5, 5, 9)
        for points in (np.zeros((4, 2)), np.full((5, 2), np.nan)):
            with pytest.raises(ImageError):
                Landmarks(points)
        with pytest.raises(ValueError, match="read-only"):
            Landmarks(np.ones((5, 2))).points[0, 0] = 2.0

    def test_settings_are_checked(self) -> None:
        for wrong in (
            lambda: DlibDetector(max_side=10),
            lambda: DlibEmbedder(points=7),
            lambda: DlibEmbedder(jitter=-1),
            lambda: FacePipeline(DlibDetector(), DlibEmbedder(), 0),
            lambda: open_embedder("facenet"),
            lambda: open_embedder("onnx:"),
        ):
            with pytest.raises(UsageError):
                wrong()

    def test_radius_is_a_promise(self, astronaut: Image) -> None:
        require_radius(Embedding(np.array([0.6, 0.8]), "m"), 1.0, astronaut)
        with pytest.raises(VectorError, match=r"astronaut\.png"):
            require_radius(Embedding(np.array([0.7, 0.8]), "m"), 1.0, astronaut)
