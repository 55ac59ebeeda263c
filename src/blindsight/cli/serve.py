"""``blindsight serve matcher``: the machine that never sees a face."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, fields
from blindsight.cli.serve_camera import camera
from blindsight.cli.serve_party import party
from blindsight.cli.serve_provider import provider
from blindsight.cli.serve_watchlist import watchlist
from blindsight.core.errors import UsageError

app = typer.Typer(help="Run a server.", no_args_is_help=False)
app.command("watchlist")(watchlist)
app.command("party")(party)
app.command("provider")(provider)
app.command("camera")(camera)


@app.callback()
def _group() -> None:
    """Run a server."""


Host = Annotated[str, typer.Option(help="Address to listen on.")]
TlsCert = Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")]
TlsKey = Annotated[Path | None, typer.Option(help="Its key (PEM), without passphrase.")]
TokenFile = Annotated[
    Path | None, typer.Option(help="The clients' token; made where there is none.", show_default="DIR/token")
]


@app.command()
def matcher(
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder of its galleries; made where there is none.")
    ],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8420,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    token_file: TokenFile = None,
    max_body: Annotated[
        int | None, typer.Option(min=1, help="Largest request, in bytes.", show_default="64 MiB")
    ] = None,
    allow_insecure_clear: Annotated[
        bool, typer.Option(help="Accept galleries that nothing protects, for comparisons.")
    ] = False,
    allow_insecure_http: Annotated[
        bool, typer.Option(help="Listen without TLS on an address that others can reach.")
    ] = False,
    show_token: Annotated[bool, typer.Option(help="Print the token as well.")] = False,
    as_json: Json = False,
) -> None:
    """Store and search galleries that are encrypted under keys this machine never has.

    Runs until SIGTERM or Ctrl-C, then finishes what is under way. With --json it prints one line
    when it is ready: {"event": "listening", "url": …, "token_file": …}.
    """
    output = Output(as_json)
    try:
        from blindsight.blind import serve, service
    except ImportError as error:
        raise UsageError(f'Serving needs {error.name}: pip install "blindsight[server]".') from error
    tokens = (token_file or data / "token").absolute()
    new = not tokens.exists()

    def ready(url: str) -> None:
        secret = tokens.read_text().strip() if show_token else None
        output.line(
            {"event": "listening", "url": url, "data": str(data.absolute()), "token_file": str(tokens)}
            | ({"token": secret} if secret else {})
        )
        output.show(f"listening on {url}", "bold")
        shown = {"galleries in": data.absolute(), "token in": f"{tokens}{' (new)' if new else ''}"}
        output.show(fields(**shown | ({"token": secret} if secret else {})))
        output.show("Clients need the address and the token. Ctrl-C stops.", "dim")

    serve.serve(
        data,
        host,
        port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        token_file=token_file,
        max_body=max_body if max_body is not None else service.DEFAULT_MAX_BODY,
        allow_insecure_clear=allow_insecure_clear,
        allow_insecure_http=allow_insecure_http,
        ready=ready,
    )
    output.note("stopped")


@app.command()
def learner(
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder of its models; made where there is none.")
    ],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8421,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    token_file: TokenFile = None,
    allow_insecure_http: Annotated[
        bool, typer.Option(help="Listen without TLS on an address that others can reach.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train and judge on block-scrambled (EtC) images under keys this machine never has.

    Such images are hidden from the eye and not encrypted; docs/etc-images.md says what this machine learns.
    Runs until SIGTERM or Ctrl-C. With --json it prints one line when it is ready, as the matcher does.
    """
    output = Output(as_json)
    try:
        from blindsight.blind.learner_service import serve_learner
    except ImportError as error:
        raise UsageError(f'Learning needs {error.name}: pip install "blindsight[server,etc]".') from error
    tokens = (token_file or data / "token").absolute()

    def ready(url: str) -> None:
        output.line(
            {"event": "listening", "url": url, "data": str(data.absolute()), "token_file": str(tokens)}
        )
        output.show(f"listening on {url}", "bold")
        output.show(fields(**{"models in": data.absolute(), "token in": tokens}))

    serve_learner(
        data,
        host,
        port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        token_file=token_file,
        allow_insecure_http=allow_insecure_http,
        ready=ready,
    )
    output.note("stopped")
