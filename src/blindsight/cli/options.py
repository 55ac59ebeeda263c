"""Options that many commands share, so that they have one name and one sentence each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.core.errors import UsageError

_KEYS = "The vault"
_SERVER = "The matcher"

VaultPath = Annotated[
    Path | None,
    typer.Option(
        "--vault",
        envvar="BLINDSIGHT_VAULT",
        help="The vault: keys and names, encrypted.",
        show_default="~/.blindsight/vault",
        rich_help_panel=_KEYS,
    ),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="A file whose first line opens the vault; else BLINDSIGHT_PASSPHRASE, else you are asked.",
        rich_help_panel=_KEYS,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="The key file that opens the vault.", rich_help_panel=_KEYS),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]

Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Address of the matcher.", rich_help_panel=_SERVER),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="Instead of a server: a folder, matched in this process.",
        rich_help_panel=_SERVER,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="File with the server's token; else BLINDSIGHT_TOKEN.", rich_help_panel=_SERVER
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", help="Certificates (PEM) to trust instead of the system's.", rich_help_panel=_SERVER
    ),
]
ExportPassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--export-passphrase-file", help="A file whose first line opens the export; else you are asked."
    ),
]

GalleryName = Annotated[str, typer.Argument(metavar="GALLERY", help="Name of the gallery.")]
LargestFace = Annotated[
    bool, typer.Option("--largest-face", help="Of several faces on a photo take the largest.")
]
Threshold = Annotated[
    float | None, typer.Option("--threshold", help="Decide by this threshold instead of the gallery's.")
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="fmr=RATE", help="Decide at this false match rate, by --calibration."),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(
        "--calibration", envvar="BLINDSIGHT_CALIBRATION", help="A threshold file of `blindsight calibrate`."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def address(text: str, *, free: bool = False) -> tuple[str, int]:
    """HOST:PORT as its two parts; port 0 only where ``free`` says that it may take a free one."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not (0 if free else 1) <= int(port) <= 65535:
        raise UsageError(f"{text} is not a host and a port, such as 127.0.0.1:8440.")
    return host.strip("[]"), int(port)
