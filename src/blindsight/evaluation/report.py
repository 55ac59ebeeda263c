"""One experiment's report: a single HTML file, and the numbers behind it as CSV.

The page needs no network and no JavaScript: drawings are inlined as SVG, the style is in it, and
its content security policy allows nothing else. It follows the reader's light or dark setting.
Everything that came from outside is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from blindsight.core.errors import UsageError
from blindsight.evaluation.evidence import Interval
from blindsight.evaluation.figures import Plot, csv_text
from blindsight.evaluation.machine import machine as this_machine
from blindsight.evaluation.verification import Estimate, VerificationSummary

Cell = str | int | float | Interval | Estimate | None
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures.

    Attributes:
        name: of its CSV, a-z, 0-9, dot, underscore, hyphen.
        title: one line.
        header: names of the columns, units in them.
        rows: as many cells each. None is an empty cell; an `Estimate` shows its interval.
        note: a sentence below.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError("A table's name is made of a-z, 0-9, dot, underscore and hyphen.")
        if any(len(row) != len(self.header) for row in self.rows):
            raise UsageError(f"A row of the table {self.name} has not as many cells as the header.")

    def csv(self) -> str:
        """The table as CSV; an interval takes two columns more."""
        wide = [
            any(isinstance(row[at], (Estimate, Interval)) for row in self.rows)
            for at in range(len(self.header))
        ]
        header: list[str] = []
        for name, split in zip(self.header, wide, strict=True):
            header += [name, f"{name} low", f"{name} high"] if split else [name]
        rows = []
        for row in self.rows:
            cells: list[object] = []
            for value, split in zip(row, wide, strict=True):
                cells += _parts(value) if split else [value]
            rows.append(cells)
        return csv_text(header, rows)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with paragraphs, tables and plots below it, in this order."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All that one run found.

    Attributes:
        title: of the experiment.
        summary: one or two sentences.
        sections: in order.
        parameters: what was run: data, pairs, scheme parameters.
        machine: what it ran on; this machine where not said.
        date: in UTC; now where not said.
    """

    title: str
    summary: str
    sections: tuple[Section, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)
    machine: Mapping[str, object] = field(default_factory=this_machine)
    date: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        names = [table.name for section in self.sections for table in section.tables]
        names += [plot.name for section in self.sections for plot in section.plots]
        if len(set(names)) != len(names):
            raise UsageError("Two tables or plots of the report have the same name.")

    def html(self) -> str:
        """The whole page."""
        setting = {
            "Date": self.date.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            **{key.capitalize(): value for key, value in self.machine.items()},
        }
        parts = [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy"'
            " content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style></head><body><main>",
            f"<h1>{escape(self.title)}</h1><p>{escape(self.summary)}</p>",
            _pairs("Machine and date", setting),
            _pairs("Parameters", self.parameters),
        ]
        for section in self.sections:
            parts.append(f"<section><h2>{escape(section.title)}</h2>")
            parts += [f"<p>{escape(paragraph)}</p>" for paragraph in section.text]
            parts += [_table(table) for table in section.tables]
            parts += [_figure(plot) for plot in section.plots]
            parts.append("</section>")
        parts.append("</main></body></html>")
        return "\n".join(part for part in parts if part) + "\n"

    def write(self, folder: Path) -> Path:
        """Write ``report.html``, and ``csv/`` with a file for each table and plot; the page's path.

        Raises:
            UsageError: the folder cannot be written.
        """
        return self._write(folder / "report.html", folder / "csv")

    def write_page(self, page: Path) -> Path:
        """Write the page under a name of one's own, and its CSV files into ``<name>-csv`` beside it.

        Raises:
            UsageError: the folder cannot be written.
        """
        return self._write(page, page.with_name(f"{page.stem}-csv"))

    def _write(self, page: Path, numbers: Path) -> Path:
        html = self.html()
        try:
            numbers.mkdir(parents=True, exist_ok=True)
            for section in self.sections:
                for table in section.tables:
                    _write(numbers / f"{table.name}.csv", table.csv())
                for plot in section.plots:
                    _write(numbers / f"{plot.name}.csv", plot.csv)
            _write(page, html)
        except OSError:
            raise UsageError(f"{page.parent} cannot be written; choose another folder.") from None
        return page


