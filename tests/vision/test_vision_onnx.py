from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import TensorProto, helper, numpy_helper

from blindsight.core.errors import ImageError, ModelError, VectorError
from blindsight.vision import (
    Face,
    FaceBox,
    FacePipeline,
    Image,
    Landmarks,
    OnnxEmbedder,
    open_embedder,
    read_image,
)
from blindsight.vision.alignment import ARCFACE_TEMPLATE, arcface_matrix, crop_matrix, similarity, warp
from blindsight.vision.sidecar import REQUIRED, parse_sidecar

TABLE = {
    "layout": "nchw", "size": 16, "colour": "rgb", "mean": 127.5, "std": 128.0, "alignment": "crop",
    "dimension": 768, "metric": "cosine", "threshold": 0.3, "normalise": False,
}  # fmt: skip


def toml(table: dict[str, object]) -> str:
    def value(v: object) -> str:
        if isinstance(v, bool):
            return str(v).lower()
        return f'"{v}"' if isinstance(v, str) else repr(v)

    return "\n".join(f"{key} = {value(v)}" for key, v in table.items())


def tiny(
    path: Path,
    shape: tuple[object, ...] = ("n", 3, 16, 16),
    *,
    weight: np.ndarray | float = 1.0,
    kind: int = TensorProto.FLOAT,
    **changed: object,
) -> Path:
    """A network that multiplies its input by ``weight`` and flattens it, with its sidecar."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["data"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["cast", "weight"], ["scaled"]),
            helper.make_node("Flatten", ["scaled"], ["out"], axis=1),
        ],
        "tiny",
        [helper.make_tensor_value_info("data", kind, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(weight, dtype=np.float32), "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    table = {key: v for key, v in (TABLE | changed).items() if v is not None}
    path.with_suffix(".toml").write_text(toml(table))
    return path


class TestAlignment:
    def test_similarity_recovers_rotation_scale_and_shift(self) -> None:
        rng = np.random.default_rng(3)
        for _ in range(50):
            angle, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0.1, 9.0)
            linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            shift, points = rng.normal(size=2) * 50, rng.normal(size=(5, 2)) * 20
            matrix = similarity(points, points @ linear.T + shift)
            np.testing.assert_allclose(matrix, np.column_stack([linear, shift]), atol=1e-8)

    def test_similarity_is_the_least_squares_one_and_never_mirrors(self) -> None:
        rng = np.random.default_rng(4)
        source, target = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
        for goal in (target, source * [-1.0, 1.0]):
            # The independent twin: (a, b, tx, ty) of [[a, -b], [b, a]] by linear least squares.
            x, y = source.T
            one, nil = np.ones(5), np.zeros(5)
            rows = np.vstack([np.column_stack([x, -y, one, nil]), np.column_stack([y, x, nil, one])])
            a, b, tx, ty = np.linalg.lstsq(rows, np.concatenate([goal[:, 0], goal[:, 1]]), rcond=None)[0]
            np.testing.assert_allclose(similarity(source, goal), [[a, -b, tx], [b, a, ty]], atol=1e-9)

    def test_points_in_one_place(self) -> None:
        with pytest.raises(ImageError, match="no extent"):
            arcface_matrix(Landmarks(np.ones((5, 2))), 112)

    def test_template_maps_onto_itself(self) -> None:
        np.testing.assert_allclose(arcface_matrix(Landmarks(ARCFACE_TEMPLATE), 112), np.eye(2, 3), atol=1e-4)

    def test_warp_agrees_with_plain_bilinear(self, astronaut: Image) -> None:
        angle, scale = 0.4, 0.7
        matrix = np.array(
            [
                [scale * np.cos(angle), -scale * np.sin(angle), -10.3],
                [scale * np.sin(angle), scale * np.cos(angle), -60.8],
            ]
        )
        inverse = np.linalg.inv(matrix[:, :2])
        expected = np.zeros((40, 40, 3))
        for v in range(40):
            for u in range(40):
                x, y = inverse @ (np.array([u, v]) - matrix[:, 2])
                i, j = int(np.floor(x)), int(np.floor(y))
                patch = astronaut.pixels[j : j + 2, i : i + 2].astype(float)
                across = patch[:, 0] * (1 - (x - i)) + patch[:, 1] * (x - i)
                expected[v, u] = across[0] * (1 - (y - j)) + across[1] * (y - j)
        np.testing.assert_allclose(warp(astronaut.pixels, matrix, 40), expected, atol=1.01)

    def test_shrinking_warp_averages(self) -> None:
        stripes = np.zeros((400, 400, 3), dtype=np.uint8)
        stripes[:, ::2] = 255
        small = warp(stripes, crop_matrix(FaceBox(0, 0, 400, 400), 50, 0.0), 50)
        assert np.ptp(small.astype(int)) <= 1
        assert abs(int(small[25, 25, 0]) - 127) <= 1

    def test_crop_is_the_box_and_black_outside(self, astronaut: Image) -> None:
        exact = warp(astronaut.pixels, crop_matrix(FaceBox(100, 50, 132, 82), 32, 0.0), 32)
        np.testing.assert_array_equal(exact, astronaut.pixels[50:82, 100:132])
        corner = warp(
            np.full((64, 64, 3), 200, np.uint8), crop_matrix(FaceBox(-32, -32, 32, 32), 64, 0.0), 64
        )
        assert corner[10, 10].tolist() == [0, 0, 0]
        assert corner[50, 50].tolist() == [200, 200, 200]


class TestSidecar:
    def test_defaults(self) -> None:
        sidecar = parse_sidecar(TABLE)
        assert (sidecar.mean, sidecar.std) == ((127.5,) * 3, (128.0,) * 3)
        assert sidecar.radius == np.inf
        assert parse_sidecar(TABLE | {"normalise": True}).radius == 1.0
        scale = parse_sidecar({k: v for k, v in TABLE.items() if k != "std"} | {"scale": 0.0078125})
        assert scale.std == (128.0,) * 3

    @pytest.mark.parametrize("key", REQUIRED)
    def test_every_required_key_is_asked_for(self, key: str) -> None:
        with pytest.raises(ModelError, match=f"lacks {key}"):
            parse_sidecar({k: v for k, v in TABLE.items() if k != key})

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("layout", "hwcn"), ("layout", 3), ("layout", ["nchw"]), ("colour", "grey"),
            ("alignment", "none"), ("metric", "dot"), ("size", 0), ("size", 112.0), ("size", True),
            ("size", [16, 16]),
            ("dimension", 1), ("dimension", "128"), ("normalise", 1), ("threshold", "x"),
            ("threshold", 1.5),
            ("threshold", float("nan")), ("threshold", True), ("mean", [1, 2]), ("mean", "a"),
            ("std", 0.0), ("std", [1, -1, 1]), ("scale", 0.5), ("margin", -0.1), ("radius", 0.0),
            ("radius", float("inf")), ("input", ""), ("output", 4),
        ],
    )  # fmt: skip
    def test_bad_values_are_named(self, key: str, value: object) -> None:
        with pytest.raises(ModelError, match=r"^In model.toml, \w+ must be"):
            parse_sidecar(TABLE | {key: value})

    def test_euclidean_needs_a_bound_and_a_distance(self) -> None:
        with pytest.raises(ModelError, match="radius"):
            parse_sidecar(TABLE | {"metric": "euclidean", "threshold": 1.1})
        with pytest.raises(ModelError, match="threshold"):
            parse_sidecar(TABLE | {"metric": "euclidean", "threshold": 0.0, "radius": 2.0})
        assert parse_sidecar(TABLE | {"metric": "euclidean", "threshold": 1.1, "radius": 2}).radius == 2.0

    def test_unknown_keys_are_refused(self) -> None:
        with pytest.raises(ModelError, match="unknown keys marign"):
            parse_sidecar(TABLE | {"marign": 0.1})

    def test_the_name_follows_the_preprocessing_alone(self) -> None:
        name = parse_sidecar(TABLE).preprocessing_id
        assert name.startswith("crop16-")
        same = {"threshold": 0.4, "radius": 9.0}
        assert {parse_sidecar(TABLE | {k: v}).preprocessing_id for k, v in same.items()} == {name}
        changes = {"colour": "bgr", "mean": 0.0, "std": 1.0, "margin": 0.1, "normalise": True, "size": 32,
                   "layout": "nhwc", "alignment": "arcface", "dimension": 4, "input": "x"}  # fmt: skip
        names = {parse_sidecar(TABLE | {k: v}).preprocessing_id for k, v in changes.items()}
        assert len(names | {name}) == len(changes) + 1


class TestOnnxEmbedder:
    FACE = Face(FaceBox(100, 50, 116, 66))

    @pytest.mark.parametrize(
        ("layout", "colour"), [("nchw", "rgb"), ("nchw", "bgr"), ("nhwc", "rgb"), ("nhwc", "bgr")]
    )
    def test_pixels_arrive_as_described(
        self, tmp_path: Path, astronaut: Image, layout: str, colour: str
    ) -> None:
        shape = ("n", 3, 16, 16) if layout == "nchw" else (1, None, None, 3)
        mean, std = [10.0, 20.0, 30.0], [2.0, 4.0, 8.0]
        embedder = OnnxEmbedder.load(
            tiny(tmp_path / "m.onnx", shape, layout=layout, colour=colour, mean=mean, std=std)
        )
        crop = astronaut.pixels[50:66, 100:116].astype(np.float32)
        ordered = crop if colour == "rgb" else crop[:, :, [2, 1, 0]]
        scaled = (ordered - np.float32(mean)) / np.float32(std)
        expected = (np.moveaxis(scaled, 2, 0) if layout == "nchw" else scaled).ravel()
        np.testing.assert_allclose(embedder.embed(astronaut, self.FACE).vector, expected, rtol=1e-6)

    def test_normalised(self, tmp_path: Path, astronaut: Image) -> None:
        embedder = OnnxEmbedder.load(tiny(tmp_path / "m.onnx", normalise=True))
        assert abs(np.linalg.norm(embedder.embed(astronaut, self.FACE).vector) - 1.0) < 1e-5
        assert (embedder.radius, embedder.metric, embedder.threshold, embedder.dimension) == (
            1.0,
            "cosine",
            0.3,
            768,
        )

    def test_model_id_covers_file_and_sidecar(self, tmp_path: Path) -> None:
        path = tiny(tmp_path / "m.onnx")
        first = OnnxEmbedder.load(path).model_id
        assert first.startswith(f"onnx-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}/crop16-")
        assert OnnxEmbedder.load(tiny(tmp_path / "copy.onnx")).model_id == first
        assert OnnxEmbedder.load(tiny(tmp_path / "n.onnx", colour="bgr")).model_id != first
        assert OnnxEmbedder.load(tiny(tmp_path / "o.onnx", weight=2.0)).model_id != first

    @pytest.mark.parametrize("alignment", ["arcface", "dlib-chip", "crop"])
    def test_alignments_through_the_pipeline(self, tmp_path: Path, astronaut: Image, alignment: str) -> None:
        # The tiny network only scales pixels: what comes out is the aligned face itself.
        tiny(tmp_path / "m.onnx", alignment=alignment, mean=0.0, std=1.0, layout="nchw")
        pipeline = open_embedder(f"onnx:{tmp_path / 'm.onnx'}")
        seen = pipeline.one_face(astronaut).vector.reshape(3, 16, 16)
        # A tilted copy is upright again after alignment by landmarks, and not after a crop.
        BICUBIC = PIL.Image.Resampling.BICUBIC
        tilted = PIL.Image.fromarray(astronaut.pixels).rotate(20, BICUBIC, center=(222, 127))
        again = pipeline.one_face(Image(np.asarray(tilted))).vector.reshape(3, 16, 16)
        alike = np.corrcoef(seen[:, 3:14, 3:14].ravel(), again[:, 3:14, 3:14].ravel())[0, 1]
        assert alike < 0.8 if alignment == "crop" else alike > 0.95

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"dimension": 128}, "outputs 768 numbers, its sidecar says 128"),
            ({"weight": np.nan}, "outputs NaN"),
            ({"shape": (1, 3, 8, 8)}, "correct layout and size"),
            ({"shape": (4, 3, 16, 16)}, "correct layout and size"),
            ({"shape": (1, 3, 16)}, "correct layout and size"),
            ({"layout": "nhwc"}, "correct layout and size"),
            ({"kind": TensorProto.UINT8}, "correct layout and size"),
            ({"input": "image"}, "no input named image; its sidecar may name data"),
            ({"output": "fc1"}, "no output named fc1; its sidecar may name out"),
            ({"weight": np.ones((1, 3, 5, 5)), "shape": (1, 3, None, None)}, "cannot run"),
        ],
    )
    def test_wrong_descriptions(self, tmp_path: Path, changed: dict[str, object], reason: str) -> None:
        with pytest.raises(ModelError, match=reason) as caught:
            OnnxEmbedder.load(tiny(tmp_path / "m.onnx", **changed))
        assert caught.value.message.endswith(".")

    def test_missing_files(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"m\.onnx does not exist"):
            open_embedder(f"onnx:{tmp_path / 'm.onnx'}")
        path = tiny(tmp_path / "m.onnx")
        path.with_suffix(".toml").write_bytes(b"size = \xff")
        with pytest.raises(ModelError, match="not readable TOML"):
            OnnxEmbedder.load(path)
        path.with_suffix(".toml").unlink()
        with pytest.raises(ModelError, match=r"m\.toml is missing: write it .*layout, size, colour"):
            OnnxEmbedder.load(path)

    def test_missing_landmark_weights_are_found_out_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BLINDSIGHT_MODELS", str(tmp_path))
        assert OnnxEmbedder.load(tiny(tmp_path / "m.onnx")).sidecar.alignment == "crop"
        for alignment in ("arcface", "dlib-chip"):
            with pytest.raises(ModelError, match="weights shape_predictor"):
                OnnxEmbedder.load(tiny(tmp_path / "m.onnx", alignment=alignment))

    def test_corrupt_model(self, tmp_path: Path) -> None:
        path = tiny(tmp_path / "m.onnx")
        whole = path.read_bytes()
        for content in (b"", b"junk", whole[: len(whole) // 2]):
            path.write_bytes(content)
            with pytest.raises(ModelError, match="not an ONNX model"):
                OnnxEmbedder.load(path)

    def test_failure_on_one_face_is_a_vector_error(self, tmp_path: Path) -> None:
        embedder = OnnxEmbedder.load(tiny(tmp_path / "m.onnx", mean=0.0, std=1.0, radius=100.0))
        black = Image(np.zeros((200, 200, 3), dtype=np.uint8))
        with pytest.raises(VectorError, match="zeros"):
            embedder.embed(black, self.FACE)
        with pytest.raises(VectorError, match="impossible"):
            embedder.embed(Image(np.full((200, 200, 3), 9, np.uint8)), self.FACE)


@pytest.mark.data
def test_mobilefacenet_tells_lfw_people_apart(data: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").symlink_to(data / "models" / "mobilefacenet_128.onnx")
    table = TABLE | {"size": 112, "mean": 0.0, "std": 1.0, "alignment": "arcface", "dimension": 128,
                     "threshold": 0.28, "normalise": True}  # fmt: skip
    (tmp_path / "m.toml").write_text(toml(table))
    pipeline = open_embedder(f"onnx:{tmp_path / 'm.onnx'}")

    def cosines(matching: bool, count: int = 30) -> np.ndarray:
        found = []
        for line in (data / "lfw" / "pairs_fold01_02.txt").read_text().splitlines()[1:]:
            words = line.split("\t")
            if (len(words) == 3) != matching or len(found) == count:
                continue
            a, i, b, j = (words[0], words[1], words[0], words[2]) if matching else words
            photos = [data / "lfw" / "images" / n / f"{n}_{int(k):04d}.jpg" for n, k in ((a, i), (b, j))]
            one, other = (central_face(pipeline, read_image(photo)) for photo in photos)
            found.append(float(one @ other))
        return np.array(found)

    same, different = cosines(True), cosines(False)
    assert (same >= 0.28).mean() >= 0.95
    assert (different < 0.28).mean() >= 0.95
    assert same.mean() - different.mean() > 0.4


def central_face(pipeline: FacePipeline, image: Image) -> np.ndarray:
    """LFW's subject is the face in the middle."""
    faces = pipeline.all_faces(image)
    middle = min(faces, key=lambda found: abs(found[0].box.left + found[0].box.right - image.width))
    return middle[1].vector
