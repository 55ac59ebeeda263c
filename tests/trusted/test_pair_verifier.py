"""1:1 for users: in this process and over HTTP, with references of an earlier session."""

import numpy as np
import pytest

from blindsight.core.errors import InsecureParametersError, MalformedError, ParameterError, TamperedError
from blindsight.core.secrets import Secret
from blindsight.schemes.ckks.distance import DistanceParams, compare_wire
from blindsight.trusted.pairs import PairVerifier
from servers import server

RNG = np.random.default_rng(1)
ONE, OTHER = (v / np.linalg.norm(v) for v in RNG.normal(size=(2, 128)))


def test_verify_in_this_process():
    verifier = PairVerifier(128)
    reference = verifier.protect(ONE)
    assert verifier.distance(reference, OTHER) == pytest.approx(np.linalg.norm(ONE - OTHER), abs=1e-3)
    assert verifier.verify(reference, ONE, 0.1)
    assert not verifier.verify(reference, OTHER, 0.6)


@pytest.mark.parametrize("radius", [0.01, 1.43, 300.0])
def test_other_radii(radius):
    verifier = PairVerifier(128, radius=radius)
    reference = verifier.protect(ONE * radius)
    found = verifier.distance(reference, OTHER * radius)
    assert abs(found**2 - (radius * np.linalg.norm(ONE - OTHER)) ** 2) <= verifier.largest_error


def test_a_reference_of_an_earlier_session():
    secret = Secret(bytes(range(32)))
    reference = PairVerifier(128, secret=secret).protect(ONE)
    assert PairVerifier(128, secret=secret).verify(reference, ONE, 0.1)
    noticed = 0
    for _ in range(10):  # a stranger's key shows but for 1 in 512
        try:
            PairVerifier(128).distance(reference, ONE)
        except TamperedError:
            noticed += 1
    assert noticed >= 8


def test_over_http(tmp_path):
    with server(tmp_path / "matcher") as running:
        client = running.client()
        verifier = PairVerifier(128, compare=client.compare)
        reference = verifier.protect(ONE)
        assert verifier.verify(reference, ONE, 0.1)
        assert verifier.distance(reference, OTHER) == pytest.approx(np.linalg.norm(ONE - OTHER), abs=1e-3)
        wire = DistanceParams().wire()
        with pytest.raises(MalformedError):
            client.compare(wire, reference, reference)
        with pytest.raises(MalformedError):
            client.compare(wire, reference[:-1], verifier.protect(ONE))
        with pytest.raises(InsecureParametersError):
            client.compare(wire | {"bits": 59}, reference, verifier.protect(ONE))
        for wrong in ({}, wire | {"more": 1}, wire | {"error_limit": "x"}):
            with pytest.raises(MalformedError):
                client.compare(wrong, reference, reference)


def test_parameters_travel():
    params = DistanceParams(95, largest_distance=2.5)
    assert DistanceParams.from_wire(params.wire()) == params
    for wrong in (params.wire() | {"dimension": "95"}, params.wire() | {"largest_distance": "nan"}):
        with pytest.raises((ParameterError, MalformedError)):
            DistanceParams.from_wire(wrong)
    with pytest.raises(MalformedError):
        compare_wire({}, b"", b"")
