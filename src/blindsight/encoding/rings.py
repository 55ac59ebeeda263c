"""Which plaintext ring holds quantised vectors: slots of Z_p[X] / Φ_m(X), and their search.

Seed 000 §II-B, Eq. 3: the m-th cyclotomic polynomial splits modulo a prime p, which does not
divide m, into n = φ(m) / ord_m(p) factors of equal degree ord_m(p), and a plaintext holds one
integer modulo p in each of n slots. §II-C asks for N 2^{2g} < p, so that no squared distance
of N coordinates of g bits wraps.

The paper's set, g = 4, p = 65537, m = 14089, satisfies both for N = 95. The paper does not
say how many slots it has: m = 73 * 193, φ(m) = 13824, ord_m(p) = 96, so n = 144, of which 95
carry a feature. N 2^{2g} = 24320 is below p; 5 bits would need p > 97280. Searching m for this
p from degree 13824 on finds the same m.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from blindsight.core.errors import ParameterError
from blindsight.core.primes import is_prime
from blindsight.encoding.quantise import Quantiser

MAX_INDEX = 10**12
"""Largest m: factored by trial division, at most 10^6 steps."""

_MAX_MODULUS = 2**61


def factorise(n: int) -> dict[int, int]:
    """Prime factors of n and their exponents, ascending; 1 has none.

    Raises:
        ParameterError: n is not an integer from 1 to 10^12.
    """
    _require_index(n)
    found: dict[int, int] = {}
    for prime in (2, 3):
        while n % prime == 0:
            found[prime] = found.get(prime, 0) + 1
            n //= prime
    divisor = 5
    while divisor * divisor <= n:
        for candidate in (divisor, divisor + 2):
            while n % candidate == 0:
                found[candidate] = found.get(candidate, 0) + 1
                n //= candidate
        divisor += 6
    if n > 1:
        found[n] = 1
    return found


def euler_phi(m: int) -> int:
    """φ(m), the number of units modulo m: the degree of the m-th cyclotomic polynomial."""
    degree = m
    for prime in factorise(m):
        degree -= degree // prime
    return degree


def multiplicative_order(p: int, m: int) -> int:
    """The smallest d ≥ 1 with p^d = 1 modulo m; 1 for m = 1.

    Raises:
        ParameterError: p is not a unit modulo m, or a value outside its range.
    """
    _require_index(m)
    if type(p) is not int or p < 1:
        raise ParameterError("The order is that of a positive integer.")
    if math.gcd(p, m) != 1:
        raise ParameterError(f"{p} has no order modulo {m}: the two have a common divisor.")
    order = euler_phi(m)
    for prime, exponent in factorise(order).items():
        for _ in range(exponent):
            if pow(p, order // prime, m) != 1 % m:
                break
            order //= prime
    return order


def slots(m: int, p: int) -> int:
    """The slots φ(m) / ord_m(p), seed 000 Eq. 3; errors as `multiplicative_order`.

    Eq. 3 counts slots where p is prime; for another p this is the number of cosets of the
    subgroup that p generates in the units modulo m.
    """
    return euler_phi(m) // multiplicative_order(p, m)


@dataclass(frozen=True, slots=True)
class RingPlan:
    """A plaintext ring for N coordinates of g bits.

    Attributes:
        modulus: the prime p.
        index: m.
        degree: φ(m).
        order: ord_m(p), the degree of each factor.
        slots: n = degree / order, at least N.

    """

    modulus: int
    index: int
    degree: int
    order: int
    slots: int


def plan_ring(
    dimension: int,
    bits: int,
    *,
    min_degree: int,
    max_degree: int | None = None,
    modulus: int | None = None,
    indices: Iterable[int] | None = None,
    fully_split: bool = False,
    primes: int = 10_000,
) -> RingPlan:
    """Search p and m as seed 000 §II-B and §II-C do, and return the first that fit.

    Order of search: primes p above N 2^{2g}, ascending; for each, m ascending, or as
    ``indices`` has them. A pair fits where p does not divide m, φ(m) lies between the two
    degrees, and slots(m, p) ≥ N. The same arguments give the same plan everywhere.

    Args:
        dimension: N, 1 to 4096.
        bits: g, 1 to 16.
        min_degree: smallest φ(m). The security of a scheme rests on it and on the scheme's
            ciphertext modulus, which is not known here; so there is no default.
        max_degree: largest φ(m); four times ``min_degree`` where it is not given.
        modulus: search m for this prime alone.
        indices: search among these m alone, for instance ``[8192, 16384]`` for the rings of
            power-of-two degree that Microsoft SEAL has.
        fully_split: ask for n = φ(m), that is p = 1 modulo m, as batching in SEAL does.
        primes: how many primes to try.

    Raises:
        ParameterError: a value outside its range, a modulus that is not prime, or no plan
            within the limits.
        InaccurateParametersError: the given modulus is not above N 2^{2g}.

    """
    bound = Quantiser(bits, dimension, modulus=modulus).bound
    highest = 4 * min_degree if max_degree is None else max_degree
    if not 1 <= min_degree <= highest <= MAX_INDEX // 100:
        raise ParameterError("The degrees of a ring satisfy 1 <= min_degree <= max_degree <= 10^10.")
    if highest < dimension:
        raise ParameterError(f"A ring of degree {highest} has no {dimension} slots; raise max_degree.")
    if modulus is not None and not is_prime(modulus):
        raise ParameterError(f"The plaintext modulus {modulus} is not prime; slots need a prime.")
    rings = _Rings(min_degree, highest, None if indices is None else tuple(indices))
    candidates = iter([modulus]) if modulus is not None else _primes_above(bound, primes)
    for p in candidates:
        for m, degree in rings.all():
            if p % m == 0 or math.gcd(p, m) != 1 or (fully_split and p % m != 1):
                continue
            order = multiplicative_order(p, m)
            if degree // order >= dimension:
                return RingPlan(p, m, degree, order, degree // order)
    raise ParameterError(
        f"No ring within these limits has {dimension} slots; raise max_degree or try other indices."
    )


def _require_index(m: int) -> None:
    if type(m) is not int or not 1 <= m <= MAX_INDEX:
        raise ParameterError(f"A ring's index m is an integer from 1 to 10^12, not {m!r}.")


def _primes_above(bound: int, count: int) -> Iterator[int]:
    """The first ``count`` primes above a bound, ascending."""
    candidate = bound + 1
    while count > 0 and candidate < _MAX_MODULUS:
        if is_prime(candidate):
            yield candidate
            count -= 1
        candidate += 1


def plan_parameters(dimension: int, bits: int) -> RingPlan:
    """The smallest ring of Microsoft SEAL's with a slot for each coordinate, and its smallest p.

    SEAL's m are powers of two, where a p that is 1 modulo m gives a slot for every coefficient;
    φ(m) is 1024 or more. `plan_ring` searches any m, as HElib has them.

    Raises:
        ParameterError: a dimension outside 1 to 4096, or bits outside 1 to 16.
    """
    bound = Quantiser(bits, dimension).bound
    degree = max(1024, 1 << (dimension - 1).bit_length())
    p = bound // (2 * degree) * 2 * degree + 1
    while p <= bound or not is_prime(p):
        p += 2 * degree
    return RingPlan(p, 2 * degree, degree, 1, degree)


class _Rings:
    """The m to be searched with their degrees, computed once however many primes there are."""

    def __init__(self, lowest: int, highest: int, indices: tuple[int, ...] | None) -> None:
        self._lowest, self._highest = lowest, highest
        # φ(m) ≥ m / (e^γ ln ln m + 3 / ln ln m) (Rosser and Schoenfeld), below 10^12 over m / 7.
        self._source: Iterator[int] = iter(range(lowest, 7 * highest + 1) if indices is None else indices)
        self._known: list[tuple[int, int]] = []

    def all(self) -> Iterator[tuple[int, int]]:
        yield from self._known
        for m in self._source:
            degree = euler_phi(m)
            if self._lowest <= degree <= self._highest:
                self._known.append((m, degree))
                yield m, degree
