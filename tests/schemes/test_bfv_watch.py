"""An encrypted probe against a plaintext gallery: exact, flooded, and what bad input gets."""

import dataclasses
import math

import numpy as np
import pytest

from blindsight.core.errors import (
    DimensionError,
    InaccurateParametersError,
    InsecureParametersError,
    MalformedError,
    ParameterError,
    ParamsMismatchError,
    TamperedError,
    VectorError,
)
from blindsight.encoding import Encoding
from blindsight.schemes.bfv import watch
from blindsight.schemes.bfv.reveal import WatchKeyHolder
from blindsight.schemes.bfv.watch import LEAKAGE, PlaintextGallery, WatchKeys
from blindsight.schemes.bfv.watch_params import WatchParams
from blindsight.schemes.seal.packing import bits_packed, bits_unpacked


def made(dimension, metric="cosine", scale=160, **more):
    encoding = Encoding(dimension, metric, scale, scale)
    bounds = {name: getattr(encoding, name) for name in ("template_norm", "probe_norm", "score_bound")}
    return encoding, WatchParams.integers(encoding.width, **bounds, **more)


ENCODING, PARAMS = made(128)


@pytest.fixture(scope="module")
def holder():
    return WatchKeyHolder.generate(PARAMS)


@pytest.fixture(scope="module")
def data(holder):
    return holder.evaluation_keys()


@pytest.fixture(scope="module")
def keys(data):
    return WatchKeys.load(PARAMS, data)


@pytest.fixture(scope="module")
def templates():
    return ENCODING.templates(np.random.default_rng(1).normal(size=(100, 128))).values


@pytest.fixture(scope="module")
def gallery(templates):
    return PlaintextGallery(PARAMS, templates)


@pytest.fixture(scope="module")
def probe():
    return ENCODING.probes(np.random.default_rng(2).normal(size=128)).values[0]


def vectors(encoding, count, seed=3):
    found = np.random.default_rng(seed).normal(size=(count, encoding.dimension))
    return found / np.linalg.norm(found, axis=1, keepdims=True) * encoding.radius


