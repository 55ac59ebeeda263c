"""``blindsight gallery``: make, list, describe, move and drop galleries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from blindsight.cli import gallery_info, gallery_keys
from blindsight.cli.opening import Keys, require_gallery, token, where
from blindsight.cli.options import (
    CaFile,
    Folder,
    GalleryName,
    Json,
    KeyFile,
    PassphraseFile,
    Server,
    TokenFile,
    VaultPath,
    Yes,
)
from blindsight.cli.output import Output, clean, fields, plural, table
from blindsight.core.errors import MismatchError, UsageError

app = typer.Typer(help="Make, describe, move and drop galleries.")
app.command("info")(gallery_info.info)
app.command("export")(gallery_keys.export)
app.command("import")(gallery_keys.import_)
app.command("rotate")(gallery_keys.rotate)

Precision = Annotated[
    str,
    typer.Option(
        help="approximate: 4 bytes a coordinate, a little noise; exact: 8 bytes and none.",
        metavar="approximate|exact",
    ),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a-z, 0-9, dot, underscore, hyphen.")],
    server: Server = None,
    folder: Folder = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    embedder: Annotated[
        str,
        typer.Option(metavar="dlib|dlib:68|onnx:PATH|people:PATH", help="What turns photos into vectors."),
    ] = "dlib",
    precision: Precision = "approximate",
    scheme: Annotated[
        str, typer.Option(metavar="lattice|bfv|ckks|clear", help="How it is protected.")
    ] = "lattice",
    insecure_clear: Annotated[
        bool, typer.Option("--insecure-clear", help="Say that the scheme clear may protect nothing.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Where a match begins.", show_default="the embedder's")
    ] = None,
    hide_scores: Annotated[bool, typer.Option("--hide-scores", help="Answer with names only.")] = False,
    daily_probes: Annotated[int, typer.Option(min=0, help="Probes answered in a day; 0: any.")] = 0,
    canaries: Annotated[
        int, typer.Option(min=0, max=128, help="Rows of each 256 that catch a matcher that alters scores.")
    ] = 0,
    batch: Annotated[
        int, typer.Option(min=1, help="bfv: probes a message carries; a block holds as many times fewer.")
    ] = 1,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Make an empty gallery: its key here in the vault, its templates on a matcher.

    A gallery of people (--embedder people:PATH, made by `people train`) holds quantised features, which
    are compared exactly.
    """
    output = Output(as_json)
    matcher, secret = where(server, folder), token(token_file)
    if server is not None and secret is None:
        raise UsageError("Give the server's token: --token-file or BLINDSIGHT_TOKEN.")
    if precision not in ("approximate", "exact"):
        raise UsageError("The precision is approximate or exact.")
    kind, _, path = embedder.partition(":")
    if kind in ("onnx", "people") and path:
        embedder = f"{kind}:{Path(path).absolute()}"
    from blindsight.trusted.gallery import Gallery
    from blindsight.vision import PeopleModel, open_embedder

    with Keys(vault, passphrase_file, key_file).open() as keys:
        model = open_embedder(embedder).embedder
        quantiser = model.quantiser if isinstance(model, PeopleModel) else None
        precision = "exact" if quantiser is not None else precision
        made = Gallery.create(
            keys,
            name,
            model_id=model.model_id,
            dimension=model.dimension,
            metric=model.metric,
            threshold=model.threshold if threshold is None else threshold,
            radius=model.radius,
            embedder=embedder,
            precision=precision,  # type: ignore[arg-type]
            matcher=matcher,
            token=secret,
            ca_file=ca_file.absolute() if ca_file else None,
            scheme=scheme,
            insecure_clear=insecure_clear,
            show_scores=not hide_scores,
            daily_probes=daily_probes,
            canaries=canaries,
            quantiser=quantiser,
            batch=batch,
        )
        try:
            shown = {
                "gallery": name,
                "matcher": str(matcher),
                "scheme": scheme,
                "precision": precision,
                "embedder": embedder,
                "threshold": made.policy.threshold,
                "key_id": made.session.key_id,
            }
        finally:
            made.close()
    output.document(shown)
    output.show(f"The gallery {name} was made.", "bold")
    output.show(fields(**{k: v for k, v in shown.items() if k != "gallery"}))
    if scheme == "clear":
        output.note("warning: the scheme clear protects nothing; the matcher sees every template.", "yellow")


