"""The project against known answers that the naive reference computed, and against that reference live."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from blindsight.core.errors import BlindsightError
from blindsight.schemes.lattice import protect
from blindsight.schemes.lattice.compute import ENGINE
from blindsight.schemes.lattice.params import Params
from blindsight.schemes.lattice.public import public_matrix
from blindsight.schemes.lattice.reveal import LatticeKeyHolder
from blindsight.schemes.lattice.secret import SecretKey
from reference.lattice import Lattice

VECTORS = json.loads((Path(__file__).parent / "vectors" / "lattice.json").read_text())["vectors"]


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.fixture
def plant(monkeypatch):
    """Make `protect` draw the given seeds, in this order, in one thread."""
    monkeypatch.setenv("BLINDSIGHT_THREADS", "1")

    def plant(*seeds):
        drawn = iter(seeds)
        monkeypatch.setattr(protect, "fresh_seed", lambda: next(drawn))

    return plant


@pytest.fixture(params=VECTORS)
def case(request):
    vector = VECTORS[request.param]
    params = ENGINE.params(vector["params"])
    seeds = {who: bytes.fromhex(seed) for who, seed in vector["seeds"].items()}
    recipe = vector["templates"]
    rows, columns = np.arange(recipe["rows"])[:, np.newaxis], np.arange(params.width)
    templates = (rows * 31 + columns * recipe["step"]) % (2 * recipe["size"] + 1) - recipe["size"]
    return vector, params, SecretKey.load(params, seeds["key"]), seeds, templates.astype(np.int32)


def test_public_matrix_and_noise(case):
    vector, params, key, seeds, _ = case
    assert key.key_id == vector["key_id"]
    assert digest(public_matrix(seeds["block"], params)) == vector["public_matrix_sha256"]
    noise = np.zeros((params.width, 256), np.int64)
    protect._add_noise(noise, key.noise(seeds["block"]))
    assert digest(noise) == vector["noise_sha256"]


def test_protect_match_reveal(case, plant):
    vector, params, key, seeds, templates = case
    holder = LatticeKeyHolder(key)
    plant(seeds["block"], seeds["probe noise"], seeds["probe matrix"])
    head, body = holder.protect_block(templates)
    assert head == seeds["block"]
    assert digest(body) == vector["body_sha256"]
    opened = holder.open_block(head, body)
    np.testing.assert_array_equal(opened[: len(templates)], templates)
    assert not opened[len(templates) :].any()
    probes, kept = holder.protect_probes(np.array([vector["probe"]], np.int32))
    assert digest(probes) == vector["probe_sha256"]
    hints = holder.hints([head], body[np.newaxis])
    assert digest(hints) == vector["hint_sha256"]
    answer = ENGINE.match(params, body[np.newaxis], np.arange(1), probes)
    assert digest(answer) == vector["answer_sha256"]
    scores = holder.reveal(kept, holder.prepare([head], hints), answer)[0]
    np.testing.assert_array_equal(scores, in_units(vector["scores_times_unit"], params))


def in_units(values, params):
    """What `reveal` makes of exact integers: rounded where the set is exact, else float32."""
    if params.exact:
        return [(value + params.unit // 2) // params.unit for value in values]
    return np.array(values).astype(np.float32) / np.float32(params.unit)


def test_failures(case, plant):
    vector, _, key, seeds, templates = case
    plant(seeds["block"])
    head, body = LatticeKeyHolder(key).protect_block(templates)
    for failure in vector["failures"]:
        bad, bad_head = body.copy(), bytes.fromhex(failure.get("head", head.hex()))
        if "flip" in failure:
            at, bit = failure["flip"]
            bad[at] ^= bit
        if "residue" in failure:
            bad.view("<i4")[0] = failure["residue"]
        bad = bad[: failure.get("length", len(bad))]
        with pytest.raises(BlindsightError) as caught:
            LatticeKeyHolder(key).open_block(bad_head, bad)
        assert caught.value.code == failure["code"], failure["what"]


@pytest.mark.parametrize(
    ("name", "counts", "probes"), [("approximate", 256 + 37, 2), ("integers", 5, 1)], ids=["one", "two"]
)
def test_the_whole_scheme_against_its_twin(name, counts, probes, plant):
    """Fresh seeds, random vectors, every byte: blocks, probes, hints, answers, scores."""
    params = Params.from_wire(VECTORS[name]["params"])
    blocks = -(-counts // 256)
    seed, *seeds = [os.urandom(32) for _ in range(1 + blocks + 2 * probes)]
    rng = np.random.default_rng(counts)
    size = params.template_norm // 5
    templates = rng.integers(-size, size, (counts, 16)).astype(np.int32)
    wanted = rng.integers(-params.probe_norm // 5, params.probe_norm // 5, (probes, 16)).astype(np.int32)

    plant(*seeds)
    holder, slow = LatticeKeyHolder(SecretKey.load(params, seed)), Lattice(params, seed)
    heads, bodies = holder.protect_blocks(templates)
    sent, kept = holder.protect_probes(wanted)
    hints = holder.hints(heads, bodies)
    answer = ENGINE.match(params, bodies, np.arange(blocks), sent)
    scores = holder.reveal(kept, holder.prepare(heads, hints), answer)

    twins = [slow.protect_block(templates[256 * b : 256 * b + 256], seeds[b]) for b in range(blocks)]
    hints_of = [slow.hint(block) for block in twins]
    for b in range(blocks):
        assert heads[b] == seeds[b]
        assert bodies[b].tobytes() == slow.to_bytes(twins[b])
        assert hints[b].tobytes() == slow.to_bytes(hints_of[b])
    for k in range(probes):
        first = blocks + 2 * k
        beta, secret = slow.protect_probe(wanted[k], seeds[first], seeds[first + 1])
        assert sent[k].tobytes() == slow.to_bytes(beta)
        for b in range(blocks):
            rounded = slow.match(twins[b], beta)
            assert list(answer[k, b].view(f"<i{2 * params.limbs}")) == rounded
            raw = slow.reveal(secret, seeds[b], hints_of[b], rounded)
            np.testing.assert_array_equal(
                scores[k, 256 * b : 256 * b + 256], in_units([int(v) for v in raw], params)
            )
