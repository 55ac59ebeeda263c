"""Drawings that only the image experiments need: error curves over the threshold, and pictures in rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from blindsight.core.types import U8
from blindsight.evaluation.etc_experiment import Judged
from blindsight.evaluation.figures import INK, Plot, csv_text, finished, legible, series, sheet
from blindsight.evaluation.verification import Verification

_POINTS = 400


def error_curves(
    panels: Mapping[str, Mapping[str, Judged]], *, name: str, title: str, folder: Path | None = None
) -> Plot:
    """FAR and FRR over the threshold (the paper's figure 4), a panel for each entry."""
    rows: list[tuple[object, ...]] = []
    with sheet(6.4, 1.0 + 2.3 * len(panels), len(panels)) as (drawing, axes):
        for panel, (label, schemes) in zip(axes, panels.items(), strict=True):
            low, high = np.inf, -np.inf
            for number, (scheme, judged) in enumerate(schemes.items()):
                verification = Verification(judged.comparisons())
                genuine = verification.comparisons.genuine
                impostor = verification.comparisons.impostor
                low = min(low, float(np.quantile(impostor, 0.5)))
                high = max(high, float(np.quantile(genuine, 0.6)))
                at = np.linspace(
                    min(impostor.min(), genuine.min()), max(impostor.max(), genuine.max()), _POINTS
                )
                far, frr = verification.far(at), verification.frr(at)
                rows += [(label, scheme, *row) for row in zip(at, far, frr, strict=True)]
                style = series(number)
                text = f"{legible(scheme)} (EER {judged.eer:.4f})"
                panel.plot(at, far, label=text, **style)
                panel.plot(at, frr, **style)
            panel.set_xlim(low, high)
            panel.set_ylim(-0.02, 0.6)
            panel.annotate("FAR", (0.02, 0.9), xycoords="axes fraction", fontsize=9)
            panel.annotate("FRR", (0.94, 0.9), xycoords="axes fraction", fontsize=9)
            panel.set_ylabel("Error rate (share)")
            panel.set_title(legible(label))
            panel.legend(loc="upper center", fontsize=9)
            panel.tick_params(labelbottom=True)
        axes[-1].set_xlabel("Threshold (decision value)")
        drawing.suptitle(legible(title), x=0.01, ha="left", fontsize=11)
        table = csv_text(("panel", "scheme", "threshold", "FAR", "FRR"), rows)
        return finished(drawing, name, title, table, folder)


def pictures(
    rows: Sequence[Sequence[tuple[str, U8]]], *, name: str, title: str, folder: Path | None = None
) -> Plot:
    """Images in rows, a line of text below each; uint8 (h, w) or (h, w, 3). All are drawn at one height."""
    across = max(len(row) for row in rows)
    with sheet(1.75 * across + 0.1, 2.3 * len(rows) + 0.3) as (drawing, (axes,)):
        axes.remove()
        grid = drawing.subplots(len(rows), across, squeeze=False)
        for line, row in zip(grid, rows, strict=True):
            for at, panel in enumerate(line):
                panel.set_axis_off()
                if at < len(row):
                    text, image = row[at]
                    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.ndim == 2 else {}
                    panel.imshow(image, interpolation="nearest", **grey)
                    panel.set_title(legible(text), fontsize=7.5, loc="center", color=INK)
        drawing.suptitle(legible(title), x=0.01, ha="left", fontsize=11)
        content = [(at, place, text) for at, row in enumerate(rows) for place, (text, _) in enumerate(row)]
        return finished(drawing, name, title, csv_text(("row", "place", "picture"), content), folder)


def attempts(
    lines: Mapping[str, Sequence[tuple[float, float]]], *, across: str, up: str, name: str, title: str,
    folder: Path | None = None,
) -> Plot:  # fmt: skip
    """Success against the number of images: lines with points, the number on a logarithmic axis."""
    rows = [(label, *point) for label, points in lines.items() for point in points]
    with sheet(6.4, 4.2) as (drawing, (axes,)):
        for number, (label, points) in enumerate(lines.items()):
            x, y = zip(*points, strict=True)
            axes.plot(x, y, marker="o", markersize=4, label=legible(label), **series(number))
        axes.set_xscale("log", base=2)
        ticks = sorted({point[0] for points in lines.values() for point in points})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(-0.03, 1.05)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.set_title(legible(title))
        axes.legend(fontsize=9)
        return finished(drawing, name, title, csv_text(("series", across, up), rows), folder)
