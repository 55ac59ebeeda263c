"""``bench camera``: frames a second, faces a second, and how much of it is protection."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, table
from blindsight.core.errors import UsageError


def camera(
    source: Annotated[str, typer.Option(metavar="SOURCE", help="A video file or a folder of pictures.")],
    embedder: Annotated[str, typer.Option(metavar="NAME", help="dlib or onnx:<path>.")] = "dlib",
    detector: Annotated[str, typer.Option(metavar="NAME", help="dlib or mtcnn:<folder>.")] = "dlib",
    min_face: Annotated[int, typer.Option(min=1, help="Smallest face to look at, in pixels.")] = 32,
    entries: Annotated[int, typer.Option(min=1, max=65536, help="Size of the watchlist.")] = 150,
    size: Annotated[str, typer.Option(metavar="WxH", help="Scale frames to this.")] = "640x480",
    frames: Annotated[int, typer.Option(min=1, help="How many; a shorter video is repeated.")] = 300,
    as_json: Json = False,
) -> None:
    """A video through a camera to two parties, each a process of its own, with TLS between them.

    Twice: with one face a person, as `serve camera` sends them, and with every face of every frame.
    """
    output = Output(as_json)
    try:
        from blindsight.evaluation.bench_camera import bench_camera
    except ImportError as error:
        raise UsageError(f'Party processes need {error.name}: pip install "blindsight[server]".') from error
    from blindsight.evaluation.machine import machine
    from blindsight.vision import open_embedder

    found = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", size)
    if found is None or int(found[1]) % 2 or int(found[2]) % 2:
        raise UsageError("--size is a width and a height of even numbers, such as 640x480.")
    about = machine()
    pipeline = open_embedder(embedder, detector=detector, min_face=min_face)
    rows = bench_camera(
        source, pipeline, entries=entries, size=(int(found[1]), int(found[2])), count=frames,
        progress=lambda what: output.note(what, "dim") if output.interactive else None,
    )  # fmt: skip
    output.document([asdict(row) for row in rows])
    output.show(
        f"{detector.partition(':')[0]} and {pipeline.embedder.model_id}, {size}, {entries:,} entries: "
        f"{about['processor']}, {about['cores']} cores, {datetime.now(UTC):%Y-%m-%d}"
    )
    names = [row.sending for row in rows]
    shown = table("", *names, right=tuple(names))
    for name in asdict(rows[0]):
        if name in ("sending", "width", "height", "entries", "protection_share"):
            continue
        values = [getattr(row, name) for row in rows]
        if name.endswith("_ms"):
            label = f"{name[:-3]}, ms a {'frame' if name[:-3] in _PER_FRAME else 'face sent'}"
        else:
            label = name.replace("_", " ")
        shown.add_row(label, *(f"{value:,}" for value in values))
    shown.add_row("protection, of the time", *(f"{100 * row.protection_share:.2f} %" for row in rows))
    output.show(shown)


_PER_FRAME = ("decode", "detect", "track")
