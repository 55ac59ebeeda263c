"""``blindsight gallery export``, ``import`` and ``rotate``: what is done with a gallery's key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli.opening import Keys, asked, token, where
from blindsight.cli.options import (
    CaFile,
    ExportPassphraseFile,
    Folder,
    GalleryName,
    Json,
    KeyFile,
    PassphraseFile,
    Server,
    TokenFile,
    VaultPath,
)
from blindsight.cli.output import Output, plural, size
from blindsight.core.errors import UsageError


def export(
    name: GalleryName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    keys_only: Annotated[
        bool, typer.Option("--keys-only", help="Leave the templates where they are; key and names only.")
    ] = False,
    export_passphrase_file: ExportPassphraseFile = None,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Write a gallery with its key to one encrypted file, under a passphrase of its own."""
    output = Output(as_json)
    if file.exists():
        raise UsageError(f"{file} exists already; an export overwrites nothing.")
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        unlock = asked("the export", export_passphrase_file, new=True, otherwise="--export-passphrase-file")
        with output.progress("blocks") as bar:
            gallery.export(file, unlock, keys_only=keys_only, progress=bar)
        templates = len(gallery)
    written = file.stat().st_size
    output.document(
        {
            "gallery": name,
            "file": str(file),
            "bytes": written,
            "templates": templates,
            "keys_only": keys_only,
        }
    )
    what = "its key and its names" if keys_only else f"its key and {plural(templates, 'template')}"
    output.show(f"{name}, {what}, was written to {file} ({size(written)}).")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `gallery export` wrote.")],
    name: Annotated[str | None, typer.Option("--name", help="Another name for it.")] = None,
    server: Server = None,
    folder: Folder = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    export_passphrase_file: ExportPassphraseFile = None,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Bring an exported gallery into this vault.

    With --server or --folder its templates are put there as a new gallery; without, it is used
    where it was.
    """
    output = Output(as_json)
    matcher = where(server, folder) if server or folder else None
    from blindsight.trusted.gallery import Gallery

    with Keys(vault, passphrase_file, key_file).open() as keys:
        unlock = asked("the export", export_passphrase_file, new=False, otherwise="--export-passphrase-file")
        gallery = Gallery.restore(
            keys, file, unlock, name=name, matcher=matcher, token=token(token_file),
            ca_file=ca_file.absolute() if ca_file else None,
        )  # fmt: skip
        try:
            shown = {
                "gallery": gallery.name,
                "templates": len(gallery),
                "subjects": len(gallery.subjects()),
                "matcher": keys.find(gallery.name)[1]["matcher"],
            }
        finally:
            gallery.close()
    output.document(shown)
    output.show(
        f"{shown['gallery']} is in this vault now, with {plural(shown['templates'], 'template')} "
        f"at {shown['matcher']}."
    )


def rotate(
    name: GalleryName,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Encrypt everything anew under a new key, and destroy the old one."""
    output = Output(as_json)
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery, output.progress("blocks") as bar:
        before = gallery.session.key_id
        gallery.rotate(bar)
        after, templates = gallery.session.key_id, len(gallery)
    output.document({"gallery": name, "old_key_id": before, "key_id": after, "templates": templates})
    output.show(
        f"{plural(templates, 'template')} of {name} are under the key {after}; {before} is destroyed."
    )
    output.show("Exports made before still hold the old key: they open old copies of the templates.", "dim")
