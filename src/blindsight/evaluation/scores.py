"""Comparison scores in: the values that every figure of this room is computed from.

Terms as in ISO/IEC 19795-1: a *genuine* (mated) comparison is of two samples of one person, an
*impostor* (non-mated) one of two persons; a *mated search* is for somebody who is enrolled.
Scores may be similarities or distances; ``larger_is_closer`` says which, and a score *at* a
threshold counts as a match, as `blindsight.trusted.gallery` decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blindsight.core.errors import UsageError
from blindsight.core.types import AnyArray, frozen

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Failures:
    """How often capture, or enrollment, did not come to a usable sample.

    Attributes:
        failed: attempts without one: no face found, quality too low.
        attempts: all of them.
    """

    failed: int = 0
    attempts: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.failed <= self.attempts:
            raise UsageError("Failures are at least none and at most all of the attempts.")

    @property
    def rate(self) -> float:
        """FTA or FTE: failures over attempts; 0 where nobody counted."""
        return self.failed / self.attempts if self.attempts else 0.0


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Scores of 1:1 comparisons.

    Attributes:
        genuine: float64 (n,), n ≥ 1, finite.
        impostor: float64 (m,), m ≥ 1, finite.
        larger_is_closer: whether scores are similarities; distances otherwise.
        genuine_subjects: whose samples each genuine pair compares, (n,); any comparable names.
        impostor_subjects: both persons of each impostor pair, (m, 2). Given with
            ``genuine_subjects`` or not at all; made int64 codes, equal for equal names.
        failures_to_acquire: of the samples that were to be compared.
        failures_to_enroll: of the people who were to be enrolled.

    Raises:
        UsageError: no pairs of a kind, a score that is not finite, subjects that do not fit.
    """

    genuine: F64
    impostor: F64
    larger_is_closer: bool
    genuine_subjects: AnyArray | None = None
    impostor_subjects: AnyArray | None = None
    failures_to_acquire: Failures = Failures()
    failures_to_enroll: Failures = Failures()

    def __post_init__(self) -> None:
        genuine = _scores(self.genuine, "genuine")
        impostor = _scores(self.impostor, "impostor")
        object.__setattr__(self, "genuine", genuine)
        object.__setattr__(self, "impostor", impostor)
        object.__setattr__(self, "larger_is_closer", bool(self.larger_is_closer))
        if (self.genuine_subjects is None) != (self.impostor_subjects is None):
            raise UsageError("Name the subjects of genuine and impostor pairs, or of neither.")
        if self.genuine_subjects is None or self.impostor_subjects is None:
            return
        one = np.asarray(self.genuine_subjects)
        two = np.asarray(self.impostor_subjects)
        if one.shape != genuine.shape or two.shape != (len(impostor), 2):
            raise UsageError("One subject for each genuine pair and two for each impostor pair are needed.")
        codes = _codes(one, two)
        one, two = codes[: one.size], codes[one.size :].reshape(-1, 2)
        if (two[:, 0] == two[:, 1]).any():
            raise UsageError("An impostor pair compares two different persons; one here has the same twice.")
        object.__setattr__(self, "genuine_subjects", frozen(one))
        object.__setattr__(self, "impostor_subjects", frozen(two))

    @property
    def subjects(self) -> int | None:
        """How many people the pairs are of, where that is known."""
        if self.genuine_subjects is None or self.impostor_subjects is None:
            return None
        return 1 + int(max(self.genuine_subjects.max(), self.impostor_subjects.max()))


