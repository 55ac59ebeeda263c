"""1:1 by the constant coefficient: what it gives, what it costs, what it lets out, and bad input."""

import dataclasses

import numpy as np
import pytest

from blindsight.core.errors import (
    DimensionError,
    InaccurateParametersError,
    InsecureParametersError,
    MalformedError,
    ParameterError,
    TamperedError,
    VectorError,
)
from blindsight.core.secrets import Secret
from blindsight.schemes.ckks.distance import ANSWER_BYTES, DistanceParams, compare
from blindsight.schemes.ckks.pairs import PairParams
from blindsight.schemes.ckks.reveal import DistanceKeyHolder, PairKeyHolder

PARAMS = DistanceParams()


@pytest.fixture(scope="module")
def holder():
    return DistanceKeyHolder.generate(PARAMS)


def units(count, seed=1, dimension=128):
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_distances_are_those_of_the_plaintext(holder):
    vectors = units(4)
    vectors[1] = -vectors[0]
    vectors[3] = vectors[2] + 0.05 * units(1, 2)[0]
    vectors[3] /= np.linalg.norm(vectors[3])
    protected = [holder.protect(v) for v in vectors]
    for i, j in ((0, 1), (0, 2), (2, 3), (1, 3)):
        direct = np.linalg.norm(vectors[i] - vectors[j])
        found = holder.reveal(compare(PARAMS, protected[i], protected[j]))
        assert abs(found**2 - direct**2) <= PARAMS.error
        if direct > 0.5:
            assert found == pytest.approx(direct, rel=2e-4)  # the seed's 0.02 %


def test_the_error_is_within_the_bound_and_the_bound_is_not_idle():
    one, other = units(2, 3)
    direct = np.linalg.norm(one - other) ** 2
    errors = []
    for _ in range(6):  # keys, too
        holder = DistanceKeyHolder.generate(PARAMS)
        for _ in range(10):
            answer = compare(PARAMS, holder.protect(one), holder.protect(other))
            errors.append(abs(holder.reveal(answer) ** 2 - direct))
    assert PARAMS.error / 60 < max(errors) < PARAMS.error < 1e-4
    assert 0.3 < np.std(errors) / (PARAMS.error / 9.5) < 1.2


@pytest.mark.parametrize(
    ("dimension", "degree"), [(2, 2048), (95, 2048), (512, 2048), (1024, 2048), (2048, 4096)]
)
def test_other_dimensions(dimension, degree):
    params = DistanceParams(dimension, degree)
    holder = DistanceKeyHolder.generate(params)
    one, other = units(2, 4, dimension)
    answer = compare(params, holder.protect(one), holder.protect(other))
    assert abs(holder.reveal(answer) ** 2 - np.linalg.norm(one - other) ** 2) <= params.error


def test_sizes_are_the_real_ones(holder):
    one, other = (holder.protect(v) for v in units(2))
    assert len(one) == PARAMS.vector_bytes == 14_400
    assert len(compare(PARAMS, one, other)) == PARAMS.answer_bytes == 20_485


def test_an_answer_holds_the_sum_and_no_coordinate():
    """Pairs at the same distance, in other directions: what the first number adds is the same.

    All that an answer has beside the one coefficient is what the client's two ciphertexts
    already determine, without any message.
    """
    holder = DistanceKeyHolder(PARAMS, Secret(bytes(32)))
    one = np.zeros(128)
    found = []
    for place in (0, 17, 127):
        other = np.zeros(128)
        other[place] = 0.75
        found.append(holder.reveal(compare(PARAMS, holder.protect(one), holder.protect(other))))
    np.testing.assert_allclose(found, 0.75, atol=1e-4)


def test_ciphertexts_are_fresh(holder):
    vector = units(1)[0]
    one, two = (np.frombuffer(holder.protect(vector), np.uint8)[:14_336].reshape(-1, 7) for _ in range(2))
    assert abs((one[:, :6] == two[:, :6]).mean() - 1 / 256) < 8 * (1 / 256 / (6 * 2048)) ** 0.5


def test_made_up_vectors_and_one_twice(holder):
    vector = holder.protect(units(1)[0])
    for wrong in (vector[:-1], vector + b"\x00", b"", b"\xff" * len(vector)):
        with pytest.raises(MalformedError):
            compare(PARAMS, wrong, vector)
        with pytest.raises(MalformedError):
            compare(PARAMS, vector, wrong)
    with pytest.raises(MalformedError, match="twice"):
        compare(PARAMS, vector, vector)


def test_a_ciphertext_of_the_other_way(holder):
    """Same key bytes, another ring: neither side takes the other's ciphertexts or answers."""
    paired = PairKeyHolder.generate(PairParams())
    vector = paired.protect(units(1)[0])
    with pytest.raises(MalformedError):
        compare(PARAMS, vector, holder.protect(units(1)[0]))
    with pytest.raises(MalformedError):
        holder.reveal(bytes(PairParams().answer_bytes))


def test_vectors_out_of_range(holder):
    for wrong in (np.zeros(127), np.zeros((1, 128))):
        with pytest.raises(DimensionError):
            holder.protect(wrong)
    for wrong in (units(1)[0] * 1.01, np.full(128, np.nan), np.full(128, np.inf)):
        with pytest.raises(VectorError):
            holder.protect(wrong)


def test_answers_that_cannot_be(holder):
    one, other = (holder.protect(v) for v in units(2))
    answer = compare(PARAMS, one, other)
    with pytest.raises(MalformedError):
        holder.reveal(answer[:-1])
    noticed = 0
    for _ in range(20):  # a wrong key shows but for 1 in 512
        stranger = DistanceKeyHolder.generate(PARAMS)
        try:
            stranger.reveal(answer)
        except TamperedError:
            noticed += 1
    assert noticed >= 18
    top = answer[: ANSWER_BYTES - 1] + bytes([answer[ANSWER_BYTES - 1] ^ 0x80])
    with pytest.raises(TamperedError):
        holder.reveal(top + answer[ANSWER_BYTES:])


def test_parameters_that_must_not_be():
    with pytest.raises(InsecureParametersError):
        DistanceParams(bits=55)
    with pytest.raises(InsecureParametersError):
        DistanceParams(degree=1024)
    with pytest.raises(InaccurateParametersError, match="wrong by"):
        DistanceParams(bits=40)
    with pytest.raises(InaccurateParametersError, match="wrong by"):
        DistanceParams(error_limit=1e-9)
    for change in (
        {"bits": 19}, {"bits": 60}, {"bits": 54.0}, {"dimension": 1}, {"dimension": 1025}, {"degree": 3000},
        {"largest_distance": 0.0}, {"largest_distance": float("nan")}, {"error_limit": 0.0},
    ):  # fmt: skip
        with pytest.raises(ParameterError):
            dataclasses.replace(PARAMS, **change)
