"""``blindsight evaluate``: the papers' experiments on photos of the user's own."""

from __future__ import annotations

import typer

from blindsight.cli import evaluate_etc, evaluate_learning, evaluate_lfw, evaluate_reid, evaluate_surveillance

app = typer.Typer(help="Repeat the papers' experiments on your own photos.", no_args_is_help=True)


@app.callback()
def _evaluate() -> None:
    pass


app.command("lfw")(evaluate_lfw.lfw)
app.command("reid")(evaluate_reid.reid)
app.command("etc")(evaluate_etc.etc)
app.command("learning")(evaluate_learning.learning)
app.command("surveillance")(evaluate_surveillance.surveillance)
