"""The table of the conformance suite: one row a scheme, metric, precision and dimension.

A scheme joins by adding a line to `SCHEMES` and the pairs it is to be tested with to `CASES`.
The suite asks nothing else of it than `blindsight.core.matching` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from blindsight.core.matching import KeyHolder, MatchingEngine
from blindsight.encoding import Encoding
from blindsight.schemes.bfv import compute as bfv_compute
from blindsight.schemes.bfv.params import Params as BfvParams
from blindsight.schemes.bfv.reveal import BfvKeyHolder
from blindsight.schemes.ckks import compute as ckks_compute
from blindsight.schemes.ckks.params import Params as CkksParams
from blindsight.schemes.ckks.reveal import CkksKeyHolder
from blindsight.schemes.clear import compute as clear_compute
from blindsight.schemes.clear.params import Params as ClearParams
from blindsight.schemes.clear.secret import ClearKey
from blindsight.schemes.lattice import compute as lattice_compute
from blindsight.schemes.lattice.params import Params as LatticeParams
from blindsight.schemes.lattice.reveal import LatticeKeyHolder
from blindsight.schemes.lattice.secret import SecretKey

METRICS = ("cosine", "inner_product", "euclidean")
RADIUS = {"cosine": 1.0, "inner_product": 2.5, "euclidean": 2.5}


@dataclass(frozen=True)
class Scheme:
    """One scheme at one precision.

    Attributes:
        engine: the keyless half.
        encode: the encoding for a dimension, a metric and a radius.
        params: a parameter set for an encoding.
        key: a new key holder for a parameter set.
        exact: whether reveal gives the integer inner products.
        hides: whether ciphertexts hide, so that damage and a wrong key are noticed.
        hint_bytes: size of a block's hint.
    """

    engine: MatchingEngine
    encode: Callable[[int, Any, float], Encoding]
    params: Callable[[Encoding], Any]
    key: Callable[[Any], KeyHolder]
    exact: bool
    hides: bool
    hint_bytes: Callable[[Any], int]


def _bounds(encoding):
    return {
        "template_norm": encoding.template_norm,
        "probe_norm": encoding.probe_norm,
        "score_bound": encoding.score_bound,
    }


def _new_lattice_key(params):
    return LatticeKeyHolder(SecretKey.generate(params))


SCHEMES = {
    "clear": Scheme(
        engine=clear_compute.ENGINE,
        encode=lambda d, metric, radius: Encoding(d, metric, radius=radius),
        params=lambda encoding: ClearParams(encoding.width),
        key=ClearKey,
        exact=True,
        hides=False,
        hint_bytes=lambda params: 0,
    ),
    "lattice-approximate": Scheme(
        engine=lattice_compute.ENGINE,
        encode=lambda d, metric, radius: Encoding(d, metric, radius=radius),
        params=lambda encoding: LatticeParams.approximate(
            encoding.width, **_bounds(encoding), noise_limit=2e-3 * 2**28
        ),
        key=_new_lattice_key,
        exact=False,
        hides=True,
        hint_bytes=lambda params: params.hint_bytes,
    ),
    "lattice-integers": Scheme(
        engine=lattice_compute.ENGINE,
        encode=lambda d, metric, radius: Encoding.integers(d, metric, radius=radius),
        params=lambda encoding: LatticeParams.integers(encoding.width, **_bounds(encoding)),
        key=_new_lattice_key,
        exact=True,
        hides=True,
        hint_bytes=lambda params: params.hint_bytes,
    ),
    "bfv": Scheme(
        engine=bfv_compute.ENGINE,
        encode=lambda d, metric, radius: Encoding.integers(d, metric, radius=radius),
        params=lambda encoding: BfvParams.integers(encoding.width, **_bounds(encoding)),
        key=BfvKeyHolder.generate,
        exact=True,
        hides=True,
        hint_bytes=lambda params: params.hint_bytes,
    ),
    "ckks": Scheme(
        engine=ckks_compute.ENGINE,
        encode=lambda d, metric, radius: Encoding(d, metric, radius=radius),
        params=lambda encoding: CkksParams.approximate(
            encoding.width, **_bounds(encoding), noise_limit=1e-5 * 2**28
        ),
        key=CkksKeyHolder.generate,
        exact=False,
        hides=True,
        hint_bytes=lambda params: params.hint_bytes,
    ),
}

SEAL = ("bfv", "ckks")
"""SEAL's products take milliseconds; these schemes are asked everything, less often."""

