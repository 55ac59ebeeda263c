"""``blindsight watchlist propose``: what one operator wants to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, fields
from blindsight.cli.watchlist_file import (
    Detector,
    Embedder,
    ListFile,
    OperatorKey,
    abbreviations,
    embeddings_of,
    opened,
    operator_of,
    pipeline_for,
    remarks,
    waiting_content,
    waiting_fields,
    waiting_of,
)
from blindsight.core.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from blindsight.core.dual_control import Add, Change, Watchlist


def propose(
    file: ListFile,
    reason: Annotated[str, typer.Option(help="Why; both parties keep it for good.")],
    key: OperatorKey,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PHOTO]...", help="With --add: one to eight photos of one face each."),
    ] = None,
    add: Annotated[
        str | None, typer.Option(metavar="NAME", help="A new entry: letters, digits, . _ -")
    ] = None,
    remove: Annotated[str | None, typer.Option(metavar="NAME", help="An entry that is to go.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Another distance below which faces match.")] = None,
    embedder: Embedder = "dlib",
    detector: Detector = "dlib",
    as_json: Json = False,
) -> None:
    """Propose to add or remove an entry, or another threshold; the other party's operator decides.

    The change is signed and waits in FILE. The running `serve party` hands it to the other party,
    photos included; it takes effect at both when approved there.
    """
    output = Output(as_json)
    if [add, remove, threshold].count(None) != 2:
        raise UsageError("Propose one change: --add NAME with photos, --remove NAME, or --threshold.")
    if bool(photos) != (add is not None):
        raise UsageError("Photos go with --add NAME, and --add needs some.")
    with opened(file) as listed:
        state = listed.state
        operator = operator_of(state.founding, key)
        read: list[bytes] = []
        said: dict[str, Any] = {}
        change: Change
        if add is not None:
            change, read, said = _addition(output, state, add, photos or [], embedder, detector)
        else:
            change = _other(state, remove, threshold)
        _warn_of_others(output, [one.proposal.change for one in listed.waiting()], change)
        digest = listed.propose(operator.propose(state.name, change, reason), read)
        one = waiting_of(listed, digest.hex())
        (short,) = abbreviations([digest])
    output.document({"file": str(file)} | waiting_content(one, state.founding) | said)
    output.show("Proposed, and waiting for the other party's operator.", "bold")
    output.show(fields(**waiting_fields(one, state)))
    output.show(f"There: blindsight watchlist approve FILE {short} --key KEY")


def _addition(
    output: Output, state: Watchlist, entry: str, photos: list[Path], embedder: str, detector: str
) -> tuple[Add, list[bytes], dict[str, Any]]:
    from blindsight.trusted.operator import addition
    from blindsight.vision.images import read_bytes, shown
    from blindsight.wire.dual_control import MAX_PHOTOS, require_entry

    require_entry(entry)
    if entry in state.entries:
        raise ConflictError(f"{entry} is on the list already; remove it first, or take another name.")
    if len(photos) > MAX_PHOTOS:
        raise UsageError(f"A proposal has at most {MAX_PHOTOS} photos; take the best of them.")
    read = [read_bytes(photo) for photo in photos]
    pipeline = pipeline_for(state.founding, embedder, detector)
    embeddings = embeddings_of(pipeline, [(shown(p), data) for p, data in zip(photos, read, strict=True)])
    change = addition(state.founding, entry, read, embeddings)
    return change, read, remarks(output, state, embeddings, change.values)


def _other(state: Watchlist, remove: str | None, threshold: float | None) -> Change:
    from blindsight.core.dual_control import Remove, SetThreshold
    from blindsight.trusted.operator import squared_distance
    from blindsight.wire.dual_control import require_entry

    if remove is not None:
        require_entry(remove)
        return Remove(remove)
    assert threshold is not None
    return SetThreshold(squared_distance(threshold, state.founding.scale))


def _warn_of_others(output: Output, waiting: list[Change], change: Change) -> None:
    """Two proposals about one entry: the later one approved will be dropped."""

    def about(one: Change) -> Any:
        return getattr(one, "entry", None)

    if about(change) is not None and about(change) in [about(one) for one in waiting]:
        output.note(
            f"Another proposal about {about(change)} waits already; only one of them will fit.", "yellow"
        )
