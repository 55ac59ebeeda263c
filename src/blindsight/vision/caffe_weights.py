"""The arrays in a Caffe weights file, without Caffe.

A ``.caffemodel`` is a protocol buffer. Of its schema (BVLC Caffe, ``caffe.proto``) only what
holds a layer's name and its arrays is described here; protobuf itself does the parsing.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from blindsight.core.errors import ImageError, ModelError
from blindsight.core.types import F32
from blindsight.vision.images import read_bytes, shown

MAX_FILE_BYTES: Final = 64 * 2**20

# message: {field: (number, kind, repeated)}; a kind that is a message's name refers to it
_SCHEMA: Final[dict[str, dict[str, tuple[int, str, bool]]]] = {
    "Shape": {"dim": (1, "int64", True)},
    "Blob": {
        "num": (1, "int32", False),
        "channels": (2, "int32", False),
        "height": (3, "int32", False),
        "width": (4, "int32", False),
        "data": (5, "float", True),
        "shape": (7, "Shape", False),
    },
    "Layer": {"name": (1, "string", False), "blobs": (7, "Blob", True)},
    "Net": {"layer": (100, "Layer", True)},
}


def read_caffe_weights(path: Path) -> dict[str, tuple[F32, ...]]:
    """Each layer's arrays (kernel and bias, or slopes), float32, by the layer's name.

    Raises:
        ModelError: no such file, too large, not a Caffe model, a shape that does not fit its
            numbers, a number that is not finite; or protobuf is not installed.
    """
    name = shown(path)
    try:
        data = read_bytes(path, max_bytes=MAX_FILE_BYTES)
    except ImageError as error:
        raise ModelError(f"The weights {name} cannot be read; check the path and the file.") from error
    net = _net_message()()
    try:
        net.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError is another class in each of its backends.
        raise ModelError(f"{name} is not a Caffe weights file; download it again.") from error
    layers = {layer.name: tuple(_array(blob, name) for blob in layer.blobs) for layer in net.layer}
    if not any(layers.values()):
        raise ModelError(f"{name} holds no weights of a Caffe network; pass a .caffemodel of 2015 or later.")
    return layers


def _array(blob: Any, name: str) -> F32:
    values = np.asarray(blob.data, dtype=np.float32)
    if blob.HasField("shape"):
        shape = tuple(blob.shape.dim)
    else:
        shape = (blob.num, blob.channels, blob.height, blob.width)
    if any(side <= 0 for side in shape) or math.prod(shape) != values.size:
        raise ModelError(f"A layer's shape in {name} does not fit its weights; download it again.")
    if not np.isfinite(values).all():
        raise ModelError(f"{name} holds weights that are not finite; download it again.")
    return values.reshape(shape)


@functools.cache
def _net_message() -> Any:
    """The message class of a whole network."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise ModelError('MTCNN needs protobuf and onnx: pip install "blindsight[mtcnn]".') from error
    package = "blindsight.caffe"
    file = descriptor_pb2.FileDescriptorProto(name="blindsight/caffe.proto", package=package, syntax="proto2")
    field_type = descriptor_pb2.FieldDescriptorProto
    for message, fields in _SCHEMA.items():
        described = file.message_type.add(name=message)
        for field, (number, kind, repeated) in fields.items():
            label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            added = described.field.add(name=field, number=number, label=label)
            if kind in _SCHEMA:
                added.type, added.type_name = field_type.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                added.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Net"))
