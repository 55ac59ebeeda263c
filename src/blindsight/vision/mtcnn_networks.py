"""The three networks of MTCNN as ONNX graphs around Caffe weights.

Zhang, Zhang, Li and Qiao (2016), "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks", figure 2. The layers are few and fixed, so that they are written down
here and only the weights are read.

The published weights come from a program that kept images column by column: their kernels
have height and width swapped. They are turned once, here, so that the networks take upright
images, float32 NCHW in RGB, ``(pixel - 127.5) / 128``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from blindsight.core.errors import ModelError
from blindsight.core.types import F32
from blindsight.vision.caffe_weights import read_caffe_weights
from blindsight.vision.onnx_embedder import _session_of

FILES: Final = ("det1.caffemodel", "det2.caffemodel", "det3.caffemodel")
_OPSET: Final = 13
_IR_VERSION: Final = 8


@dataclass(frozen=True, slots=True)
class _Convolution:
    name: str
    slopes: str
    filters: int
    side: int
    pool: tuple[int, int] | None = None  # side and stride


@dataclass(frozen=True, slots=True)
class Layout:
    """One network: convolutions, then perhaps one dense layer, then its outputs.

    Attributes:
        side: of the input; 0 where the network is fully convolutional and takes any size.
        dense: name, slopes, width and the (channels, side) that it flattens; None in P-Net.
        outputs: layer names and widths; the first is the face probability's two logits.
    """

    side: int
    convolutions: tuple[_Convolution, ...]
    dense: tuple[str, str, int, int, int] | None
    outputs: tuple[tuple[str, int], ...]


P_NET: Final = Layout(
    0,
    (
        _Convolution("conv1", "PReLU1", 10, 3, (2, 2)),
        _Convolution("conv2", "PReLU2", 16, 3),
        _Convolution("conv3", "PReLU3", 32, 3),
    ),
    None,
    (("conv4-1", 2), ("conv4-2", 4)),
)
R_NET: Final = Layout(
    24,
    (
        _Convolution("conv1", "prelu1", 28, 3, (3, 2)),
        _Convolution("conv2", "prelu2", 48, 3, (3, 2)),
        _Convolution("conv3", "prelu3", 64, 2),
    ),
    ("conv4", "prelu4", 128, 64, 3),
    (("conv5-1", 2), ("conv5-2", 4)),
)
O_NET: Final = Layout(
    48,
    (
        _Convolution("conv1", "prelu1", 32, 3, (3, 2)),
        _Convolution("conv2", "prelu2", 64, 3, (3, 2)),
        _Convolution("conv3", "prelu3", 64, 3, (2, 2)),
        _Convolution("conv4", "prelu4", 128, 2),
    ),
    ("conv5", "prelu5", 256, 128, 3),
    (("conv6-1", 2), ("conv6-2", 4), ("conv6-3", 10)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The loaded cascade; each network's outputs in the order of its `Layout`."""

    proposal: Any = field(repr=False)
    refine: Any = field(repr=False)
    output: Any = field(repr=False)

    @staticmethod
    def run(session: Any, batch: F32) -> list[F32]:
        """``batch`` float32 (n, 3, h, w) through one network; the first output is a softmax."""
        outputs: list[F32] = session.run(None, {"data": batch})
        return outputs


def load_networks(folder: Path) -> Networks:
    """Load ``det1``, ``det2`` and ``det3.caffemodel`` of a folder.

    Raises `ModelError` where a file is missing, damaged or not that network's, or where onnx
    or onnxruntime is not installed.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{', '.join(missing)} not found in the folder of MTCNN's weights; put them there.")
    sessions = [
        # The networks are so small that threads cost more than they gain.
        _session_of(_graph(layout, read_caffe_weights(folder / name), name), name, threads=1)
        for name, layout in zip(FILES, (P_NET, R_NET, O_NET), strict=True)
    ]
    return Networks(*sessions)


def _graph(layout: Layout, weights: dict[str, tuple[F32, ...]], file: str) -> bytes:
    """The network as a serialised ONNX model; input ``data``."""
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise ModelError('MTCNN needs protobuf and onnx: pip install "blindsight[mtcnn]".') from error
    nodes: list[Any] = []
    constants: list[Any] = []

    def take(layer: str, *shapes: tuple[int, ...]) -> list[F32]:
        """A layer's arrays; old files pad shapes with leading ones, so that sizes are compared."""
        arrays = weights.get(layer, ())
        if len(arrays) != len(shapes) or any(
            array.size != int(np.prod(shape)) for array, shape in zip(arrays, shapes, strict=False)
        ):
            raise ModelError(f"{file} is not the network of that stage of MTCNN ({layer} does not fit).")
        return [array.reshape(shape) for array, shape in zip(arrays, shapes, strict=True)]

    def node(operator: str, inputs: list[str], output: str, arrays: list[F32], **attributes: Any) -> str:
        names = [f"{output}.{place}" for place in range(len(arrays))]
        constants.extend(
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for array, name in zip(arrays, names, strict=True)
        )
        nodes.append(helper.make_node(operator, [*inputs, *names], [output], **attributes))
        return output

    def convolved(at: str, name: str, channels: int, filters: int, side: int) -> str:
        kernel, bias = take(name, (filters, channels, side, side), (filters,))
        return node("Conv", [at], name, [kernel.transpose(0, 1, 3, 2), bias])

    at, channels = "data", 3
    for layer in layout.convolutions:
        at = convolved(at, layer.name, channels, layer.filters, layer.side)
        (slopes,) = take(layer.slopes, (layer.filters, 1, 1))
        at = node("PRelu", [at], layer.slopes, [slopes])
        channels = layer.filters
        if layer.pool is not None:
            side, stride = layer.pool  # Caffe rounds the pooled size up
            pooled = f"{layer.name}.pool"
            at = node("MaxPool", [at], pooled, [], kernel_shape=[side] * 2, strides=[stride] * 2, ceil_mode=1)
    if layout.dense is not None:
        name, slopes_name, width, depth, side = layout.dense
        matrix, bias = take(name, (width, depth, side, side), (width,))
        matrix = matrix.transpose(0, 1, 3, 2).reshape(width, -1)
        at = node("Flatten", [at], "flat", [], axis=1)
        at = node("Gemm", [at], name, [matrix, bias], transB=1)
        (slopes,) = take(slopes_name, (width,))
        at = node("PRelu", [at], slopes_name, [slopes])
    outputs = []
    for place, (name, width) in enumerate(layout.outputs):
        if layout.dense is None:
            out = convolved(at, name, channels, width, 1)
        else:
            out = node("Gemm", [at], name, take(name, (width, layout.dense[2]), (width,)), transB=1)
        outputs.append(node("Softmax", [out], "probability", [], axis=1) if place == 0 else out)
    sides: list[Any] = ["h", "w"] if layout.side == 0 else [layout.side] * 2
    graph = helper.make_graph(
        nodes,
        Path(file).stem,
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, *sides])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    serialised: bytes = model.SerializeToString()
    return serialised
