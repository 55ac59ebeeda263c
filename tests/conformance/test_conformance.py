"""What every matching scheme must do, checked on all of them; the table is in `conformance.cases`."""

import json

import numpy as np
import pytest

from blindsight.core.claims import Claim
from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    MismatchError,
    ParameterError,
    TamperedError,
    VectorError,
)
from conformance.cases import CASES, SCHEMES, SEAL, Case, case

IDS = ["-".join(map(str, key)) for key in CASES]
SMALL = [key for key in CASES if key[2] == 16]


@pytest.fixture(params=CASES, ids=IDS)
def c(request):
    return case(request.param)


@pytest.fixture(params=SMALL, ids=lambda key: f"{key[0]}-{key[1]}")
def small(request):
    return case(request.param)


@pytest.fixture(params=[key for key in SMALL if SCHEMES[key[0]].hides], ids=lambda key: f"{key[0]}-{key[1]}")
def hiding(request):
    return case(request.param)


# -- what it computes --------------------------------------------------------------------------


def test_blocks_open_to_what_was_protected(c):
    heads, bodies = c.gallery
    opened = np.concatenate([c.holder.open_block(h, b) for h, b in zip(heads, bodies, strict=True)])
    assert opened.dtype == np.int32
    np.testing.assert_array_equal(opened[: len(c.templates)], c.templates)
    assert not opened[len(c.templates) :].any()


def test_scores_agree_with_the_clear(c):
    scores = c.holder.reveal(c.sent[1], c.prepared, c.answer)
    c.check(scores, c.expected(c.templates, c.probes))


def test_scores_agree_with_the_plaintext_twin(small):
    """The scheme `clear` itself, on the same integers."""
    twin = SCHEMES["clear"]
    params = twin.params(small.encoding)
    holder = twin.key(params)
    heads, bodies = holder.protect_blocks(small.templates)
    sent, kept = holder.protect_probes(small.probes)
    answer = twin.engine.match(params, bodies, np.arange(len(bodies)), sent)
    expected = holder.reveal(kept, holder.prepare(heads, holder.hints(heads, bodies)), answer)
    scores = small.holder.reveal(small.sent[1], small.prepared, small.answer)
    enrolled = slice(len(small.templates))  # the twin's blocks may be of another size
    small.check(scores[:, enrolled], expected[:, enrolled])


def test_the_best_match_is_the_right_one(c):
    """And the metric's value of the identical pair is that of an identical pair."""
    raw = c.holder.reveal(c.sent[1], c.prepared, c.answer)[:, : len(c.templates)]
    assert raw[0].argmax() == len(c.templates) - 1
    scores = c.encoding.scores(raw, c.encoding.probes(c.asked))
    if c.encoding.metric == "euclidean":
        direct = np.linalg.norm(c.asked[:, np.newaxis] - c.vectors, axis=2)
        far = direct > 0.5 * c.encoding.radius  # near zero, the root makes small errors large
        np.testing.assert_allclose(scores[far], direct[far], atol=0.03 * c.encoding.radius)
        assert scores[0, -1] < 0.2 * c.encoding.radius
    else:
        direct = c.asked @ c.vectors.T
        atol = (0.012 + c.encoding.dimension**0.5 / 2048) * c.encoding.radius**2
        np.testing.assert_allclose(scores, direct, atol=atol)


def test_a_batch_means_what_its_probes_mean(c):
    together = c.holder.reveal(c.sent[1], c.prepared, c.answer)
    expected = c.expected(c.templates, c.probes)
    for k in range(len(c.probes)):
        sent, kept = c.holder.protect_probes(c.probes[k : k + 1])
        alone = c.holder.reveal(kept, c.prepared, c.match(c.gallery[1], sent))
        assert alone.shape == (1, together.shape[1])
        c.check(alone, expected[k : k + 1])
    for count in range(2, len(c.probes)):
        sent, kept = c.holder.protect_probes(c.probes[:count])
        c.check(c.holder.reveal(kept, c.prepared, c.match(c.gallery[1], sent)), expected[:count])