@app.command("list")
def list_(
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """The galleries that this vault has the keys of; asks no server."""
    output = Output(as_json)
    with Keys(vault, passphrase_file, key_file).open() as keys:
        found = sorted(keys.galleries().values(), key=lambda one: str(one["name"]))
    rows = [
        {part: one[part] for part in ("name", "scheme", "embedder", "matcher", "created")} for one in found
    ]
    output.document({"galleries": rows})
    shown = table("gallery", "scheme", "embedder", "matcher", "made")
    for row in rows:
        shown.add_row(
            *(clean(str(row[part])) for part in ("name", "scheme", "embedder", "matcher", "created"))
        )
    output.show(
        shown if rows else "This vault has no gallery yet; make one with `blindsight gallery create`."
    )


@app.command()
def sync(
    name: GalleryName,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Read everything again, and make all hints and names anew.")
    ] = False,
    accept_older: Annotated[
        bool,
        typer.Option("--accept-older", help="With --rebuild: take the matcher's state, also an older one."),
    ] = False,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Read what other clients changed.

    A matcher that was restored from a backup is behind what it had acknowledged, and refused for
    that. If you know why it is, --rebuild --accept-older takes it as it is.
    """
    output = Output(as_json)
    if accept_older and not rebuild:
        raise UsageError("--accept-older goes with --rebuild.")
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery, output.progress("blocks") as bar:
        blocks = gallery.rebuild(bar, accept_older=accept_older) if rebuild else gallery.sync(bar)
        templates, revision = len(gallery), gallery.session.identity.revision
    output.document({"gallery": name, "blocks_read": blocks, "templates": templates, "revision": revision})
    output.show(
        f"{plural(blocks, 'block')} read; {name} is at revision {revision} with "
        f"{plural(templates, 'template')}."
    )


@app.command()
def policy(
    name: GalleryName,
    threshold: Annotated[float | None, typer.Option(help="Where a match begins.")] = None,
    scores: Annotated[
        bool | None, typer.Option("--show-scores/--hide-scores", help="Whether answers carry scores.")
    ] = None,
    daily_probes: Annotated[int | None, typer.Option(min=0, help="Probes a day; 0: any.")] = None,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Show or change the threshold, whether scores are shown, and the daily budget."""
    output = Output(as_json)
    from dataclasses import asdict, replace

    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        wanted = {"threshold": threshold, "show_scores": scores, "daily_probes": daily_probes}
        changes: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
        if changes:
            gallery.set_policy(replace(gallery.policy, **changes))
        now = asdict(gallery.policy)
    output.document({"gallery": name} | now)
    output.show(fields(**now))


@app.command()
def move(
    name: GalleryName,
    server: Server = None,
    folder: Folder = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Remember another address, folder or token for a gallery whose matcher has moved.

    Nothing is sent but one question: the matcher must have this very gallery. To put a copy on
    another matcher, use `gallery export` and `gallery import`.
    """
    output = Output(as_json)
    from blindsight.trusted.gallery import Gallery

    with Keys(vault, passphrase_file, key_file).open() as keys:
        require_gallery(keys, name)
        place, known = keys.find(name)
        matcher = where(server, folder) if server or folder else known["matcher"]
        changes = {"matcher": str(matcher), "token": token(token_file) or known["token"]}
        if ca_file is not None:
            changes["ca_file"] = str(ca_file.absolute())
        keys.amend(place, **changes)
        try:
            gallery = Gallery.open(keys, name)
            try:
                if gallery.info().key_id != gallery.session.key_id:
                    raise MismatchError(
                        "The gallery there is protected under another key; nothing was changed."
                    )
            finally:
                gallery.close()
        except BaseException:
            keys.amend(place, **{field: known[field] for field in changes})
            raise
    output.document({"gallery": name, "matcher": str(matcher)})
    output.show(f"The gallery {name} is at {matcher} now.")


@app.command()
def delete(
    name: GalleryName,
    yes: Yes = False,
    key_only: Annotated[
        bool, typer.Option("--key-only", help="Destroy the key, and do not ask the matcher at all.")
    ] = False,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Drop a gallery: its templates on the matcher, and its key. There is no way back.

    With --key-only, for a matcher that is gone, the templates stay where they are; nobody can read
    them any more, unless an export or a copy of the vault still has the key.
    """
    output = Output(as_json)
    if key_only:
        with Keys(vault, passphrase_file, key_file).open() as keys:
            require_gallery(keys, name)
            confirm(f"Destroy the key of {name}, for good?", yes)
            keys.drop_gallery(keys.find(name)[0])
            keys.record("delete", gallery=name, key_only=True)
        output.document({"gallery": name, "deleted": True, "key_only": True})
        output.show(f"The key of {name} is gone; its templates are still on their matcher.")
        return
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        templates = len(gallery)
        confirm(f"Delete {name} with {plural(templates, 'template')}, for good?", yes)
        gallery.delete()
    output.document({"gallery": name, "deleted": True, "key_only": False, "templates": templates})
    output.show(f"The gallery {name} is gone, and so is its key.")


@app.command()
def audit(
    name: GalleryName,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """What was done with a gallery through this vault, oldest first; also one that is gone.

    The log is chained by hash: an entry that was taken out of the middle is noticed.
    """
    output = Output(as_json)
    with Keys(vault, passphrase_file, key_file).open() as keys:
        entries = [entry for entry in keys.audit() if entry.get("gallery") == name]
        if not entries:
            require_gallery(keys, name)
    output.document({"gallery": name, "entries": entries})
    shown = table("at", "action", "details")
    for entry in entries:
        rest = {key: value for key, value in entry.items() if key not in ("at", "action", "gallery")}
        details = ", ".join(f"{key} {value}" for key, value in rest.items())
        shown.add_row(str(entry["at"])[:19], str(entry["action"]), clean(details))
    output.show(shown)


def confirm(question: str, yes: bool) -> None:
    """Go on only if the person at the terminal, or ``--yes``, says so."""
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("Nobody is here to confirm this; say --yes.")
    if not typer.confirm(question, err=True):
        raise typer.Abort
