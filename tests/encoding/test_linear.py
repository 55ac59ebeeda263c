"""Quantised features as galleries hold them: exact, bounded, and never silently clipped."""

import dataclasses

import numpy as np
import pytest

from blindsight.core.errors import (
    DimensionError,
    InaccurateParametersError,
    MalformedError,
    ParameterError,
    UsageError,
    VectorError,
)
from blindsight.core.primes import is_prime
from blindsight.encoding import Encoding, LinearEncoding, Quantiser, stored_encoding
from blindsight.schemes.bfv.params import Params
from blindsight.trusted.schemes import encoding_for, params_for

BITS = range(1, 11)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dimension", [16, 95, 128])
def test_squared_distances_are_exact_also_at_the_ends(bits, dimension):
    quantiser = Quantiser(bits, dimension, 0.5)
    encoding = LinearEncoding.of(quantiser)
    rng = np.random.default_rng(bits)
    ends = np.array([np.full(dimension, -0.5), np.full(dimension, 0.5), np.zeros(dimension)])
    a = np.concatenate([ends, rng.uniform(-0.5, 0.5, (5, dimension))])
    b = np.concatenate([ends, rng.uniform(-0.5, 0.5, (7, dimension))])
    probes, templates = encoding.probes(a), encoding.templates(b)
    raw = probes.values.astype(np.int64) @ templates.values.astype(np.int64).T
    plain = quantiser.squared_distances(quantiser.quantise(a), quantiser.quantise(b))
    np.testing.assert_array_equal(encoding.squared_distances(raw, probes), plain)
    np.testing.assert_array_equal(encoding.squared_distances(raw.astype(np.float64) + 0.4, probes), plain)
    np.testing.assert_allclose(encoding.scores(raw, probes), quantiser.distances(plain), rtol=1e-6)
    assert templates.values.shape == (10, encoding.width) == (10, dimension + 2)
    assert np.abs(raw).max() <= encoding.score_bound
    assert np.linalg.norm(templates.values.astype(float), axis=1).max() <= encoding.template_norm
    assert np.linalg.norm(probes.values.astype(float), axis=1).max() <= encoding.probe_norm
    assert templates.encoding_id == probes.encoding_id == encoding.encoding_id


def test_one_vector_and_its_errors():
    encoding = LinearEncoding(16, 4, 1.0)
    assert encoding.templates(np.zeros(16)).values.shape == (1, 18)
    with pytest.raises(VectorError, match="Vector 7 has a value outside"):
        encoding.check(np.full((2, 16), 1.01), first=7)
    with pytest.raises(VectorError, match="Vector 1 "):
        encoding.probes([[0.0] * 16, [2.0] + [0.0] * 15])
    with pytest.raises(VectorError, match="NaN"):
        encoding.templates(np.full(16, np.nan))
    for shape in ((2, 15), (17,), (1, 1, 16)):
        with pytest.raises(DimensionError):
            encoding.templates(np.zeros(shape))


def test_the_limit_is_what_single_precision_holds():
    for limit in (0.1, 1.0, 1 / 3, 1e-6):
        encoding = LinearEncoding(16, 8, limit)
        assert limit <= encoding.limit == float(np.float32(encoding.limit)) <= limit * (1 + 1e-6)
        largest = np.full(16, np.float32(limit), np.float32)
        encoding.templates(largest if float(largest[0]) <= encoding.limit else largest * 0)


def test_bounds_of_the_encoding_itself():
    for dimension, bits, limit in ((15, 4, 1.0), (4097, 4, 1.0), (95, 0, 1.0), (95, 11, 1.0), (95, 4, 0.0)):
        with pytest.raises(ParameterError):
            LinearEncoding(dimension, bits, limit)


def test_stored_and_read_again():
    for encoding in (LinearEncoding(95, 4, 0.3), Encoding(95, "cosine")):
        again = stored_encoding(encoding.fields())
        assert again == encoding
        assert again.encoding_id == encoding.encoding_id
    fields = LinearEncoding(95, 4, 0.3).fields()
    for change in ({"bits": "4"}, {"limit": 1}, {"dimension": 95.0}, {"more": 1}, {"kind": "linea"}):
        with pytest.raises(MalformedError):
            stored_encoding(fields | change)
    del fields["limit"]
    with pytest.raises(MalformedError):
        stored_encoding(fields)
    names = {LinearEncoding(95, g, c).encoding_id for g in (4, 5) for c in (0.3, 0.4)}
    assert len(names) == 4


# -- the seed's bound, N 2^(2g) < p --------------------------------------------------------------


def parameters(bits, dimension=95):
    encoding = encoding_for(dimension, "euclidean", 1.0, "exact", Quantiser(bits, dimension))
    return params_for("bfv", encoding, "exact")


@pytest.mark.parametrize("bits", range(1, 9))
def test_no_parameters_below_the_seeds_bound(bits):
    params = parameters(bits)
    bound = 95 * 2 ** (2 * bits)
    assert bound < params.plain
    below = [p for p in range(8193, bound + 1, 8192) if is_prime(p)]
    for plain in (*below[:2], *below[-2:]):
        with pytest.raises(InaccurateParametersError, match="wrap"):
            dataclasses.replace(params, plain=plain)


def test_the_seeds_own_modulus_holds_its_four_bits_and_no_fifth():
    assert dataclasses.replace(parameters(4), plain=65537).plain == 65537
    with pytest.raises(InaccurateParametersError, match="wrap"):
        dataclasses.replace(parameters(5), plain=65537)


def test_the_smallest_modulus_is_taken():
    assert parameters(4).plain == 40961
    assert isinstance(parameters(8), Params)


def test_what_quantised_galleries_cannot_be():
    quantiser = Quantiser(4, 95)
    for metric, precision in (("cosine", "exact"), ("euclidean", "approximate")):
        with pytest.raises(UsageError, match="exact Euclidean"):
            encoding_for(95, metric, 1.0, precision, quantiser)
    with pytest.raises(DimensionError, match="95"):
        encoding_for(96, "euclidean", 1.0, "exact", quantiser)
    encoding = encoding_for(95, "euclidean", 1.0, "exact", Quantiser(8, 95))
    with pytest.raises(InaccurateParametersError):  # eight bits are too many for this scheme
        params_for("lattice", encoding, "exact")
    for scheme in ("lattice", "clear", "ckks"):
        with pytest.raises(UsageError, match="batch"):
            params_for(scheme, encoding, "exact", insecure_clear=True, batch=2)
