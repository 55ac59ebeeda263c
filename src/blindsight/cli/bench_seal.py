"""``bench seal``: the standard schemes beside TenSEAL's straightforward way and beside `lattice`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, table


def seal(
    templates: Annotated[int, typer.Option(min=1, help="Size of the encrypted gallery.")] = 10_000,
    watched: Annotated[int, typer.Option(min=1, help="Size of the plaintext gallery.")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each kind.")] = 15,
    sample: Annotated[int, typer.Option(min=1, help="Pairs of TenSEAL's loop that are timed.")] = 40,
    as_json: Json = False,
) -> None:
    """1:1 and 1:N on Microsoft SEAL against TenSEAL's dot products, with lattice beside, in one run."""
    from blindsight.evaluation.bench_seal import bench_seal
    from blindsight.evaluation.machine import machine

    output = Output(as_json)

    def told(what: str) -> None:
        if output.interactive:
            output.note(what, "dim")

    row = asdict(bench_seal(templates, watched, repeats=repeats, pairs_sampled=sample, progress=told))
    about = machine()
    output.document(row | {"processor": about["processor"], "cores": about["cores"]})
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    output.show(f"bfv and ckks on SEAL: {about['processor']}, {about['cores']} cores, {today}")
    shown = table("", "value", right=("value",))
    for name, value in row.items():
        shown.add_row(name.replace("_", " "), f"{value:,}")
    output.show(shown)
