from __future__ import annotations

import math
import time

import pytest

from blindsight.core.errors import InaccurateParametersError, ParameterError
from blindsight.core.primes import is_prime
from blindsight.encoding import RingPlan, plan_ring
from blindsight.encoding.rings import (
    euler_phi,
    factorise,
    multiplicative_order,
    plan_parameters,
    slots,
)


def obvious_phi(m: int) -> int:
    return sum(math.gcd(a, m) == 1 for a in range(1, m + 1))


def obvious_order(p: int, m: int) -> int:
    power, order = p % m, 1
    while power != 1 % m:
        power, order = power * p % m, order + 1
    return order


def obvious_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, n))


def test_agree_with_their_obvious_twins() -> None:
    for m in range(1, 250):
        assert euler_phi(m) == obvious_phi(m)
        assert math.prod(q**e for q, e in factorise(m).items()) == m
        assert all(obvious_prime(q) for q in factorise(m))
        for p in (1, 2, 3, 5, 101, 65537, 2**31 - 1):
            if math.gcd(p, m) == 1:
                assert multiplicative_order(p, m) == obvious_order(p, m)
                assert slots(m, p) * obvious_order(p, m) == obvious_phi(m)


def test_the_paper_s_set() -> None:
    """Seed 000 §III: p = 65537, m = 14089, for N = 95 and g = 4."""
    assert factorise(14089) == {73: 1, 193: 1}
    assert euler_phi(14089) == 13824
    assert multiplicative_order(65537, 14089) == obvious_order(65537, 14089) == 96
    assert slots(14089, 65537) == 144 >= 95


def test_the_search_finds_the_paper_s_ring() -> None:
    plan = plan_ring(95, 4, min_degree=13824, modulus=65537)
    assert plan == RingPlan(65537, 14089, 13824, 96, 144)


def obvious_plan(dimension: int, bits: int, low: int, high: int) -> RingPlan:
    p = dimension * 4**bits
    while True:
        p += 1
        if not obvious_prime(p):
            continue
        for m in range(low, 7 * high + 1):
            degree = obvious_phi(m)
            if low <= degree <= high and math.gcd(m, p) == 1:
                order = obvious_order(p, m)
                if degree // order >= dimension:
                    return RingPlan(p, m, degree, order, degree // order)


@pytest.mark.parametrize(
    ("dimension", "bits", "low", "high"), [(4, 1, 8, 16), (9, 2, 20, 40), (16, 1, 16, 18)]
)
def test_the_search_agrees_with_its_obvious_twin(dimension: int, bits: int, low: int, high: int) -> None:
    plan = plan_ring(dimension, bits, min_degree=low, max_degree=high)
    assert plan == obvious_plan(dimension, bits, low, high)


@pytest.mark.parametrize("bits", range(1, 9))
def test_every_plan_holds_what_it_promises(bits: int) -> None:
    plan = plan_ring(95, bits, min_degree=4096)
    assert is_prime(plan.modulus)
    assert plan.modulus > 95 * 4**bits
    assert plan.degree == euler_phi(plan.index) >= 4096
    assert plan.slots == slots(plan.index, plan.modulus) >= 95
    seal = plan_ring(95, bits, min_degree=4096, indices=[8192, 16384], fully_split=True)
    assert seal.order == 1
    assert seal.modulus % seal.index == 1
    assert seal.index in (8192, 16384)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("dimension", [1, 95, 128, 1025, 4096])
def test_plans_on_seal_s_rings(dimension: int, bits: int) -> None:
    plan = plan_parameters(dimension, bits)
    assert dimension * 2 ** (2 * bits) < plan.modulus
    assert is_prime(plan.modulus)
    assert plan.slots == plan.degree == plan.index // 2 >= dimension
    assert plan.slots == slots(plan.index, plan.modulus)
    assert plan.index in (2048, 4096, 8192)
    earlier = range(dimension * 4**bits + 1, plan.modulus)
    assert not any(p % plan.index == 1 and is_prime(p) for p in earlier)


def test_large_m_is_fast() -> None:
    start = time.perf_counter()
    for m in range(10**6 - 200, 10**6):
        if math.gcd(m, 65537) == 1:
            slots(m, 65537)
    assert time.perf_counter() - start < 2.0
    assert euler_phi(10**12) == 4 * 10**11


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="common divisor"):
        multiplicative_order(73, 14089)
    with pytest.raises(ParameterError, match="common divisor"):
        slots(14, 7)
    for m in (0, -3, 2.0, True, 10**12 + 1):
        with pytest.raises(ParameterError):
            euler_phi(m)  # type: ignore[arg-type]
    for p in (0, -1, 2.5):
        with pytest.raises(ParameterError):
            multiplicative_order(p, 7)  # type: ignore[arg-type]
    with pytest.raises(InaccurateParametersError):
        plan_ring(95, 5, min_degree=4096, modulus=65537)
    with pytest.raises(ParameterError, match="not prime"):
        plan_ring(95, 4, min_degree=4096, modulus=65539 * 3)
    with pytest.raises(ParameterError, match="no 95 slots"):
        plan_ring(95, 4, min_degree=8, max_degree=64)
    with pytest.raises(ParameterError, match="No ring"):
        plan_ring(95, 4, min_degree=96, max_degree=4096, modulus=65537, indices=[4099])
    with pytest.raises(ParameterError):
        plan_ring(95, 4, min_degree=0)
    with pytest.raises(ParameterError):
        plan_ring(95, 0, min_degree=4096)
    for dimension, bits in ((0, 4), (4097, 4), (95, 0), (95, 17)):
        with pytest.raises(ParameterError):
            plan_parameters(dimension, bits)