CASES = [
    (scheme, metric, d) for scheme in SCHEMES if scheme not in SEAL for metric in METRICS for d in (16, 128)
]
CASES += [(scheme, metric, 16) for scheme in SEAL for metric in ("cosine", "euclidean")]
CASES += [
    ("bfv", "cosine", 128),
    ("ckks", "cosine", 128),
    ("ckks", "inner_product", 16),
    ("clear", "cosine", 4096),
    ("lattice-approximate", "euclidean", 4096),
    ("lattice-integers", "cosine", 4096),
]


class Case:
    """A key, a gallery of three blocks (the last with one template), five probes, and their answer.

    Two blocks and three probes where the scheme is SEAL's and the dimension not the smallest.
    """

    def __init__(self, name, metric, dimension):
        self.scheme = SCHEMES[name]
        self.engine, self.exact, self.hides = self.scheme.engine, self.scheme.exact, self.scheme.hides
        self.encoding = self.scheme.encode(dimension, metric, RADIUS[metric])
        self.params = self.scheme.params(self.encoding)
        self.holder = self.scheme.key(self.params)
        rng = np.random.default_rng(dimension)
        self.seal = name in SEAL
        few = self.seal and dimension > 16
        count = (1 if few else 2) * self.params.rows + 1 if dimension < 1000 else 3
        self.vectors = self.unit(rng, count)
        self.asked = self.unit(rng, 3 if few else 5)
        self.asked[0] = self.vectors[-1]
        self.templates = self.encoding.templates(self.vectors).values
        self.probes = self.encoding.probes(self.asked).values

    def unit(self, rng, count):
        """Random vectors as long as the encoding allows."""
        vectors = rng.normal(size=(count, self.encoding.dimension))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * self.encoding.radius

    @cached_property
    def other(self):
        """A second key with the same parameters."""
        return self.scheme.key(self.params)

    @cached_property
    def gallery(self):
        return self.holder.protect_blocks(self.templates)

    @cached_property
    def prepared(self):
        heads, bodies = self.gallery
        return self.holder.prepare(heads, self.holder.hints(heads, bodies))

    @cached_property
    def sent(self):
        return self.holder.protect_probes(self.probes)

    @cached_property
    def answer(self):
        return self.match(self.gallery[1], self.sent[0])

    def match(self, bodies, probes, slots=None):
        """What a matcher does: check, then compute."""
        self.engine.check_probes(self.params, probes)
        slots = np.arange(len(bodies)) if slots is None else np.asarray(slots)
        return self.engine.match(self.params, bodies, slots, probes)

    def search(self, templates, probes, holder=None):
        """The whole way, scores (probes, rows of all blocks)."""
        holder = holder or self.holder
        heads, bodies = holder.protect_blocks(templates)
        sent, kept = holder.protect_probes(probes)
        prepared = holder.prepare(heads, holder.hints(heads, bodies))
        return holder.reveal(kept, prepared, self.match(bodies, sent))

    def expected(self, templates, probes):
        """Integer inner products with whole blocks, zeros where no template is: the plain truth."""
        rows = self.params.rows
        padded = np.zeros((-(-len(templates) // rows) * rows, self.params.width), np.int64)
        padded[: len(templates)] = templates
        return probes.astype(np.int64) @ padded.T

    def check(self, scores, expected):
        """To the bit where the scheme is exact; else within what the parameters promise."""
        if self.exact:
            assert scores.dtype == np.int64
            np.testing.assert_array_equal(scores, expected)
        else:
            assert scores.dtype == np.float32
            assert scores.shape == expected.shape
            assert abs(scores - expected).max() <= self.params.largest_error


_MADE: dict[tuple[str, str, int], Case] = {}


def case(key):
    if key not in _MADE:
        _MADE[key] = Case(*key)
    return _MADE[key]
