"""MTCNN: the weights reader, the networks against a naive twin, and the cascade on real faces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

import real_data
from blindsight.core.errors import ModelError, UsageError
from blindsight.vision import DlibDetector, Image, MtcnnDetector, open_detector, open_embedder, read_image
from blindsight.vision.alignment import ARCFACE_TEMPLATE, arcface_matrix
from blindsight.vision.caffe_weights import read_caffe_weights
from blindsight.vision.mtcnn import _pyramid
from blindsight.vision.mtcnn_boxes import candidates, moved, placed, squared, suppress
from blindsight.vision.mtcnn_networks import FILES, O_NET, P_NET, R_NET, Layout, Networks, load_networks
from reference import mtcnn as naive

WEIGHTS = real_data.DATA / "models" / "mtcnn"
MOBILEFACENET = """
dimension = 128
metric = "cosine"
threshold = 0.28
size = 112
alignment = "arcface"
layout = "nchw"
colour = "rgb"
normalise = true
"""
needs_weights = real_data.needs("models", "mtcnn", "det1.caffemodel")


# -- a Caffe file, byte by byte ----------------------------------------------------------------


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def caffe(layers: dict[str, list[np.ndarray]], *, old_shape: bool = False) -> bytes:
    """What Caffe would write: NetParameter with layer (100), name (1), blobs (7), shape and data."""

    def blob(array: np.ndarray) -> bytes:
        data = field(5, array.astype("<f4").tobytes())
        if not old_shape:
            return field(7, field(1, b"".join(varint(side) for side in array.shape))) + data
        four = (1,) * (4 - array.ndim) + array.shape
        return b"".join(varint(n << 3) + varint(side) for n, side in enumerate(four, 1)) + data

    return b"".join(
        field(100, field(1, name.encode()) + b"".join(field(7, blob(a)) for a in arrays))
        for name, arrays in layers.items()
    )


def weights_of(layout: Layout, seed: int) -> dict[str, list[np.ndarray]]:
    """Random weights of the right shapes."""
    rng = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)

    layers, channels = {}, 3
    for layer in layout.convolutions:
        layers[layer.name] = [array(layer.filters, channels, layer.side, layer.side), array(layer.filters)]
        layers[layer.slopes] = [array(layer.filters)]
        channels = layer.filters
    if layout.dense is not None:
        name, slopes, width, depth, side = layout.dense
        layers |= {name: [array(width, depth * side * side), array(width)], slopes: [array(width)]}
        channels = width
    for name, width in layout.outputs:
        shape = (width, channels) if layout.dense else (width, channels, 1, 1)
        layers[name] = [array(*shape), array(width)]
    return layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random networks that fit; they find no faces, but every step runs."""
    path = tmp_path_factory.mktemp("mtcnn")
    for name, layout in zip(FILES, (P_NET, R_NET, O_NET), strict=True):
        (path / name).write_bytes(caffe(weights_of(layout, layout.side)))
    return path


class TestWeights:
    @pytest.mark.parametrize("old_shape", [False, True])
    def test_arrays_come_back(self, tmp_path: Path, old_shape: bool) -> None:
        kernel = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
        file = tmp_path / "net.caffemodel"
        file.write_bytes(caffe({"conv": [kernel, np.ones(2, np.float32)], "data": []}, old_shape=old_shape))
        layers = read_caffe_weights(file)
        np.testing.assert_array_equal(layers["conv"][0].reshape(2, 3, 2, 2), kernel)
        assert layers["conv"][1].size == 2
        assert layers["data"] == ()

    @pytest.mark.parametrize(
        "content",
        [b"", b"not a model", bytes(500), caffe({}), caffe({"conv": []}),
         caffe({"conv": [np.array([1.0, np.nan])]}),
         field(100, field(1, b"conv") + field(7, field(7, field(1, varint(9))) + field(5, bytes(8)))),
         field(100, field(1, b"conv") + field(7, field(7, field(1, varint(2**62))) + field(5, bytes(8))))],
    )  # fmt: skip
    def test_what_is_not_a_caffe_file(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "net.caffemodel"
        file.write_bytes(content)
        with pytest.raises(ModelError):
            read_caffe_weights(file)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="gone"):
            read_caffe_weights(tmp_path / "gone")

    @settings(max_examples=100, deadline=None)
    @given(st.data())
    def test_damage_is_noticed_or_harmless(self, tmp_path_factory: pytest.TempPathFactory, data) -> None:
        """No exception but the typed one, and a shape that holds."""
        whole = bytearray(caffe({"conv": [np.ones((2, 3), np.float32)], "p": [np.ones(2, np.float32)]}))
        at = data.draw(st.integers(0, len(whole) - 1))
        if data.draw(st.booleans()):
            whole[at] ^= data.draw(st.integers(1, 255))
        else:
            del whole[at:]
        file = tmp_path_factory.getbasetemp() / "damaged.caffemodel"
        file.write_bytes(bytes(whole))
        try:
            layers = read_caffe_weights(file)
        except ModelError:
            return
        assert all(np.isfinite(array).all() for arrays in layers.values() for array in arrays)

    def test_the_wrong_stage_is_named(self, tmp_path: Path, folder: Path) -> None:
        for name, other in zip(FILES, reversed(FILES), strict=True):
            (tmp_path / name).write_bytes((folder / other).read_bytes())
        with pytest.raises(ModelError, match="det1"):
            load_networks(tmp_path)

    def test_an_incomplete_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"det1\.caffemodel, det2\.caffemodel, det3\.caffemodel"):
            open_detector(f"mtcnn:{tmp_path}")


