"""``blindsight init``: a new vault."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli.opening import Keys
from blindsight.cli.options import Json, PassphraseFile, VaultPath
from blindsight.cli.output import Output, fields
from blindsight.core.errors import UsageError


def init(
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="Make this key file, and lock the vault with it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a vault: one encrypted file for keys, names and the audit log.

    It is locked with a passphrase (asked twice), or with a new key file.
    """
    output = Output(as_json)
    keys = Keys(vault, passphrase_file, key_file)
    if keys.path.exists():
        raise UsageError(f"{keys.path} exists already; choose another name for the vault.")
    unlock = keys.unlock(new=True)
    from blindsight.trusted.sealing import make_key_file
    from blindsight.trusted.vault import Vault

    if key_file is not None:
        make_key_file(key_file)
    try:
        Vault.create(keys.path, unlock).close()
    except BaseException:
        if key_file is not None:
            key_file.unlink()
        raise
    path = keys.path.absolute()
    lock = "key-file" if key_file is not None else "passphrase"
    output.document(
        {"vault": str(path), "lock": lock, "key_file": str(key_file.absolute()) if key_file else None}
    )
    opens = f"the key file {key_file.absolute()}" if key_file is not None else "the passphrase you chose"
    what = "key file" if key_file is not None else "passphrase"
    output.show("A vault was made.", "bold")
    output.show(fields(vault=path, opens_with=opens))
    output.show(
        f"Back up the vault, and keep the {what} apart from it. Whoever has both can read your\n"
        "galleries; without both nobody can, neither you nor the servers that store them."
    )
