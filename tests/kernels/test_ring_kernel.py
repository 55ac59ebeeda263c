"""Inner products of ring vectors against their twins: both loops, all edges."""

import numpy as np
import pytest

from blindsight.kernels import ntt, ring
from blindsight.kernels.accumulate import BLOCKS, PROBES
from reference import ring as naive

SMALL, BIG = 1_073_732_609, 1_073_738_753
WIDTHS = (1, 16, 31, 32, 33, 129)
LIMBS = ((BIG,), (SMALL, BIG))


class Setup:
    """What the kernels take for a modulus, from `ntt.modulus` alone."""

    def __init__(self, primes):
        moduli = [ntt.modulus(p) for p in primes]
        self.primes, self.modulus = primes, int(np.prod([int(p) for p in primes], dtype=object))
        self.constants = np.stack([m.constants for m in moduli])
        self.forward = np.stack([m.forward for m in moduli])
        self.backward = np.stack([m.backward for m in moduli])
        self.lift = pow(primes[0], -1, primes[1]) * 2**32 % primes[1] if len(primes) == 2 else 0

    def values(self, rng, count, width, kind="random"):
        """Residues (count, limbs, width, 256) in (-q/2, q/2); extremes are +-(q - 1)/2 only."""
        out = np.empty((count, len(self.primes), width, 256), np.int64)
        for limb, q in enumerate(self.primes):
            top = (q - 1) // 2
            out[:, limb] = rng.integers(-top, top + 1, out[:, limb].shape)
            if kind == "top":
                out[:, limb] = top
            elif kind == "bottom":
                out[:, limb] = -top
            elif kind == "signs":
                out[:, limb] = top * rng.choice([-1, 1], out[:, limb].shape)
        return out

    def row(self, polynomials):
        """Integer polynomials (width, 256) as one row's residues (limbs, width, 256), by the twin."""
        return np.array(
            [[[naive.centred(v, q) for v in naive.ntt(p, q)] for p in polynomials] for q in self.primes]
        )


def tiled(values):
    return np.stack([naive.tile(row) for row in values])


def padded(others):
    """Residues of several others with zero rows up to what the kernels take at a time."""
    missing = -len(others) % PROBES if len(others) > 1 else 0
    return np.concatenate([others, np.zeros((missing, *others.shape[1:]), others.dtype)])


def inner_products(setup, rows, slots, others):
    """Twin of `ring.products`."""
    return np.array(
        [
            [
                [naive.inner_product(rows[s, limb], other[limb], q) for limb, q in enumerate(setup.primes)]
                for s in slots
            ]
            for other in others
        ]
    )


def fast_products(setup, rows, slots, others, start=0, stop=None):
    stop = len(slots) if stop is None else stop
    out = np.full((len(others), len(slots), len(setup.primes), 256), 2**32 - 1, np.uint32)
    ring.products(
        tiled(rows), np.array(slots, np.int64), tiled(padded(others)), setup.constants, out, start, stop
    )
    return out


