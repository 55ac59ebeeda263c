"""``bench``: what a scheme costs on this machine."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from blindsight.cli.bench_aggregation import aggregation
from blindsight.cli.options import Json
from blindsight.cli.output import Output, table

app = typer.Typer(help="Measure what schemes cost.", no_args_is_help=True)


app.command()(aggregation)


@app.callback()
def _bench() -> None:
    pass


@app.command()
def lattice(
    templates: Annotated[
        list[int] | None, typer.Option(min=1, help="Size of the gallery; several for several rows.")
    ] = None,
    dim: Annotated[int, typer.Option(min=16, max=4096, help="Coordinates of a template.")] = 128,
    probes: Annotated[int, typer.Option(min=1, help="Probes counted for agreement.")] = 1000,
    repeats: Annotated[int, typer.Option(min=1, help="Timed searches.")] = 15,
    batch: Annotated[int, typer.Option(min=2, max=256, help="Probes in the timed batch.")] = 64,
    as_json: Json = False,
) -> None:
    """Encrypted search against NumPy's float32 product, in one run, over loopback HTTP."""
    from blindsight.evaluation.bench_lattice import bench_lattice, machine

    output = Output(as_json)
    rows = []
    for count in templates or [100_000]:

        def told(what: str, count: int = count) -> None:
            if output.interactive:
                output.note(f"{count:,} × {dim}: {what}", "dim")

        rows.append(
            asdict(bench_lattice(count, dim, repeats=repeats, probes=probes, batch=batch, progress=told))
        )
    output.document(rows if len(rows) > 1 else rows[0])
    about = machine()
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    output.show(f"lattice beside NumPy float32: {about['processor']}, {about['cores']} cores, {today}")
    sizes = [f"{row['templates']:,} × {row['dim']}" for row in rows]
    shown = table("", *sizes, right=tuple(sizes))
    for name in rows[0]:
        if name not in ("templates", "dim"):
            shown.add_row(name.replace("_", " "), *(f"{row[name]:,}" for row in rows))
    output.show(shown)
