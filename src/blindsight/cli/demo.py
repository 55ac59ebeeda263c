"""``blindsight demo``: all of it on this machine, in a minute, with no file but what is installed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli import demo_surveillance
from blindsight.cli.options import Json
from blindsight.cli.output import NO_MATCH, Output
from blindsight.core.errors import UsageError

app = typer.Typer(help="Show what this is, from end to end, on this machine alone.")
app.command("surveillance")(demo_surveillance.surveillance)


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    photos: Annotated[
        Path | None,
        typer.Option(
            "--photos",
            metavar="DIR",
            help="Your own <subject>/<photo>: the first is enrolled, the rest probe.",
        ),
    ] = None,
    templates: Annotated[
        int, typer.Option("--templates", min=1, max=1_000_000, help="Generated templates around them.")
    ] = 10_000,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Work in this new folder, and leave it there."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show encrypted face recognition from end to end, and what the server saw of it.

    Starts a matcher in a process of its own, enrolls a portrait among generated templates, recognises
    altered photos of it, and does the same in the clear with NumPy. Uses no network.
    """
    if context.invoked_subcommand is not None:
        return
    output = Output(as_json)
    from blindsight.cli.demo_run import run
    from blindsight.cli.demo_show import show_steps

    started = time.monotonic()
    with folder_for(keep) as folder:
        story = run(output, folder, photos, templates)
    content = story.content() | {"seconds": round(time.monotonic() - started, 2)}
    output.document(content | {"kept": str(keep) if keep else None})
    show_steps(output, story, content["seconds"], keep)
    if not any(outcome.decision.match for outcome in story.outcomes):
        raise typer.Exit(NO_MATCH)


@contextmanager
def folder_for(keep: Path | None) -> Iterator[Path]:
    """A folder that is gone afterwards, or a new one that stays."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="blindsight-demo-") as name:
            yield Path(name)
        return
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise UsageError(f"{keep} is not empty; name a new folder.")
    yield keep.absolute()