def verification_table(
    summaries: Mapping[str, VerificationSummary], *, name: str = "verification", title: str = "Verification"
) -> Table:
    """AUC, EER and TAR at each FAR of several schemes, with intervals."""
    fars = sorted({far for s in summaries.values() for far in (*s.tar_at_far, *s.unsupported)}, reverse=True)
    header = ("scheme", "genuine pairs", "impostor pairs", "FTA", "AUC", "EER")
    rows: list[tuple[Cell, ...]] = [
        (scheme, s.genuine_pairs, s.impostor_pairs, s.fta, s.auc, s.eer, *(s.tar_at_far.get(f) for f in fars))
        for scheme, s in summaries.items()
    ]
    refused = any(s.unsupported for s in summaries.values())
    confidence = {s.auc.interval.confidence for s in summaries.values()}
    note = ", ".join(f"{100 * c:g} %" for c in sorted(confidence)) + " bootstrap intervals in brackets."
    if refused:
        note += " Empty: a FAR that so few impostor pairs cannot support (rule of 3)."
    return Table(name, title, (*header, *(f"TAR at FAR {far:g}" for far in fars)), tuple(rows), note)


def identification_table(
    schemes: Mapping[str, Mapping[int, Estimate]], *, name: str = "ranks", title: str = "Identification"
) -> Table:
    """Rank-n rates of several schemes, as `Identification.summary` gives them."""
    ranks = sorted({rank for rates in schemes.values() for rank in rates})
    rows = [(scheme, *(rates.get(rank) for rank in ranks)) for scheme, rates in schemes.items()]
    note = "Bootstrap intervals over the people on the probes in brackets."
    return Table(name, title, ("scheme", *(f"rank {rank}" for rank in ranks)), tuple(rows), note)


def beside_paper(
    name: str, title: str, rows: Sequence[tuple[str, Cell, Cell, str]], *, paper: str, note: str = ""
) -> Table:
    """What a paper reports and what was found here: figure, the paper's, ours, remark."""
    return Table(name, title, ("figure", paper, "here", "remark"), tuple(rows), note)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _parts(value: Cell) -> list[object]:
    if isinstance(value, Estimate):
        return [value.value, value.interval.low, value.interval.high]
    if isinstance(value, Interval):
        return [None, value.low, value.high]
    return [value, None, None]


def shown(value: object) -> str:
    """A cell as text: four figures of a float, no more than the sample can bear."""
    if isinstance(value, Estimate):
        return f"{shown(value.value)} {shown(value.interval)}"
    if isinstance(value, Interval):
        return f"[{shown(value.low)}, {shown(value.high)}]"
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pairs(title: str, values: Mapping[str, object]) -> str:
    if not values:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(str(key))}</th><td>{escape(shown(value))}</td></tr>'
        for key, value in values.items()
    )
    return f'<table class="facts"><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    body = []
    for row in table.rows:
        cells = []
        for value in row:
            kind = "" if isinstance(value, str) else ' class="n"'
            cells.append(f"<td{kind}>{escape(shown(value))}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="wide"><table><caption>{escape(table.title)} ({escape(table.name)}.csv)</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{note}"
    )


def _figure(plot: Plot) -> str:
    caption = f"{escape(plot.title)} ({escape(plot.name)}.csv)"
    return f"<figure>{plot.inline()}<figcaption>{caption}</figcaption></figure>"


_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:Canvas;color:CanvasText}
main{max-width:60rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;margin:1rem 0;font-size:.9rem}
caption{text-align:left;font-weight:600;padding:.25rem 0}
th,td{padding:.3rem .8rem .3rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #8886}
.facts th{font-weight:400;opacity:.8}
td.n{font-variant-numeric:tabular-nums;white-space:nowrap}
.note,figcaption{font-size:.85rem;opacity:.8;margin:.25rem 0 1rem}
figure{margin:1.5rem 0}
figure svg{width:100%;max-width:44rem;height:auto;display:block}
@media print{main{max-width:none}}
"""
