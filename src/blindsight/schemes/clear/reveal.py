"""Bytes to plaintext. Anybody can."""

from __future__ import annotations

import numpy as np

from blindsight.core.errors import MalformedError, TamperedError
from blindsight.core.types import I32, I64, U8
from blindsight.schemes.clear.params import LIMIT, Params


def templates(params: Params, head: bytes, body: U8) -> I32:
    """The templates of a block, int32 (rows, width)."""
    if head or body.shape != (params.body_bytes,) or body.dtype != np.uint8:
        raise MalformedError("This is not a block of these parameters.")
    values = np.ascontiguousarray(body).view("<i4").reshape(params.rows, params.width)
    return values.astype(np.int32)


def scores(params: Params, answer: U8) -> I64:
    """Inner products, int64 (count, blocks · rows), from uint8 (count, blocks, answer_bytes).

    Raises `TamperedError` for a score that no two templates in range can have.
    """
    if answer.ndim != 3 or answer.shape[2] != params.answer_bytes or answer.dtype != np.uint8:
        raise MalformedError("This is not an answer of these parameters.")
    count, blocks, _ = answer.shape
    values = np.ascontiguousarray(answer).view("<i8").reshape(count, blocks * params.rows)
    bound = params.width * (LIMIT - 1) ** 2
    if values.size and (values.max() > bound or values.min() < -bound):
        raise TamperedError("The server sent a score that no two templates can have.")
    return values.astype(np.int64)
