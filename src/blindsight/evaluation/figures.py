"""What a drawn figure is, and what all of them look like.

Colours are Okabe and Ito's, which people with any of the common kinds of colour blindness tell
apart; each series also has a dash pattern of its own, so that grey print does too. Everything
that is not a series is drawn in one ink, so that a page can put its own text colour there.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

INK = "#23272e"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (1, 1)))
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn figure and the numbers behind it.

    Attributes:
        name: of its files, without an ending.
        title: one line.
        svg: a whole SVG document, text as text.
        png: the same as pixels.
        csv: every point that was drawn, with a header.
    """

    name: str
    title: str
    svg: str
    png: bytes
    csv: str

    def write(self, folder: Path) -> None:
        """Write ``name.svg``, ``name.png`` and ``name.csv`` into a folder, made where missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.svg").write_text(self.svg, encoding="utf-8")
        (folder / f"{self.name}.png").write_bytes(self.png)
        (folder / f"{self.name}.csv").write_text(self.csv, encoding="utf-8", newline="")

    def inline(self) -> str:
        """The drawing for a page of HTML: no prologue, ids of its own, the page's text colour."""
        drawing = self.svg[self.svg.index("<svg") :]
        drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
        drawing = re.sub(r'\bid="', f'id="{self.name}-', drawing)
        drawing = re.sub(r'(href="#|url\(#)', rf"\g<1>{self.name}-", drawing)
        drawing = drawing.replace(INK, "currentColor")
        # matplotlib paints the sheet and the axes white; on a page they are transparent.
        drawing = drawing.replace("fill: #ffffff", "fill: none")
        return drawing.replace("<svg ", '<svg role="img" ', 1)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV (RFC 4180), numbers in full precision; text that a spreadsheet would run is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else value  # NumPy's own are floats, too


def legible(text: str) -> str:
    """A name as matplotlib shows it: not as a formula, nor hidden for a leading underscore."""
    text = "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def series(number: int) -> dict[str, Any]:
    """Colour and dash pattern of the n-th series."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}


@contextmanager
def sheet(width: float = 6.4, height: float = 4.8, panels: int = 1) -> Iterator[tuple[Drawing, list[Axes]]]:
    """A figure of inches, and its panels one below the other, in the house's style.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure as Drawing
    except ImportError:
        raise UsageError("Plots need matplotlib; install blindsight[plot].") from None
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.grid": True,
        "grid.color": INK,
        "grid.alpha": 0.15,
        "grid.linewidth": 0.8,
        "lines.linewidth": 1.8,
        "legend.frameon": False,
        "axes.axisbelow": True,
    }
    with mpl.rc_context(style):
        drawing = Drawing(figsize=(width, height), layout="constrained")
        axes = drawing.subplots(panels, 1, squeeze=False, sharex=True)
        yield drawing, list(axes[:, 0])


def finished(drawing: Drawing, name: str, title: str, table: str, folder: Path | None) -> Plot:
    """Render, and write where a folder is given. The same figure gives the same SVG."""
    import matplotlib as mpl

    if not _NAME.fullmatch(name):
        raise UsageError("A plot's name is made of a-z, 0-9, dot, underscore and hyphen.")
    svg, png = io.StringIO(), io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        drawing.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    drawing.savefig(png, format="png", dpi=150, metadata={"Software": None})
    plot = Plot(name, title, svg.getvalue(), png.getvalue(), table)
    if folder is not None:
        plot.write(folder)
    return plot