class TestNetworks:
    @pytest.mark.parametrize(
        ("layout", "shape"), [(P_NET, (12, 12)), (P_NET, (17, 24)), (R_NET, (24, 24)), (O_NET, (48, 48))]
    )
    def test_they_agree_with_the_naive_twin(
        self, folder: Path, layout: Layout, shape: tuple[int, int]
    ) -> None:
        networks = load_networks(folder)
        session = {0: networks.proposal, 24: networks.refine, 48: networks.output}[layout.side]
        images = np.random.default_rng(5).normal(size=(2, 3, *shape)).astype(np.float32)
        for place, image in enumerate(images):
            expected = naive.network(layout, weights_of(layout, layout.side), image)
            found = Networks.run(session, images)
            assert len(found) == len(expected)
            for one, twin in zip(found, expected, strict=True):
                np.testing.assert_allclose(one[place], twin, atol=2e-5)

    @pytest.mark.parametrize("shape", [(1, 1), (11, 300), (12, 12), (64, 48), (300, 3)])
    def test_every_size_of_image_goes_through(self, folder: Path, shape: tuple[int, int]) -> None:
        detector = MtcnnDetector(load_networks(folder), thresholds=(0.001, 0.001, 0.001))
        pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
        for face in detector.detect(Image(pixels)):
            assert face.landmarks is not None
            assert face.landmarks.points.shape == (5, 2)

    def test_settings_are_checked(self, folder: Path) -> None:
        networks = load_networks(folder)
        for wrong in ({"min_face": 5}, {"thresholds": (0.0, 0.5, 0.5)}, {"max_side": 10}):
            with pytest.raises(UsageError):
                MtcnnDetector(networks, **wrong)
        for name in ("mtcnn", "mtcnn:", "viola-jones"):
            with pytest.raises(UsageError):
                open_detector(name)

    @pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "google.protobuf"])
    def test_a_missing_package_names_its_extra(self, folder: Path, missing: str) -> None:
        program = (
            f"import sys\nsys.modules[{missing!r}] = None\n"
            f"from blindsight.vision import open_detector\nfrom blindsight.core.errors import ModelError\n"
            f"try:\n    open_detector({f'mtcnn:{folder}'!r})\nexcept ModelError as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONPATH": ":".join(p for p in sys.path if p)},
        )  # fmt: skip
        assert "pip install" in done.stdout


class TestBoxes:
    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, 2**32), st.integers(0, 25), st.sampled_from([0.0, 0.3, 0.7]), st.booleans())
    def test_suppression_agrees_with_the_naive_twin(
        self, seed: int, count: int, overlap: float, of_smaller: bool
    ) -> None:
        rng = np.random.default_rng(seed)
        corner = rng.uniform(0, 40, (count, 2))
        boxes = np.hstack([corner, corner + rng.uniform(1, 30, (count, 2))])
        scores = rng.integers(0, 8, count) / 8.0  # with ties
        kept = suppress(boxes, scores, overlap, of_smaller=of_smaller)
        assert kept.tolist() == naive.suppress(boxes, scores, overlap, of_smaller)

    def test_a_window_is_mapped_back(self) -> None:
        probability = np.zeros((3, 4))
        probability[2, 1] = 0.9
        offsets = np.arange(48, dtype=float).reshape(4, 3, 4)
        boxes, scores, moves = candidates(probability, offsets, 0.5, 0.6)
        assert boxes.tolist() == [[4.0, 8.0, 28.0, 32.0]]
        assert scores.tolist() == [0.9]
        assert moves.tolist() == [[9.0, 21.0, 33.0, 45.0]]

    def test_regression_squares_and_points(self) -> None:
        box = np.array([[10.0, 20.0, 30.0, 60.0]])
        assert moved(box, np.array([[0.1, 0.1, -0.1, 0.25]])).tolist() == [[12.0, 24.0, 28.0, 70.0]]
        assert squared(box).tolist() == [[0.0, 20.0, 40.0, 60.0]]
        points = placed(np.array([[0, 0.5, 1, 0, 0, 0, 0, 0, 0.5, 1]]), box)
        assert points[0].tolist() == [[9.5, 19.5], [19.5, 19.5], [29.5, 19.5], [9.5, 39.5], [9.5, 59.5]]

    def test_the_pyramid_ends_at_the_window(self) -> None:
        scales = _pyramid((640, 480), 40.0)
        assert scales[0] == 12 / 40
        assert 480 * scales[-1] >= 12 > 480 * scales[-1] * 0.709
        assert _pyramid((11, 11), 12.0) == []