@pytest.mark.parametrize(
    ("dimension", "metric", "count"),
    [
        (16, "cosine", 3),
        (16, "euclidean", 4096),
        (95, "inner_product", 4097),
        (128, "cosine", 1),
        (512, "cosine", 9),
    ],
)
def test_scores_are_the_integers(dimension, metric, count):
    encoding, params = made(dimension, metric)
    holder = WatchKeyHolder.generate(params)
    keys = WatchKeys.load(params, holder.evaluation_keys())
    templates = encoding.templates(vectors(encoding, count)).values
    probe = encoding.probes(vectors(encoding, 1, 4)).values[0]
    gallery = PlaintextGallery(params, templates)
    answer = gallery.answer(keys, holder.protect(probe))
    assert gallery.blocks == -(-count // 4096)
    assert len(answer) == gallery.blocks * params.answer_bytes
    np.testing.assert_array_equal(holder.reveal(answer, count), templates.astype(np.int64) @ probe)


def test_the_edge_of_the_range(holder, keys):
    """Identical and opposite pairs as long as they may be, along corners and axes."""
    directions = np.zeros((3, 128))
    directions[0, 0] = 1
    directions[1] = 1
    directions[2] = np.where(np.arange(128) % 2, 1, -1)
    both = np.concatenate([directions, -directions])
    templates, probes = ENCODING.templates(both).values, ENCODING.probes(both).values
    gallery = PlaintextGallery(PARAMS, templates)
    for probe in probes[1:4]:
        found = holder.reveal(gallery.answer(keys, holder.protect(probe)), 6)
        np.testing.assert_array_equal(found, templates.astype(np.int64) @ probe)


def test_a_gallery_of_zeros(holder, keys, probe):
    gallery = PlaintextGallery(PARAMS, np.zeros((5, 128), np.int32))
    assert not holder.reveal(gallery.answer(keys, holder.protect(probe)), 5).any()


def test_sizes_are_the_real_ones(holder, data, gallery, keys, probe):
    sent = holder.protect(probe)
    assert len(data) == PARAMS.key_bytes
    assert len(sent) == PARAMS.probe_bytes == 106_560
    assert len(gallery.answer(keys, sent)) == PARAMS.answer_bytes == 47_104


# -- what the client learns --------------------------------------------------------------------


def test_errors_stay_below_what_the_flood_is_made_for(holder, keys, gallery, probe, monkeypatch):
    """Without the flood, an answer's largest error is below the bound, and not absurdly so."""
    totals = []

    def caught(self, keys):
        zero = original(self, keys)
        totals.append(zero)
        return zero

    original = PlaintextGallery._flood
    monkeypatch.setattr(PlaintextGallery, "_flood", caught)
    monkeypatch.setattr(watch, "_flooded", lambda residues, *_: residues)
    gallery.answer(keys, holder.protect(probe))  # leaves the sum, switched down, in what was caught
    q0 = PARAMS.primes[0]
    budget = holder._key.decryptor.invariant_noise_budget(totals[0])
    largest = q0 / PARAMS.plain / 2 ** (budget + 1) * PARAMS.primes[1]
    rounding = 10 * math.sqrt(PARAMS.degree / 18) * PARAMS.primes[1]
    assert largest < 9.5 * PARAMS.noise + rounding
    assert 2.0**PARAMS.flood_width > 2**40 * PARAMS.degree * PARAMS.noise / 2
    assert 2.0**PARAMS.flood_width > 2**39 * rounding / PARAMS.primes[1]


def test_the_flood_is_in_the_answer(holder, keys, gallery, probe):
    """An answer has less room left than its own errors would leave, by what the flood takes."""
    flood = gallery._flood(keys)
    budget = holder._key.decryptor.invariant_noise_budget(flood)
    largest = PARAMS.modulus / PARAMS.plain / 2 ** (budget + 1)
    assert 2 ** (PARAMS.flood_width - 2) < largest < 2 ** (PARAMS.flood_width + 2)
    clear = gallery.answer(keys, holder.protect(probe))
    cut, bits = PARAMS.degree * PARAMS.answer_bits[0] // 8, PARAMS.answer_bits[0]
    again = gallery.answer(keys, holder.protect(probe))
    one, two = (bits_unpacked(np.frombuffer(a[:cut], np.uint8), PARAMS.degree, bits) for a in (clear, again))
    assert (one == two).mean() < 0.01


def test_the_flood_is_uniform_and_added_exactly():
    primes, width, degree = PARAMS.primes, PARAMS.flood_width, 4096
    zeros = np.zeros((2, degree), np.uint64)
    found = watch._flooded(zeros, primes, width, bytes(range(32)))
    product = math.prod(primes)
    inverse = pow(primes[0], -1, primes[1])
    values = []
    for low, high in zip(*found.tolist(), strict=True):
        value = low + primes[0] * ((high - low) * inverse % primes[1])
        values.append(value - product if value > product // 2 else value)
    assert all(-(2**width) <= value < 2**width for value in values)
    scaled = np.array([value / 2**width for value in values])
    assert abs(scaled.mean()) < 5 / math.sqrt(3 * degree)
    assert scaled.std() == pytest.approx(1 / math.sqrt(3), rel=0.05)
    counts = np.bincount([value & 255 for value in values], minlength=256)
    assert ((counts - degree / 256) ** 2 / (degree / 256)).sum() < 255 + 6 * math.sqrt(510)
    start = np.stack([np.full(degree, prime - 1, np.uint64) for prime in primes])
    again = watch._flooded(start, primes, width, bytes(range(32)))
    for k, prime in enumerate(primes):
        np.testing.assert_array_equal(again[k], (found[k] + np.uint64(prime - 1)) % np.uint64(prime))


def test_nothing_of_the_probes_own_randomness_is_left(holder, keys, gallery, probe):
    """One and the same probe answered twice: the second polynomials have nothing in common."""
    sent = holder.protect(probe)
    cut, bits = PARAMS.degree * PARAMS.answer_bits[0] // 8, PARAMS.answer_bits[1]
    one, two = (
        bits_unpacked(np.frombuffer(gallery.answer(keys, sent)[cut:], np.uint8), PARAMS.degree, bits).astype(
            float
        )
        for _ in range(2)
    )
    assert abs(np.corrcoef(one, two)[0, 1]) < 6 / math.sqrt(PARAMS.degree)


def test_leakage_says_that_the_server_has_the_gallery():
    assert any("plaintext" in sentence for sentence in LEAKAGE.of("server"))
    assert any("score" in sentence for sentence in LEAKAGE.of("client"))
    assert any("probes" in sentence for sentence in LEAKAGE.not_claimed)


# -- bad input -----------------------------------------------------------------------------------


def test_another_key(holder, keys, gallery, probe):
    stranger = WatchKeyHolder.generate(PARAMS)
    assert stranger.key_id != holder.key_id
    answer = gallery.answer(keys, holder.protect(probe))
    with pytest.raises(TamperedError):
        stranger.reveal(answer, 100)
    with pytest.raises(TamperedError):  # a stranger's probe turned with these keys
        stranger.reveal(gallery.answer(keys, stranger.protect(probe)), 100)


def test_keys_of_other_parameters(keys, holder, probe):
    encoding, params = made(64)
    gallery = PlaintextGallery(params, encoding.templates(vectors(encoding, 2)).values)
    with pytest.raises(ParamsMismatchError):
        gallery.answer(keys, holder.protect(probe))


def test_damaged_keys(data):
    for wrong in (data[:-1], data + b"\x00", b"", bytes([255]) * len(data)):
        with pytest.raises(MalformedError):
            WatchKeys.load(PARAMS, wrong)


def test_damaged_probes(holder, keys, gallery, probe):
    sent = holder.protect(probe)
    for wrong in (sent[:-1], sent + b"\x00", b"", b"\xff" * len(sent)):
        with pytest.raises(MalformedError):
            gallery.answer(keys, wrong)


def test_damaged_answers(holder, keys, gallery, probe):
    answer = gallery.answer(keys, holder.protect(probe))
    for wrong, count in ((answer[:-1], 100), (answer + b"\x00", 100), (answer, 0), (answer, 4097)):
        with pytest.raises(MalformedError):
            holder.reveal(wrong, count)
    garbage = np.random.default_rng(5).bytes(len(answer))
    for wrong in (answer[:-1] + bytes([answer[-1] ^ 0x80]), bytes(len(answer)), garbage):
        with pytest.raises(TamperedError):
            holder.reveal(wrong, 100)
    with pytest.raises(TamperedError):
        holder.reveal(answer, 99)  # scores of more templates than there are


def test_vectors_out_of_range(holder, templates, probe):
    for wrong in (templates * 2, np.full((1, 128), -(2**31), np.int32)):
        with pytest.raises(VectorError):
            PlaintextGallery(PARAMS, wrong)
    for wrong in (templates[:, :-1], templates.astype(np.int64), templates[0], templates[:0]):
        with pytest.raises(DimensionError):
            PlaintextGallery(PARAMS, wrong)
    with pytest.raises(VectorError):
        holder.protect(probe * 2)
    with pytest.raises(DimensionError):
        holder.protect(probe[:-1])


def test_parameters_that_must_not_be():
    with pytest.raises(InsecureParametersError, match="flood"):
        dataclasses.replace(PARAMS, flood_bits=39)
    with pytest.raises(InsecureParametersError):
        dataclasses.replace(PARAMS, degree=4096, plain=40961)
    with pytest.raises(InaccurateParametersError, match="drown"):
        dataclasses.replace(PARAMS, flood_bits=48)
    with pytest.raises(InaccurateParametersError, match="wrap"):
        dataclasses.replace(PARAMS, score_bound=PARAMS.plain // 2 + 1)
    with pytest.raises(InaccurateParametersError):
        made(128, scale=2**14)
    with pytest.raises(InaccurateParametersError):
        made(128, scale=2**15)
    for change in (
        {"width": 15}, {"width": 4097}, {"plain": 65539}, {"primes": PARAMS.primes[:1]},
        {"primes": list(PARAMS.primes)}, {"flood_bits": 40.0}, {"template_norm": 0}, {"special": 17},
        {"plain": PARAMS.plain + 2},
    ):  # fmt: skip
        with pytest.raises(ParameterError):
            dataclasses.replace(PARAMS, **change)


def test_more_flood_and_larger_scores_take_larger_primes():
    _, wider = made(128, scale=2**10)
    _, deeper = made(128, flood_bits=50)
    assert wider.plain > 2**20
    assert deeper.flood_width >= PARAMS.flood_width + 10
    assert min(wider.modulus, deeper.modulus) > PARAMS.modulus
    assert min(wider.room, deeper.room, PARAMS.room) >= 1


def test_parameters_travel():
    wire = PARAMS.wire()
    assert WatchParams.from_wire(wire) == PARAMS
    assert PARAMS.params_id.startswith("bfv_watch-")
    for wrong in (
        {},
        wire | {"more": 1},
        wire | {"primes": "1,2,x"},
        wire | {"flood_bits": 39},
        wire | {"plain": True},
    ):
        with pytest.raises((MalformedError, ParameterError)):
            WatchParams.from_wire(wrong)


@pytest.mark.parametrize("bits", [1, 7, 20, 26, 33, 63])
def test_packing_bits(bits):
    values = np.random.default_rng(bits).integers(0, 1 << bits, 64, dtype=np.uint64)
    data = bits_packed(values, bits)
    assert len(data) == 8 * bits
    whole = sum(int(value) << (bits * k) for k, value in enumerate(values))
    assert data == whole.to_bytes(8 * bits, "little")
    np.testing.assert_array_equal(bits_unpacked(np.frombuffer(data, np.uint8), 64, bits), values)
    with pytest.raises(MalformedError):
        bits_unpacked(np.frombuffer(data[:-1], np.uint8), 64, bits)
