"""How far protected scores are from the plaintext's, comparison by comparison.

Yang et al. 2021, eq. 3: error rate = |original − homomorphic| / original · 100 %; its Fig. 4 shows
the error rate of every pair. Here the divisor is the absolute value, so that cosines have one too;
a score of exactly 0 has none, and is counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import UsageError
from blindsight.core.types import I64, frozen
from blindsight.evaluation.figures import INK, Plot, csv_text, finished, legible, series, sheet
from blindsight.evaluation.scores import F64


@dataclass(frozen=True, slots=True)
class Agreement:
    """Relative errors of protected scores.

    Attributes:
        percent: float64 (n,), |plain − protected| / |plain| · 100, in the order of the pairs.
        largest_absolute: the largest |plain − protected|, over all pairs.
        equal: pairs whose two scores are the same to the bit.
        without_rate: pairs whose plain score is 0; they are not in ``percent``.
    """

    percent: F64
    largest_absolute: float
    equal: int
    without_rate: int

    @property
    def median(self) -> float:
        """Half of the pairs err by less, in percent; NaN where no pair has an error rate."""
        return float(np.median(self.percent)) if self.percent.size else float("nan")

    @property
    def largest(self) -> float:
        """In percent; NaN where no pair has an error rate."""
        return float(self.percent.max()) if self.percent.size else float("nan")

    def within(self, percent: float) -> float:
        """The share of pairs that err by at most this many percent."""
        return float(np.mean(self.percent <= percent)) if self.percent.size else float("nan")


def agreement(plain: ArrayLike, protected: ArrayLike) -> Agreement:
    """Compare two schemes' scores of the same pairs, both (n,).

    Raises:
        UsageError: not as many of one as of the other, none, or one that is not finite.
    """
    ours, theirs = np.asarray(plain, np.float64), np.asarray(protected, np.float64)
    if ours.ndim != 1 or ours.shape != theirs.shape or not ours.size:
        raise UsageError("Two rows of scores of the same pairs are needed, one for each pair.")
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise UsageError("A score is NaN or infinite.")
    difference = np.abs(ours - theirs)
    rated = ours != 0
    return Agreement(
        frozen(difference[rated] / np.abs(ours[rated]) * 100.0),
        float(difference.max()),
        int((ours == theirs).sum()),
        int((~rated).sum()),
    )


def error_rates(
    schemes: Mapping[str, Agreement],
    *,
    name: str = "error-rates",
    title: str = "Error rate of protected scores",
    folder: Path | None = None,
) -> Plot:
    """The share of pairs within each error rate, on a logarithmic axis; see `Plot`.

    An error of 0 has no place on it: a curve starts at the share of pairs that have none.
    """
    if not schemes:
        raise UsageError("There is nothing to draw; give at least one scheme's scores.")
    rows: list[tuple[object, ...]] = []
    with sheet(6.4, 4.2) as (drawing, (axes,)):
        positive = [found.percent[found.percent > 0] for found in schemes.values()]
        least = min((float(p.min()) for p in positive if p.size), default=1e-6)
        most = max((float(p.max()) for p in positive if p.size), default=1.0)
        for number, (label, found) in enumerate(schemes.items()):
            errors = np.sort(found.percent)
            share = np.arange(1, len(errors) + 1) / max(1, len(errors))
            rows += [(label, *row) for row in zip(errors, share, strict=True)]
            nothing = float(np.mean(errors == 0)) if len(errors) else 0.0
            x = np.concatenate([[least / 2], errors[errors > 0], [most * 2]])
            y = np.concatenate([[nothing], share[errors > 0], [1.0]])
            text = f"{legible(label)} (median {found.median:.2g} %)"
            axes.plot(x, y, drawstyle="steps-post", label=text, **series(number))
        axes.set_xscale("log")
        axes.set_xlim(least / 2, most * 2)
        axes.set_ylim(-0.02, 1.04)
        axes.set_xlabel("Error rate, |plain − protected| / |plain| (%, log scale)")
        axes.set_ylabel("Pairs within the error rate (share)")
        axes.set_title(legible(title))
        drawing.legend(loc="outside lower left", ncols=2)
        table = csv_text(("scheme", "error rate, %", "share of pairs"), rows)
        return finished(drawing, name, title, table, folder)


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Two schemes' scores of some pairs of a list, all (n,).

    Attributes:
        pairs: the pairs' numbers in the list, from 1.
        plain: scores in the clear.
        protected: the same pairs' scores under a scheme.
    """

    pairs: I64
    plain: F64
    protected: F64


def error_of_each_pair(
    schemes: Mapping[str, ScoredPairs],
    *,
    mark: float,
    name: str = "error-of-each-pair",
    title: str = "Error rate of each pair",
    folder: Path | None = None,
) -> Plot:
    """The error rate of every pair in the order of the list, a panel a scheme, as in the paper's Fig. 4.

    The axis is logarithmic; pairs without any error stand on the panel's lower edge, and their
    number beside the scheme's name. The CSV has both scores of every pair.

    Args:
        schemes: scores by the schemes' names.
        mark: an error rate to draw a line at, in percent.
        name: of the files.
        title: of the figure.
        folder: written there where given.

    """
    if not schemes:
        raise UsageError("There is nothing to draw; give at least one scheme's scores.")
    rows: list[tuple[object, ...]] = []
    rates = {}
    for label, scored in schemes.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.abs(scored.plain - scored.protected) / np.abs(scored.plain) * 100.0
        rates[label] = rate
        columns = (scored.pairs.tolist(), scored.plain, scored.protected, rate)
        rows += [(label, *row) for row in zip(*columns, strict=True)]
    shown = np.concatenate([rate[np.isfinite(rate) & (rate > 0)] for rate in rates.values()])
    least = min(float(shown.min()), mark) / 2 if shown.size else mark / 10
    most = max(float(shown.max()), mark) * 2 if shown.size else mark * 10
    with sheet(6.4, 0.9 + 1.55 * len(schemes), len(schemes)) as (drawing, panels):
        for number, (axes, (label, rate)) in enumerate(zip(panels, rates.items(), strict=True)):
            at, colour = schemes[label].pairs, series(number)["color"]
            dot = 2.5 if len(at) > 300 else 5.0
            axes.plot(
                at, np.maximum(rate, least), ".", markersize=dot, color=colour, alpha=0.7, clip_on=False
            )
            axes.axhline(mark, color=INK, linewidth=1.0)
            axes.set_yscale("log")
            axes.set_ylim(least, most)
            median, free = float(np.nanmedian(rate)), int((rate == 0).sum())
            without = f", {free:,} without any" if free else ""
            axes.set_title(f"{legible(label)}: median {median:.2g} %{without}", fontsize=10)
            axes.set_ylabel("Error rate (%)")
        panels[-1].set_xlabel(f"Pair, in the order of the list (line: {mark:g} %)")
        drawing.suptitle(legible(title), x=0.01, ha="left", fontsize=11)
        table = csv_text(("scheme", "pair", "plain score", "protected score", "error rate, %"), rows)
        return finished(drawing, name, title, table, folder)
