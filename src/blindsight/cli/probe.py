"""``blindsight probe``: one party's photos against the agreed list, no dealer being there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.options import Json, LargestFace
from blindsight.cli.output import NO_MATCH, PROTOCOL, Output, clean, plural
from blindsight.cli.preprocess import address_of
from blindsight.core.errors import ProtocolError

if TYPE_CHECKING:
    from blindsight.core.dual_control import Founding


def probe(
    number: Annotated[int, typer.Option("--id", min=0, max=1, help="Which party: 0 or 1.")],
    identity: Annotated[Path, typer.Option(metavar="DIR", help="Its identity, of `blindsight keys new`.")],
    watchlist: Annotated[Path, typer.Option(metavar="FILE", help="Its copy of the watchlist.")],
    stock: Annotated[Path, typer.Option(metavar="DIR", help="Its stock, of `blindsight preprocess`.")],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PHOTO]...", help="Photos with a face each; none to answer the other party."),
    ] = None,
    peer: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where party 1 listens; for party 0.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where to listen; for party 1.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the other party.")] = 60.0,
    when_empty: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Wait so long for preparations; 0 refuses at once."),
    ] = 0.0,
    security_bits: Annotated[
        int, typer.Option(min=40, max=64, help="Bits of a MAC key, as they were prepared.")
    ] = 40,
    embedder: Annotated[str, typer.Option(help="dlib, or an ONNX model's .toml.")] = "dlib",
    largest_face: LargestFace = False,
    as_json: Json = False,
) -> None:
    """Ask whether faces are on the list that both parties agreed on; the other learns the answer too.

    One party gives photos, the other runs the same without; nobody sees the photos or any distance.
    Exit code 0 for a match, 1 for none. Every face takes one preparation from both stocks.
    """
    output = Output(as_json)
    address = address_of(number, peer, listen)
    from blindsight.blind.dual_control import WatchlistFile
    from blindsight.blind.party_link import link
    from blindsight.blind.party_list import compared
    from blindsight.blind.stock import Kind, Stock
    from blindsight.blind.stock_asking import probes
    from blindsight.schemes.dealerless.params import Sizes
    from blindsight.wire.tls import Identity

    file = WatchlistFile(watchlist)
    try:
        state = file.state
    finally:
        file.close()
    listed = compared(state)
    params = listed.watchlist.params
    vectors = _vectors(photos, embedder, largest_face, state.founding) if photos else None
    sizes = Sizes(params.value_bits, security_bits)
    own = Stock(stock, number, Kind(sizes, len(listed.watchlist), params.dimension))
    results: list[dict[str, Any]] = []
    output.note("waiting for the other party")
    stopped = None
    with link(number, Identity(identity), address, wait) as channel:
        try:
            for face, bits in enumerate(probes(own, channel, listed.watchlist, vectors, when_empty)):
                found = [name for name, bit in zip(listed.names, bits, strict=True) if bit]
                photo = photos[face] if photos else None
                results.append({"photo": str(photo) if photo else None, "matches": found})
                name = photo.name if photo else f"face {face + 1}"
                if found:
                    output.show(f"MATCH  {clean(name)} is {clean(', '.join(found))}", "bold green")
                else:
                    output.show(f"NO MATCH  {clean(name)} is not on the list", "bold yellow")
        except ProtocolError as error:
            if not results:
                raise
            stopped = error  # what was answered before is told all the same
    told: dict[str, Any] = {"results": results, "entries": len(listed.names), "left": own.level()}
    told["bytes"] = {"sent": channel.sent_bytes, "received": channel.received_bytes}
    if stopped is not None:
        told |= {"error": stopped.code, "message": stopped.message}
        output.note(f"error: {stopped.message}", "red")
    output.document(told)
    output.show(f"{len(listed.names):,} on the list, {plural(own.level(), 'face')} prepared", "dim")
    if stopped is not None:
        raise typer.Exit(PROTOCOL)
    if not any(result["matches"] for result in results):
        raise typer.Exit(NO_MATCH)


def _vectors(photos: list[Path], embedder: str, largest: bool, founding: Founding) -> Any:
    """Photos as the integers that the list is made of: int32 (photos, d)."""
    import numpy as np

    from blindsight.trusted.operator import template
    from blindsight.vision import open_embedder, read_image

    pipeline = open_embedder(embedder)
    rows = []
    for photo in photos:
        image = read_image(photo)
        embedding = pipeline.largest_face(image) if largest else pipeline.one_face(image)
        rows.append(template(founding, [embedding]))
    return np.stack(rows).astype(np.int32)
