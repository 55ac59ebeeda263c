"""Key stream and samplers against their twins, and their distributions under fixed seeds."""

from math import comb

import numpy as np
import pytest

from blindsight.kernels import prg, sampling
from reference import sampling as naive

SEED = bytes(range(32))
PRIMES = (7681, 1_073_732_609, 1_073_738_753)


class Tape(prg.Stream):
    """Given bytes instead of a key stream."""

    def __init__(self, data):
        self.data, self.at = np.frombuffer(data, np.uint8), 0

    def read(self, count):
        assert self.at + count <= len(self.data), "more was read than the rules need"
        self.at += count
        return self.data[self.at - count : self.at].copy()


def chi_square(observed, expected):
    return float(((observed - expected) ** 2 / expected).sum())


def bound(degrees):
    """Six standard deviations above the mean of a chi-square; the seeds are fixed."""
    return degrees + 6 * (2 * degrees) ** 0.5


# -- the stream -------------------------------------------------------------------------------


def test_stream_is_the_encryption_of_a_counter():
    np.testing.assert_array_equal(prg.Stream(SEED).read(5000), list(naive.keystream(SEED, 5000)))


def test_stream_known_answer():
    """AES-256 of the block of zeros under the key of zeros (NIST SP 800-38A style, GFSbox known answers)."""
    assert prg.Stream(bytes(32)).read(16).tobytes().hex() == "dc95c078a2408989ad48a21492842087"


def test_pieces_equal_the_whole():
    whole = prg.Stream(SEED).read((1 << 20) * 2 + 8192)
    stream = prg.Stream(SEED)
    sizes = [0, 1, 15, 16, 17, 1, 4096, (1 << 20) - 3, 1 << 20]
    pieces = [stream.read(size) for size in sizes]
    joined = np.concatenate(pieces)
    np.testing.assert_array_equal(joined, whole[: len(joined)])
    assert len(joined) > 1 << 21


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_seed_size(size):
    with pytest.raises(ValueError, match="32 bytes"):
        prg.Stream(bytes(size))


def test_fresh_seeds_differ():
    seeds = {prg.fresh_seed() for _ in range(100)}
    assert len(seeds) == 100
    assert {len(seed) for seed in seeds} == {32}


# -- uniform ------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", PRIMES[1:])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_uniform_against_the_twin(q, count):
    assert list(sampling.uniform(prg.Stream(SEED), count, q)) == naive.uniform(naive.Tape(SEED), count, q)


def test_uniform_with_many_rejections():
    """A small modulus rejects all but one word in a thousand, so a few samples take several reads."""
    assert list(sampling.uniform(prg.Stream(SEED), 3, 2**20 - 3)) == naive.uniform(
        naive.Tape(SEED), 3, 2**20 - 3
    )


@pytest.mark.parametrize("q", PRIMES)
def test_uniform_rejects_what_is_not_below_q(q):
    words = [q, q - 1, 2**30 - 1, 2**32 - 1, 0, q + 1, 2**30, 2**31 + (q - 1) // 2, (q + 1) // 2]
    tape = Tape(np.array(words, "<u4").tobytes())
    top = (q - 1) // 2
    assert list(sampling.uniform(tape, 5, q)) == [-1, 0, 0, top, -top]
    assert tape.at == len(tape.data)


def test_a_second_draw_goes_on_where_the_first_stopped():
    stream, tape = prg.Stream(SEED), naive.Tape(SEED)
    for q in PRIMES[1:]:
        assert list(sampling.uniform(stream, 700, q)) == naive.uniform(tape, 700, q)


@pytest.mark.parametrize("q", PRIMES[1:])
def test_uniform_distribution(q):
    drawn = sampling.uniform(prg.Stream(SEED), 1 << 18, q).astype(np.int64)
    assert abs(drawn).max() <= (q - 1) // 2
    edges = [-(q - 1) // 2 + q * i // 256 for i in range(257)]
    sizes = np.diff(edges)
    counts = np.histogram(drawn, edges)[0]
    assert counts.sum() == len(drawn)
    assert chi_square(counts, len(drawn) * sizes / q) < bound(255)
    low = np.bincount(drawn & 255, minlength=256)
    assert chi_square(low, np.full(256, len(drawn) / 256)) < bound(255)


# -- ternary -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 4097])
def test_ternary_against_the_twin(count):
    assert list(sampling.ternary(prg.Stream(SEED), count)) == naive.ternary(naive.Tape(SEED), count)


def test_ternary_digits():
    tape = Tape(bytes([0b11_10_01_00, 0b11_11_11_11, 0b00_11_00_10, 0, 0, 0, 0, 0]))
    assert list(sampling.ternary(tape, 6)) == [-1, 0, 1, 1, -1, -1]


def test_ternary_distribution():
    drawn = sampling.ternary(prg.Stream(SEED), 300_000)
    counts = np.bincount(drawn + 1, minlength=3)
    assert chi_square(counts, np.full(3, 100_000.0)) < bound(2)
    pairs = np.bincount(3 * (drawn[::2] + 1) + drawn[1::2] + 1, minlength=9)
    assert chi_square(pairs, np.full(9, 150_000 / 9)) < bound(8)


# -- binomial -------------------------------------------------------------------------------------


def binomial(words):
    out = np.zeros(len(words), np.int64)
    sampling.add_binomial(np.array(words, np.uint64), out)
    return out


def test_binomial_against_the_twin():
    words = prg.Stream(SEED).read(8 * 2000).view("<u8")
    assert list(binomial(words)) == naive.binomial(naive.Tape(SEED), 2000)


def test_binomial_counts_exactly_its_own_bits():
    for bit in range(64):
        expected = 1 if bit < 21 else -1 if 32 <= bit < 53 else 0
        assert binomial([1 << bit]) == expected, bit
    ones = (1 << 21) - 1
    assert list(binomial([ones, ones << 32, 2**64 - 1, 0])) == [21, -21, 0, 0]


def test_binomial_is_added():
    out = np.array([10, -10], np.int64)
    sampling.add_binomial(np.array([7, 7], np.uint64), out)
    assert list(out) == [13, -7]


def test_binomial_distribution():
    count = 1 << 18
    drawn = binomial(prg.Stream(SEED).read(8 * count).view("<u8"))
    probabilities = np.array([comb(42, 21 + k) / 2**42 for k in range(-10, 11)])
    observed = np.array([(drawn == k).sum() for k in range(-10, 11)])
    tails = [(abs(drawn) > 10).sum(), 1 - probabilities.sum()]
    observed = np.append(observed, tails[0])
    expected = count * np.append(probabilities, tails[1])
    assert chi_square(observed, expected) < bound(21)
    assert sampling.ETA == 21
    assert pytest.approx((21 / 2) ** 0.5) == sampling.SIGMA
    assert drawn.std() == pytest.approx(sampling.SIGMA, rel=0.01)
    neighbours = np.corrcoef(drawn[:-1], drawn[1:])[0, 1]
    assert abs(neighbours) < 6 / count**0.5
