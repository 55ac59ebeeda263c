"""The threshold file: which threshold of a model gives which false match rate.

``calibrate`` writes one; ``verify`` and ``identify`` read it for ``--at fmr=1e-3``. It is JSON,
UTF-8, one object with exactly these keys::

    {"format": "blindsight-calibration", "version": 1,
     "model_id": "…", "metric": "cosine", "created": "2025-01-31T12:00:00+00:00",
     "points": [{"fmr": 0.001, "threshold": 0.31, "observed_fmr": 0.00098,
                 "impostor_pairs": 30000, "genuine_pairs": 3000, "fnmr": 0.02,
                 "interval": {"confidence": 0.95, "fmr": [0.0006, 0.0014], "fnmr": [0.01, 0.03]}}]}

``points`` are sorted by falling FMR, each FMR once; a stricter FMR never has a looser threshold.
``threshold`` is in the metric's units: a similarity, or for ``euclidean`` a distance. The file
has error rates and thresholds in it, no template and nobody's name.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np

from blindsight.core.errors import MalformedError, MismatchError, ModelMismatchError, UsageError
from blindsight.encoding import Metric
from blindsight.evaluation.evidence import Interval, Rule, comparisons_needed
from blindsight.evaluation.scores import Comparisons
from blindsight.evaluation.verification import Verification

FORMAT = "blindsight-calibration"
VERSION = 1
LARGEST_FILE = 1 << 20
_AT = re.compile(r"fmr=([0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?)(%?)")
_POINT = ("fmr", "threshold", "observed_fmr", "impostor_pairs", "genuine_pairs", "fnmr", "interval")
_FILE = ("format", "version", "model_id", "metric", "created", "points")


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """A threshold and the evidence for it.

    Attributes:
        fmr: the target, in (0, 1].
        threshold: the loosest at which at most this FMR was observed.
        observed_fmr: what was observed.
        impostor_pairs: compared.
        genuine_pairs: compared.
        fnmr: observed at the threshold.
        fmr_interval: of the FMR at the threshold.
        fnmr_interval: of the FNMR at the threshold.
    """

    fmr: float
    threshold: float
    observed_fmr: float
    impostor_pairs: int
    genuine_pairs: int
    fnmr: float
    fmr_interval: Interval
    fnmr_interval: Interval

    @property
    def firm(self) -> bool:
        """Whether the rule of 30 holds, and not the rule of 3 alone."""
        return self.impostor_pairs >= comparisons_needed(self.fmr, Rule.OF_30)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of one model under one metric; the module describes the file.

    Raises:
        UsageError: no points, or points that contradict each other.
    """

    model_id: str
    metric: Metric
    points: tuple[CalibrationPoint, ...]
    created: str = ""

    def __post_init__(self) -> None:
        if not self.model_id or self.metric not in get_args(Metric):
            raise UsageError("A calibration is of a named model under a known metric.")
        points = tuple(sorted(self.points, key=lambda point: -point.fmr))
        if not points:
            raise UsageError("A calibration has at least one point.")
        sign = 1.0 if self.larger_is_closer else -1.0
        for loose, strict in itertools.pairwise(points):
            if loose.fmr == strict.fmr or sign * loose.threshold > sign * strict.threshold:
                raise UsageError("Two points of the calibration contradict each other.")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "created", self.created or datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def from_comparisons(
        cls,
        comparisons: Comparisons,
        fmrs: Sequence[float],
        *,
        model_id: str,
        metric: Metric,
        rule: Rule = Rule.OF_3,
        replicates: int = 1000,
        confidence: float = 0.95,
        _generator: np.random.Generator | None = None,
    ) -> Calibration:
        """Find the threshold of each target FMR.

        Raises:
            TooFewComparisonsError: an FMR that the impostor pairs cannot support.
            UsageError: the metric and the scores run in opposite directions; an FMR twice.
        """
        if comparisons.larger_is_closer != (metric != "euclidean"):
            raise UsageError(f"The scores run against the metric {metric}; check which is closer.")
        verification = Verification(comparisons)
        found = [(fmr, verification.threshold_at_fmr(fmr, rule)) for fmr in fmrs]
        rates = verification.rates_with_intervals(
            [point.threshold for _, point in found],
            replicates=replicates,
            confidence=confidence,
            _generator=_generator,
        )
        points = [
            CalibrationPoint(
                fmr=float(fmr),
                threshold=point.threshold,
                observed_fmr=observed.value,
                impostor_pairs=len(comparisons.impostor),
                genuine_pairs=len(comparisons.genuine),
                fnmr=fnmr.value,
                fmr_interval=observed.interval,
                fnmr_interval=fnmr.interval,
            )
            for (fmr, point), (observed, fnmr) in zip(found, rates, strict=True)
        ]
        return cls(model_id, metric, tuple(points))

    @property
    def larger_is_closer(self) -> bool:
        """Whether thresholds are smallest similarities; largest distances otherwise."""
        return self.metric != "euclidean"

    def require(self, model_id: str, metric: Metric) -> None:
        """Raise unless this is of that model (`ModelMismatchError`) and metric (`MismatchError`)."""
        if self.model_id != model_id:
            raise ModelMismatchError(
                f"These thresholds are of {self.model_id}, the gallery holds templates of {model_id}; "
                "calibrate that model."
            )
        if self.metric != metric:
            raise MismatchError(
                f"These thresholds are for the metric {self.metric}, the gallery compares by {metric}; "
                "calibrate for that."
            )

    def point_at(self, at: str | float, *, model_id: str, metric: Metric) -> CalibrationPoint:
        """The point for ``fmr=1e-3`` as a user types it, or for an FMR as a number.

        Raises:
            ModelMismatchError: the thresholds are of another model.
            MismatchError: they are for another metric.
            UsageError: not of this form, or an FMR that was not calibrated.
        """
        self.require(model_id, metric)
        wanted = parse_at(at) if isinstance(at, str) else float(at)
        for point in self.points:
            if math.isclose(point.fmr, wanted, rel_tol=1e-9):
                return point
        known = ", ".join(f"{point.fmr:g}" for point in self.points)
        raise UsageError(
            f"No threshold was calibrated for an FMR of {wanted:g}; there are those for {known}."
        )

    def threshold_at(self, at: str | float, *, model_id: str, metric: Metric) -> float:
        """The threshold of `point_at`."""
        return self.point_at(at, model_id=model_id, metric=metric).threshold

    # -- the file ------------------------------------------------------------------------------

    def dumps(self) -> str:
        """The file's text."""
        points = [
            {
                "fmr": point.fmr,
                "threshold": point.threshold,
                "observed_fmr": point.observed_fmr,
                "impostor_pairs": point.impostor_pairs,
                "genuine_pairs": point.genuine_pairs,
                "fnmr": point.fnmr,
                "interval": {
                    "confidence": point.fmr_interval.confidence,
                    "fmr": [point.fmr_interval.low, point.fmr_interval.high],
                    "fnmr": [point.fnmr_interval.low, point.fnmr_interval.high],
                },
            }
            for point in self.points
        ]
        fields = {
            "format": FORMAT,
            "version": VERSION,
            "model_id": self.model_id,
            "metric": self.metric,
            "created": self.created,
            "points": points,
        }
        return json.dumps(fields, indent=1, allow_nan=False) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all."""
        path = Path(path)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            try:
                beside.write_text(self.dumps(), encoding="utf-8")
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
        except OSError:
            raise UsageError(f"{path} cannot be written; check the folder.") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read a file.

        Raises:
            UsageError: there is none that can be opened.
            MalformedError: it is not what the module describes.
        """
        try:
            with Path(path).open("rb") as file:
                data = file.read(LARGEST_FILE + 1)
        except OSError:
            raise UsageError(f"{path} cannot be opened; write it with calibrate.") from None
        if len(data) > LARGEST_FILE:
            raise MalformedError(f"{path} is too large to be a calibration.")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedError(f"{path} is not UTF-8 text.") from None
        return cls.loads(text)

    @classmethod
    def loads(cls, text: str) -> Calibration:
        """Parse the file's text; see `load`."""
        try:
            fields = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise MalformedError("The calibration is not JSON; write it anew with calibrate.") from None
        _keys(fields, _FILE, "The calibration")
        if fields["format"] != FORMAT or type(fields["version"]) is not int:
            raise MalformedError("The file is no calibration.")
        if fields["version"] != VERSION:
            raise MalformedError(
                f"The calibration is not of version {VERSION}, which this program reads; write it anew."
            )
        for key in ("model_id", "metric", "created"):
            if not isinstance(fields[key], str) or not 1 <= len(fields[key]) <= 1024:
                raise MalformedError(f"The calibration's {key} is not a short text.")
        try:
            datetime.fromisoformat(fields["created"])
        except ValueError:
            raise MalformedError("The calibration's created is no date.") from None
        if not isinstance(fields["points"], list):
            raise MalformedError("The calibration's points are not a list.")
        points = tuple(_point(point) for point in fields["points"])
        try:
            return cls(fields["model_id"], fields["metric"], points, fields["created"])
        except UsageError as error:
            raise MalformedError(error.message) from None