@dataclass(frozen=True, slots=True)
class Searches:
    """Scores of 1:N searches: every probe against every enrolled subject.

    A subject's score is that of its closest template; `from_templates` reduces to it.

    Attributes:
        scores: float64 (probes, subjects), finite.
        gallery: the enrolled subjects' names, each once, in the order of the columns.
        probes: whom each probe shows, one for each row; a search is mated where that name is
            in ``gallery``. Strangers may carry a name, so that resampling keeps a person's
            probes together; None where it is not known.
        larger_is_closer: whether scores are similarities; distances otherwise.
        failures_to_acquire: of the probes; failed ones have no row.

    Raises:
        UsageError: no probes, no subjects, shapes that do not fit, a score that is not finite.
    """

    scores: F64
    gallery: tuple[str, ...]
    probes: tuple[str | None, ...]
    larger_is_closer: bool
    failures_to_acquire: Failures = Failures()

    def __post_init__(self) -> None:
        scores = _array(self.scores)
        gallery, probes = tuple(self.gallery), tuple(self.probes)
        if not gallery or not probes:
            raise UsageError("Searches need at least one enrolled subject and one probe.")
        if scores.shape != (len(probes), len(gallery)):
            raise UsageError("Searches need one row of scores a probe, and one column an enrolled subject.")
        if not np.isfinite(scores).all():
            raise UsageError("A search has a score that is NaN or infinite.")
        if len(set(gallery)) != len(gallery):
            raise UsageError("An enrolled subject is named twice; give its best score once.")
        object.__setattr__(self, "scores", frozen(scores))
        object.__setattr__(self, "gallery", gallery)
        object.__setattr__(self, "probes", probes)
        object.__setattr__(self, "larger_is_closer", bool(self.larger_is_closer))

    @classmethod
    def from_templates(
        cls,
        scores: ArrayLike,
        template_subjects: Sequence[str],
        probes: Sequence[str | None],
        *,
        larger_is_closer: bool,
        failures_to_acquire: Failures = Failures(),
    ) -> Searches:
        """Searches from scores against single templates, float (probes, templates)."""
        array = _array(scores)
        if array.ndim != 2 or array.shape[1] != len(template_subjects) or not len(template_subjects):
            raise UsageError("Scores against templates need one column for each template's subject.")
        order = np.argsort(np.array(template_subjects, dtype=object), kind="stable")
        names = [template_subjects[at] for at in order]
        starts = [at for at, name in enumerate(names) if at == 0 or name != names[at - 1]]
        best = np.maximum if larger_is_closer else np.minimum
        return cls(
            best.reduceat(array[:, order], starts, axis=1),
            tuple(names[at] for at in starts),
            tuple(probes),
            larger_is_closer,
            failures_to_acquire,
        )

    @property
    def mates(self) -> NDArray[np.int64]:
        """The column of each probe's own subject, int64 (probes,); -1 for a non-mated search."""
        columns = {name: at for at, name in enumerate(self.gallery)}
        return np.array([-1 if name is None else columns.get(name, -1) for name in self.probes], np.int64)

    @property
    def probe_codes(self) -> NDArray[np.int64]:
        """A number for each probe, equal for probes of one person, int64 (probes,).

        A probe of nobody known stands for itself.
        """
        known: dict[object, int] = {}
        keys: list[object] = [name if name is not None else (at,) for at, name in enumerate(self.probes)]
        return np.array([known.setdefault(key, len(known)) for key in keys], np.int64)


def _array(values: Any) -> F64:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError("Scores are an array of numbers.") from None


def _scores(values: Any, kind: str) -> F64:
    array = _array(values)
    if array.ndim != 1:
        raise UsageError(f"The {kind} scores are one row of numbers.")
    if not array.size:
        raise UsageError(f"There is no {kind} pair; no error rate can be told without one.")
    if not np.isfinite(array).all():
        raise UsageError(f"A {kind} score is NaN or infinite.")
    return frozen(array)


def _codes(one: AnyArray, two: AnyArray) -> NDArray[np.int64]:
    """Both arrays' names, one after the other, as numbers from 0."""
    try:
        _, codes = np.unique(np.concatenate([one.ravel(), two.ravel()]), return_inverse=True)
    except TypeError:
        raise UsageError("Subjects are all names, or all numbers.") from None
    return codes.astype(np.int64).ravel()