@pytest.mark.parametrize("primes", LIMBS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("others", [1, 2, PROBES, PROBES + 1])
def test_products(primes, width, others):
    setup, rng = Setup(primes), np.random.default_rng(width)
    rows = setup.values(rng, 7, width)
    slots = [6, 0, 3, 3, 5]  # neither in order, nor all of them, nor once each
    right = setup.values(rng, others, width)
    np.testing.assert_array_equal(
        fast_products(setup, rows, slots, right), inner_products(setup, rows, slots, right)
    )


@pytest.mark.parametrize("others", [1, PROBES])
@pytest.mark.parametrize("count", [1, 3, BLOCKS, 15, 16, 17, 33])
def test_any_number_of_rows(others, count):
    setup, rng = Setup((BIG,)), np.random.default_rng(count)
    rows, right = setup.values(rng, count, 2), setup.values(rng, others, 2)
    slots = rng.permutation(count)
    np.testing.assert_array_equal(
        fast_products(setup, rows, slots, right), inner_products(setup, rows, slots, right)
    )


@pytest.mark.parametrize("others", [1, PROBES])
def test_only_the_slice_asked_for_is_written(others):
    setup, rng = Setup((SMALL, BIG)), np.random.default_rng(0)
    rows, right = setup.values(rng, 20, 2), setup.values(rng, others, 2)
    out = fast_products(setup, rows, range(20), right, 3, 18)
    assert (out[:, :3] == 2**32 - 1).all()
    assert (out[:, 18:] == 2**32 - 1).all()
    np.testing.assert_array_equal(out[:, 3:18], inner_products(setup, rows, range(3, 18), right))


@pytest.mark.parametrize("primes", LIMBS)
@pytest.mark.parametrize("width", [31, 32, 33, 64, 129, 4096, 4100])
@pytest.mark.parametrize("others", [1, PROBES])
def test_extreme_residues_do_not_overflow(primes, width, others):
    """32 products of (q - 1)/2 come within 2^-17 of 2^63; then folds of them add up."""
    setup, rng = Setup(primes), np.random.default_rng(width)
    for left in ("top", "bottom", "signs"):
        rows = setup.values(rng, 1, width, left)
        right = setup.values(rng, others, width, "top")
        if left == "signs":  # the signs cancel pairwise: every product is +, the largest sum
            right = np.repeat(rows, others, axis=0)
        np.testing.assert_array_equal(
            fast_products(setup, rows, [0], right), inner_products(setup, rows, [0], right)
        )


def test_the_edge_of_the_sum_is_where_it_is_said_to_be():
    top = (BIG - 1) // 2
    assert 32 * top**2 < 2**63 <= 33 * top**2


# -- rounding -----------------------------------------------------------------------------------


def fast_rounded(setup, rows, slots, others, shift, dtype):
    out = np.empty((len(others), len(slots), 256), dtype)
    ring.rounded_products(
        tiled(rows), np.array(slots, np.int64), tiled(padded(others)), setup.constants, setup.backward,
        setup.lift, shift, out, 0, len(slots),
    )  # fmt: skip
    return out


def coefficients(setup, rows, slot, other):
    """Centred coefficients of one inner product, by the twins."""
    limbs = [
        naive.inverse_ntt(naive.inner_product(rows[slot, limb], other[limb], q), q)
        for limb, q in enumerate(setup.primes)
    ]
    return [naive.crt(residues, setup.primes) for residues in zip(*limbs, strict=True)]


def rounded(values, shift, bits):
    return [min((int(v) + 2 ** (shift - 1)) // 2**shift, 2 ** (bits - 1) - 1) for v in values]


CASES = [((BIG,), 14, np.int16), ((SMALL, BIG), 28, np.int32)]


@pytest.mark.parametrize(("primes", "shift", "dtype"), CASES)
@pytest.mark.parametrize("others", [1, 3])
def test_rounded_products(primes, shift, dtype, others):
    setup, rng = Setup(primes), np.random.default_rng(others)
    rows, right = setup.values(rng, 5, 33), setup.values(rng, others, 33)
    slots = [4, 1, 2]
    got = fast_rounded(setup, rows, slots, right, shift, dtype)
    bits = 8 * np.dtype(dtype).itemsize
    for o in range(others):
        for r, slot in enumerate(slots):
            expected = rounded(coefficients(setup, rows, slot, right[o]), shift, bits)
            np.testing.assert_array_equal(got[o, r], expected)


def edges(modulus, shift):
    """256 centred integers about every edge of rounding and of the centred range."""
    top, step = modulus // 2, 2**shift
    about = [0, step // 2, step, step + step // 2, top, top - step // 2, top - step, 7 * step]
    near = [v + d for v in about for d in range(-8, 8)]
    return np.array([*near, *(-v for v in near)], dtype=object).clip(-top, top)


ONE = np.array([1] + [0] * 255)


@pytest.mark.parametrize(("primes", "shift", "dtype"), CASES)
@pytest.mark.parametrize("others", [1, 2])
def test_rounding_and_clamping_edges(primes, shift, dtype, others):
    """A product with the constant 1 gives any coefficients that we like."""
    setup = Setup(primes)
    wanted = edges(setup.modulus, shift)
    row, one = setup.row([wanted])[np.newaxis], setup.row([ONE])[np.newaxis]
    got = fast_rounded(setup, row, [0], np.repeat(one, others, axis=0), shift, dtype)
    expected = rounded(wanted, shift, 8 * np.dtype(dtype).itemsize)
    limits = np.iinfo(dtype)
    assert limits.min <= min(expected) <= max(expected) <= limits.max
    if len(primes) == 1:  # here the largest coefficients round to one more than fits
        assert (setup.modulus // 2 + 2 ** (shift - 1)) >> shift == limits.max + 1
        assert max(expected) == limits.max
    for o in range(others):
        np.testing.assert_array_equal(got[o, 0], expected)


# -- differences -----------------------------------------------------------------------------------


def fast_differences(setup, rows, slots, others, shift, answer, unit, dtype):
    out = np.empty((len(others), len(slots), 256), dtype)
    largest = ring.differences(
        tiled(rows), np.array(slots, np.int64), tiled(padded(others)), setup.constants, setup.backward,
        setup.lift, shift, answer, unit, out, 0, len(slots),
    )  # fmt: skip
    return out, largest


@pytest.mark.parametrize(("primes", "shift", "dtype"), CASES)
@pytest.mark.parametrize("others", [1, 2])
@pytest.mark.parametrize("unit", [1, 3, 2**14])
def test_differences(primes, shift, dtype, others, unit):
    setup, rng = Setup(primes), np.random.default_rng(unit)
    rows, right = setup.values(rng, 3, 10), setup.values(rng, others, 10)
    limits = np.iinfo(dtype)
    answer = rng.integers(limits.min, limits.max + 1, (others, 2, 256)).astype(dtype)
    answer[:, :, 0], answer[:, :, 1] = limits.min, limits.max
    slots = [2, 0]
    expected = [
        [
            [
                naive.centred((int(a) << shift) - c, setup.modulus)
                for a, c in zip(answer[o, r], coefficients(setup, rows, slot, right[o]), strict=True)
            ]
            for r, slot in enumerate(slots)
        ]
        for o in range(others)
    ]
    expected = np.array(expected, dtype=object)
    exact, largest = fast_differences(setup, rows, slots, right, shift, answer, unit, np.int64)
    np.testing.assert_array_equal(exact, (expected + unit // 2) // unit)
    assert largest == max(abs(expected).ravel()) // unit + 1
    real, again = fast_differences(setup, rows, slots, right, shift, answer, unit, np.float32)
    assert again == largest
    np.testing.assert_allclose(real, (expected / unit).astype(float), rtol=2**-22)


@pytest.mark.parametrize(("primes", "shift", "dtype"), CASES)
def test_differences_wrap_at_half_the_modulus(primes, shift, dtype):
    """answer * 2^shift - c just inside and just outside (-Q/2, Q/2), and the rounding of quotients."""
    setup = Setup(primes)
    limits, top = np.iinfo(dtype), setup.modulus // 2
    a = limits.max << shift
    wanted = [top, -top, top - 1, 1 - top, 0, 1, -1, 3, 4, 5, -3, -4, -5]
    c = [naive.centred(a - w, setup.modulus) for w in wanted]
    row = setup.row([c + [0] * (256 - len(c))])[np.newaxis]
    one = setup.row([ONE])[np.newaxis]
    answer = np.full((1, 1, 256), limits.max, dtype)
    out, largest = fast_differences(setup, row, [0], one, shift, answer, 1, np.int64)
    assert list(out[0, 0, : len(wanted)]) == wanted
    assert largest == top + 1
    out, _ = fast_differences(setup, row, [0], one, shift, answer, 8, np.int64)
    assert list(out[0, 0, 4 : len(wanted)]) == [0, 0, 0, 0, 1, 1, 0, 0, -1]  # halves go up


# -- adding and taking off -----------------------------------------------------------------------------


@pytest.mark.parametrize("primes", LIMBS)
@pytest.mark.parametrize("count", [1, 15, 16, 17])
def test_add_transformed(primes, count):
    setup, rng = Setup(primes), np.random.default_rng(count)
    values = rng.integers(-(2**61), 2**61, (count, 256))
    values[0, :4] = [2**62 - 1, 1 - 2**62, 0, -1]
    q = np.array(primes)[:, np.newaxis]
    sums = np.stack([rng.integers(0, p, (count, 256)) for p in primes], axis=1).astype(np.uint32)
    sums[0, :, :2], sums[0, :, 2:4] = 0, q - 1
    out = np.empty((len(primes), 4, count, 64), np.int32)
    ring.add_transformed(values, sums, setup.forward, setup.constants, out)
    for limb, p in enumerate(primes):
        for i in range(count):
            expected = [
                naive.centred(v + s, p)
                for v, s in zip(naive.ntt(values[i], p), sums[i, limb].tolist(), strict=True)
            ]
            np.testing.assert_array_equal(naive.untile(out)[limb, i], expected)


@pytest.mark.parametrize("primes", LIMBS)
@pytest.mark.parametrize("count", [1, 17])
def test_subtract_undoes_add(primes, count):
    setup, rng = Setup(primes), np.random.default_rng(count)
    top = setup.modulus // 2
    values = rng.integers(-top, top + 1, (count, 256))
    values[0, :4] = [top, -top, 0, -1]
    sums = np.stack([rng.integers(0, p, (count, 256)) for p in primes], axis=1).astype(np.uint32)
    row = np.empty((len(primes), 4, count, 64), np.int32)
    ring.add_transformed(values, sums, setup.forward, setup.constants, row)
    out = np.empty_like(values)
    ring.subtract_and_transform_back(row, sums, setup.backward, setup.constants, setup.lift, out)
    np.testing.assert_array_equal(out, values)


@pytest.mark.parametrize("primes", LIMBS)
def test_subtract_and_transform_back(primes):
    """Against the twin, for a row and sums that never belonged together."""
    setup, rng = Setup(primes), np.random.default_rng(5)
    row = setup.values(rng, 1, 3, "signs")[0]
    sums = np.stack([rng.integers(0, p, (3, 256)) for p in primes], axis=1).astype(np.uint32)
    out = np.empty((3, 256), np.int64)
    ring.subtract_and_transform_back(naive.tile(row), sums, setup.backward, setup.constants, setup.lift, out)
    for i in range(3):
        limbs = [
            naive.inverse_ntt(row[limb, i] - sums[i, limb].astype(int), p) for limb, p in enumerate(primes)
        ]
        assert list(out[i]) == [naive.crt(r, primes) for r in zip(*limbs, strict=True)]


def test_largest_residue_of_each_limb():
    row = np.zeros((2, 4, 3, 64), np.int32)
    row[0, 3, 2, 63], row[0, 0, 0, 0], row[1, 1, 1, 1] = -(2**31), 2**31 - 1, -5
    assert list(ring.largest_residue(row)) == [2**31, 5]
