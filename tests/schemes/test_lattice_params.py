"""Parameter sets that must not exist, and the ones just inside."""

import math

import pytest

from blindsight.core.errors import (
    InaccurateParametersError,
    InsecureParametersError,
    MalformedError,
    ParameterError,
)
from blindsight.schemes.lattice.params import Params

SMALL, BIG = 1_073_732_609, 1_073_738_753
ONE = {
    "width": 16, "primes": (BIG,), "rank": 5, "template_factor": 1, "probe_factor": 1,
    "template_norm": 4099, "probe_norm": 65539, "score_bound": 2**28, "noise_limit": 1e6,
}  # fmt: skip
TWO = {
    "width": 16, "primes": (SMALL, BIG), "rank": 9, "template_factor": 2**17, "probe_factor": 2**21,
    "template_norm": 1026, "probe_norm": 1026, "score_bound": 2**20, "noise_limit": 0.5 / 9.5,
}  # fmt: skip


def make(base=ONE, **changes):
    return Params(**{**base, **changes})


def exactly(error, **changes):
    with pytest.raises(ParameterError) as caught:
        make(**changes)
    assert type(caught.value) is error, caught.value
    return caught.value.message


def test_the_bases_exist():
    assert make(ONE).params_id != make(TWO).params_id
    assert not make(ONE).exact
    assert make(TWO).exact


# -- security --------------------------------------------------------------------------------------


def test_rank_four_with_thirty_bits_is_insecure():
    assert "128-bit" in exactly(InsecureParametersError, rank=4)


def test_the_table_is_linear_between_its_points():
    """27 bits at dimension 1024, 54 at 2048: 30 bits need rank 5, 60 bits rank 9."""
    for rank in (1, 2, 3, 4):
        exactly(InsecureParametersError, rank=rank)
    for rank in range(1, 9):
        exactly(InsecureParametersError, base=TWO, rank=rank)
    for rank in (5, 6, 32):
        assert make(rank=rank).rank == rank
    assert make(TWO, rank=9).rank == 9


def test_just_inside_and_just_outside_27_bits():
    below, above = 134_215_681, 134_221_313
    assert below < 2**27 < above
    bounds = {"template_norm": 10, "probe_norm": 10, "score_bound": 100, "noise_limit": 1e9, "rank": 4}
    assert make(primes=(below,), **bounds).modulus == below
    exactly(InsecureParametersError, primes=(above,), **bounds)


# -- accuracy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [ONE, TWO], ids=["one", "two"])
def test_scores_just_below_and_just_at_half_the_modulus(base):
    p = make(base)
    room = p.modulus / 2 / p.unit - 9.5 * p.noise
    assert make(base, score_bound=math.floor(room - 1)).score_bound == math.floor(room - 1)
    assert "wrap" in exactly(InaccurateParametersError, base=base, score_bound=math.ceil(room + 1))


@pytest.mark.parametrize("base", [ONE, TWO], ids=["one", "two"])
def test_noise_at_and_over_the_limit(base):
    noise = make(base).noise
    assert make(base, noise_limit=noise).noise_limit == noise
    assert "noise" in exactly(InaccurateParametersError, base=base, noise_limit=math.nextafter(noise, 0))


def test_norms_count_as_noise():
    exactly(InaccurateParametersError, template_norm=2**24)
    exactly(InaccurateParametersError, probe_norm=2**28)


def test_noise_is_the_formula_of_the_design():
    """sqrt((sigma/Delta_x)^2 + (sigma sqrt n / Delta_q)^2) for unit vectors, and three smaller terms."""
    sigma = math.sqrt(10.5)
    p = make(template_norm=2**12, probe_norm=2**16)
    design = math.hypot(sigma / 2**12, sigma * 16 / 2**16)
    assert p.noise / 2**28 == pytest.approx(design, rel=1e-3)
    assert p.noise / 2**28 > design


def test_integer_sets_round_to_the_right_integer():
    kinds = {"template_norm": 1030, "probe_norm": 1030, "score_bound": 2**20}
    p = Params.integers(128, **kinds)
    assert p.exact
    assert p.noise * 9.5 < 0.5
    with pytest.raises(InaccurateParametersError):
        Params.integers(128, **{**kinds, "template_norm": 2**13})


