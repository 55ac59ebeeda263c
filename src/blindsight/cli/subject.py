"""``blindsight subject``: who is enrolled, and erasing them."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from blindsight.cli.gallery import confirm
from blindsight.cli.opening import Keys, require_subject
from blindsight.cli.options import GalleryName, Json, KeyFile, PassphraseFile, VaultPath, Yes
from blindsight.cli.output import Output, clean, fields, plural, table
from blindsight.core.errors import TamperedError, UsageError

app = typer.Typer(help="List, show and erase enrolled people.")

SubjectName = Annotated[str, typer.Argument(metavar="NAME", help="As enrolled.")]


@app.command("list")
def list_(
    name: GalleryName,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Everybody who is enrolled."""
    output = Output(as_json)
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        gallery.sync()
        found = gallery.subjects()
    output.document(
        {
            "gallery": name,
            "subjects": [
                {"subject": one.name, "templates": one.templates, "enrolled": one.enrolled} for one in found
            ],
        }
    )
    shown = table("subject", "templates", "first enrolled", right=("templates",))
    for one in found:
        shown.add_row(clean(one.name), f"{one.templates:,}", one.enrolled[:19])
    output.show(shown if found else f"Nobody is enrolled in {name} yet.")


@app.command()
def show(
    name: GalleryName,
    subject: SubjectName,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """One enrolled person: since when, how many templates, from which photos (SHA-256)."""
    output = Output(as_json)
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        gallery.sync()
        require_subject(gallery, subject)
        found = gallery.subject(subject)
    photos = [photo.hex() for photo in found.photos]
    content = {"subject": found.name, "templates": found.templates, "enrolled": found.enrolled}
    output.document({"gallery": name} | content | {"photos_sha256": photos})
    output.show(fields(subject=found.name, templates=found.templates, first_enrolled=found.enrolled[:19]))
    output.show(fields(**{f"photo {number}": digest for number, digest in enumerate(photos, start=1)}))


@app.command()
def erase(
    name: GalleryName,
    subject: SubjectName,
    yes: Yes = False,
    certificate: Annotated[
        Path | None,
        typer.Option(help="Where the certificate goes.", show_default="./erasure-<subject>-<time>.json"),
    ] = None,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Erase somebody: their blocks are encrypted anew without them, the old bytes overwritten.

    Writes a certificate, signed with the gallery's own key, of what was erased.
    """
    output = Output(as_json)
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        require_subject(gallery, subject)
        templates = gallery.subject(subject).templates
        confirm(f"Erase {clean(subject)} ({plural(templates, 'template')}) from {name}, for good?", yes)
        file = certificate or Path(f"erasure-{_slug(subject)}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json")
        # The file is made first, so that nothing is erased that cannot be certified.
        descriptor = _new_file(file)
        try:
            signed = gallery.erase(subject)
        except BaseException:
            os.close(descriptor)
            file.unlink()
            raise
        with os.fdopen(descriptor, "w") as stream:
            stream.write(json.dumps(signed, indent=2) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    output.document({"gallery": name, "certificate_file": str(file), "certificate": signed})
    blocks = plural(len(signed["blocks"]), "block")
    output.show(f"{clean(subject)} is erased from {name}: {plural(signed['templates'], 'template')}.", "bold")
    output.show(f"{blocks} encrypted anew and acknowledged by the matcher; the old bytes are overwritten.")
    output.show(f"The certificate is {clean(str(file))}. It names the person. To check it:")
    output.show(
        f"  blindsight subject check-certificate {clean(str(file))} --public-key {signed['public_key']}"
    )


@app.command("check-certificate")
def check_certificate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A certificate of erasure.")],
    public_key: Annotated[
        str | None,
        typer.Option(help="The key that must have signed it, in hex; `gallery info` prints it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a certificate's signature; needs no vault. Exit code 3 where it was altered.

    Without --public-key it is checked against the key that the certificate itself names; compare
    that with the one of the gallery.
    """
    output = Output(as_json)
    from blindsight.trusted.certificate import check_certificate as check

    try:
        read = json.loads(file.read_bytes())
    except ValueError:
        raise UsageError(f"{file} is not JSON.") from None
    if not isinstance(read, dict) or read.get("type") != "blindsight-erasure-1":
        raise UsageError(f"{file} is not a certificate of erasure.")
    check(read)
    if public_key is not None and read["public_key"] != public_key.strip().lower():
        raise TamperedError("The certificate was signed by another key than this one.")
    statement: dict[str, Any] = {
        part: read.get(part) for part in ("subject", "gallery", "key_id", "templates", "at", "public_key")
    }
    output.document({"valid": True, "key_given": public_key is not None} | statement)
    output.show("The signature is valid.", "bold green")
    output.show(fields(**statement))
    if public_key is None:
        output.show("Compare the public key with the one that `blindsight gallery info` prints.", "yellow")


def _new_file(file: Path) -> int:
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{file} exists already; a certificate overwrites nothing.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}; nothing was erased.") from None


def _slug(subject: str) -> str:
    plain = unicodedata.normalize("NFKD", subject).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "subject"
