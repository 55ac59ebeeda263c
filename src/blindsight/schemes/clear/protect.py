"""Plaintext to bytes. Nothing is protected."""

from __future__ import annotations

import numpy as np

from blindsight.core.errors import DimensionError, VectorError
from blindsight.core.types import I32, U8
from blindsight.schemes.clear.params import LIMIT, Params


def bodies(params: Params, templates: I32) -> U8:
    """Templates int32 (r, width) as blocks, uint8 (ceil(r / rows), body_bytes); the rest is zeros."""
    checked = _checked(params, templates)
    blocks = -(-len(checked) // params.rows)
    padded = np.zeros((blocks * params.rows, params.width), dtype="<i4")
    padded[: len(checked)] = checked
    return padded.view(np.uint8).reshape(blocks, params.body_bytes)


def probes(params: Params, values: I32) -> U8:
    """Probes int32 (count, width) as uint8 (count, probe_bytes)."""
    return np.ascontiguousarray(_checked(params, values), dtype="<i4").view(np.uint8)


def _checked(params: Params, values: I32) -> I32:
    if values.ndim != 2 or values.shape[1] != params.width or values.dtype != np.int32:
        raise DimensionError(f"This gallery takes int32 rows of {params.width} integers.")
    if values.size and (values.max() >= LIMIT or values.min() <= -LIMIT):
        raise VectorError("A coordinate is 2^21 or more in absolute value; scale the vectors down.")
    return values
