"""``blindsight serve party``: one of the two who recognise nobody unless both agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindsight.cli.options import Json, address
from blindsight.cli.output import Output, clean, fields
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.blind.party import Alert


def party(
    number: Annotated[int, typer.Option("--id", min=0, max=1, help="Which party: 0 or 1.")],
    identity: Annotated[Path, typer.Option(metavar="DIR", help="Its identity, of `blindsight keys new`.")],
    watchlist: Annotated[Path, typer.Option(metavar="FILE", help="Its copy of the watchlist.")],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of its log and evidence; made where there is none.")
    ],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Port 0 takes a free one.")
    ] = "127.0.0.1:0",
    peer: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where party 1 listens; for party 0.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Loopback port for Prometheus; 0 takes a free one.")
    ] = None,
    footage_days: Annotated[
        float, typer.Option(min=0.001, max=3650, help="Days that shares of footage are kept.")
    ] = 7.0,
    footage_bytes: Annotated[
        int,
        typer.Option(min=0, help="Bytes of footage kept; then the oldest goes. 0 keeps none."),
    ] = 10_000_000_000,
    as_json: Json = False,
) -> None:
    """Compare masked faces with an agreed watchlist, together with the other party.

    Runs until SIGTERM or Ctrl-C. With --json it prints a line when it is ready, {"event":
    "listening", "address": …}, and one for each alert, {"event": "alert", "receipt": …, "camera": …,
    "matches": [[face, entry], …]}. An alert is on both parties' disks before it is printed.
    """
    import signal

    output = Output(as_json)
    try:
        from blindsight.blind.footage_store import Limits
        from blindsight.blind.party import Party
    except ImportError as error:
        raise UsageError(f'Serving needs {error.name}: pip install "blindsight[server]".') from error
    from blindsight.wire.tls import Identity

    def alert(found: Alert) -> None:
        output.line(
            {
                "event": "alert",
                "receipt": found.receipt,
                "camera": found.camera,
                "session": found.session,
                "matches": [list(match) for match in found.matches],
                "at": found.at,
            }
        )
        entries = ", ".join(sorted({entry for _, entry in found.matches}))
        output.show(f"{found.at}  {clean(found.camera)}  {clean(entries)}  {found.receipt[:16]}", "bold")

    served = Party(
        number, Identity(identity), watchlist, data, address(listen, free=True),
        None if peer is None else address(peer), on_alert=alert,
        footage=Limits(footage_days, footage_bytes),
    )  # fmt: skip
    metrics = None if metrics_port is None else served.metrics.serve(metrics_port)
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: served.stop())
    shown = shown_address(served.address)
    output.line({"event": "listening", "party": number, "address": shown, "metrics_port": metrics})
    output.show(f"party {number}, listening on {shown}", "bold")
    output.show(
        fields(log=(data / "log").absolute(), metrics_port=metrics if metrics is not None else "none")
    )
    served.run()
    output.note("stopped")


def shown_address(bound: tuple[str, int]) -> str:
    """The other way about."""
    host, port = bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
