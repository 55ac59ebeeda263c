"""``blindsight lookup``: whether a face is on somebody else's watch list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli.opening import token
from blindsight.cli.options import CaFile, Json, LargestFace, TokenFile
from blindsight.cli.output import NO_MATCH, Output, clean, size
from blindsight.core.errors import UsageError


def lookup(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo with one face.")],
    server: Annotated[str, typer.Option("--server", metavar="URL", help="Address of the watch list.")],
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    embedder: Annotated[str, typer.Option(help="dlib, or an ONNX model's .toml.")] = "dlib",
    threshold: Annotated[
        float | None, typer.Option(help="Instead of the threshold that the model comes with.")
    ] = None,
    largest_face: LargestFace = False,
    as_json: Json = False,
) -> None:
    """Score a photo against somebody else's watch list: exit code 0 for a match, 1 for none.

    The list's owner does not see the face; what comes back is a score for each row of the list.
    """
    output = Output(as_json)
    if not server.startswith(("http://", "https://")):
        raise UsageError("A server's address looks like https://host:port.")
    from blindsight.trusted.watch_client import WatchList
    from blindsight.vision import open_embedder, read_image
    from blindsight.wire.watchlist import RemoteWatchList

    pipeline = open_embedder(embedder)
    image = read_image(photo)
    embedding = pipeline.largest_face(image) if largest_face else pipeline.one_face(image)
    limit = threshold if threshold is not None else pipeline.embedder.threshold
    remote = RemoteWatchList(server, token(token_file) or "", ca_file=ca_file)
    with WatchList(remote) as found:
        matches = found.matches(embedding, limit)
        traffic = dict(remote.traffic)
        output.document(
            {
                "photo": str(photo),
                "threshold": limit,
                "metric": found.metric,
                "templates": found.count,
                "matches": [{"row": match.row, "score": match.score} for match in matches],
                "server_ms": round(found.server_ms, 3),
                "bytes": traffic,
            }
        )
        if matches:
            output.show(f"MATCH  {clean(photo.name)} is on the list", "bold green")
        else:
            output.show(f"NO MATCH  {clean(photo.name)} is not on the list", "bold yellow")
        for match in matches:
            output.show(f"row {match.row}: {found.metric} {match.score:.3f}, threshold {limit:g}")
        sent, received = size(traffic["sent"]), size(traffic["received"])
        output.show(f"{found.count:,} templates, {sent} sent (keys included), {received} received", "dim")
    if not matches:
        raise typer.Exit(NO_MATCH)