def parse_at(text: str) -> float:
    """The FMR in ``fmr=1e-3`` or ``fmr=0.1%``, in (0, 1]; `UsageError` for anything else."""
    found = _AT.fullmatch(text.strip())
    value = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0.0 < value <= 1.0:
        raise UsageError("Say at which false match rate, as in fmr=1e-3.")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _keys(value: Any, keys: tuple[str, ...], what: str) -> None:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise MalformedError(f"{what} has exactly the keys {', '.join(keys)}.")


def _point(value: Any) -> CalibrationPoint:
    _keys(value, _POINT, "A point of the calibration")
    interval = value["interval"]
    _keys(interval, ("confidence", "fmr", "fnmr"), "An interval of the calibration")
    confidence = _number(interval, "confidence", 0.5, 1.0)
    point = CalibrationPoint(
        fmr=_number(value, "fmr", 0.0, 1.0),
        threshold=_number(value, "threshold", -math.inf, math.inf),
        observed_fmr=_number(value, "observed_fmr", 0.0, 1.0),
        impostor_pairs=_count(value, "impostor_pairs"),
        genuine_pairs=_count(value, "genuine_pairs"),
        fnmr=_number(value, "fnmr", 0.0, 1.0),
        fmr_interval=_interval(interval, "fmr", confidence),
        fnmr_interval=_interval(interval, "fnmr", confidence),
    )
    if point.fmr == 0.0 or point.observed_fmr > point.fmr:
        raise MalformedError("A point of the calibration has more false matches than its FMR.")
    return point


def _number(fields: Mapping[str, Any], key: str, low: float, high: float) -> float:
    value = fields[key]
    if type(value) not in (int, float) or abs(value) > 1e308 or not low <= value <= high:
        raise MalformedError(f"The calibration's {key} is not a number in its range.")
    return float(value)


def _count(fields: Mapping[str, Any], key: str) -> int:
    value = fields[key]
    if type(value) is not int or not 1 <= value < 1 << 53:
        raise MalformedError(f"The calibration's {key} is not a count.")
    return value


def _interval(fields: Mapping[str, Any], key: str, confidence: float) -> Interval:
    value = fields[key]
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedError(f"The calibration's interval of {key} is not two numbers.")
    ends = dict(zip(("low", "high"), value, strict=True))
    low, high = _number(ends, "low", 0.0, 1.0), _number(ends, "high", 0.0, 1.0)
    if low > high:
        raise MalformedError(f"The calibration's interval of {key} runs backwards.")
    return Interval(low, high, confidence)
