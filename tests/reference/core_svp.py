"""A small estimator of the primal attack on module-LWE: what the parameter table is checked against.

Method: the primal uSVP attack in the core-SVP model of Alkim, Ducas, Pöppelmann and Schwabe,
"Post-quantum key exchange - a New Hope" (USENIX Security 2016), section 6.3; the success
condition is the one that Albrecht, Göpfert, Virdia and Wunderer confirmed by experiment in
"Revisiting the Expected Cost of Solving uSVP and Applications to LWE" (ASIACRYPT 2017):
BKZ with block size beta finds the short vector where

    sigma sqrt(beta) <= delta^(2 beta - d - 1) vol^(1/d),     d = n + m + 1,
    delta = ((pi beta)^(1/beta) beta / (2 pi e))^(1 / (2 (beta - 1))).

Secrets shorter than the error are stretched by nu = sigma_error / sigma_secret (Bai and
Galbraith, ACISP 2014), so vol = q^m nu^n. The number of samples m is chosen by the attacker.

Two costs. `classical` is 0.292 beta, one call of a sieve with every polynomial factor left out
("core-SVP", Becker, Ducas, Gama and Laarhoven, SODA 2016): a lower bound, and the figure that
the Kyber papers print. `standard` is 0.292 beta + 16.4 + log2(8 d), eight tours of BKZ with
the sieve's measured constant: the model that the HomomorphicEncryption.org tables of 2018
define their 128 bits by. The module structure is not used: the dimension is n times rank.
Dual and hybrid attacks are not estimated.
"""

from __future__ import annotations

import math


def delta(beta):
    """Root Hermite factor of BKZ with this block size."""
    return ((math.pi * beta) ** (1 / beta) * beta / (2 * math.pi * math.e)) ** (1 / (2 * (beta - 1)))


def succeeds(beta, n, m, log2_q, sigma_error, sigma_secret):
    d = n + m + 1
    stretch = max(1.0, sigma_error / sigma_secret)
    volume = (m * log2_q + n * math.log2(stretch)) / d
    right = (2 * beta - d - 1) * math.log2(delta(beta)) + volume
    return math.log2(sigma_error) + math.log2(beta) / 2 <= right


def attack(n, log2_q, sigma_error, sigma_secret, samples):
    """The least block size that succeeds with up to ``samples`` samples, and the dimension d it takes."""
    counts = [*range(max(1, n // 8), samples, max(1, n // 128)), samples]

    def dimension(beta):
        """Of the smallest lattice that is enough; 0 where none is."""
        return next((n + m + 1 for m in counts if succeeds(beta, n, m, log2_q, sigma_error, sigma_secret)), 0)

    low, high = 50, 4096
    assert dimension(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if dimension(middle) else (middle, high)
    return high, dimension(high)


def classical(beta, d):
    """log2 of one sieve, polynomial factors left out; d does not matter."""
    return 0.292 * beta


def standard(beta, d):
    """log2 of the cost that the standard's tables are computed with."""
    return 0.292 * beta + 16.4 + math.log2(8 * d)
