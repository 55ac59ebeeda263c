"""Several probes in one message: the same scores, as well bound, for a part of the cost."""

import math

import numpy as np
import pytest

from blindsight.core.errors import MalformedError, TamperedError
from blindsight.encoding import LinearEncoding
from blindsight.schemes.bfv.compute import ENGINE
from blindsight.schemes.bfv.params import Params
from blindsight.schemes.bfv.public import ARITHMETIC
from blindsight.schemes.bfv.reveal import BfvKeyHolder
from blindsight.schemes.seal.compute import _loaded, _products
from blindsight.schemes.seal.public import relin_key
from blindsight.trusted.index import EncryptedIndex
from blindsight.trusted.schemes import params_for

ENCODING = LinearEncoding(16, 4, 1.0)
BATCH = 5


@pytest.fixture(scope="module")
def params():
    return params_for("bfv", ENCODING, "exact", batch=BATCH)


@pytest.fixture(scope="module")
def protected(params):
    """A key; templates in two blocks, the second not full; probes in two messages, the second not full."""
    rng = np.random.default_rng(0)
    key = BfvKeyHolder.generate(params)
    templates = ENCODING.templates(rng.uniform(-1, 1, (params.rows + 3, 16))).values
    probes = ENCODING.probes(rng.uniform(-1, 1, (BATCH + 2, 16))).values
    heads, bodies = key.protect_blocks(templates)
    sent, kept = key.protect_probes(probes)
    return key, templates, probes, heads, bodies, sent, kept


def answered(params, protected):
    _, _, _, heads, bodies, sent, _ = protected
    ENGINE.check_probes(params, sent)
    return ENGINE.match(params, bodies, np.arange(len(heads)), sent)


def test_every_probe_has_every_score(params, protected):
    key, templates, probes, heads, bodies, sent, kept = protected
    assert params.rows == 4094 // BATCH
    assert sent.shape == (2, params.probe_bytes)
    answer = answered(params, protected)
    assert answer.shape == (2, 2, params.answer_bytes)
    scores = key.reveal(kept, key.prepare(heads, key.hints(heads, bodies)), answer)
    assert scores.shape == (BATCH + 2, 2 * params.rows)
    expected = probes.astype(np.int64) @ templates.astype(np.int64).T
    np.testing.assert_array_equal(scores[:, : len(templates)], expected)
    assert not scores[:, len(templates) :].any()


def test_blocks_open(params, protected):
    key, templates, _, heads, bodies, _, _ = protected
    opened = np.concatenate([key.open_block(head, body) for head, body in zip(heads, bodies, strict=True)])
    np.testing.assert_array_equal(opened[: len(templates)], templates)
    assert not opened[len(templates) :].any()


def test_answers_to_other_messages_or_blocks_are_noticed(params, protected):
    key, _, _, heads, bodies, _, kept = protected
    prepared = key.prepare(heads, key.hints(heads, bodies))
    answer = answered(params, protected)
    for wrong in (answer[::-1], answer[:, ::-1], np.repeat(answer[:1], 2, axis=0)):
        with pytest.raises(TamperedError):
            key.reveal(kept, prepared, np.ascontiguousarray(wrong))
    for short in (answer[:1], np.concatenate([answer, answer[:1]]), answer[..., :-1]):
        with pytest.raises(MalformedError):
            key.reveal(kept, prepared, short)


def test_the_batch_travels_and_names_other_parameters(params):
    assert params.wire()["batch"] == BATCH
    assert Params.from_wire(params.wire()) == params
    one = params_for("bfv", ENCODING, "exact")
    assert (one.batch, one.rows) == (1, 4094)
    assert one.params_id != params.params_id
    with pytest.raises(MalformedError):
        Params.from_wire({name: value for name, value in params.wire().items() if name != "batch"})


def test_an_index_with_canaries_changes_and_lies(params, monkeypatch):
    rng = np.random.default_rng(3)
    vectors, queries = rng.uniform(-1, 1, (20, 16)), rng.uniform(-1, 1, (9, 16))
    quantiser = ENCODING.quantiser
    options = {"metric": "euclidean", "precision": "exact", "scheme": "bfv", "quantiser": quantiser}
    with EncryptedIndex(16, **options, batch=16, canaries=4) as index:
        index.add(np.arange(20), vectors)
        index.remove([3])
        found = index.search(queries, k=19)
        plain = quantiser.squared_distances(quantiser.quantise(queries), quantiser.quantise(vectors))
        plain = np.delete(plain, 3, axis=1)
        np.testing.assert_allclose(found.scores, np.sort(quantiser.distances(plain), axis=1), rtol=1e-6)
        assert 3 not in found.ids
        search = type(index._matcher).search

        def stale(self, *arguments):
            answer = search(self, *arguments)
            answer.scores[...] = search(self, *arguments).scores[:, :, ::-1]
            return answer

        monkeypatch.setattr(type(index._matcher), "search", stale)
        with pytest.raises(TamperedError):
            index.search(queries, k=1)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_message_of_many_probes_is_no_noisier_than_predicted(bits):
    encoding = LinearEncoding(95, bits, 1.0)
    params = params_for("bfv", encoding, "exact", batch=13)
    key, rng = BfvKeyHolder.generate(params), np.random.default_rng(bits)
    _, bodies = key.protect_blocks(encoding.templates(rng.uniform(-1, 1, (params.rows, 95))).values)
    sent, _ = key.protect_probes(encoding.probes(rng.uniform(-1, 1, (13, 95))).values)
    context = ARITHMETIC.context(params)
    block, probe = _loaded(params, context, bodies[0], 1.0), _loaded(params, context, sent[0], 1.0)
    total = _products(context.evaluator, block, probe)
    context.evaluator.relinearize_inplace(total, context.switching_keys(*relin_key(params, sent[0])))
    left = key._key.decryptor.invariant_noise_budget(total)  # bits between the noise and the half
    assert left >= math.floor(-math.log2(2 * params.plain * 5 * params.noise))  # no coefficient of 4096
    assert left <= -math.log2(2 * params.plain * params.noise)  # and the prediction is not idle
