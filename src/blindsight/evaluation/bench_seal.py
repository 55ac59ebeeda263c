"""What matching costs on Microsoft SEAL: ours, TenSEAL's straightforward way, and `lattice`, in one run.

Everything happens in this process; SEAL computes on one thread. What is compared stands in turn
with what it is compared with, after a warm-up and with a pause where NumPy's threads were at work;
times are medians. Sizes are those of the serialised bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from blindsight.core.errors import ModelError
from blindsight.core.matching import KeyHolder, MatchingEngine
from blindsight.core.types import AnyArray
from blindsight.encoding import Encoding, GalleryEncoding
from blindsight.schemes.bfv.compute import ENGINE as BFV
from blindsight.schemes.bfv.reveal import BfvKeyHolder, WatchKeyHolder
from blindsight.schemes.bfv.watch import PlaintextGallery, WatchKeys
from blindsight.schemes.bfv.watch_params import WatchParams
from blindsight.schemes.ckks import distance, pairs
from blindsight.schemes.ckks.compute import ENGINE as CKKS
from blindsight.schemes.ckks.reveal import CkksKeyHolder, DistanceKeyHolder, PairKeyHolder
from blindsight.schemes.lattice.compute import ENGINE as LATTICE
from blindsight.schemes.lattice.reveal import LatticeKeyHolder
from blindsight.schemes.lattice.secret import SecretKey
from blindsight.trusted.schemes import encoding_for, params_for

DIMENSION = 128
TENSEAL_DEGREE, TENSEAL_BITS, TENSEAL_SCALE = 8192, [60, 40, 40, 60], 40
"""What TenSEAL's own tutorials use for CKKS, and the smallest of its sets that is accurate here."""

WATCH_SCALE = 160
"""Integers a unit of a plaintext gallery's vectors and probes: scores stay below a 17-bit modulus."""

PUBLISHED = {"ms": 11, "up_bytes": 28_000, "down_bytes": 52_000}
"""Apple's swift-homomorphic-encryption, 4096 x 128 in the clear, as published, on another machine.
Its answers are not flooded, and its probe therefore fits a ring of half the degree."""

_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Row:
    """The benchmark. Times in milliseconds, medians; see the module for the set-up.

    ``verify…``: 1:1, both vectors encrypted, compared and revealed. ``…tenseal``: ``a.dot(b)`` at
    `TENSEAL_DEGREE`, without what serialising would add to its time; bytes are both vectors and
    the answer. ``…seven_rotations`` and ``seed_loop``: the same 1:1 by the ways of Yang et al.

    ``identify…``: the matcher's time for one probe and ``templates`` encrypted templates.
    ``…tenseal_loop_s`` is extrapolated from ``…tenseal_loop_sample`` pairs, times the templates; it
    counts ``dot`` alone. ``…ratio…`` is the loop to the matcher's time, ``…with_client_ratio…`` to
    matcher and client together.
    ``lattice_ms`` is the same gallery under this project's own scheme, on all cores.

    ``plaintext_gallery…``: an encrypted probe, `PUBLISHED` beside it.
    """

    dim: int
    verify_ms: float
    verify_tenseal_ms: float
    verify_ratio_vs_tenseal: float
    verify_bytes: int
    verify_tenseal_bytes: int
    verify_bytes_ratio_vs_tenseal: float
    verify_key_bytes: int
    verify_tenseal_key_bytes: int
    verify_error_max: float
    verify_seven_rotations_ms: float
    verify_seven_rotations_bytes: int
    verify_seven_rotations_key_bytes: int
    seed_loop_ms: float
    templates: int
    identify_ms: float
    identify_client_ms: float
    identify_up_bytes: int
    identify_down_bytes: int
    identify_error_max: float
    identify_tenseal_loop_s: float
    identify_tenseal_loop_sample: int
    identify_ratio_vs_tenseal_loop: float
    identify_with_client_ratio_vs_tenseal_loop: float
    identify_bfv_ms: float
    lattice_ms: float
    lattice_client_ms: float
    lattice_up_bytes: int
    lattice_down_bytes: int
    plaintext_gallery_templates: int
    plaintext_gallery_ms: float
    plaintext_gallery_client_ms: float
    plaintext_gallery_up_bytes: int
    plaintext_gallery_down_bytes: int
    plaintext_gallery_key_bytes: int
    plaintext_gallery_flood_bits: int
    plaintext_gallery_exact: bool
    plaintext_gallery_published_ms: float
    plaintext_gallery_published_up_bytes: int
    plaintext_gallery_published_down_bytes: int
    plaintext_gallery_lattice_ms: float


