"""A slow, obvious twin of specs/dealerless.md: both parties in one place, one value at a time.

Python integers. It is given all that is random: a stream of what the layer below deals, in the order in which
the parties ask, and one of each party's own draws. Nothing here imports the project.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class Stream:
    """AES-256-CTR of a 32-byte seed."""

    def __init__(self, seed):
        self.cipher = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor()

    def read(self, count):
        return self.cipher.update(bytes(count))

    def numbers(self, count, bits):
        data = self.read(16 * count)
        return [int.from_bytes(data[16 * i : 16 * i + 16], "little") % 2**bits for i in range(count)]

    def choices(self, count):
        data = self.read((count + 7) // 8)
        return [data[i // 8] >> (7 - i % 8) & 1 for i in range(count)]


class Value:
    """⟦x⟧: the shares and tags of both, modulo 2^bits."""

    def __init__(self, bits, shares, tags):
        self.bits = bits
        self.shares = [x % 2**bits for x in shares]
        self.tags = [m % 2**bits for m in tags]

    @property
    def value(self):
        return sum(self.shares) % 2**self.bits

    def __add__(self, other):
        assert self.bits == other.bits
        shares = [a + b for a, b in zip(self.shares, other.shares, strict=True)]
        return Value(self.bits, shares, [a + b for a, b in zip(self.tags, other.tags, strict=True)])

    def __mul__(self, number):
        return Value(self.bits, [x * number for x in self.shares], [m * number for m in self.tags])

    def __sub__(self, other):
        return self + other * -1

    def up(self, times):
        return Value(self.bits + times, [x << times for x in self.shares], [m << times for m in self.tags])

    def down(self, bits):
        return Value(bits, self.shares, self.tags)


class Twin:
    """Both parties. ``keys`` are α_0, α_1; ``draws`` the two parties' own streams."""

    def __init__(self, source, keys, draws, k, s):
        self.source, self.keys, self.draws, self.k, self.s = source, keys, draws, k, s
        self.numbers, self.truths = k + s, 1 + s
        self.listed = False

    # -- sections 4 and 5 ---------------------------------------------------------------------------

    def inputs(self, values, bits):
        """Of both parties, as two lists."""
        n = len(values[0])
        keys = [self.source.numbers(n, 128) for _ in (0, 1)]  # of the inputs of each
        out = []
        for party in (0, 1):
            made = []
            for x, key in zip(values[party], keys[party], strict=True):
                tag = self.keys[1 - party] * x - key
                shares, tags = [0, 0], [0, 0]
                shares[party] = x
                tags[party], tags[1 - party] = self.keys[party] * x + tag, key
                made.append(Value(bits, shares, tags))
            out.append(made)
        return out

    def random(self, count, bits):
        own = [draw.numbers(count, bits) for draw in self.draws]
        zero, one = self.inputs(own, bits)
        return [a + b for a, b in zip(zero, one, strict=True)]

    def plus(self, value, constant):
        shares = [value.shares[0] + constant, value.shares[1]]
        return Value(
            value.bits, shares, [m + a * constant for m, a in zip(value.tags, self.keys, strict=True)]
        )

    def open(self, value):
        self.require(value)
        return value.value

    def require(self, value):
        """What a check finds: the tag of the value."""
        assert (sum(value.tags) - sum(self.keys) * value.value) % 2**value.bits == 0
        self.listed = True

    def zero(self, value):
        assert value.value == 0
        self.require(value)

    def check(self):
        if self.listed:
            self.source.read(32)
        self.listed = False

    def t(self):
        return int.from_bytes(self.source.read(16), "little") % 2**self.s

    # -- section 6 ------------------------------------------------------------------------------------

    def halves(self, values, bits, depth):
        """For each party: lists of (a, â, z, ẑ) as chooser and (y, ŷ) as the other."""
        n = len(values[0])
        choices = [draw.choices(n * depth) for draw in self.draws]
        pads = [[self.source.numbers(n * depth, 128) for _ in (0, 1)] for _ in (0, 1)]
        seed = Stream(self.source.read(32))
        factors = [seed.numbers(depth, bits) for _ in (0, 1)]
        chooser, other = [[], []], [[], []]
        for party in (0, 1):
            x, (zero, one) = choices[party], pads[1 - party]
            for i in range(n):
                v = values[1 - party][i]
                made, left = [], []
                for rho in factors:
                    a = z = y = 0
                    for h in range(depth):
                        j = i * depth + h
                        d = zero[j] - one[j] + v
                        string = one[j] + d if x[j] else zero[j]
                        a, z, y = a + rho[h] * x[j], z + rho[h] * string, y - rho[h] * zero[j]
                    made.append((a % 2**bits, z))
                    left.append(y)
                assert all((a * v - z - y) % 2**bits == 0 for (a, z), y in zip(made, left, strict=True))
                chooser[party].append((made[0][0], made[1][0], made[0][1], made[1][1]))
                other[1 - party].append(tuple(left))
        return chooser, other

    def triples(self, count, bits, *, hidden=False):
        k = bits - self.s
        b = [draw.numbers(count, bits) for draw in self.draws]
        chooser, other = self.halves(b, bits, (3 if hidden else 4) * self.s + 2 * k)
        values = []
        for party in (0, 1):
            rows = []
            for i in range(count):
                (a, a2, z, z2), (y, y2) = chooser[party][i], other[party][i]
                rows.append((a, b[party][i], a * b[party][i] + z + y, a2, a2 * b[party][i] + z2 + y2))
            values.append([row[j] % 2**bits for j in range(5) for row in rows])
        one, two = self.inputs(values, bits)
        a, b, c, a2, c2 = parts([x + y for x, y in zip(one, two, strict=True)], 5)
        t = self.t()
        for i in range(count):
            p = self.open(a[i] * t - a2[i])
            self.zero(c[i] * t - c2[i] - b[i] * p)
        self.check()
        return a, b, c

    def squares(self, count, bits):
        n = count // 2
        u, u2 = [], []
        for draw in self.draws:
            u.append(draw.numbers(n, bits))
            u2.append(draw.numbers(n, bits))
        chooser, other = self.halves(u, bits, 4 * self.s + 2 * (bits - self.s))
        values = []
        for party in (0, 1):
            first = [(a, a2, a * a + 2 * z, a2 * a + 2 * z2) for a, a2, z, z2 in chooser[party]]
            second = [
                (v, v2, v * v + 2 * y, v2 * v + 2 * y2)
                for v, v2, (y, y2) in zip(u[party], u2[party], other[party], strict=True)
            ]
            rows = first + second if party == 0 else second + first
            values.append([row[j] % 2**bits for j in range(4) for row in rows])
        sides = [parts(side, 4) for side in self.inputs(values, bits)]
        t = self.t()
        found = []
        for i in range(count):
            c, d = (0, 1) if i < n else (1, 0)
            (uc, uc2, wc, wc2), (ud, ud2, wd, wd2) = ([column[i] for column in sides[p]] for p in (c, d))
            p, q = self.open(uc * t - uc2), self.open(ud * t - ud2)
            self.zero((wc + wd) * t - wc2 - wd2 - (uc + ud * 2) * p - ud * q)
            found.append((uc + ud, wc + wd))
        self.check()
        return [u for u, _ in found], [w for _, w in found]

    def private_squares(self, count, bits):
        values = []
        for draw in self.draws:
            u, u2 = draw.numbers(count, bits), draw.numbers(count, bits)
            rows = [(a, b, a * a, a * b) for a, b in zip(u, u2, strict=True)]
            values.append([row[j] % 2**bits for j in range(4) for row in rows])
        sides = [parts(side, 4) for side in self.inputs(values, bits)]
        t = self.t()
        for u, u2, w, w2 in sides:
            for i in range(count):
                p = self.open(u[i] * t - u2[i])
                self.zero(w[i] * t - w2[i] - u[i] * p)
        self.check()
        return [(u, w) for u, _, w, _ in sides]

    # -- section 7 ------------------------------------------------------------------------------------

    def random_bits(self, count):
        bits = self.numbers
        u, w = self.squares(count + count % 2, bits)
        opened = [self.open(w[i] + u[i]) for i in range(len(u))]
        self.check()
        out = []
        for i in range(count):
            e = 0
            for place in range(bits):  # one more right bit a step
                if (e * e + e - opened[i]) >> place & 1:
                    e += 1 << place
            assert e % 2 == 0
            assert (e * e + e - opened[i]) % 2**bits == 0
            inverse = pow(2 * e + 1, -1, 2**bits)
            out.append(self.plus(u[i] * -inverse, e * inverse))
        return out

    # -- section 8 ------------------------------------------------------------------------------------

    def comparisons(self, count):
        """For each: R, bits, factors, products."""
        k, s = self.k, self.s
        drawn = self.random_bits(count * k)
        upper = [value.up(k) for value in self.random(count, s)]
        bits = [[b.down(self.truths) for b in drawn[n * k : n * k + k]] for n in range(count)]
        middle = [bits[n][i] for n in range(count) for i in range(1, k - 1)]
        a, b, c = self.triples(len(middle), self.truths, hidden=True)
        hiding = [value.up(1) for value in self.random(len(middle), s)]
        products = []
        for i in range(len(middle)):
            difference = self.open(middle[i] - a[i] + hiding[i])
            products.append(c[i] + b[i] * difference)
        self.check()
        out = []
        for n in range(count):
            mask = upper[n]
            for i in range(k):
                mask += drawn[n * k + i] * 2**i
            here = slice(n * (k - 2), (n + 1) * (k - 2))
            out.append((mask, bits[n], b[here], products[here]))
        return out

    def msb(self, a, prepared):
        mask, r, factors, products = prepared
        k = self.k
        opened = self.open(a + mask)
        less = r[0] * (1 - (opened & 1))
        for i in range(1, k - 1):
            difference = self.open(less - factors[i - 1])
            product = products[i - 1] + r[i] * difference
            less = product if opened >> i & 1 else less + r[i] - product
        return self.plus(r[k - 1] + less, opened >> (k - 1) & 1)

    def reveal(self, truth, cover):
        self.check()
        return self.open(truth + cover) & 1

    # -- section 9 ------------------------------------------------------------------------------------

    def probe(self, x, prober, entries, threshold, masks, prepared, covers):
        """``masks`` are the prober's u_1 … u_d, Σ u²."""
        u, squared = masks[:-1], masks[-1]
        hidden = [(a - b.shares[prober]) % 2**self.numbers for a, b in zip(x, u, strict=True)]
        shared = [self.plus(b, e) for b, e in zip(u, hidden, strict=True)]
        length = self.plus(squared, sum(e * e for e in hidden))
        for b, e in zip(u, hidden, strict=True):
            length += b * (2 * e)
        signs = []
        for c, comparison in zip(entries, prepared, strict=True):
            distance = self.plus(length, sum(y * y for y in c) - threshold)
            for y, value in zip(c, shared, strict=True):
                distance += value * (-2 * y)
            signs.append(self.msb(distance, comparison))
        self.check()
        return [self.reveal(sign, cover) for sign, cover in zip(signs, covers, strict=True)]


def parts(values, count):
    n = len(values) // count
    return [values[i * n : (i + 1) * n] for i in range(count)]
