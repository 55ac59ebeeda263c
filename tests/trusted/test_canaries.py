"""Canaries catch a matcher that shifts scores, as often as the specification says."""

from math import comb

import numpy as np
import pytest

from blindsight import EncryptedIndex
from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import TamperedError, UsageError
from blindsight.core.matching import Answer
from blindsight.trusted.records import CANARY

D, CANARIES, SHIFTED = 16, 16, 32


class Shifting:
    """A matcher that raises the scores of some rows of its first block, once told to."""

    def __init__(self, matcher):
        self._matcher = matcher
        self.rows = None

    def __getattr__(self, name):
        return getattr(self._matcher, name)

    def search(self, *request):
        answer = self._matcher.search(*request)
        if self.rows is None:
            return answer
        scores = answer.scores.copy()
        scores.view("<i2")[0, 0, self.rows] += 400
        return Answer(answer.revision, answer.block_ids, scores, answer.server_ms)


@pytest.fixture(params=["cosine", "euclidean"])
def honest(request, tmp_path):
    matcher = Shifting(LocalMatcher(tmp_path / "matcher"))
    index = EncryptedIndex(D, metric=request.param, radius=1.0, canaries=CANARIES, matcher=matcher)
    vectors = np.random.default_rng(3).standard_normal((700, D))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) * 1.000001
    index.add(np.arange(700), vectors)
    yield index, matcher, vectors
    matcher.close()


def test_canaries_are_no_results_and_survive_changes(honest):
    index, _, vectors = honest
    assert len(index) == 700
    assert len(index._session.states) == 3
    index.remove([5, 6])
    index.add([2000], vectors[5])
    index.rotate()
    for state in index._session.states.values():
        assert (state.ids == CANARY).sum() == CANARIES
    found = index.search(vectors[[3, 5, 9]], 300)
    assert found.ids[:, 0].tolist() == [3, 2000, 9]
    assert (found.ids >= 0).all()


def test_a_shifted_score_is_caught_as_often_as_the_specification_says(honest):
    index, matcher, vectors = honest
    generator = np.random.default_rng(4)
    caught, tries = 0, 150
    for _ in range(tries):
        matcher.rows = generator.choice(256, SHIFTED, replace=False)
        try:
            index.search(vectors[0], 1)
        except TamperedError:
            caught += 1
    expected = 1 - comb(256 - CANARIES, SHIFTED) / comb(256, SHIFTED)
    assert caught / tries == pytest.approx(expected, abs=4 * (expected * (1 - expected) / tries) ** 0.5)
    matcher.rows = None
    assert index.search(vectors[0], 1).ids[0, 0] == 0


def test_without_canaries_the_shift_is_not_noticed(tmp_path):
    matcher = Shifting(LocalMatcher(tmp_path / "matcher"))
    index = EncryptedIndex(D, matcher=matcher)
    index.add(np.arange(3), np.eye(3, D))
    matcher.rows = slice(0, 1)
    assert index.search(np.eye(3, D)[:2].sum(axis=0), 1).scores[0, 0] > 0.5**0.5 + 0.015
    matcher.close()


def test_canaries_are_saved_and_restored(honest, tmp_path):
    index, _, vectors = honest
    index.save(tmp_path / "saved", passphrase="a passphrase", include_blocks=True)
    with EncryptedIndex.load(tmp_path / "saved", passphrase="a passphrase") as again:
        assert again.search(vectors[:4], 1).ids[:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("many", [-1, 129])
def test_an_absurd_number_is_refused(many):
    with pytest.raises(UsageError, match="0 to 128"):
        EncryptedIndex(D, canaries=many)
