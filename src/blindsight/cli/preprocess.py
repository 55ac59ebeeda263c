"""``blindsight preprocess``: what two parties without a dealer make before a face is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindsight.cli.options import Json, address
from blindsight.cli.output import Output, fields, plural, size
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.blind.stock import Kind

_PREPARED = "What is prepared"
_OTHER = "The other party"


def preprocess(
    stock: Annotated[Path, typer.Option(metavar="DIR", help="The stock's folder; made where there is none.")],
    status: Annotated[
        bool, typer.Option("--status", help="Only say what the stock holds, as this side knows.")
    ] = False,
    number: Annotated[
        int | None, typer.Option("--id", min=0, max=1, help="Which party: 0 or 1.", rich_help_panel=_OTHER)
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Its identity, of `blindsight keys new`.", rich_help_panel=_OTHER),
    ] = None,
    peer: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where party 1 listens; for party 0.", rich_help_panel=_OTHER),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen; for party 1.", rich_help_panel=_OTHER),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the other party.", rich_help_panel=_OTHER)
    ] = 60.0,
    faces: Annotated[
        int, typer.Option(min=1, help="Fill up to so many; the side that wants fewer decides.")
    ] = 1000,
    batch: Annotated[
        int,
        typer.Option(
            min=1,
            max=4096,
            help="Faces made, or lost where a run breaks off, together; the same on both sides.",
        ),
    ] = 100,
    watchlist: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Take the sizes from this copy of the watchlist.", rich_help_panel=_PREPARED
        ),
    ] = None,
    entries: Annotated[
        int | None, typer.Option(min=1, max=65536, help="Entries of the list.", rich_help_panel=_PREPARED)
    ] = None,
    dimension: Annotated[
        int, typer.Option(min=2, max=4096, help="Length of a template.", rich_help_panel=_PREPARED)
    ] = 128,
    value_bits: Annotated[
        int, typer.Option(min=8, max=24, help="Bits of a comparison.", rich_help_panel=_PREPARED)
    ] = 24,
    security_bits: Annotated[
        int,
        typer.Option(min=40, max=64, help="Bits of a MAC key, a multiple of 4.", rich_help_panel=_PREPARED),
    ] = 40,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Loopback port for Prometheus; 0 takes a free one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fill a stock of preparations together with the other party, no dealer being there.

    Both parties run this at the same time. It may be interrupted at any point and called again:
    whole batches stay, and what only one side has is dropped. Everything in the stock is used once.
    """
    output = Output(as_json)
    if status:
        _status(output, stock)
        return
    address = address_of(number, peer, listen)
    if identity is None:
        raise UsageError("Say who this party is: --identity DIR, made by `blindsight keys new`.")
    kind = _kind(watchlist, entries, dimension, value_bits, security_bits)
    try:
        from blindsight.blind.stock_filling import StockMetrics, fill
    except ImportError as error:
        raise UsageError(f'Preparing needs {error.name}: pip install "blindsight[server]".') from error
    from blindsight.blind.party_link import link
    from blindsight.blind.stock import Stock
    from blindsight.wire.tls import Identity

    assert number is not None
    own = Stock(stock, number, kind)
    metrics = StockMetrics(own)
    if metrics_port is not None:
        output.note(f"metrics on port {metrics.serve(metrics_port)}")
    output.note("waiting for the other party")
    with (
        link(number, Identity(identity), address, wait) as channel,
        output.progress("faces", faces) as advance,
    ):
        filled = fill(own, channel, faces, batch, advance=advance, metrics=metrics)
    made, both = filled.made, filled.sent_bytes + filled.received_bytes
    output.document(
        {
            "level": filled.level,
            "made": made,
            "batches": filled.batches,
            "seconds": round(filled.seconds, 3),
            "sent_bytes": filled.sent_bytes,
            "received_bytes": filled.received_bytes,
            "seconds_per_face": round(filled.seconds / made, 5) if made else None,
            "megabytes_per_face": round(both / made / 1e6, 3) if made else None,
        }
    )
    output.show(f"{plural(filled.level, 'face')} prepared, {made:,} of them now", "bold")
    if made:
        output.show(
            fields(
                a_face=f"{filled.seconds / made:.2g} s, {size(both / made)} both ways",
                all_in_all=f"{filled.seconds:,.1f} s, {size(both)}",
                in_the_stock=stock.absolute(),
            )
        )


def _status(output: Output, folder: Path) -> None:
    from blindsight.blind.stock import read_batches

    if not folder.is_dir():
        raise UsageError(f"There is no stock at {folder}.")
    batches = read_batches(folder)
    kinds = sorted(
        {
            (b.kind.entries, b.kind.dimension, b.kind.sizes.value_bits, b.kind.sizes.security_bits)
            for b in batches
        }
    )
    level = sum(batch.left for batch in batches)
    output.document(
        {
            "level": level,
            "batches": [
                {"name": b.name.hex(), "faces": b.faces, "left": b.left, "party": b.party} for b in batches
            ],
            "prepared_for": [
                dict(zip(("entries", "dimension", "value_bits", "security_bits"), kind, strict=True))
                for kind in kinds
            ],
        }
    )
    output.show(f"{plural(level, 'face')} prepared", "bold")
    for n, d, k, s in kinds:
        output.show(fields(for_a_list_of=f"{n:,} entries of {d} numbers", bits=f"{k}, security {s}"))
    output.show(fields(batches=f"{len(batches):,}"))


def _kind(
    watchlist: Path | None, entries: int | None, dimension: int, value_bits: int, security_bits: int
) -> Kind:
    from blindsight.blind.stock import Kind
    from blindsight.schemes.dealerless.params import Sizes

    if watchlist is not None:
        from blindsight.blind.dual_control import WatchlistFile
        from blindsight.blind.party_list import compared

        file = WatchlistFile(watchlist)
        try:
            listed = compared(file.state).watchlist
        finally:
            file.close()
        return Kind(Sizes(listed.params.value_bits, security_bits), len(listed), listed.params.dimension)
    if entries is None:
        raise UsageError("Say for which list to prepare: --watchlist FILE, or --entries N.")
    return Kind(Sizes(value_bits, security_bits), entries, dimension)


def address_of(number: int | None, peer: str | None, listen: str | None) -> tuple[str, int]:
    """Where party 1 is, for either party."""
    if number is None:
        raise UsageError("Say which party this is: --id 0 or --id 1.")
    text, other = (peer, listen) if number == 0 else (listen, peer)
    if text is None or other is not None:
        raise UsageError("Party 0 takes --peer HOST:PORT, and party 1 --listen HOST:PORT.")
    return address(text)