def test_the_answer_to_one_probe_does_not_depend_on_its_neighbours(c):
    bodies, probes = c.gallery[1], c.sent[0]
    for k in range(len(probes)):
        np.testing.assert_array_equal(c.match(bodies, probes[k : k + 1])[0], c.answer[k])


# Sixteen blocks are nothing special to SEAL's schemes.
@pytest.mark.parametrize(
    ("key", "count"),
    [(key, count) for key in SMALL for count in ((1, 2, 17) if key[0] in SEAL else (1, 2, 15, 16, 17))],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else str(value),
)
def test_any_number_of_blocks(key, count):
    small = case(key)
    rows = small.params.rows
    templates = np.resize(small.templates, ((count - 1) * rows + 3, small.params.width))
    scores = small.search(templates, small.probes[:2])
    assert scores.shape == (2, count * rows)
    small.check(scores, small.expected(templates, small.probes[:2]))


def test_an_empty_gallery(small):
    empty = small.templates[:0]
    heads, bodies = small.holder.protect_blocks(empty)
    assert len(heads) == 0
    assert bodies.shape == (0, small.params.body_bytes)
    sent, kept = small.holder.protect_probes(small.probes)
    prepared = small.holder.prepare(heads, small.holder.hints(heads, bodies))
    answer = small.match(bodies, sent)
    assert answer.shape == (5, 0, small.params.answer_bytes)
    assert small.holder.reveal(kept, prepared, answer).shape == (5, 0)


def test_slots_in_any_order(small):
    """Blocks scattered over a larger array, asked for in another order, one of them twice."""
    heads, bodies = small.gallery
    capacity = np.random.default_rng(1).integers(0, 256, (9, small.params.body_bytes)).astype(np.uint8)
    places = [7, 0, 4]
    capacity[places] = bodies
    capacity.flags.writeable = False
    order = [2, 0, 1, 2]
    answer = small.match(capacity, small.sent[0], np.array(places)[order])
    np.testing.assert_array_equal(answer, small.answer[:, order])
    again = [heads[k] for k in order]
    prepared = small.holder.prepare(again, small.holder.hints(again, bodies[order]))
    scores = small.holder.reveal(small.sent[1], prepared, answer)
    rows = small.params.rows
    expected = small.expected(small.templates, small.probes).reshape(5, 3, rows)[:, order]
    small.check(scores, expected.reshape(5, -1))


def test_slots_of_any_stride(small):
    slots = np.array([2, 9, 0, 9, 1, 9])[::2]
    np.testing.assert_array_equal(
        small.match(small.gallery[1], small.sent[0], slots), small.answer[:, [2, 0, 1]]
    )


# -- the edge of the range ---------------------------------------------------------------------