def bench_seal(
    templates: int = 10_000,
    watched: int = 4096,
    *,
    repeats: int = 15,
    pairs_sampled: int = 40,
    progress: Callable[[str], None] = lambda _: None,
    _seed: int = 1,
) -> Row:
    """Measure everything; see `Row`.

    Args:
        templates: vectors in the encrypted gallery.
        watched: vectors in the plaintext gallery.
        repeats: timed runs of each kind, but for the slowest.
        pairs_sampled: pairs of TenSEAL's loop that are timed.
        progress: told what is being done.

    """
    generator = np.random.default_rng(_seed)
    tenseal = _TenSeal()
    progress("1:1, beside TenSEAL's dot product")
    found: dict[str, Any] = _verify(tenseal, generator, repeats)
    gallery = _unit(generator, templates)
    progress(f"1:N, {templates:,} templates: ckks, bfv, lattice")
    found |= _identify(gallery, generator, repeats)
    progress(f"1:N as a loop over TenSEAL pairs, {pairs_sampled} of {templates:,}")
    each = tenseal.loop_ms(gallery[:pairs_sampled], generator)
    found["identify_tenseal_loop_s"] = round(each * templates / 1e3, 1)
    found["identify_ratio_vs_tenseal_loop"] = round(each * templates / found["identify_ms"])
    whole = found["identify_ms"] + found["identify_client_ms"]
    found["identify_with_client_ratio_vs_tenseal_loop"] = round(each * templates / whole)
    progress(f"a plaintext gallery of {watched:,} templates")
    found |= _watched(_unit(generator, watched), generator, repeats)
    found |= {f"plaintext_gallery_published_{name}": value for name, value in PUBLISHED.items()}
    return Row(dim=DIMENSION, templates=templates, identify_tenseal_loop_sample=pairs_sampled, **found)


# -- 1:1 ---------------------------------------------------------------------------------------------


class _TenSeal:
    """CKKS as TenSEAL's tutorials use it: one vector a ciphertext, and ``dot``."""

    def __init__(self) -> None:
        try:
            import tenseal
        except ImportError as error:
            raise ModelError('The benchmark needs TenSEAL: pip install "blindsight[seal]".') from error
        self._tenseal = tenseal
        self._context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, TENSEAL_DEGREE, coeff_mod_bit_sizes=TENSEAL_BITS
        )
        self._context.global_scale = 2.0**TENSEAL_SCALE
        self._context.generate_galois_keys()

    def encrypted(self, vector: AnyArray) -> Any:
        return self._tenseal.ckks_vector(self._context, vector.tolist())

    def verified(self, one: AnyArray, other: AnyArray) -> float:
        product: float = self.encrypted(one).dot(self.encrypted(other)).decrypt()[0]
        return product

    def bytes(self, one: AnyArray, other: AnyArray) -> int:
        first, second = self.encrypted(one), self.encrypted(other)
        return sum(len(each.serialize()) for each in (first, second, first.dot(second)))

    def key_bytes(self) -> int:
        public = self._context.copy()
        public.make_context_public()
        return len(public.serialize())

    def loop_ms(self, vectors: AnyArray, generator: np.random.Generator) -> float:
        """One encrypted probe against encrypted templates, one after the other: the median of a pair."""
        probe = self.encrypted(_unit(generator, 1)[0])
        templates = [self.encrypted(vector) for vector in vectors]
        return float(np.median([_ms(partial(probe.dot, one)) for one in templates]))