# -- no parameters at all -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "primes",
    [
        (), (SMALL, BIG, BIG), (BIG, SMALL), (BIG, BIG),  # not one, not ascending
        (BIG - 512,), (BIG + 2,), (2**29,), (3 * 5 * 7 * 512 + 1 + 512 * 4,),  # composite
        (1_073_741_789,),  # prime, but not 1 modulo 512
        (1_073_754_113,), (2**30 + 2**9 + 1,),  # not below 2^30
        [BIG], None, BIG, str(BIG), (float(BIG),), (True,), (-BIG,), (0,), (1,), (2,),
    ],
)  # fmt: skip
def test_primes(primes):
    exactly(ParameterError, primes=primes)


@pytest.mark.parametrize("width", [16, 17, 4099, 4100])
def test_width_inside(width):
    assert make(width=width).body_bytes == 1024 * width


@pytest.mark.parametrize("width", [1, 15, 4101, 2**40])
def test_width_outside(width):
    assert "16 to 4100" in exactly(ParameterError, width=width)


INTEGERS = ("width", "rank", "template_factor", "probe_factor", "template_norm", "probe_norm", "score_bound")


@pytest.mark.parametrize("field", INTEGERS)
@pytest.mark.parametrize("value", [0, -1, 5.0, "5", None, True, 2**62, float("nan"), (5,)], ids=repr)
def test_integers_are_positive_integers(field, value):
    exactly(ParameterError, **{field: value})


@pytest.mark.parametrize("limit", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1, None, "1"], ids=repr)
def test_noise_limit(limit):
    exactly(ParameterError, noise_limit=limit)


def test_rank_has_an_upper_end():
    assert make(rank=32).rank == 32
    exactly(ParameterError, rank=33)


def test_frozen():
    p = make()
    with pytest.raises(AttributeError):
        p.rank = 1
    assert p == make()
    assert hash(p) == hash(make())
    assert p != make(noise_limit=2e6)


# -- as it travels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [ONE, TWO], ids=["one", "two"])
def test_wire_round_trip(base):
    p = make(base)
    wire = p.wire()
    assert all(type(value) in (int, str) for value in wire.values())
    assert Params.from_wire(wire) == p
    assert Params.from_wire(wire).params_id == p.params_id


@pytest.mark.parametrize("field", list(ONE))
def test_every_field_changes_the_name(field):
    changed = {"width": 17, "primes": (SMALL,), "rank": 6, "noise_limit": 2e6}.get(field)
    changed = changed or (2 if field.endswith("factor") else ONE[field] - 1)
    extra = {"score_bound": 2**26} if field.endswith("factor") else {}
    assert make(**{**extra, field: changed}).params_id != make(**extra).params_id


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"primes": "x"}, MalformedError),
        ({"primes": f" {BIG}"}, MalformedError),  # numbers, but not as they are written
        ({"primes": "1_073_738_753"}, MalformedError),
        ({"primes": BIG}, MalformedError),
        ({"noise_limit": 1e6}, MalformedError),
        ({"noise_limit": "0x1.E848p+19"}, MalformedError),
        ({"primes": ""}, MalformedError),
        ({"primes": f"{BIG},"}, MalformedError),
        ({"primes": "9" * 10_000}, ParameterError),
        ({"noise_limit": "much"}, MalformedError),
        ({"noise_limit": ""}, MalformedError),
        ({"noise_limit": "nan"}, ParameterError),
        ({"noise_limit": "inf"}, ParameterError),
        ({"noise_limit": "0x1p99999"}, MalformedError),
        ({"width": "16"}, ParameterError),
        ({"rank": 4}, InsecureParametersError),
        ({"score_bound": 2**30}, InaccurateParametersError),
        ({"more": 1}, MalformedError),
        ({"rank": None}, ParameterError),
    ],
    ids=lambda value: str(value)[:30],
)
def test_malformed_wires(change, error):
    with pytest.raises((MalformedError, ParameterError)) as caught:
        Params.from_wire({**make().wire(), **change})
    assert type(caught.value) is error


@pytest.mark.parametrize("field", list(ONE))
def test_a_missing_field(field):
    wire = make().wire()
    del wire[field]
    with pytest.raises(MalformedError, match=field):
        Params.from_wire(wire)
