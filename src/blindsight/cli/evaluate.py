"""``blindsight evaluate``: the papers' experiments on photos of the user's own."""

from __future__ import annotations

import typer

from blindsight.cli import evaluate_learning

app = typer.Typer(help="Repeat the papers' experiments on your own photos.", no_args_is_help=True)


@app.callback()
def _evaluate() -> None:
    pass


app.command("learning")(evaluate_learning.learning)