def _verify(tenseal: _TenSeal, generator: np.random.Generator, repeats: int) -> dict[str, Any]:
    holder = DistanceKeyHolder.generate(distance.DistanceParams(DIMENSION))
    paired = PairKeyHolder.generate(pairs.PairParams(DIMENSION))
    data = paired.evaluation_keys()
    keys = pairs.EvaluationKeys.load(paired.params, data)

    def ours(one: AnyArray, other: AnyArray) -> float:
        protected = holder.protect(one), holder.protect(other)
        return holder.reveal(distance.compare(holder.params, *protected))

    def rotated(by: Callable[..., bytes], one: AnyArray, other: AnyArray) -> float:
        return paired.reveal(by(paired.params, keys, paired.protect(one), paired.protect(other)))

    times, errors = [], []
    ways = (
        ours,
        tenseal.verified,
        partial(rotated, pairs.compare),
        partial(rotated, pairs.compare_by_single_rotations),
    )
    for _ in range(repeats + 2):
        one, other = _unit(generator, 2)
        times.append([_ms(partial(way, one, other)) for way in ways])
        errors.append(abs(ours(one, other) ** 2 - float(np.sum((one - other) ** 2))))
    table = np.array(times[2:])
    size = 2 * holder.params.vector_bytes + holder.params.answer_bytes
    theirs = tenseal.bytes(one, other)
    return {
        "verify_ms": _rounded(table[:, 0]),
        "verify_tenseal_ms": _rounded(table[:, 1]),
        "verify_ratio_vs_tenseal": round(float(np.median(table[:, 1] / table[:, 0])), 1),
        "verify_bytes": size,
        "verify_tenseal_bytes": theirs,
        "verify_bytes_ratio_vs_tenseal": round(theirs / size, 1),
        "verify_key_bytes": 0,
        "verify_tenseal_key_bytes": tenseal.key_bytes(),
        "verify_error_max": float(f"{max(errors):.2g}"),
        "verify_seven_rotations_ms": _rounded(table[:, 2]),
        "verify_seven_rotations_bytes": 2 * paired.params.vector_bytes + paired.params.answer_bytes,
        "verify_seven_rotations_key_bytes": len(data),
        "seed_loop_ms": _rounded(table[:, 3]),
    }


# -- 1:N, encrypted gallery --------------------------------------------------------------------------


class _Searched:
    """One scheme's gallery and key, and what a search costs on either side."""

    def __init__(
        self, engine: MatchingEngine, encoding: GalleryEncoding, holder: KeyHolder, vectors: AnyArray
    ):
        self._engine, self._encoding, self._holder = engine, encoding, holder
        heads, self._bodies = holder.protect_blocks(encoding.templates(vectors).values)
        self._prepared = holder.prepare(heads, holder.hints(heads, self._bodies))
        self._slots = np.arange(len(heads))
        self.up = holder.params.probe_bytes
        self.down = len(heads) * holder.params.answer_bytes
        self._vectors = vectors
        self.error = 0.0

    def times(self, query: AnyArray) -> tuple[float, float]:
        """Milliseconds of the matcher, and of the client."""
        probes = self._encoding.probes(query)
        time.sleep(_PAUSE)
        started = time.perf_counter()
        sent, kept = self._holder.protect_probes(probes.values)
        client = time.perf_counter() - started
        started = time.perf_counter()
        answer = self._engine.match(self._holder.params, self._bodies, self._slots, sent)
        matcher = time.perf_counter() - started
        started = time.perf_counter()
        raw = self._holder.reveal(kept, self._prepared, answer)
        client += time.perf_counter() - started
        scores = self._encoding.scores(raw[:, : len(self._vectors)], probes)[0]
        self.error = max(self.error, float(np.abs(scores - self._vectors @ query).max()))
        return matcher * 1e3, client * 1e3