def extremes(encoding):
    """Vectors as long as they may be, towards corners, axes and in between; and their opposites."""
    d, longest = encoding.dimension, encoding.radius * (1 + 0.9e-6)
    directions = np.zeros((6, d))
    directions[0, 0] = directions[1, d - 1] = 1
    directions[2] = 1
    directions[3] = np.where(np.arange(d) % 2, 1, -1)
    directions[4, : d // 2] = 1
    directions[5] = np.arange(d) + 1
    directions *= longest / np.linalg.norm(directions, axis=1, keepdims=True)
    return np.concatenate([directions, -directions])


def test_nothing_wraps_at_the_edge_of_the_range(c):
    """Identical and opposite pairs at the largest norm; every one lies within the declared bounds."""
    vectors = extremes(c.encoding)
    if c.seal and c.encoding.dimension > 16:
        vectors = vectors[[2, 3, 8]]  # a corner, another one, and the opposite of the first
    templates, probes = c.encoding.templates(vectors).values, c.encoding.probes(vectors).values
    expected = c.expected(templates, probes)
    assert abs(expected).max() <= c.encoding.score_bound
    assert abs(expected).max() > 0.98 * c.encoding.score_bound * (c.encoding.dimension < 1000)
    assert np.linalg.norm(templates, axis=1).max() <= c.encoding.template_norm
    assert np.linalg.norm(probes, axis=1).max() <= c.encoding.probe_norm
    c.check(c.search(templates, probes), expected)


def test_vectors_beyond_the_range_are_refused(small):
    beyond = np.zeros((2, small.params.width), np.int32)
    beyond[1, :4] = -(2**31)  # the squared norm is 2^64: zero, to one who counts in 64 bits
    for protect in (small.holder.protect_block, small.holder.protect_blocks, small.holder.protect_probes):
        with pytest.raises(VectorError):
            protect(beyond)


@pytest.mark.parametrize("shape", [(3, 15), (3, 18), (16,), (1, 1, 16)])
def test_other_shapes_are_refused(small, shape):
    wrong = np.zeros(shape, np.int32)
    for protect in (small.holder.protect_block, small.holder.protect_blocks, small.holder.protect_probes):
        with pytest.raises(VectorError):
            protect(wrong)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_other_types_are_refused(small, dtype):
    for protect in (small.holder.protect_block, small.holder.protect_probes):
        with pytest.raises(VectorError):
            protect(small.templates[:1].astype(dtype))


def test_a_block_is_never_silently_cut_or_empty(small):
    for count in (0, small.params.rows + 1):
        with pytest.raises(VectorError):
            small.holder.protect_block(np.resize(small.templates, (count, small.params.width)))
    full = small.templates[: small.params.rows]
    np.testing.assert_array_equal(small.holder.open_block(*small.holder.protect_block(full)), full)


# -- things that do not belong together --------------------------------------------------------


def test_scores_under_another_key_are_never_plausible(hiding):
    """Gallery, probes or hints of another key: an error, not numbers."""
    heads, bodies = hiding.gallery
    mine, theirs = hiding.holder, hiding.other
    sent, kept = theirs.protect_probes(hiding.probes)
    for hints_by, reveal_by in ((mine, theirs), (theirs, theirs), (mine, mine)):
        prepared = reveal_by.prepare(heads, hints_by.hints(heads, bodies))
        with pytest.raises((TamperedError, MismatchError)):
            reveal_by.reveal(kept, prepared, hiding.match(bodies, sent))
    stolen = theirs.prepare(heads, mine.hints(heads, bodies))
    with pytest.raises((TamperedError, MismatchError)):
        theirs.reveal(hiding.sent[1], stolen, hiding.answer)


def test_blocks_do_not_open_under_another_key(hiding):
    heads, bodies = hiding.gallery
    for head, body in zip(heads, bodies, strict=True):
        with pytest.raises(TamperedError):
            hiding.other.open_block(head, body)


@pytest.mark.parametrize("key", SMALL, ids=lambda key: f"{key[0]}-{key[1]}")
def test_keys_and_parameters_have_names(key):
    first = case(key)
    again = Case(*key)
    assert again.params == first.params
    assert again.params.params_id == first.params.params_id
    assert len({again.holder.key_id, first.holder.key_id, first.other.key_id}) == 3
    assert first.holder.key_id == first.holder.key_id
    assert 1 <= len(first.holder.key_id) <= 64
    assert first.holder.scheme == first.engine.scheme


def test_different_parameters_have_different_names():
    by_params = {}
    for key in CASES:
        by_params.setdefault(case(key).params.params_id, set()).add(repr(case(key).params))
    assert all(len(sets) == 1 for sets in by_params.values())
    assert len(by_params) == len({repr(case(key).params) for key in CASES})
    assert len(by_params) > len(CASES) / 2


@pytest.mark.parametrize(("name", "metric"), [key[:2] for key in SMALL])
def test_bytes_under_other_parameters_are_refused(name, metric):
    """Everything of dimension 16 offered to parameters of dimension 17, and the other way about."""
    one, other = case((name, metric, 16)), Case(name, metric, 17)
    for a, b in ((one, other), (other, one)):
        heads, bodies = a.gallery
        sent, kept = a.sent
        with pytest.raises((MalformedError, MismatchError)):
            b.engine.check_block(b.params, heads[0], bodies[0])
        with pytest.raises((MalformedError, MismatchError)):
            b.engine.check_probes(b.params, sent)
        with pytest.raises((MalformedError, MismatchError, TamperedError)):
            b.holder.open_block(heads[0], bodies[0])
        if a.hides:
            with pytest.raises((MalformedError, MismatchError)):
                b.holder.hints(heads, bodies)
            with pytest.raises((MalformedError, MismatchError, TamperedError)):
                b.holder.reveal(kept, b.prepared, a.answer)


# -- damage ------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_body_is_noticed(hiding):
    """One bit of any weight, at the first, the last and random places."""
    head, body = hiding.gallery[0][0], hiding.gallery[1][0]
    rng = np.random.default_rng(2)
    places = [0, 1, 2, 3, len(body) - 1, *rng.integers(0, len(body), 8)]
    for place in places:
        for bit in (0, 3, 7):
            damaged = body.copy()
            damaged[place] ^= 1 << bit
            with pytest.raises((TamperedError, MalformedError)):
                hiding.holder.open_block(head, damaged)


def test_a_residue_written_otherwise_is_malformed(hiding):
    """Adding the modulus to a residue changes nothing modulo it; it is refused all the same."""
    damaged = hiding.gallery[1][0].copy()
    words, prime = damaged.view("<i4"), hiding.params.primes[0]
    words[5] += prime if words[5] < 0 else -prime
    with pytest.raises(MalformedError):
        hiding.engine.check_block(hiding.params, hiding.gallery[0][0], damaged)
    with pytest.raises(MalformedError):
        hiding.holder.open_block(hiding.gallery[0][0], damaged)


def test_swapped_heads_are_noticed(hiding):
    heads, bodies = hiding.gallery
    with pytest.raises(TamperedError):
        hiding.holder.open_block(heads[1], bodies[0])
    swapped = [heads[1], heads[0], heads[2]]
    prepared = hiding.holder.prepare(swapped, hiding.holder.hints(swapped, bodies))
    with pytest.raises(TamperedError):
        hiding.holder.reveal(hiding.sent[1], prepared, hiding.answer)


def test_blocks_in_another_order_than_their_hints_are_noticed(hiding):
    answer = hiding.match(hiding.gallery[1], hiding.sent[0], [1, 0, 2])
    with pytest.raises(TamperedError):
        hiding.holder.reveal(hiding.sent[1], hiding.prepared, answer)


def test_a_garbage_answer_is_noticed(c):
    rng = np.random.default_rng(3)
    garbage = rng.integers(0, 256, c.answer.shape).astype(np.uint8)
    with pytest.raises(TamperedError):
        c.holder.reveal(c.sent[1], c.prepared, garbage)
    one = c.answer.copy()  # one block of one probe is enough
    one[2, -1] = garbage[2, -1]
    with pytest.raises(TamperedError):
        c.holder.reveal(c.sent[1], c.prepared, one)


def test_the_answers_of_two_probes_exchanged_are_noticed(hiding):
    with pytest.raises(TamperedError):
        hiding.holder.reveal(hiding.sent[1], hiding.prepared, hiding.answer[[1, 0, 2, 3, 4]])


def test_an_old_answer_is_noticed(hiding):
    """The same vectors asked again: an answer to the first probe does not fit the second."""
    _, kept = hiding.holder.protect_probes(hiding.probes)
    with pytest.raises(TamperedError):
        hiding.holder.reveal(kept, hiding.prepared, hiding.answer)


def test_truncated_and_extended_bytes(c):
    heads, bodies = c.gallery
    head, body = heads[0], bodies[0]
    probes, kept = c.sent
    for cut in (-4, -1):
        with pytest.raises(MalformedError):
            c.engine.check_block(c.params, head, body[:cut])
        with pytest.raises(MalformedError):
            c.holder.open_block(head, body[:cut])
        with pytest.raises(MalformedError):
            c.engine.check_probes(c.params, np.ascontiguousarray(probes[:, :cut]))
        with pytest.raises(MalformedError):
            c.holder.reveal(kept, c.prepared, np.ascontiguousarray(c.answer[:, :, :cut]))
        if c.hides:
            with pytest.raises(MalformedError):
                c.holder.hints(heads, np.ascontiguousarray(bodies[:, :cut]))
    for longer in (head + b"\x00", head[:-1] if head else b"\x00"):
        with pytest.raises(MalformedError):
            c.engine.check_block(c.params, longer, body)
        with pytest.raises(MalformedError):
            c.holder.open_block(longer, body)
    with pytest.raises(MalformedError):
        c.engine.check_block(c.params, head, np.append(body, body[:4]))
    with pytest.raises(MalformedError):
        c.engine.check_probes(c.params, probes[0])


def test_an_answer_with_a_block_or_a_probe_too_few(hiding):
    for wrong in (hiding.answer[:, :-1], hiding.answer[:-1], hiding.answer[0]):
        with pytest.raises(MalformedError):
            hiding.holder.reveal(hiding.sent[1], hiding.prepared, wrong)


def test_truncated_hints(hiding):
    heads, bodies = hiding.gallery
    hints = hiding.holder.hints(heads, bodies)
    for wrong in (hints[:-1], np.ascontiguousarray(hints[:, :-4]), hints[:, :0], hints.reshape(-1)):
        with pytest.raises(MalformedError):
            hiding.holder.prepare(heads, wrong)
    with pytest.raises(MalformedError):
        hiding.holder.prepare(heads[:-1], hints)
    with pytest.raises(MalformedError):
        hiding.holder.prepare([heads[0][:-1], *heads[1:]], hints)
    with pytest.raises(MalformedError):
        hiding.holder.hints(heads[:-1], bodies)


def test_altered_hints_are_noticed(hiding):
    heads, bodies = hiding.gallery
    hints = hiding.holder.hints(heads, bodies)
    hints[1, 5] ^= 1
    with pytest.raises(TamperedError):
        hiding.holder.reveal(hiding.sent[1], hiding.holder.prepare(heads, hints), hiding.answer)


# -- hints -------------------------------------------------------------------------------------


def test_hints_from_the_matchers_bytes_are_the_ones_at_hand(c):
    """Whole, block by block, and from read-only memory: always the same bytes."""
    heads, bodies = c.gallery
    cached = c.holder.hints(heads, bodies)
    fetched = np.frombuffer(bodies.tobytes(), np.uint8).reshape(bodies.shape)
    np.testing.assert_array_equal(c.holder.hints(heads, fetched), cached)
    for k, head in enumerate(heads):
        np.testing.assert_array_equal(c.holder.hints([head], fetched[k : k + 1])[0], cached[k])


# -- randomness --------------------------------------------------------------------------------


def test_two_protections_of_the_same_differ_everywhere(hiding):
    """Half the bytes' entropy apart: no more bytes agree than chance allows, 1 in 256."""
    one, two = (hiding.holder.protect_block(hiding.templates[:256]) for _ in range(2))
    assert one[0] != two[0]
    first, second = (hiding.holder.protect_probes(hiding.probes[:1])[0] for _ in range(2))
    for a, b in ((one[1], two[1]), (first[0], second[0])):
        low = a.reshape(-1, 4)[:, :3] == b.reshape(-1, 4)[:, :3]  # the top byte is not uniform
        assert abs(low.mean() - 1 / 256) < 8 * (1 / 256 / low.size) ** 0.5


def test_a_block_of_one_template_looks_like_any_other(hiding):
    """Low bytes of residues are uniform whatever is inside: chi-square with 255 degrees."""
    zeros = np.zeros((256, hiding.params.width), np.int32)
    bodies = [hiding.holder.protect_block(rows)[1] for rows in (zeros, zeros[:1], hiding.templates[:256])]
    bodies += [hiding.holder.protect_probes(zeros[:1])[0][0], hiding.sent[0].reshape(-1)]
    for body in bodies:
        for byte in (0, 1, 2):
            counts = np.bincount(body[byte::4], minlength=256)
            mean = len(body) / 4 / 256
            statistic = ((counts - mean) ** 2 / mean).sum()
            assert abs(statistic - 255) < 8 * (2 * 255) ** 0.5


# -- sizes and wires ---------------------------------------------------------------------------


def test_declared_sizes_are_the_real_ones(c):
    heads, bodies = c.gallery
    blocks = -(-len(c.templates) // c.params.rows)
    assert {len(head) for head in heads} == {c.params.head_bytes}
    assert (bodies.dtype, bodies.shape) == (np.uint8, (blocks, c.params.body_bytes))
    assert (c.sent[0].dtype, c.sent[0].shape) == (np.uint8, (len(c.probes), c.params.probe_bytes))
    assert (c.answer.dtype, c.answer.shape) == (np.uint8, (len(c.probes), blocks, c.params.answer_bytes))
    hints = c.holder.hints(heads, bodies)
    assert (hints.dtype, hints.shape) == (np.uint8, (blocks, c.scheme.hint_bytes(c.params)))
    scores = c.holder.reveal(c.sent[1], c.prepared, c.answer)
    assert scores.shape == (len(c.probes), blocks * c.params.rows)
    one = c.holder.protect_block(c.templates[:1])
    assert (len(one[0]), one[1].shape) == (c.params.head_bytes, (c.params.body_bytes,))


def test_own_bytes_pass_the_matchers_checks(c):
    for head, body in zip(*c.gallery, strict=True):
        c.engine.check_block(c.params, head, body)
    c.engine.check_probes(c.params, c.sent[0])


def test_wire_round_trip(c):
    wire = c.params.wire()
    assert all(type(key) is str and type(value) in (int, str) for key, value in wire.items())
    travelled = json.loads(json.dumps(wire))
    parsed = c.engine.params(travelled)
    assert parsed == c.params
    assert parsed.params_id == c.params.params_id


def test_malformed_wires(small):
    wire = small.params.wire()
    wrong = [{}, {**wire, "more": 1}, {"x": 1}]
    for name, value in wire.items():
        wrong.append({key: other for key, other in wire.items() if key != name})
        changes = ("x", "", 1.5, None, True, [], {}, -1, 0, 10**30)
        wrong += [{**wire, name: change} for change in changes if change != value]
    for bad in wrong:
        with pytest.raises((ParameterError, MalformedError)):
            small.engine.params(bad)


def test_claims():
    for scheme in SCHEMES.values():
        claim = scheme.engine.claim
        assert isinstance(claim, Claim)
        assert (claim is Claim.NONE) == (not scheme.hides)
        assert scheme.engine.leakage.of("matcher")
        assert scheme.engine.leakage.not_claimed


def test_no_error_shows_a_score_or_a_template(hiding):
    """Messages have at most sizes in them."""
    secrets = {str(int(v)) for v in hiding.templates.flat if abs(int(v)) > 99}
    body = hiding.gallery[1][0].copy()
    body[0] ^= 1
    attempts = [
        lambda: hiding.holder.open_block(hiding.gallery[0][0], body),
        lambda: hiding.other.open_block(hiding.gallery[0][0], hiding.gallery[1][0]),
        lambda: hiding.holder.protect_block(hiding.templates[:1] * 1000),
        lambda: hiding.holder.reveal(hiding.sent[1], hiding.prepared, ~hiding.answer),
    ]
    for attempt in attempts:
        with pytest.raises(BlindsightError) as caught:
            attempt()
        assert not any(number in secrets for number in caught.value.message.replace(",", " ").split())
