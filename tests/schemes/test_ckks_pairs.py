"""1:1 comparisons: what they give, what they cost, and what bad input gets."""

import dataclasses
import hashlib

import numpy as np
import pytest

from blindsight.core.errors import (
    ConflictError,
    DimensionError,
    InaccurateParametersError,
    InsecureParametersError,
    MalformedError,
    NotFoundError,
    ParameterError,
    ParamsMismatchError,
    TamperedError,
    VectorError,
)
from blindsight.schemes.ckks.pairs import (
    EvaluationKeys,
    PairParams,
    compare,
    compare_by_single_rotations,
    vector_ciphertext,
)
from blindsight.schemes.ckks.reveal import PairKeyHolder
from blindsight.schemes.seal.library import guarded
from blindsight.schemes.seal.packing import packed, unpacked
from blindsight.schemes.seal.session import KeyRoom, pieces

PARAMS = PairParams()


@pytest.fixture(scope="module")
def holder():
    return PairKeyHolder.generate(PARAMS)


@pytest.fixture(scope="module")
def data(holder):
    return holder.evaluation_keys()


@pytest.fixture(scope="module")
def keys(data):
    return EvaluationKeys.load(PARAMS, data)


def units(count, seed=1):
    vectors = np.random.default_rng(seed).normal(size=(count, 128))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("by", [compare, compare_by_single_rotations])
def test_distances_are_those_of_the_plaintext(holder, keys, by):
    vectors = units(4)
    vectors[1] = -vectors[0]
    vectors[3] = vectors[2] + 0.05 * units(1, 2)[0]
    vectors[3] /= np.linalg.norm(vectors[3])
    protected = [holder.protect(v) for v in vectors]
    for i, j in ((0, 1), (0, 2), (2, 3), (1, 3)):
        answer = by(PARAMS, keys, protected[i], protected[j])
        assert len(answer) == PARAMS.answer_bytes
        direct = np.linalg.norm(vectors[i] - vectors[j])
        assert abs(holder.reveal(answer) ** 2 - direct**2) <= PARAMS.error * (1 + 99 * (by is not compare))
        if by is compare and direct > 0.5:
            assert holder.reveal(answer) == pytest.approx(direct, rel=2e-4)  # the seed's 0.02 %


def test_the_error_is_within_the_bound_and_the_bound_is_not_idle(holder, keys):
    one, other = units(2, 3)
    direct = np.linalg.norm(one - other) ** 2
    found = [
        holder.reveal(compare(PARAMS, keys, holder.protect(one), holder.protect(other))) ** 2 - direct
        for _ in range(12)
    ]
    assert PARAMS.error / 200 < np.abs(found).max() < PARAMS.error < 2e-3


@pytest.mark.parametrize("dimension", [2, 95, 100, 512, 2048])
def test_other_dimensions(dimension):
    params = PairParams(dimension=dimension)
    holder = PairKeyHolder.generate(params)
    keys = EvaluationKeys.load(params, holder.evaluation_keys())
    one, other = np.random.default_rng(4).normal(size=(2, dimension))
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    assert len(params.steps) == np.ceil(np.log2(dimension))
    answer = compare(params, keys, holder.protect(one), holder.protect(other))
    assert abs(holder.reveal(answer) ** 2 - np.linalg.norm(one - other) ** 2) <= params.error


def test_sizes_are_the_real_ones_and_small(holder, data):
    assert PARAMS.steps == (1, 2, 4, 8, 16, 32, 64)
    assert len(holder.protect(units(1)[0])) == PARAMS.vector_bytes < 40_000
    assert len(data) == PARAMS.key_bytes < 1_000_000


def test_keys_travel_once_by_digest(data):
    digest = hashlib.sha256(data).hexdigest()

    def room():
        return KeyRoom(PARAMS.key_bytes, lambda data: EvaluationKeys.load(PARAMS, data), most=2)

    server, parts = room(), list(pieces(data, 100_000))
    assert max(map(len, parts)) == 100_000
    assert server.received(digest) == 0
    assert server.receive(digest, parts).digest == digest
    assert server[digest].params == PARAMS
    assert server.received(digest) == len(data)
    with pytest.raises(NotFoundError):
        server["0" * 64]
    damaged = [parts[0][:-1] + b"\x01", *parts[1:]]
    for wrong in (damaged, parts[:-1], parts[::-1], []):
        fresh = room()
        with pytest.raises(MalformedError):
            fresh.receive(digest, wrong)
        assert fresh.received(digest) == 0
    with pytest.raises(MalformedError):
        room().receive(digest, (bytes(1 << 20) for _ in range(10**6)))


