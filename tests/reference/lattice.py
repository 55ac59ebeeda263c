"""The whole lattice scheme from its formulas, on polynomials with Python integers as coefficients.

Everything grows from the same seeds as in the project, but by `reference.sampling` and
`reference.ring` alone; nothing here imports the project. Vectors of ring elements are lists
of coefficient arrays modulo Q, the product of the primes. Transforms appear only where the
specification fixes bytes: public matrices are drawn, and blocks, probes and hints are
written, in the transformed basis.
"""

from __future__ import annotations

import math

import numpy as np

from reference import ring, sampling

N = 256


class Lattice:
    """One key: ``parameters`` has the attributes of the project's parameter set."""

    def __init__(self, parameters, seed):
        p = self.p = parameters
        self.q = math.prod(p.primes)
        self.shift = 14 if len(p.primes) == 1 else 28
        self.unit = p.template_factor * p.probe_factor
        self.seed = seed
        self.key_id = sampling.derive(seed, "lattice key id").hex()[:32]
        self.s = self._secrets("lattice gallery secrets")
        self.t = self._secrets("lattice probe secrets")

    def _secrets(self, purpose):
        p = self.p
        tape = sampling.Tape(sampling.derive(self.seed, purpose))
        drawn = sampling.ternary(tape, p.width * p.rank * N)
        polynomials = np.array(drawn, dtype=object).reshape(p.width, p.rank, N)
        return [list(of_coordinate) for of_coordinate in polynomials]

    # -- ring vectors ----------------------------------------------------------------------------

    def dot(self, a, b):
        """<a, b>, coefficients in [0, Q)."""
        total = np.zeros(N, dtype=object)
        for x, y in zip(a, b, strict=True):
            total += ring.negacyclic(x, y, self.q)
        return total % self.q

    def matrix_values(self, seed):
        """The public matrix as it is drawn: residues (primes, rank, 256), transformed."""
        p = self.p
        tape = sampling.Tape(seed)
        return [np.array(sampling.uniform(tape, p.rank * N, prime)).reshape(p.rank, N) for prime in p.primes]

    def matrix(self, seed):
        """The public matrix A as polynomials."""
        return self.from_values(self.matrix_values(seed))

    def from_values(self, values):
        """Transformed residues (primes, count, 256) to a list of polynomials modulo Q."""
        p = self.p
        limbs = [
            [ring.inverse_ntt(row, prime) for row in limb]
            for limb, prime in zip(values, p.primes, strict=True)
        ]
        return [
            np.array(
                [ring.crt(residues, p.primes) % self.q for residues in zip(*polynomial, strict=True)],
                dtype=object,
            )
            for polynomial in zip(*limbs, strict=True)
        ]

    def to_bytes(self, polynomials):
        """Polynomials as they are written: transformed, centred, tiled, int32 little-endian."""
        limbs = []
        for prime in self.p.primes:
            rows = [ring.ntt(polynomial, prime) for polynomial in polynomials]
            limbs.append([[ring.centred(value, prime) for value in row] for row in rows])
        return ring.tile(np.array(limbs)).astype("<i4").tobytes()

    def from_bytes(self, data, count):
        tiled = np.frombuffer(bytes(data), "<i4").reshape(len(self.p.primes), N // 64, count, 64)
        return self.from_values(ring.untile(tiled))

    # -- the steps ---------------------------------------------------------------------------------

    def noise(self, seed):
        """width x 256 errors of a block: a function of the key and the block's seed."""
        tape = sampling.Tape(sampling.derive(self.seed, "lattice block noise", seed))
        return np.array(sampling.binomial(tape, self.p.width * N), dtype=object).reshape(-1, N)

    def protect_block(self, templates, seed):
        """B_i = <A, s_i> + E_i + Delta_x G_i(X); templates (rows, width)."""
        p = self.p
        A, E = self.matrix(seed), self.noise(seed)
        block = []
        for i in range(p.width):
            G = np.zeros(N, dtype=object)
            for j, template in enumerate(templates):
                G[j] = int(template[i])
            block.append((self.dot(A, self.s[i]) + E[i] + p.template_factor * G) % self.q)
        return block

    def open_block(self, block, seed):
        p = self.p
        A, E = self.matrix(seed), self.noise(seed)
        out = np.zeros((N, p.width), dtype=object)
        for i in range(p.width):
            for j, value in enumerate((block[i] - self.dot(A, self.s[i]) - E[i]) % self.q):
                quotient, rest = divmod(ring.centred(value, self.q), p.template_factor)
                assert rest == 0
                out[j, i] = quotient
        return out

    def protect_probe(self, probe, noise_seed, matrix_seed):
        """beta_i = <a', t_i> + e'_i(X) + Delta_q p_i, and the pair (a', U) that stays."""
        p = self.p
        tape = sampling.Tape(noise_seed)
        e = np.array(sampling.binomial(tape, p.width * N), dtype=object).reshape(-1, N)
        a = self.matrix(matrix_seed)
        beta = []
        U = [np.zeros(N, dtype=object) for _ in range(p.rank)]
        for i in range(p.width):
            plain = e[i].copy()
            plain[0] += p.probe_factor * int(probe[i])
            beta.append((self.dot(a, self.t[i]) + plain) % self.q)
            unmasked = (beta[i] - self.dot(a, self.t[i])) % self.q
            U = [
                (u + ring.negacyclic(s, unmasked, self.q)) % self.q for u, s in zip(U, self.s[i], strict=True)
            ]
        return beta, (a, U)

    def match(self, block, beta):
        """C = sum of B_i beta_i, rounded to its top bits: 256 integers."""
        C = self.dot(block, beta)
        largest = 2 ** (16 * len(self.p.primes) - 1) - 1
        half = 2 ** (self.shift - 1)
        return [min((ring.centred(c, self.q) + half) // 2**self.shift, largest) for c in C]

    def hint(self, block):
        """R = sum of t_i B_i: rank polynomials."""
        R = [np.zeros(N, dtype=object) for _ in range(self.p.rank)]
        for t, B in zip(self.t, block, strict=True):
            R = [(r + ring.negacyclic(x, B, self.q)) % self.q for r, x in zip(R, t, strict=True)]
        return R

    def reveal(self, kept, seed, R, answer):
        """C - <A, U> - <a', R>: 256 integers, still multiplied by Delta_x Delta_q."""
        a, U = kept
        masks = self.dot(self.matrix(seed), U) + self.dot(a, R)
        return [ring.centred(c * 2**self.shift - mask, self.q) for c, mask in zip(answer, masks, strict=True)]
