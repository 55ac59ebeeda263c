"""BFV's parameters: what cannot be constructed."""

import dataclasses

import pytest

from blindsight.core.errors import InaccurateParametersError, InsecureParametersError, ParameterError
from blindsight.encoding import Encoding
from blindsight.schemes.bfv.params import Params, plain_modulus
from blindsight.schemes.seal.params import primes_below, require_secure


def integers(d=128, metric="cosine", **scales):
    e = Encoding(d, metric, **scales) if scales else Encoding.integers(d, metric)
    bounds = {"template_norm": e.template_norm, "probe_norm": e.probe_norm, "score_bound": e.score_bound}
    return Params.integers(e.width, **bounds)


def test_a_score_that_would_wrap_is_refused():
    good = integers()
    for plain in (plain_modulus(4096, 2**20), plain_modulus(4096, good.score_bound)):
        with pytest.raises(InaccurateParametersError, match="wrap"):
            dataclasses.replace(good, plain=plain)
    with pytest.raises(InaccurateParametersError, match="wrap"):
        dataclasses.replace(good, score_bound=good.plain // 2 + 1)


def test_noise_that_reaches_the_scores_is_refused():
    good = integers()
    with pytest.raises(InaccurateParametersError, match="noise"):
        dataclasses.replace(good, plain=plain_modulus(4096, 2**30 + 2**29))
    with pytest.raises(InaccurateParametersError, match="noise"):
        dataclasses.replace(good, primes=primes_below(2**25, 4096, 2))


def test_insecure_rings_are_refused():
    good = integers()
    wide = primes_below(2**32, 4096, 4)
    with pytest.raises(InsecureParametersError):
        dataclasses.replace(good, primes=wide[:3], special=wide[3])
    with pytest.raises(InsecureParametersError):
        dataclasses.replace(good, degree=1024)
    with pytest.raises(InsecureParametersError):
        require_secure(2048, primes_below(2**30, 2048, 1), primes_below(2**27, 2048, 1)[0])
    require_secure(2048, primes_below(2**27, 2048, 1), primes_below(2**26, 2048, 1)[0])


@pytest.mark.parametrize(
    "change",
    [
        {"primes": [3, 5]},
        {"primes": ()},
        {"primes": (2147377153,)},
        {"primes": (2147377153, 2147377153)},
        {"primes": (2147377151, 33538049)},
        {"special": 2147377153},
        {"special": 12289 * 8192 + 1},
        {"degree": 4095},
        {"degree": True},
        {"width": 15},
        {"width": 4101},
        {"width": 128.0},
        {"plain": 65536},
        {"plain": 1032193 + 2},
        {"plain": 40961 - 32768},
        {"plain": 2**40},
        {"template_norm": 0},
        {"probe_norm": -1},
        {"score_bound": 2**60},
        {"batch": 0},
        {"batch": 17},
        {"batch": True},
        {"batch": 2.0},
    ],
)
def test_what_is_no_parameter_at_all(change):
    with pytest.raises(ParameterError):
        dataclasses.replace(integers(), **change)


def test_small_features_take_two_primes():
    """The seed's: N = 95, g = 4."""
    small = integers(95, "euclidean", template_scale=16, probe_scale=16)
    assert (len(small.primes), small.answer_primes) == (2, 1)
    assert len(integers(128).primes) == 3
    assert integers(16).largest_error == 0
