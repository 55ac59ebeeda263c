"""The plaintext twin computes exactly, up to the largest values that it admits."""

from __future__ import annotations

import numpy as np
import pytest

from blindsight.core.claims import Claim
from blindsight.core.errors import DimensionError, MalformedError, ParameterError, TamperedError, VectorError
from blindsight.schemes.clear.compute import ENGINE
from blindsight.schemes.clear.params import LIMIT, Params
from blindsight.schemes.clear.secret import ClearKey


@pytest.mark.parametrize("width", [16, 128, 2048, 2049, 4100])
def test_scores_are_exact_integers(width):
    rng = np.random.default_rng(width)
    params = Params(width, rows=8)
    key = ClearKey(params)
    templates = rng.integers(-LIMIT + 1, LIMIT, (20, width), dtype=np.int32)
    probes = rng.integers(-LIMIT + 1, LIMIT, (3, width), dtype=np.int32)
    templates[0], templates[1], probes[0] = LIMIT - 1, -LIMIT + 1, LIMIT - 1
    heads, bodies = key.protect_blocks(templates)
    sent, kept = key.protect_probes(probes)
    for head, body in zip(heads, bodies, strict=True):
        ENGINE.check_block(params, head, body)
    ENGINE.check_probes(params, sent)
    order = np.array([2, 0, 1])
    answer = ENGINE.match(params, bodies, order, sent)
    assert answer.shape == (3, 3, params.answer_bytes)
    found = key.reveal(kept, None, answer)
    padded = np.zeros((24, width), dtype=np.int64)
    padded[:20] = templates
    wanted = probes.astype(np.int64) @ padded.reshape(3, 8, width)[order].reshape(24, width).T
    assert found.dtype == np.int64
    assert (found == wanted).all()
    assert (key.open_block(heads[0], bodies[0]) == templates[:8]).all()
    assert key.hints(heads, bodies).shape == (3, 0)


def test_no_blocks_and_no_claim():
    params = Params(16)
    probe = np.zeros((2, 64), np.uint8)
    nothing = ENGINE.match(params, np.empty((0, params.body_bytes), np.uint8), np.empty(0, np.int64), probe)
    assert nothing.shape == (2, 0, params.answer_bytes)
    assert ENGINE.claim is Claim.NONE
    assert "Everything" in ENGINE.leakage.of("matcher")[0]


def test_what_is_out_of_range_is_refused():
    params = Params(16, 2)
    key = ClearKey(params)
    assert key.key_id.startswith("none-")
    assert key.key_id != ClearKey(params).key_id
    for bad in (LIMIT, -LIMIT, -(2**31)):
        with pytest.raises(VectorError):
            key.protect_block(np.full((1, 16), bad, np.int32))
        body = np.full(32, bad, "<i4").view(np.uint8)
        with pytest.raises(MalformedError):
            ENGINE.check_block(params, b"", body)
        with pytest.raises(MalformedError):
            ENGINE.check_probes(params, body[:64].reshape(1, 64))
    with pytest.raises(DimensionError):
        key.protect_block(np.zeros((3, 16), np.int32))
    with pytest.raises(DimensionError):
        key.protect_probes(np.zeros((1, 17), np.int32))
    with pytest.raises(TamperedError):
        key.reveal(None, None, np.full((1, 1, 2), 1 << 60, "<i8").view(np.uint8))
    for wrong in ((15, 256), (4101, 256), (16, 0), (16, 4097)):
        with pytest.raises(ParameterError):
            Params(*wrong)
    for wire in (
        {},
        {"width": 16},
        {"width": 16, "rows": "2"},
        {"width": 16, "rows": True},
        {"width": 16, "rows": 2, "x": 1},
    ):
        with pytest.raises(MalformedError):
            ENGINE.params(wire)
    assert ENGINE.params(params.wire()) == params
    assert params.params_id != Params(16, 3).params_id