def test_an_upload_goes_on_where_it_broke_off(data):
    digest = hashlib.sha256(data).hexdigest()
    server = KeyRoom(len(data), lambda data: data, most=1, unfinished=2)
    assert server.piece(digest, 0, data[:1000]) == 1000
    with pytest.raises(ConflictError):
        server.piece(digest, 1001, data[1001:2000])
    with pytest.raises(NotFoundError):
        server[digest]
    assert server.piece(digest, 500, data[500:3000]) == 3000
    assert server.received(digest) == 3000
    assert server.piece(digest, 3000, data[3000:]) == len(data)
    assert server[digest] == data
    for other in ("a", "b", "c"):
        server.piece(other * 64, 0, b"x")
    assert [server.received(other * 64) for other in "abc"] == [0, 1, 1]
    second = data[::-1]
    server.receive(hashlib.sha256(second).hexdigest(), [second])
    assert server.received(digest) == 0  # the latest one only


def test_corrupted_keys(data):
    for wrong in (data[:-1], data + b"\x00", b"", bytes([255]) * len(data)):
        with pytest.raises(MalformedError):
            EvaluationKeys.load(PARAMS, wrong)


def test_keys_of_other_parameters(holder, keys):
    other = PairParams(dimension=64)
    vector = holder.protect(units(1)[0])
    with pytest.raises(ParamsMismatchError):
        compare(other, keys, vector, vector)


def test_one_ciphertext_twice_and_made_up_ones(holder, keys):
    vector = holder.protect(units(1)[0])
    for wrong in (vector[:-1], vector + b"\x00", b"\xff" * len(vector)):
        with pytest.raises(MalformedError):
            compare(PARAMS, keys, wrong, vector)
    with pytest.raises(MalformedError, match="twice"):
        compare(PARAMS, keys, vector, vector)


def test_a_ciphertext_at_the_wrong_level(holder, keys):
    """An answer has one prime left: it is no vector, and SEAL's refusal to mix levels leaves as ours."""
    one, other = (holder.protect(v) for v in units(2))
    answer = compare(PARAMS, keys, one, other)
    with pytest.raises(MalformedError):
        compare(PARAMS, keys, answer, other)
    with pytest.raises(MalformedError):
        holder.reveal(one)
    made = PARAMS.context
    fresh = vector_ciphertext(PARAMS, one)
    low = made.ciphertext(np.ones((2, 1, PARAMS.degree), np.uint64), PARAMS.scale)
    with pytest.raises(MalformedError, match="levels"), guarded("Ciphertexts of two levels cannot be added."):
        made.evaluator.add_inplace(fresh, low)
    with pytest.raises(MalformedError):
        made.residues(low, 2, 2)


def test_vectors_out_of_range(holder):
    for wrong in (np.zeros(127), np.zeros((1, 128))):
        with pytest.raises(DimensionError):
            holder.protect(wrong)
    for wrong in (units(1)[0] * 1.01, np.full(128, np.nan), np.full(128, np.inf)):
        with pytest.raises(VectorError):
            holder.protect(wrong)


def test_answers_that_cannot_be(holder, keys):
    one, other = (holder.protect(v) for v in units(2))
    answer = compare(PARAMS, keys, one, other)
    stranger = PairKeyHolder.generate(PARAMS)
    with pytest.raises(TamperedError):
        stranger.reveal(answer)
    for wrong in (bytes(len(answer)), b"\xff" * len(answer), answer[:100] + b"\x00" + answer[101:]):
        with pytest.raises(TamperedError):
            holder.reveal(wrong)
    with pytest.raises(MalformedError):
        holder.reveal(answer[:-1])
    strange = EvaluationKeys.load(PARAMS, stranger.evaluation_keys())
    with pytest.raises(TamperedError):
        holder.reveal(compare(PARAMS, strange, one, other))


def test_what_tenseal_lets_pass_is_refused():
    """N = 4096 with primes of 40, 20 and 40 bits: cosines wrong by 0.36, without a word."""
    with pytest.raises(InaccurateParametersError, match="wrong by"):
        PairParams(bits=(40, 20, 40), scale_bits=20)


def test_parameters_that_must_not_be():
    with pytest.raises(InsecureParametersError):
        PairParams(bits=(40, 40, 40))
    with pytest.raises(InsecureParametersError):
        PairParams(degree=2048)
    with pytest.raises(InaccurateParametersError, match="wrap"):
        PairParams(scale_bits=34)
    with pytest.raises(InaccurateParametersError, match="wrong by"):
        PairParams(error_limit=1e-9)
    for change in (
        {"bits": (36, 32)}, {"bits": [36, 32, 40]}, {"bits": (61, 20, 20)}, {"bits": (14, 32, 40)},
        {"dimension": 1}, {"dimension": 2049}, {"dimension": 128.0}, {"scale_bits": 0},
        {"largest_distance": 0.0}, {"error_limit": 0.0}, {"degree": 5000},
    ):  # fmt: skip
        with pytest.raises(ParameterError):
            dataclasses.replace(PARAMS, **change)


def test_packing():
    moduli = (2**36 - 5, 255, 2**40 - 1)
    rng = np.random.default_rng(5)
    residues = np.stack([rng.integers(0, m, (2, 8)).astype(np.uint64) for m in moduli], axis=1)
    data = packed(residues, moduli)
    assert len(data) == 2 * 8 * (5 + 1 + 5)
    np.testing.assert_array_equal(unpacked(np.frombuffer(data, np.uint8), 2, moduli, 8), residues)
