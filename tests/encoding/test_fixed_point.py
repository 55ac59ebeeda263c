"""Vectors to integers: the bounds that parameter sets are built on, and the metrics' meaning."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blindsight.core.errors import DimensionError, MalformedError, ParameterError, VectorError
from blindsight.encoding import Encoding

METRICS = ("cosine", "inner_product", "euclidean")


def radius_of(metric, radius=1.0):
    return 1.0 if metric == "cosine" else radius


@st.composite
def encodings(draw):
    metric = draw(st.sampled_from(METRICS))
    return Encoding(
        draw(st.sampled_from((16, 17, 128))),
        metric,
        draw(st.sampled_from((2**4, 37, 2**10, 2**12))),
        draw(st.sampled_from((2**4, 99, 2**10, 2**16))),
        radius_of(metric, draw(st.sampled_from((1e-12, 1e-3, 1.0, 7.5, 1e12)))),
    )


@st.composite
def pairs(draw):
    """An encoding and two vectors within its radius, of any shape: dense, sparse, tiny, at the edge."""
    encoding = draw(encodings())
    vectors = []
    for _ in range(2):
        direction = draw(
            arrays(
                np.float64,
                encoding.dimension,
                elements=st.floats(-1, 1, allow_subnormal=False),
                fill=st.just(0.0),
            )
        )
        length = np.linalg.norm(direction)
        if not length > 1e-100:
            direction, length = np.eye(1, encoding.dimension)[0], 1.0
        size = draw(st.sampled_from((0.0, 1e-9, 0.3, 1.0, 1 + 0.9e-6)))
        if encoding.metric == "cosine":
            size = draw(st.sampled_from((1e-300, 1e-160, 1.0, 1e160, 1e300)))
        vectors.append(direction / length * (size * encoding.radius))
    return encoding, *vectors


def integers(values):
    return [int(v) for v in values]


@given(pairs())
@settings(max_examples=300, deadline=None)
def test_bounds_hold_for_every_vector(pair):
    encoding, x, p = pair
    if encoding.metric == "cosine":
        x, p = (v if v.any() else np.eye(1, len(v))[0] for v in (x, p))
    template, probe = encoding.templates(x).values[0], encoding.probes(p).values[0]
    assert template.dtype == probe.dtype == np.int32
    assert len(template) == len(probe) == encoding.width
    assert sum(v * v for v in integers(template)) <= encoding.template_norm**2
    assert sum(v * v for v in integers(probe)) <= encoding.probe_norm**2
    score = sum(a * b for a, b in zip(integers(template), integers(probe), strict=True))
    assert abs(score) <= encoding.score_bound


def test_the_score_bound_holds_where_rounding_always_lengthens():
    """Coordinates just over a half, and a coarser scale for templates than for probes."""
    encoding = Encoding(4096, "euclidean")
    x = np.full(4096, 63.5 + 1e-9)
    x[:63] = math.sqrt((4096**2 - 63.5**2 * 4033) / 63)
    x /= 4096 * (1 + 1e-12)
    template = encoding.templates(x).values[0].astype(object)
    probe = encoding.probes(-x).values[0].astype(object)
    score = -(template * probe).sum()
    assert score > 1.5 * (4096 + 32) * (2**16 + 32)  # so 3/2 of the product of the two lengths is no bound
    assert score <= encoding.score_bound


@pytest.mark.parametrize("metric", METRICS)
def test_the_bounds_are_not_far_off(metric):
    """A bound ten times too large would pass everything above, and cost accuracy."""
    for encoding in (Encoding(128, metric), Encoding.integers(128, metric)):
        x = np.eye(1, 128)[0]
        template, probe = encoding.templates(x).values[0], encoding.probes(-x).values[0]
        assert np.linalg.norm(template) > 0.98 * encoding.template_norm
        assert np.linalg.norm(probe) > 0.98 * encoding.probe_norm
        assert -int(template.astype(np.int64) @ probe) > 0.97 * encoding.score_bound


# -- meaning ------------------------------------------------------------------------------------


def rounding(encoding):
    """Largest error of an integer score, as a fraction of the unit, by the triangle inequality.

    Each vector moves by at most sqrt(d) / 2 steps of its own scale. The Euclidean metric's last
    coordinate adds |x|^2's own change, half a step of the template's last coordinate and half a
    step of the probe's.
    """
    a = math.sqrt(encoding.dimension) / 2 / encoding.template_scale
    b = math.sqrt(encoding.dimension) / 2 / encoding.probe_scale
    error = a + b + a * b + 4e-6
    if encoding.metric == "euclidean":
        error += a + a * a / 2 + 0.5 / encoding.template_scale + 0.5 / encoding.probe_scale * (1 + a) ** 2
    return error


@given(pairs())
@settings(max_examples=300, deadline=None)
def test_scores_mean_the_metric(pair):
    encoding, x, p = pair
    if encoding.metric == "cosine":
        x, p = (v if v.any() else np.eye(1, len(v))[0] for v in (x, p))
        unit_x, unit_p = (v / abs(v).max() for v in (x, p))
        unit_x, unit_p = unit_x / np.linalg.norm(unit_x), unit_p / np.linalg.norm(unit_p)
    else:
        unit_x, unit_p = x / encoding.radius, p / encoding.radius
    templates, probes = encoding.templates(x), encoding.probes(p)
    raw = probes.values.astype(np.int64) @ templates.values.astype(np.int64).T
    error = rounding(encoding)
    score = float(encoding.scores(raw, probes)[0, 0])
    if encoding.metric == "euclidean":
        true = np.linalg.norm(unit_x - unit_p) * encoding.radius
        # |d^2 - D^2| <= e, with the probe's own length rounded too.
        step = 2 * error + 2 * math.sqrt(encoding.dimension) / 2 / encoding.probe_scale * 1.01 + 1e-5
        step += encoding.dimension / 4 / encoding.probe_scale**2
        assert abs((score / encoding.radius) ** 2 - (true / encoding.radius) ** 2) <= step
    else:
        true = float(unit_x @ unit_p) * encoding.radius**2
        assert abs(score - true) <= error * encoding.radius**2
    true = float(unit_x @ unit_p) - (float(unit_x @ unit_x) / 2 if encoding.metric == "euclidean" else 0)
    assert abs(int(raw[0, 0]) / (encoding.template_scale * encoding.probe_scale) - true) <= error


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("make", [Encoding, Encoding.integers], ids=["approximate", "integers"])
def test_a_larger_integer_is_a_better_match(metric, make):
    """Scores are monotonic in the integers; sorting by either gives one order."""
    encoding = make(32, metric, radius=radius_of(metric, 3.0))
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 32))
    vectors *= (
        encoding.radius / np.linalg.norm(vectors, axis=1, keepdims=True) * rng.uniform(0.1, 1, (200, 1))
    )
    probes = encoding.probes(vectors[:5])
    raw = probes.values.astype(np.int64) @ encoding.templates(vectors).values.astype(np.int64).T
    assert encoding.larger_is_closer == (metric != "euclidean")
    for integers_, scores in zip(raw, encoding.scores(raw, probes), strict=True):
        steps = np.diff(scores[np.argsort(integers_)])
        assert (steps >= 0).all() if encoding.larger_is_closer else (steps <= 0).all()
        assert (steps != 0).mean() > 0.9
    if metric != "inner_product":
        assert (raw.argmax(axis=1) == np.arange(5)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_scores_from_real_numbers_and_from_integers(metric):
    encoding = Encoding(16, metric)
    probes = encoding.probes(np.eye(16)[:2])
    raw = np.array([[2**27, -(2**26)], [0, 2**28]])
    exact, real = encoding.scores(raw, probes), encoding.scores(raw.astype(np.float32), probes)
    assert exact.dtype == real.dtype == np.float32
    np.testing.assert_allclose(exact, real, rtol=1e-6)


def test_a_distance_is_never_the_root_of_a_negative_number():
    encoding = Encoding(16, "euclidean")
    probes = encoding.probes(np.eye(16)[:1])
    assert encoding.scores(np.array([[2**40]]), probes) == 0


# -- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 3])
def test_not_a_number(metric, bad, row):
    vectors = np.full((5, 16), 0.1)
    vectors[row, 7] = bad
    for encode in (Encoding(16, metric).templates, Encoding(16, metric).probes):
        with pytest.raises(VectorError, match=rf"Vector {row} .*NaN or an infinity"):
            encode(vectors)


def test_a_zero_vector_has_no_direction():
    vectors = np.ones((4, 16))
    vectors[2] = 0
    for encode in (Encoding(16, "cosine").templates, Encoding(16, "cosine").probes):
        with pytest.raises(VectorError, match="Vector 2 is zero"):
            encode(vectors)
    for metric in METRICS[1:]:
        assert not Encoding(16, metric, radius=9.0).templates(vectors).values[2].any()


@pytest.mark.parametrize("metric", METRICS[1:])
@pytest.mark.parametrize("radius", [1e-12, 0.5, 1.0, 30.0, 1e12])
def test_over_the_radius(metric, radius):
    encoding = Encoding(16, metric, radius=radius)
    vectors = np.zeros((3, 16))
    vectors[1, 0] = radius * (1 + 0.9e-6)
    encoding.templates(vectors)
    for factor in (1 + 2e-6, 2.0, 1e15, 1e290):
        vectors[1, 0] = radius * factor
        for encode in (encoding.templates, encoding.probes):
            with pytest.raises(VectorError, match=r"Vector 1 has norm .* over this gallery's radius"):
                encode(vectors)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(15,), (17,), (3, 15), (2, 3, 16), (), (0,), (16, 1)])
def test_another_dimension(metric, shape):
    for encode in (Encoding(16, metric).templates, Encoding(16, metric).probes):
        with pytest.raises(DimensionError, match="16 coordinates"):
            encode(np.ones(shape))


@pytest.mark.parametrize("metric", METRICS)
def test_one_vector_many_or_none(metric):
    encoding = Encoding(16, metric)
    one = np.full(16, 0.25)
    np.testing.assert_array_equal(encoding.templates(one).values, encoding.templates([one]).values)
    assert encoding.templates(np.zeros((0, 16))).values.shape == (0, encoding.width)
    assert encoding.probes(np.zeros((0, 16))).values.shape == (0, encoding.width)


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-200, 1e200, 1e308])
def test_the_cosine_of_vectors_of_any_size(size):
    encoding = Encoding(16, "cosine")
    np.testing.assert_array_equal(
        encoding.templates(np.full(16, size)).values, encoding.templates(np.ones(16)).values
    )


def test_templates_and_probes_carry_the_encodings_name():
    encoding = Encoding(16, "cosine")
    assert encoding.templates(np.ones(16)).encoding_id == encoding.encoding_id
    assert encoding.probes(np.ones(16)).encoding_id == encoding.encoding_id


BAD = [
    {"dimension": 15}, {"dimension": 4097}, {"dimension": 0}, {"dimension": 16.0}, {"dimension": True},
    {"dimension": np.int64(16)}, {"metric": "hamming"}, {"metric": ""}, {"metric": None},
    {"template_scale": 15}, {"template_scale": 2**16 + 1}, {"template_scale": 4096.0}, {"probe_scale": 15},
    {"probe_scale": 2**16 + 1}, {"probe_scale": "1"}, {"radius": 0.0}, {"radius": -1.0}, {"radius": math.nan},
    {"radius": math.inf}, {"radius": "1"}, {"radius": None}, {"metric": "cosine", "radius": 2.0},
    {"radius": 0.99e-12}, {"radius": 1.01e12},
]  # fmt: skip
GOOD = {
    "dimension": 16,
    "metric": "inner_product",
    "template_scale": 4096,
    "probe_scale": 65536,
    "radius": 2.0,
}


@pytest.mark.parametrize("change", BAD, ids=str)
def test_encodings_that_must_not_exist(change):
    with pytest.raises(ParameterError):
        Encoding(**{**GOOD, **change})


def test_encodings_just_inside():
    for change in ({"dimension": 4096}, {"template_scale": 16}, {"probe_scale": 16}, {"probe_scale": 2**16}):
        Encoding(**{**GOOD, **change})
    for metric in METRICS:
        Encoding(4096, metric)
        assert Encoding.integers(4096, metric).score_bound < 2**40


# -- as it is stored --------------------------------------------------------------------------------------


@given(encodings())
def test_fields_round_trip(encoding):
    again = Encoding.from_fields(encoding.fields())
    assert again == encoding
    assert again.encoding_id == encoding.encoding_id


def test_equal_encodings_have_equal_names_and_different_ones_different():
    assert Encoding(**{**GOOD, "radius": 2}) == Encoding(**GOOD)
    assert Encoding(**{**GOOD, "radius": 2}).encoding_id == Encoding(**GOOD).encoding_id
    assert Encoding.from_fields(Encoding(**{**GOOD, "radius": 2}).fields()) == Encoding(**GOOD)
    changes = [
        {"dimension": 17},
        {"metric": "euclidean"},
        {"template_scale": 4095},
        {"probe_scale": 65535},
        {"radius": 2.5},
    ]
    names = {Encoding(**{**GOOD, **change}).encoding_id for change in changes}
    assert len(names | {Encoding(**GOOD).encoding_id}) == 6


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", ["x", -1.5, 7, None, True, [], "missing"], ids=repr)
def test_malformed_fields(name, value):
    fields = Encoding(**GOOD).fields()
    fields[name] = value
    if value == "missing":
        del fields[name]
    with pytest.raises((MalformedError, ParameterError)):
        Encoding.from_fields(fields)


def test_an_unknown_field_is_malformed():
    with pytest.raises(MalformedError):
        Encoding.from_fields({**Encoding(**GOOD).fields(), "more": 1})
