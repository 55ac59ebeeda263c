"""``blindsight serve provider``: deals for cameras that are too weak to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli.options import Json, address
from blindsight.cli.output import Output, fields
from blindsight.cli.serve_party import shown_address


def provider(
    identity: Annotated[Path, typer.Option(metavar="DIR", help="Its identity, of `blindsight keys new`.")],
    party0: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where party 0 listens.")],
    party1: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where party 1 listens.")],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="For cameras. Port 0 takes a free one.")
    ] = "127.0.0.1:0",
    as_json: Json = False,
) -> None:
    """Make the randomness that two parties compare masked faces with, for cameras that ask for it.

    It sees neither faces nor results, and has to be run by somebody who works with neither party:
    together with one of them it could unmask faces. It stores nothing. Runs until SIGTERM or Ctrl-C.
    With --json it prints a line when it is ready, {"event": "listening", "address": …}.
    """
    import signal

    from blindsight.provider.service import Provider
    from blindsight.wire.tls import Identity

    output = Output(as_json)
    served = Provider(Identity(identity), (address(party0), address(party1)), address(listen, free=True))
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: served.stop())
    shown = shown_address(served.address)
    output.line({"event": "listening", "address": shown})
    output.show(f"provider, listening on {shown}", "bold")
    output.show(fields(party0=party0, party1=party1))
    served.run()
    output.note("stopped")
