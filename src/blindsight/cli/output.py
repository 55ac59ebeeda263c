"""What a command says, and where: results on standard output, everything else on standard error.

With ``--json`` standard output carries JSON and nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

OK = 0
NO_MATCH = 1
USAGE = 2
PROTOCOL = 3
NO_FACE = 4
BUG = 70
INTERRUPTED = 130

Advance = Callable[[int, int], None]
"""Called with what is done and what there is to do."""


class Output:
    """One command's two streams. Names from outside are printed as they are, never as markup."""

    def __init__(self, as_json: bool) -> None:
        self.json = as_json
        self._out = Console(markup=False, emoji=False, highlight=False)
        self._err = Console(markup=False, emoji=False, highlight=False, stderr=True)

    def document(self, content: Any) -> None:
        """The one JSON document; spread over lines only where a person reads it."""
        if self.json:
            _write(json.dumps(content, indent=2 if sys.stdout.isatty() else None))

    def line(self, content: Any) -> None:
        """One JSON object of many, a line each."""
        if self.json:
            _write(json.dumps(content))

    def show(self, what: Any = "", style: str = "") -> None:
        """A result, for a person."""
        if not self.json:
            self._out.print(what, style=style or None, soft_wrap=isinstance(what, (str, Text)))

    def note(self, text: str, style: str = "") -> None:
        """Something beside the result."""
        self._err.print(text, style=style or None, soft_wrap=True)

    def redraw(self, text: str) -> None:
        """Put a line in the place of the one that was drawn last; for a terminal only."""
        self._err.file.write(f"\r\x1b[2K{clean(text)[: self._err.width - 1]}")
        self._err.file.flush()

    @property
    def interactive(self) -> bool:
        """Whether somebody watches standard error."""
        return self._err.is_terminal

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Advance]:
        """A bar with count and time to go, on standard error and only where that is a terminal."""
        if not self.interactive:
            yield lambda done, of: None
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("took"),
            TimeElapsedColumn(),
            TextColumn("to go"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._err, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done, of: bar.update(task, completed=done, total=of)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fail(code: str, message: str, as_json: bool) -> None:
    """Say one sentence: on standard error, and as JSON on standard output."""
    output = Output(as_json)
    output.document({"error": code, "message": message})
    output.note(f"error: {clean(message)}", "red")


def table(*columns: str, title: str | None = None, right: tuple[str, ...] = ()) -> Table:
    """A table without a frame; the columns in ``right`` are numbers."""
    made = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title, title_justify="left", header_style="dim"
    )
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def fields(**content: Any) -> Table:
    """Names and values, a line each; underscores in names are blanks."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in content.items():
        made.add_row(name.replace("_", " "), value if isinstance(value, Text) else clean(str(value)))
    return made


def clean(text: str) -> str:
    """Text from outside without what a terminal would obey or could not print."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def plural(count: int, what: str) -> str:
    """``1 photo``, ``2 photos``, ``1,000 photos``."""
    several = {"person": "people", "dummy": "dummies"}.get(what, f"{what}s")
    return f"{count:,} {what if count == 1 else several}"


def size(count: float) -> str:
    """Bytes for a person, in powers of 1,000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError("the last unit takes everything")