def at_width(image: Image, width: int) -> Image:
    height = round(image.height * width / image.width)
    return Image(np.asarray(PIL.Image.fromarray(image.pixels).resize((width, height))), image.source)


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    """With the published weights."""
    return MtcnnDetector.load(WEIGHTS)


@pytest.mark.data
@needs_weights
class TestRealWeights:
    @pytest.mark.parametrize("width", [256, 512, 1024, 2400])
    def test_the_astronauts_face_and_points(self, detector: MtcnnDetector, width: int) -> None:
        image = at_width(Image(skimage.data.astronaut()), width)
        face = detector.detect(image)[0]
        scale = width / 512
        assert face.score > 0.95
        assert abs((face.box.left + face.box.right) / 2 / scale - 223) < 8
        assert abs((face.box.top + face.box.bottom) / 2 / scale - 118) < 10
        assert face.landmarks is not None
        expected = [(204, 101), (246, 103), (224, 129), (201, 139), (244, 141)]
        np.testing.assert_allclose(face.landmarks.points / scale, expected, atol=4)

    def test_landmarks_serve_alignment(self, detector: MtcnnDetector, astronaut: Image) -> None:
        face = detector.detect(astronaut)[0]
        assert face.landmarks is not None
        matrix = arcface_matrix(face.landmarks, 112)
        mapped = face.landmarks.five() @ matrix[:, :2].T + matrix[:, 2]
        assert np.abs(mapped - ARCFACE_TEMPLATE).max() < 6

    def test_no_face_in_noise_and_a_face_over_the_edge(
        self, detector: MtcnnDetector, astronaut: Image
    ) -> None:
        noise = np.random.default_rng(7).integers(0, 256, (200, 300, 3), dtype=np.uint8)
        assert detector.detect(Image(noise)) == []
        cut = Image(np.ascontiguousarray(astronaut.pixels[75:300, 190:400]))
        assert detector.detect(cut)[0].box.left <= 5

    def test_finds_lfw_faces(self, detector: MtcnnDetector, capsys: pytest.CaptureFixture[str]) -> None:
        """Beside dlib on 100 photos: both find the middle one's face in at least 95."""
        photos = sorted((real_data.DATA / "lfw" / "images").glob("*/*.jpg"))[::19][:100]
        assert len(photos) == 100
        images = [read_image(photo) for photo in photos]
        for name, finder in (("mtcnn", detector), ("dlib", DlibDetector())):
            start, found, extra = time.perf_counter(), 0, 0
            for image in images:
                faces = finder.detect(image)
                here = [f for f in faces if f.box.left < 125 < f.box.right and f.box.top < 125 < f.box.bottom]
                found += bool(here)
                extra += len(faces) - bool(here)
            took = (time.perf_counter() - start) * 10
            with capsys.disabled():
                print(f" [{name}: {found} of 100, {extra} more, {took:.1f} ms a photo]", end="")
            assert found >= 95

    def test_dlibs_embedder_agrees_across_detectors(self, astronaut: Image) -> None:
        own, other = open_embedder("dlib"), open_embedder("dlib", detector=f"mtcnn:{WEIGHTS}")
        distance = np.linalg.norm(own.largest_face(astronaut).vector - other.largest_face(astronaut).vector)
        assert distance < 0.4

    @pytest.mark.parametrize("kind", ["dlib", "onnx"])
    def test_embedders_tell_people_apart_behind_it(self, kind: str, tmp_path: Path) -> None:
        """Pairs of LFW alike and unlike; the ONNX network is aligned by MTCNN's own landmarks."""
        name = "dlib"
        if kind == "onnx":
            shutil.copy(real_data.DATA / "models" / "mobilefacenet_128.onnx", tmp_path / "model.onnx")
            (tmp_path / "model.toml").write_text(MOBILEFACENET)
            name = f"onnx:{tmp_path / 'model.onnx'}"
        pipeline = open_embedder(name, detector=f"mtcnn:{WEIGHTS}")
        lines = (real_data.DATA / "lfw" / "pairs_fold01_02.txt").read_text().splitlines()[1:]
        rows = [line.split("\t") for line in lines]
        pairs = [(r[0], r[1], r[0], r[2], True) for r in rows if len(r) == 3][:8]
        pairs += [(*r, False) for r in rows if len(r) == 4][:8]

        def vector(person: str, number: str) -> np.ndarray:
            photo = real_data.DATA / "lfw" / "images" / person / f"{person}_{int(number):04d}.jpg"
            return pipeline.largest_face(read_image(photo)).vector

        right = 0
        for one, first, other, second, same in pairs:
            x, y = vector(one, first), vector(other, second)
            if kind == "dlib":
                near = np.linalg.norm(x - y) < pipeline.embedder.threshold
            else:
                near = x @ y > pipeline.embedder.threshold
            right += near == same
        assert right >= 15
