"""Person re-identification as seed 000 evaluates it: matching rates over random splits of people.

A split divides the people in two. On one half attributes, metric and quantiser are learned; of the
other half everybody is enrolled with one crop, and every crop from another camera is a probe. The
rate at rank n is the share of probes whose person is among the n nearest: of the real-valued
features, of features quantised to g bits, and of the same under encryption, by the way that a
user's crowd takes: a vault, a gallery on a matcher, `match_crowds`.

Two tests of a difference of rank-1 rates against the real-valued features, both paired and both
two-sided, since the splits share people and one split's probes share a person:

- over splits: the mean difference over its standard error as Nadeau and Bengio correct it for
  repeated random splits (Machine Learning 52, 2003), by Student's t;
- over probes: a bootstrap of people, each drawn with all their probes in all splits.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import F32, I64, Embedding
from blindsight.encoding import LinearEncoding, Quantiser
from blindsight.evaluation.evidence import Interval
from blindsight.evaluation.identification import Identification
from blindsight.evaluation.resampling import percentiles
from blindsight.evaluation.scores import F64, Searches
from blindsight.schemes.bfv.params import MOST_PROBES, Params
from blindsight.trusted.crowds import match_crowds
from blindsight.trusted.gallery import Gallery
from blindsight.trusted.people import learn
from blindsight.trusted.sealing import Unlock, make_key_file
from blindsight.trusted.vault import Vault
from blindsight.vision.attribute_table import AttributeTable
from blindsight.vision.people import PersonImage

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""

SCHEMES = ("bfv", "lattice")
_MODEL = "reid-split"
_REPLICATES = 10_000
_SLOTS = 4094


@dataclass(frozen=True, slots=True)
class Settings:
    """What is evaluated.

    Attributes:
        splits: random divisions of the people, 2 or more.
        bits: each g.
        dimension: N, attributes and co-occurring attributes.
        least_people: see `train_attributes`.
        scheme: under which the quantised features are matched; None for plaintext alone.
        encrypted_probes: of each split under encryption; 0 for all.
        seed: of the splits; the same seed gives the same report, times apart.

    """

    splits: int = 10
    bits: tuple[int, ...] = tuple(range(1, 9))
    dimension: int = 95
    least_people: int = 5
    scheme: str | None = "bfv"
    encrypted_probes: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.splits < 2:
            raise UsageError("A standard deviation over splits needs two of them or more.")
        if not self.bits or any(not 1 <= g <= 8 for g in self.bits) or len(set(self.bits)) < len(self.bits):
            raise UsageError("Features are quantised to 1 to 8 bits, each number once.")
        if self.scheme is not None and self.scheme not in SCHEMES:
            raise UsageError(f"The exact schemes are {' and '.join(SCHEMES)}; choose one of them.")
        if self.encrypted_probes < 0:
            raise UsageError("The number of encrypted probes is 0, for all, or more.")


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """Matching rates of one kind of features.

    Attributes:
        cmc: float64 (splits, ranks), at rank 1, 2, …
        hits: for each split float64 (probes,), the rank-1 share of each probe: 1 where its person
            is nearest, 1/t where t are equally near.

    """

    cmc: F64
    hits: tuple[F64, ...] = field(repr=False)

    def mean(self, rank: int) -> float:
        """Over the splits."""
        return float(self.cmc[:, rank - 1].mean())

    def deviation(self, rank: int) -> float:
        """Standard deviation over the splits, n - 1 in the divisor."""
        return float(self.cmc[:, rank - 1].std(ddof=1))


@dataclass(frozen=True, slots=True, eq=False)
class Encrypted:
    """What came back from the matcher for one g.

    Attributes:
        rates: of the distances that were decrypted.
        plain: of the same probes, computed in the clear from the same integers.
        distances: how many were compared with the plaintext's.
        unequal: how many of them differ; 0 for an exact scheme.
        milliseconds: for one probe, all of it, in the mean.
        up, down: bytes for one probe, in the mean.

    """

    rates: Rates
    plain: Rates
    distances: int
    unequal: int
    milliseconds: float
    up: float
    down: float

    @property
    def equal(self) -> bool:
        """Whether every distance and the whole CMC are those of the plaintext."""
        return self.unequal == 0 and np.array_equal(self.rates.cmc, self.plain.cmc)


@dataclass(frozen=True, slots=True)
class Difference:
    """Rank-1 rate less the real-valued features' one; see the module for both tests.

    Attributes:
        mean: over splits, as a share.
        p_splits: of the corrected resampled t-test.
        interval: 95 %, by the bootstrap of people.

    """

    mean: float
    p_splits: float
    interval: Interval

    @property
    def significant(self) -> bool:
        """At 5 %, by either of the two."""
        return self.p_splits < 0.05 or 0.0 not in self.interval


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All that was measured.

    Attributes:
        settings: as asked for.
        people: all of them; ``crops``, and ``single`` who were seen by one camera alone.
        gallery: enrolled in a split.
        probes: of each split.
        real: rates of real-valued features.
        widest: by g, L f quantised in the range of the largest training value, as the paper does.
        quantised: by g, in the range that is fitted.
        encrypted: by g; empty without a scheme.
        differences: by g, of ``quantised`` against ``real``.
        parameters: by g, of the scheme, in words.

    """

    settings: Settings
    people: int
    crops: int
    single: int
    gallery: int
    probes: tuple[int, ...]
    real: Rates
    widest: Mapping[int, Rates]
    quantised: Mapping[int, Rates]
    encrypted: Mapping[int, Encrypted]
    differences: Mapping[int, Difference]
    parameters: Mapping[int, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    """One split after training: mapped features of both halves, and L f as it is."""

    learned: F32
    gallery: F32
    probes: F32
    gallery_people: tuple[str, ...]
    probe_people: tuple[str, ...]
    unturned: tuple[F64, F64, F64]


def evaluate_reid(
    images: Sequence[PersonImage],
    features: F32,
    table: AttributeTable,
    settings: Settings,
    progress: Progress | None = None,
) -> Evaluation:
    """Run the experiment on the image features of crops, (crops, D).

    Raises:
        UsageError: nobody was seen by two cameras, too few people, or a person without a row.
        ParameterError: bits that the scheme's parameters cannot hold.

    """
    persons = np.array([image.person for image in images])
    cameras = np.array([image.camera for image in images])
    people = np.unique(persons)
    table.values([str(person) for person in people])  # a missing row is said before hours of work
    single = sum(len(set(cameras[persons == person])) < 2 for person in people)
    if single == len(people):
        raise UsageError("Nobody here was seen by two cameras; there is nobody to recognise again.")
    if len(people) - single < 4:
        raise UsageError("Fewer than four people were seen by two cameras; give crops of more people.")
    steps = 1 + len(settings.bits)
    total, done = settings.splits * steps, 0
    kinds: list[str | int] = ["real", *settings.bits]
    found: dict[tuple[str, str | int], list[tuple[F64, F64]]] = {}
    spent = {g: np.zeros(6) for g in settings.bits}
    words: dict[int, str] = {}
    owners: list[tuple[str, ...]] = []

    def keep(what: str, kind: str | int, searched: tuple[F64, F64]) -> None:
        found.setdefault((what, kind), []).append(searched)

    def advance() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    split = None
    for number in range(settings.splits):
        generator = np.random.default_rng([settings.seed, number])
        split = _split(generator, persons, cameras, features, table, settings)
        owners.append(split.probe_people)
        keep("plain", "real", _searched(split, _squared(split.probes, split.gallery)))
        advance()
        chosen = _chosen(generator, split, settings.encrypted_probes)  # the same at every g
        part = _part(split, chosen)
        for g in settings.bits:
            learned, *sides = split.unturned
            keep("widest", g, _searched(split, _distances(Quantiser.spanning(g, learned), *sides)))
            # The limit in single precision, in which features reach a gallery.
            quantiser = LinearEncoding.of(Quantiser.fitted(g, split.learned)).quantiser
            plain = _distances(quantiser, split.gallery, split.probes)
            keep("plain", g, _searched(split, plain))
            if settings.scheme is not None:
                secret, cost, words[g] = _encrypted(part, quantiser, settings.scheme)
                keep("open", g, _searched(part, plain[chosen]))
                keep("secret", g, _searched(part, secret))
                spent[g] += [secret.size, int((secret != plain[chosen]).sum()), len(chosen), *cost]
            advance()
    assert split is not None
    rates = {key: _rates(values) for key, values in found.items()}
    real = rates["plain", "real"]
    return Evaluation(
        settings,
        len(people),
        len(images),
        single,
        len(split.gallery_people),
        tuple(len(of) for of in owners),
        real,
        {g: rates["widest", g] for g in settings.bits},
        {g: rates["plain", g] for g in settings.bits},
        {
            g: Encrypted(
                rates["secret", g], rates["open", g], int(spent[g][0]), int(spent[g][1]),
                *(float(value / spent[g][2]) for value in spent[g][3:]),
            )
            for g in settings.bits
            if settings.scheme is not None
        },
        {
            kind: difference(rates["plain", kind], real, owners)
            for kind in kinds
            if isinstance(kind, int)
        },
        words,
    )  # fmt: skip


def difference(one: Rates, other: Rates, owners: Sequence[Sequence[str]], *, _seed: int = 0) -> Difference:
    """Rank-1 rate of ``one`` less that of ``other``; ``owners`` are the probes' people, by split.

    The bootstrap's seed is fixed, so that a report can be made again; it is not for choosing.
    """
    pairs = [a - b for a, b in zip(one.hits, other.hits, strict=True)]
    means = np.array([float(pair.mean()) for pair in pairs])
    everybody = sorted({person for of in owners for person in of})
    place = {person: at for at, person in enumerate(everybody)}
    sums, counts = np.zeros(len(everybody)), np.zeros(len(everybody))
    for pair, of in zip(pairs, owners, strict=True):
        where = np.array([place[person] for person in of])
        np.add.at(sums, where, pair)
        np.add.at(counts, where, 1.0)
    generator = np.random.default_rng(_seed)
    drawn = generator.multinomial(len(everybody), np.full(len(everybody), 1 / len(everybody)), _REPLICATES)
    interval = percentiles((drawn @ sums) / (drawn @ counts), 0.95)
    return Difference(float(means.mean()), corrected_t_test(means), interval)


def corrected_t_test(differences: F64) -> float:
    """Two-sided p of differences (splits,) between halves of the same people.

    Test and training half being as large, the variance is (1 / k + 1) s^2 in place of s^2 / k.
    """
    from scipy.stats import t as student

    splits, spread = len(differences), float(differences.std(ddof=1))
    if spread == 0.0:
        return 1.0 if float(differences.mean()) == 0.0 else 0.0
    value = float(differences.mean()) / (spread * math.sqrt(1 / splits + 1.0))
    return float(2 * student.sf(abs(value), splits - 1))


# -- one split -----------------------------------------------------------------------------------


def _split(
    generator: np.random.Generator,
    persons: np.typing.NDArray[np.str_],
    cameras: np.typing.NDArray[np.str_],
    features: F32,
    table: AttributeTable,
    settings: Settings,
) -> _Split:
    """Divide the people, learn from one half, and choose what is enrolled of the other."""
    order = generator.permutation(np.unique(persons))
    known = np.isin(persons, order[: len(order) // 2])
    trained, metric, mapped = learn(
        features[known],
        [str(person) for person in persons[known]],
        table,
        dimension=settings.dimension,
        least_people=settings.least_people,
    )
    confidences = trained.model.confidences(features[~known])
    others, unturned = mapped.apply(confidences), metric.transform(confidences)
    names, seen = persons[~known], cameras[~known]
    shuffled = generator.permutation(len(names))
    people, first = np.unique(names[shuffled], return_index=True)
    enrolled = shuffled[first]
    camera = dict(zip(people.tolist(), seen[enrolled].tolist(), strict=True))
    probes = np.array([at for at, name in enumerate(names.tolist()) if seen[at] != camera[name]], np.int64)
    if not len(probes):
        raise UsageError("Nobody in a split's second half was seen by two cameras; give more people.")
    return _Split(
        mapped.apply(trained.confidences),
        others[enrolled],
        others[probes],
        tuple(str(name) for name in people),
        tuple(str(names[at]) for at in probes),
        (metric.transform(trained.confidences), unturned[enrolled], unturned[probes]),
    )


def _chosen(generator: np.random.Generator, split: _Split, limit: int) -> I64:
    """The probes that are matched under encryption, ascending."""
    count = len(split.probes)
    if not limit or limit >= count:
        return np.arange(count)
    return np.sort(generator.permutation(count)[:limit])


def _part(split: _Split, chosen: I64) -> _Split:
    people = tuple(split.probe_people[at] for at in chosen.tolist())
    return replace(split, probes=split.probes[chosen], probe_people=people)


def _squared(probes: F32, gallery: F32) -> F64:
    a, b = probes.astype(np.float64), gallery.astype(np.float64)
    return np.asarray((a * a).sum(axis=1)[:, np.newaxis] + (b * b).sum(axis=1) - 2.0 * (a @ b.T))


def _distances(quantiser: Quantiser, gallery: F32 | F64, probes: F32 | F64) -> I64:
    """Squared distances (probes, gallery) of quantised features, what is outside the range clipped."""
    integers = (quantiser.quantise(side, clip=True) for side in (probes, gallery))
    return quantiser.squared_distances(*integers)


def _searched(split: _Split, distances: F64 | I64) -> tuple[F64, F64]:
    """CMC (people,), and each probe's rank-1 share (probes,)."""
    searches = Searches(distances.astype(np.float64), split.gallery_people, split.probe_people, False)
    own = searches.scores[np.arange(len(searches.probes)), searches.mates][:, np.newaxis]
    first = ~(searches.scores < own).any(axis=1)
    tied = (searches.scores == own).sum(axis=1)
    return Identification(searches).cmc().rates, np.where(first, 1.0 / tied, 0.0)


def _rates(values: Sequence[tuple[F64, F64]]) -> Rates:
    ranks = min(len(cmc) for cmc, _ in values)
    return Rates(np.stack([cmc[:ranks] for cmc, _ in values]), tuple(hits for _, hits in values))


def _encrypted(
    split: _Split, quantiser: Quantiser, scheme: str
) -> tuple[I64, tuple[float, float, float], str]:
    """The squared distances as a user gets them; milliseconds, bytes up and down; the parameters."""
    people = len(split.gallery)
    batch = max(1, min(MOST_PROBES, _SLOTS // people)) if scheme == "bfv" else 1

    def embedding(vector: F32) -> Embedding:
        return Embedding(np.clip(vector, -quantiser.limit, quantiser.limit), _MODEL)

    with tempfile.TemporaryDirectory(prefix="blindsight-") as place:
        key = Path(place) / "key"
        make_key_file(key)
        vault = Vault.create(Path(place) / "vault", Unlock(key_file=key))
        try:
            gallery = Gallery.create(
                vault, "camera-a", model_id=_MODEL, dimension=quantiser.dimension, metric="euclidean",
                threshold=0.0, precision="exact", matcher=Path(place) / "matcher", scheme=scheme,
                quantiser=quantiser, batch=batch,
            )  # fmt: skip
            try:
                entries = [
                    (name, embedding(vector), hashlib.sha256(vector.tobytes()).digest())
                    for name, vector in zip(split.gallery_people, split.gallery, strict=True)
                ]
                gallery.enroll(entries)
                match = match_crowds(gallery, [embedding(vector) for vector in split.probes])
                params = gallery.session.identity.params
            finally:
                gallery.close()
        finally:
            vault.close()
    assert match.subjects == split.gallery_people
    assert match.squared is not None
    cost = match.timings["total"], float(match.traffic["up"]), float(match.traffic["down"])
    return match.squared, cost, _said(scheme, params, batch)


def _said(scheme: str, wire: Mapping[str, int | str], batch: int) -> str:
    if scheme != "bfv":
        return f"{scheme}, rank {wire['rank']}, primes {wire['primes']}"
    params = Params.from_wire(wire)
    bits = math.log2(params.modulus * params.special)
    return f"p = {params.plain:,}, ring degree {params.degree:,}, {bits:.0f} bits, {batch} probes a message"
