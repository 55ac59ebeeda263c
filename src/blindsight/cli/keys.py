"""``blindsight keys``: who a party or a camera is, and whom it lets connect."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.options import Json, Yes
from blindsight.cli.output import Output, fields, table
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.wire.tls import Peer

app = typer.Typer(help="Make keys and certificates for two-party watching, and say whom to trust.")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the identity.")]


@app.command()
def new(
    folder: Folder,
    role: Annotated[str, typer.Option(help="party0, party1, camera, provider or revealer.")],
    name: Annotated[str, typer.Option(help="What the others will see: letters, digits, . _ -")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long the certificate is valid.")] = 365,
    as_json: Json = False,
) -> None:
    """Make a key and a certificate. Give the certificate to those who are to trust it."""
    from blindsight.wire.tls import Identity

    own = Identity.create(folder, role, name, days).own
    output = Output(as_json)
    output.document(_content(own) | {"certificate": str((folder / "certificate.pem").absolute())})
    output.show(f"{name} is a {role} now.", "bold")
    output.show(fields(certificate=folder / "certificate.pem", fingerprint=own.fingerprint, until=_day(own)))
    output.show(
        "Send the certificate to those who are to trust it, and read the fingerprint to them\n"
        "another way. The key beside it stays here."
    )


@app.command()
def operator(
    key: Annotated[Path, typer.Argument(metavar="KEY", help="The new key file.")], as_json: Json = False
) -> None:
    """Make the key that an operator signs watchlist changes with; keep it off the party's server."""
    from blindsight.trusted.operator import Operator
    from blindsight.trusted.sealing import make_key_file, read_key_file

    make_key_file(key)
    public = Operator(0, read_key_file(key)[:32]).public_key.hex()
    output = Output(as_json)
    output.document({"key": str(key.absolute()), "public_key": public})
    output.show(fields(key=key, public_key=public))
    output.show(
        "The public key goes into the founding of a watchlist. Whoever has the key signs in your name."
    )


@app.command()
def show(folder: Folder, as_json: Json = False) -> None:
    """An identity and those that it trusts."""
    from blindsight.wire.tls import Identity

    identity = Identity(folder)
    trusted = identity.trusted()
    output = Output(as_json)
    output.document(_content(identity.own) | {"trusted": [_content(peer) for peer in trusted]})
    shown = table("", "role", "name", "valid until", "fingerprint")
    for label, peer in [("this", identity.own), *(("trusted", peer) for peer in trusted)]:
        shown.add_row(label, peer.role, peer.name, _day(peer), peer.fingerprint)
    output.show(shown)


@app.command()
def trust(
    folder: Folder,
    certificate: Annotated[Path, typer.Argument(metavar="CERTIFICATE", help="What the other one sent.")],
    fingerprint: Annotated[
        str | None, typer.Option(help="Refuse unless the certificate has this fingerprint.")
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let whoever has the key to a certificate connect, and connect to them."""
    from blindsight.wire.tls import Identity, read_certificate

    identity, peer = Identity(folder), read_certificate(certificate)
    if fingerprint is not None and fingerprint.replace(":", "").lower() != peer.fingerprint:
        raise UsageError(f"The fingerprint of {certificate} is {peer.fingerprint}; it is not trusted.")
    output = Output(as_json)
    if fingerprint is None and not yes:
        output.note(f"{peer.role} {peer.name}, fingerprint {peer.fingerprint}")
        typer.confirm("Is this the fingerprint that they read to you?", abort=True, err=True)
    identity.trust(certificate)
    output.document(_content(peer))
    output.show(f"{peer.role} {peer.name} is trusted until {_day(peer)}.")


@app.command()
def distrust(
    folder: Folder,
    role: Annotated[str, typer.Argument(metavar="ROLE")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    as_json: Json = False,
) -> None:
    """Let somebody no longer connect."""
    from blindsight.wire.tls import Identity

    Identity(folder).distrust(role, name)
    output = Output(as_json)
    output.document({"role": role, "name": name, "trusted": False})
    output.show(f"{role} {name} is no longer trusted. What is connected stays so until it ends.")


def _content(peer: Peer) -> dict[str, Any]:
    return {
        "role": peer.role,
        "name": peer.name,
        "until": peer.until.isoformat(),
        "fingerprint": peer.fingerprint,
    }


def _day(peer: Peer) -> str:
    return f"{peer.until:%Y-%m-%d}" + (" (expired)" if peer.until < datetime.now(UTC) else "")
