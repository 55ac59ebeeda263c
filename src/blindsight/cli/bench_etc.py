"""``bench etc``: what scrambling an image costs, beside JPEG."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, table


def etc(
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of the JPEG beside it.")] = 75,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each; the median counts.")] = 51,
    as_json: Json = False,
) -> None:
    """Block scrambling (EtC) against Pillow's JPEG encoding of the same image, in one run."""
    from blindsight.evaluation.bench_etc import bench_etc
    from blindsight.evaluation.machine import machine

    output = Output(as_json)

    def told(what: str) -> None:
        if output.interactive:
            output.note(what, "dim")

    rows = [asdict(row) for row in bench_etc(quality=quality, repeats=repeats, progress=told)]
    asked = ("width", "height", "colour", "encrypt_ms", "jpeg_ms", "ratio")
    output.document([{name: row[name] for name in asked} for row in rows])
    about, today = machine(), f"{datetime.now(UTC):%Y-%m-%d}"
    output.show(f"EtC beside Pillow's JPEG: {about['processor']}, {about['cores']} cores, {today}")
    sizes = [f"{row['width']} × {row['height']} {'colour' if row['colour'] else 'grey'}" for row in rows]
    shown = table("", *sizes, right=tuple(sizes))
    for name in rows[0]:
        if name not in ("width", "height", "colour"):
            shown.add_row(name.replace("_", " "), *(f"{row[name]:,}" for row in rows))
    output.show(shown)