def _searched(scheme: str, vectors: AnyArray) -> _Searched:
    precision = "exact" if scheme == "bfv" else "approximate"
    encoding = encoding_for(DIMENSION, "cosine", 1.0, precision, scheme=scheme)  # type: ignore[arg-type]
    params: Any = params_for(scheme, encoding, precision)  # type: ignore[arg-type]
    if scheme == "lattice":
        return _Searched(LATTICE, encoding, LatticeKeyHolder(SecretKey.generate(params)), vectors)
    if scheme == "bfv":
        return _Searched(BFV, encoding, BfvKeyHolder.generate(params), vectors)
    return _Searched(CKKS, encoding, CkksKeyHolder.generate(params), vectors)


def _identify(gallery: AnyArray, generator: np.random.Generator, repeats: int) -> dict[str, Any]:
    ckks, lattice = _searched("ckks", gallery), _searched("lattice", gallery)
    queries = _unit(generator, repeats + 2)
    table = np.array([[*ckks.times(query), *lattice.times(query)] for query in queries])[2:]
    exact = _searched("bfv", gallery)
    slow = [exact.times(query)[0] for query in queries[:3]]
    return {
        "identify_ms": _rounded(table[:, 0]),
        "identify_client_ms": _rounded(table[:, 1]),
        "identify_up_bytes": ckks.up,
        "identify_down_bytes": ckks.down,
        "identify_error_max": float(f"{ckks.error:.2g}"),
        "identify_bfv_ms": _rounded(np.array(slow[1:])),
        "lattice_ms": _rounded(table[:, 2]),
        "lattice_client_ms": _rounded(table[:, 3]),
        "lattice_up_bytes": lattice.up,
        "lattice_down_bytes": lattice.down,
    }


# -- 1:N, plaintext gallery --------------------------------------------------------------------------


def _watched(gallery: AnyArray, generator: np.random.Generator, repeats: int) -> dict[str, Any]:
    encoding = Encoding(DIMENSION, "cosine", WATCH_SCALE, WATCH_SCALE)
    params = WatchParams.integers(
        encoding.width,
        template_norm=encoding.template_norm,
        probe_norm=encoding.probe_norm,
        score_bound=encoding.score_bound,
    )
    holder = WatchKeyHolder.generate(params)
    data = holder.evaluation_keys()
    keys = WatchKeys.load(params, data)
    templates = encoding.templates(gallery).values
    owner = PlaintextGallery(params, templates)
    lattice = _searched("lattice", gallery)
    times, exact, answer = [], True, b""
    for query in _unit(generator, repeats + 2):
        probe = encoding.probes(query).values[0]
        beside = lattice.times(query)[0]
        time.sleep(_PAUSE)
        started = time.perf_counter()
        sent = holder.protect(probe)
        client = time.perf_counter() - started
        started = time.perf_counter()
        answer = owner.answer(keys, sent)
        server = time.perf_counter() - started
        started = time.perf_counter()
        scores = holder.reveal(answer, len(gallery))
        client += time.perf_counter() - started
        exact &= np.array_equal(scores, templates.astype(np.int64) @ probe)
        times.append((server * 1e3, client * 1e3, beside))
    table = np.array(times[2:])
    return {
        "plaintext_gallery_templates": len(gallery),
        "plaintext_gallery_ms": _rounded(table[:, 0]),
        "plaintext_gallery_client_ms": _rounded(table[:, 1]),
        "plaintext_gallery_up_bytes": params.probe_bytes,
        "plaintext_gallery_down_bytes": len(answer),
        "plaintext_gallery_key_bytes": len(data),
        "plaintext_gallery_flood_bits": params.flood_bits,
        "plaintext_gallery_exact": exact,
        "plaintext_gallery_lattice_ms": _rounded(table[:, 2]),
    }


def _unit(generator: np.random.Generator, count: int) -> AnyArray:
    vectors = generator.standard_normal((count, DIMENSION))
    unit: AnyArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def _rounded(values: AnyArray) -> float:
    return round(float(np.nanmedian(values)), 3)
