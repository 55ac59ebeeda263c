"""``blindsight watchlist approve``, ``reject`` and ``withdraw``: what becomes of a proposal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.gallery import confirm
from blindsight.cli.options import Json, Yes
from blindsight.cli.output import Output, clean, fields, plural
from blindsight.cli.watchlist_file import (
    Detector,
    Embedder,
    ListFile,
    OperatorKey,
    PhotosFolder,
    ProposalDigest,
    embeddings_of,
    opened,
    operator_of,
    pipeline_for,
    put,
    remarks,
    waiting_content,
    waiting_fields,
    waiting_of,
    write_photos,
)
from blindsight.core.errors import ConflictError, ImageError, UsageError

if TYPE_CHECKING:
    from blindsight.blind.dual_control import Waiting, WatchlistFile

_WHOLE = 64


def approve(
    file: ListFile,
    proposal: ProposalDigest,
    key: OperatorKey,
    reason: Annotated[str, typer.Option(help="Kept with the approval.")] = "",
    photos: PhotosFolder = None,
    embedder: Embedder = "dlib",
    detector: Detector = "dlib",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Approve what the other party proposed, after embedding its photos with this side's own model.

    Exit code 3 where the proposed template is not that of the photos. The change takes effect when
    the parties, running, next tell each other where their lists stand.
    """
    output = Output(as_json)
    with opened(file) as listed:
        one = waiting_of(listed, proposal)
        _require_whole(proposal, yes)
        founding = listed.state.founding
        operator = operator_of(founding, key)
        if operator.party == one.proposal.proposer:
            raise ConflictError(
                f"Party {operator.party} proposed this, and {key} is its own key; the other's approves."
            )
        if one.verdict is not None:
            raise ConflictError("This proposal is approved already, and takes effect when both parties run.")
        output.show(fields(**waiting_fields(one, listed.state)))
        checked = _checked(output, listed, one, photos, embedder, detector)
        confirm(f"Approve: {put(one.proposal.change, founding)}?", yes)
        listed.decide(operator.decide(one.digest, True, reason))
    output.document(waiting_content(one, founding) | {"approved": True} | checked)
    output.show("Approved. It takes effect at both when the parties next compare their lists.", "bold green")


def reject(
    file: ListFile,
    proposal: ProposalDigest,
    key: OperatorKey,
    reason: Annotated[str, typer.Option(help="Why; the other party is told.")] = "",
    as_json: Json = False,
) -> None:
    """Refuse what the other party proposed. It does not come back; its photos are deleted at both."""
    _end(file, proposal, key, reason, as_json, withdrawn=False)


def withdraw(
    file: ListFile,
    proposal: ProposalDigest,
    key: OperatorKey,
    reason: Annotated[str, typer.Option(help="Why; the other party is told.")] = "",
    as_json: Json = False,
) -> None:
    """Take back what this party proposed, before it takes effect."""
    _end(file, proposal, key, reason, as_json, withdrawn=True)


def _end(file: Path, proposal: str, key: Path, reason: str, as_json: bool, *, withdrawn: bool) -> None:
    output = Output(as_json)
    with opened(file) as listed:
        one = waiting_of(listed, proposal)
        founding = listed.state.founding
        operator = operator_of(founding, key)
        own = operator.party == one.proposal.proposer
        if withdrawn and not own:
            raise ConflictError("The other party proposed this; `watchlist reject` refuses it.")
        if own and not withdrawn:
            raise ConflictError("This party proposed it itself; `watchlist withdraw` takes it back.")
        listed.decide(operator.decide(one.digest, False, reason))
    done = "withdrawn" if withdrawn else "rejected"
    output.document(waiting_content(one, founding) | {"approved": False, done: True})
    output.show(f"{done.capitalize()}: {put(one.proposal.change, founding)}.", "bold")


def _require_whole(proposal: str, yes: bool) -> None:
    """Nobody looks: then the digest must say all. Two proposals can be made to share 16 digits."""
    if yes and len(proposal.strip()) != _WHOLE:
        raise UsageError("With --yes nobody sees what is approved: give the whole digest of the proposal.")


def _checked(
    output: Output, listed: WatchlistFile, one: Waiting, folder: Path | None, embedder: str, detector: str
) -> dict[str, Any]:
    """Look at a proposal as the operator must, with this side's own model."""
    from blindsight.core.dual_control import Add, require_photos
    from blindsight.trusted.operator import require_honest

    state, change = listed.state, one.proposal.change
    state.require_fits(one.proposal, one.digest)
    if not isinstance(change, Add):
        return {}
    founding, photos = state.founding, listed.photos(one.digest)
    require_photos(change, photos)
    if folder is not None:
        for path in write_photos(folder, one, photos):
            output.show(f"photo: {clean(str(path))}")
    pipeline = pipeline_for(founding, embedder, detector)
    try:
        numbered = [(f"photo {number} of the proposal", photo) for number, photo in enumerate(photos, 1)]
        embeddings = embeddings_of(pipeline, numbered)
    except ImageError as error:
        raise type(error)(f"{error.message} Reject the proposal.") from None
    require_honest(state, one.signed, embeddings)
    output.show(f"The template is that of {plural(len(photos), 'photo')}, embedded here.", "green")
    return {"photos": len(photos)} | remarks(output, state, embeddings, change.values)
