from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from blindsight.core.errors import ModelError, VectorError
from blindsight.vision.attribute_model import embed_people
from blindsight.vision.images import Image
from blindsight.vision.onnx_people import OnnxPersonEmbedder, parse_person_sidecar


def draw(seed: int, height: int = 128, width: int = 64) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)) * [0.9, 0.6, 0.3]
    return Image(pixels.astype(np.uint8))


TABLE = {
    "layout": '"nchw"', "height": "32", "width": "16", "colour": '"rgb"', "mean": "0", "std": "255",
    "dimension": "3", "values": '"probability"',
}  # fmt: skip


def tiny(path: Path, *, bias: float = 0.0, shape: tuple[object, ...] = ("n", 3, 32, 16), **changed) -> Path:
    """A network that gives the mean of each channel, plus ``bias``."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["data"], ["mean"]),
            helper.make_node("Add", ["mean", "bias"], ["sum"]),
            helper.make_node("Flatten", ["sum"], ["out"], axis=1),
        ],
        "tiny",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([bias], dtype=np.float32), "bias")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    table = {key: value for key, value in (TABLE | changed).items() if value is not None}
    path.with_suffix(".toml").write_text("\n".join(f"{key} = {value}" for key, value in table.items()))
    return path


@pytest.mark.parametrize("values", ["probability", "logit", "confidence", "direction"])
def test_every_kind_of_output_becomes_a_confidence(tmp_path: Path, values: str) -> None:
    embedder = OnnxPersonEmbedder.load(tiny(tmp_path / "m.onnx", values=f'"{values}"'))
    image = draw(3, 32, 16)
    mean = image.pixels.reshape(-1, 3).mean(axis=0) / 255
    wanted = {
        "probability": 2 * mean - 1, "logit": np.tanh(mean / 2), "confidence": mean,
        "direction": mean / np.linalg.norm(mean),
    }[values]  # fmt: skip
    embedding = embedder.embed(image)
    np.testing.assert_allclose(embedding.vector, wanted, atol=1e-5)
    assert embedding.model_id == embedder.model_id
    assert embed_people(embedder, [image, draw(4)]).shape == (2, 3)


def test_colour_order_and_names_of_models(tmp_path: Path) -> None:
    one = OnnxPersonEmbedder.load(tiny(tmp_path / "a.onnx"))
    two = OnnxPersonEmbedder.load(tiny(tmp_path / "b.onnx", colour='"bgr"'))
    three = OnnxPersonEmbedder.load(tiny(tmp_path / "c.onnx", values='"logit"'))
    image = draw(3)
    np.testing.assert_allclose(one.embed(image).vector[::-1], two.embed(image).vector, atol=1e-6)
    assert len({one.model_id, two.model_id, three.model_id}) == 3


def test_values_that_are_not_what_the_sidecar_says(tmp_path: Path) -> None:
    embedder = OnnxPersonEmbedder.load(tiny(tmp_path / "m.onnx", bias=1.0))
    with pytest.raises(VectorError, match="no probability"):
        embedder.embed(draw(3))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"height": None}, "lacks height"), ({"size": "64"}, "unknown keys size"), ({"width": "3"}, "width"),
        ({"width": "16.0"}, "width"), ({"values": '"odds"'}, "values"), ({"values": "3"}, "values"),
        ({"colour": '"hsv"'}, "colour"), ({"std": "0"}, "std"), ({"dimension": "4"}, "4 finite numbers"),
        ({"height": "64"}, "shape"), ({"layout": '"nhwc"'}, "shape"), ({"output": '"none"'}, "output"),
        ({"layout": "nchw"}, "TOML"), ({"alignment": '"crop"'}, "unknown keys alignment"),
    ],
)  # fmt: skip
def test_descriptions_that_are_refused(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        OnnxPersonEmbedder.load(tiny(tmp_path / "m.onnx", **changed))


def test_files_that_are_missing_or_no_model(tmp_path: Path) -> None:
    path = tiny(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        OnnxPersonEmbedder.load(tmp_path / "other.onnx")
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match="not an ONNX model"):
        OnnxPersonEmbedder.load(path)
    path.with_suffix(".toml").unlink()
    with pytest.raises(ModelError, match="missing"):
        OnnxPersonEmbedder.load(path)
    with pytest.raises(ModelError):
        parse_person_sidecar({})
