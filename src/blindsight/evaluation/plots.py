"""DET, ROC, CMC and score histograms, several schemes in one figure.

Every function returns a `Plot` and, where a folder is given, writes its SVG, PNG and CSV. The
extra ``plot`` is needed. Curves of many points are thinned to what can be seen; the CSV has the
points that were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.evaluation.figures import INK, Plot, csv_text, finished, legible, series, sheet
from blindsight.evaluation.identification import Cmc, Identification
from blindsight.evaluation.scores import F64, Comparisons
from blindsight.evaluation.verification import Verification

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 1500
_PROBIT_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 0.999)


def _require(schemes: Mapping[str, object]) -> None:
    if not schemes:
        raise UsageError("There is nothing to draw; give at least one scheme's scores.")


def _probit(rates: F64) -> F64:
    normal = NormalDist()
    return np.array([normal.inv_cdf(rate) for rate in rates.tolist()], np.float64)


def det(
    schemes: Mapping[str, Verification], *, name: str = "det", title: str = "DET", folder: Path | None = None
) -> Plot:
    """Detection error trade-off: FNMR over FMR, both on probit axes (ISO/IEC 19795-1).

    Normal score distributions give straight lines there. An error rate of 0 has no place on
    such an axis: each curve ends at its last point with errors of both kinds, marked with a dot.
    """
    _require(schemes)
    lines = {}
    for label, verification in schemes.items():
        curve = verification.curve.thinned(_POINTS)
        lines[label] = curve.positive_rate, curve.negative_rate, curve.thresholds
    return _det(lines, ("FMR", "FNMR"), ("False match rate", "False non-match rate"), name, title, folder)


def open_set_det(
    schemes: Mapping[str, Identification],
    *,
    name: str = "det-open-set",
    title: str = "Open-set DET",
    folder: Path | None = None,
) -> Plot:
    """FNIR over FPIR on probit axes, failures to acquire included."""
    _require(schemes)
    lines = {}
    for label, identification in schemes.items():
        fpir, fnir, thresholds = identification.det()
        rows = identification.curve.rows(_POINTS)
        lines[label] = fpir[rows], fnir[rows], thresholds[rows]
    words = ("False positive identification rate", "False negative identification rate")
    return _det(lines, ("FPIR", "FNIR"), words, name, title, folder)


def _det(
    lines: Mapping[str, tuple[F64, F64, F64]],
    short: tuple[str, str],
    words: tuple[str, str],
    name: str,
    title: str,
    folder: Path | None,
) -> Plot:
    rows: list[tuple[object, ...]] = []
    with sheet(5.6, 5.2) as (drawing, (axes,)):
        seen: list[list[F64]] = [[], []]
        for number, (label, (positive, negative, thresholds)) in enumerate(lines.items()):
            rows += [(label, *row) for row in zip(thresholds, positive, negative, strict=True)]
            shown = (positive > 0) & (positive < 1) & (negative > 0) & (negative < 1)
            if not shown.any():
                axes.plot([], [], label=f"{legible(label)} (no errors of both kinds)", **series(number))
                continue
            x, y = positive[shown], negative[shown]
            seen[0].append(x)
            seen[1].append(y)
            axes.plot(_probit(x), _probit(y), label=legible(label), drawstyle="default", **series(number))
            ends = [0, -1]
            axes.plot(_probit(x[ends]), _probit(y[ends]), ".", color=series(number)["color"])
        limits = [_det_axis(axes, axis, rates) for axis, rates in zip("xy", seen, strict=True)]
        low, high = max(limits[0][0], limits[1][0]), min(limits[0][1], limits[1][1])
        if low < high:
            axes.plot([low, high], [low, high], color=INK, alpha=0.45, linewidth=0.9)
            axes.annotate("equal error", (high, high), xytext=(-22, -3), textcoords="offset points",
                          ha="right", va="top", fontsize=8, alpha=0.7)  # fmt: skip
        axes.set_xlabel(f"{words[0]}, {short[0]} (%, probit scale)")
        axes.set_ylabel(f"{words[1]}, {short[1]} (%, probit scale)")
        axes.set_title(legible(title))
        axes.legend()
        table = csv_text(("scheme", "threshold", *short), rows)
        return finished(drawing, name, title, table, folder)


def _det_axis(axes: Axes, axis: str, rates: Sequence[F64]) -> tuple[float, float]:
    """Limits a little around what is there, ticks within; returns the limits."""
    at = _probit(np.array(_PROBIT_TICKS))
    found = _probit(np.concatenate(rates)) if rates else _probit(np.array([0.01, 0.4]))
    margin = 0.05 * max(float(np.ptp(found)), 0.5)
    low, high = float(found.min()) - margin, float(found.max()) + margin
    # Two ticks at the least, so that the scale can be read.
    low, high = min(low, float(at[at < high][-2])), max(high, float(at[at > low][1]))
    shown = (at >= low) & (at <= high)
    names = [f"{100 * tick:.6g}" for tick in np.array(_PROBIT_TICKS)[shown]]
    if axis == "x":
        axes.set_xticks(at[shown], names)
        axes.set_xlim(low, high)
    else:
        axes.set_yticks(at[shown], names)
        axes.set_ylim(low, high)
    return low, high


def roc(
    schemes: Mapping[str, Verification],
    *,
    nested: bool = False,
    name: str = "roc",
    title: str = "ROC",
    folder: Path | None = None,
) -> Plot:
    """TAR over FAR, the FAR on a logarithmic axis down to what the impostor pairs resolve.

    Curves that are expected to lie on each other are drawn ``nested``: each narrower than the one
    before it, so that all of them are seen.
    """
    _require(schemes)
    rows: list[tuple[object, ...]] = []
    with sheet(6.4, 4.6) as (drawing, (axes,)):
        floor, lowest = 1.0, 1.0
        for number, (label, verification) in enumerate(schemes.items()):
            points, got = verification.curve.rows(_POINTS), 1.0 - verification.fta
            found = verification.roc()
            far, tar = found.far[points], found.tar[points]
            rows += [(label, *row) for row in zip(found.thresholds[points], far, tar, strict=True)]
            least = got / verification.curve.impostors
            if least <= 0.0:
                continue
            floor = min(floor, least)
            # What lies left of one false match in all is not resolved; draw from there.
            resolved = slice(int(np.searchsorted(far, least, "right")) - 1, None)
            far, tar = far[resolved], tar[resolved]
            lowest = min(lowest, float(tar[0]))
            text = f"{legible(label)} (AUC {verification.auc():.4f})"
            style = series(number)
            if nested:
                style |= {"linewidth": 1.2 + 1.1 * (len(schemes) - 1 - number), "linestyle": "-"}
            axes.plot(np.maximum(far, least), tar, drawstyle="steps-post", label=text, **style)
        axes.set_xscale("log")
        axes.set_xlim(min(floor, 0.1), 1.0)
        axes.set_ylim(max(-0.02, lowest - 0.12 * (1.0 - lowest) - 0.02), 1.0 + 0.04 * (1.02 - lowest))
        axes.set_xlabel("False accept rate, FAR (share of impostor attempts, log scale)")
        axes.set_ylabel("True accept rate, 1 − FRR (share)")
        axes.set_title(legible(title))
        axes.legend(loc="lower right")
        table = csv_text(("scheme", "threshold", "FAR", "TAR"), rows)
        return finished(drawing, name, title, table, folder)


def cmc(
    schemes: Mapping[str, Cmc | Identification],
    *,
    ranks: int = 20,
    name: str = "cmc",
    title: str = "CMC",
    folder: Path | None = None,
) -> Plot:
    """Cumulative match characteristic up to a rank; a band where the CMC has intervals."""
    _require(schemes)
    if ranks < 1:
        raise UsageError("At least one rank is to be drawn.")
    rows: list[tuple[object, ...]] = []
    with sheet(6.4, 4.4) as (drawing, (axes,)):
        most = 1
        for number, (label, given) in enumerate(schemes.items()):
            found = given.cmc() if isinstance(given, Identification) else given
            count = min(ranks, len(found.rates))
            most = max(most, count)
            at, rates = np.arange(1, count + 1), found.rates[:count]
            intervals = found.intervals[:count]
            style = series(number)
            axes.plot(
                at, rates, marker="o" if count <= 30 else "", markersize=3.5, label=legible(label), **style
            )
            if intervals:
                low, high = [i.low for i in intervals], [i.high for i in intervals]
                axes.fill_between(at, low, high, color=style["color"], alpha=0.15, linewidth=0)
                rows += [(label, *row) for row in zip(at.tolist(), rates, low, high, strict=True)]
            else:
                rows += [
                    (label, rank, rate, None, None) for rank, rate in zip(at.tolist(), rates, strict=True)
                ]
        axes.set_xlim(0.5, most + 0.5)
        axes.locator_params(axis="x", integer=True)
        low_end, _ = axes.get_ylim()
        axes.set_ylim(max(0.0, low_end), 1.0 + 0.03 * (1.0 - max(0.0, low_end)) + 0.002)
        axes.set_xlabel("Rank n (subjects)")
        axes.set_ylabel("Matching rate within rank n (share)")
        axes.set_title(legible(title))
        axes.legend(loc="lower right")
        table = csv_text(("scheme", "rank", "rate", "low", "high"), rows)
        return finished(drawing, name, title, table, folder)


def histogram(
    schemes: Mapping[str, Comparisons],
    *,
    unit: str,
    threshold: float | None = None,
    bins: int = 60,
    name: str = "scores",
    title: str = "Comparison scores",
    folder: Path | None = None,
) -> Plot:
    """Genuine and impostor scores of each scheme, each kind summing to 1; a panel a scheme.

    Args:
        schemes: all in the same unit.
        unit: of the scores: "cosine similarity", "Euclidean distance".
        threshold: drawn where given.
        bins: over the range of all scores.
        name: of the files.
        title: of the figure.
        folder: written there where given.

    """
    _require(schemes)
    if bins < 1:
        raise UsageError("At least one bin is needed.")
    both = [scores for found in schemes.values() for scores in (found.genuine, found.impostor)]
    low, high = min(float(s.min()) for s in both), max(float(s.max()) for s in both)
    if not low < high:
        low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    edges = np.linspace(low, high, bins + 1)
    rows: list[tuple[object, ...]] = []
    with sheet(6.4, 1.2 + 2.1 * len(schemes), len(schemes)) as (drawing, panels):
        for axes, (label, found) in zip(panels, schemes.items(), strict=True):
            for number, (kind, scores) in enumerate(
                (("genuine", found.genuine), ("impostor", found.impostor))
            ):
                counts = np.histogram(scores, edges)[0]
                share = counts / len(scores)
                rows += [
                    (label, kind, *row) for row in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
                ]
                style = series(number)
                text = f"{kind} ({len(scores):,} pairs)"
                axes.stairs(share, edges, fill=True, alpha=0.25, color=style["color"])
                axes.stairs(share, edges, label=text, linewidth=1.4, **style)
            if threshold is not None and math.isfinite(threshold):
                axes.axvline(threshold, color=INK, linewidth=1.0)
                axes.annotate(
                    f"threshold {threshold:.4g}",
                    (threshold, 1.0),
                    (4, -2),
                    fontsize=8,
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    va="top",
                )
            axes.set_ylabel("Share of pairs")
            axes.set_ylim(bottom=0)
            axes.margins(y=0.12)
            axes.set_title(legible(label))
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2, fontsize=9)
        panels[-1].set_xlabel(f"Comparison score ({legible(unit)})")
        drawing.suptitle(legible(title), x=0.01, ha="left", fontsize=11)
        table = csv_text(("scheme", "kind", "from", "to", "pairs"), rows)
        return finished(drawing, name, title, table, folder)
