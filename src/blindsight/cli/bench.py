"""``bench``: what a scheme costs on this machine, beside its plaintext counterpart."""

from __future__ import annotations

import typer

from blindsight.cli import (
    bench_aggregation,
    bench_camera,
    bench_etc,
    bench_lattice,
    bench_seal,
    bench_two_party,
)

app = typer.Typer(help="Measure a scheme beside its plaintext counterpart.", no_args_is_help=True)


@app.callback()
def _bench() -> None:
    pass


app.command("lattice")(bench_lattice.lattice)
app.command("seal")(bench_seal.seal)
app.command("two-party")(bench_two_party.two_party)
app.command("camera")(bench_camera.camera)
app.command("aggregation")(bench_aggregation.aggregation)
app.command("etc")(bench_etc.etc)
