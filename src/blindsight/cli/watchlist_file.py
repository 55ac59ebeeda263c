"""What the commands on a party's watchlist share: opening it, its operator, and how changes are put."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.output import Output, clean, plural
from blindsight.core.errors import ImageError, SeveralFacesError, UsageError

if TYPE_CHECKING:
    from blindsight.blind.dual_control import Waiting, WatchlistFile
    from blindsight.core.dual_control import I16, Change, Founding, Watchlist
    from blindsight.core.types import Embedding
    from blindsight.trusted.operator import Operator
    from blindsight.vision import FacePipeline

ListFile = Annotated[Path, typer.Argument(metavar="FILE", help="This party's copy of the watchlist.")]
ProposalDigest = Annotated[
    str, typer.Argument(metavar="PROPOSAL", help="Its digest, or the first digits of it; `list` prints them.")
]
OperatorKey = Annotated[
    Path, typer.Option("--key", metavar="KEY", help="The operator's key, of `keys operator`.")
]
Embedder = Annotated[
    str, typer.Option(help="The list's model: dlib, dlib:68 or onnx:<path>, with the same weights at both.")
]
Detector = Annotated[
    str, typer.Option(help="What finds the face: dlib, or mtcnn:<folder>; the same at both.")
]
PhotosFolder = Annotated[
    Path | None,
    typer.Option("--photos", metavar="DIR", help="Write its photos there, to look at before deciding."),
]

_SHORT = 8
"""Digits of a digest that are shown, unless more are needed to tell two apart."""


@contextmanager
def opened(path: Path) -> Iterator[WatchlistFile]:
    """The list; closed afterwards. A party may be serving from it."""
    if not path.is_file():
        raise UsageError(f"There is no watchlist at {path}; `watchlist new` or `watchlist join` makes one.")
    from blindsight.blind.dual_control import WatchlistFile

    file = WatchlistFile(path)
    try:
        yield file
    finally:
        file.close()


def operator_of(founding: Founding, key: Path) -> Operator:
    """Whoever signs with this key: the operator of party 0 or of party 1."""
    from blindsight.trusted.operator import Operator
    from blindsight.trusted.sealing import read_key_file

    secret = read_key_file(key)[:32]
    public = Operator(0, secret).public_key
    if public not in founding.operators:
        raise UsageError(
            f"The key {key} is of neither of this list's operators; take the one of its founding."
        )
    return Operator(founding.operators.index(public), secret)


def waiting_of(file: WatchlistFile, digest: str) -> Waiting:
    """The proposal that waits and whose digest begins so."""
    wanted = digest.strip().lower()
    if not wanted or wanted.strip("0123456789abcdef"):
        raise UsageError(f"{clean(digest)} is not the digest of a proposal; `watchlist list` prints them.")
    found = [one for one in file.waiting() if one.digest.hex().startswith(wanted)]
    if not found:
        raise UsageError(f"No proposal {wanted} waits here; `watchlist list` says which do.")
    if len(found) > 1:
        shown = ", ".join(abbreviations([one.digest for one in found]))
        raise UsageError(f"{len(found)} proposals begin with {wanted}: {shown}; give more digits.")
    return found[0]


def abbreviations(digests: Sequence[bytes]) -> list[str]:
    """The digests cut to as many digits as tell them apart."""
    whole = [digest.hex() for digest in digests]
    length = _SHORT
    while len({digest[:length] for digest in whole}) < len(set(whole)):
        length += 4
    return [digest[:length] for digest in whole]


# -- faces -----------------------------------------------------------------------------------


def pipeline_for(founding: Founding, embedder: str, detector: str) -> FacePipeline:
    """Detector and embedder; `ModelMismatchError` where the list is of another model."""
    from blindsight.core.errors import ModelMismatchError
    from blindsight.vision import open_embedder

    pipeline = open_embedder(embedder, detector=detector)
    if pipeline.embedder.model_id != founding.model_id:
        raise ModelMismatchError(
            f"This list is of {founding.model_id}, and here {embedder} is {pipeline.embedder.model_id}; "
            "say with --embedder which weights the list was founded with."
        )
    return pipeline


def embeddings_of(pipeline: FacePipeline, photos: Sequence[tuple[str, bytes]]) -> list[Embedding]:
    """Of photos by name, each of one face: several would leave open who is meant."""
    from blindsight.vision.images import decode_image

    found = []
    for name, photo in photos:
        try:
            found.append(pipeline.one_face(decode_image(photo, source=name)))
        except SeveralFacesError:
            raise SeveralFacesError(f"{name} shows several faces; crop it to the one who is meant.") from None
    return found


def spread(founding: Founding, embeddings: Sequence[Embedding]) -> float:
    """How far the two photos that are least alike are apart; 0 for one."""
    from itertools import combinations

    from blindsight.trusted.operator import distance, template

    single = [template(founding, [one]) for one in embeddings]
    return max((distance(one, other, founding) for one, other in combinations(single, 2)), default=0.0)


def remarks(output: Output, state: Watchlist, embeddings: Sequence[Embedding], values: I16) -> dict[str, Any]:
    """Say what speaks against an entry: photos that are of two people, or of somebody who is listed."""
    apart, limit = spread(state.founding, embeddings), threshold_of(state.founding, state.threshold)
    if apart >= limit:
        output.note(
            f"Two of these photos are {apart:.2f} apart, and {limit:.2g} make two people to this list.",
            "yellow",
        )
    known = nearest(state, values)
    if known is not None:
        output.note(f"These photos match {known[0]}, who is on the list (distance {known[1]:.2f}).", "yellow")
    return {"spread": round(apart, 4), "matches": None if known is None else known[0]}


def nearest(state: Watchlist, values: I16) -> tuple[str, float] | None:
    """The entry that this template matches, if it does, and its distance."""
    from blindsight.trusted.operator import distance

    apart = [(distance(other, values, state.founding), name) for name, other in state.entries.items()]
    closest = min(apart, default=None)
    if closest is None or closest[0] >= threshold_of(state.founding, state.threshold):
        return None
    return closest[1], closest[0]


def write_photos(folder: Path, waiting: Waiting, photos: Sequence[bytes]) -> list[Path]:
    """Write photos as the model sees them, decoded and encoded anew: these bytes came from elsewhere."""
    import PIL.Image

    from blindsight.vision.images import decode_image

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = []
    for number, photo in enumerate(photos, 1):
        path = folder / f"{waiting.digest.hex()[:_SHORT]}-{number}.png"
        try:
            image = decode_image(photo, source=f"photo {number} of the proposal")
        except ImageError as error:
            raise type(error)(f"{error.message} Reject the proposal.") from None
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            PIL.Image.fromarray(image.pixels).save(stream, "PNG")
        written.append(path)
    return written


# -- words -----------------------------------------------------------------------------------


def threshold_of(founding: Founding, squared: int) -> float:
    """A threshold of the list as a distance between embeddings."""
    return math.sqrt(squared) / founding.scale


def day(at: int) -> str:
    """A moment, to the minute; clocks of the operators who signed."""
    return f"{moment(at):%Y-%m-%d %H:%M}"


def moment(at: int) -> datetime:
    """A moment of a signature, in UTC."""
    return datetime.fromtimestamp(min(at, 253402300799), UTC)


def put(change: Change, founding: Founding) -> str:
    """A change in words."""
    from blindsight.core.dual_control import Add, Remove

    match change:
        case Add(entry=entry, photos=photos):
            return f"add {entry} ({plural(len(photos), 'photo')})"
        case Remove(entry=entry):
            return f"remove {entry}"
    return f"threshold {threshold_of(founding, change.threshold):.4g}"


def change_content(change: Change, founding: Founding) -> dict[str, Any]:
    """A change for a program."""
    from blindsight.core.dual_control import Add, Remove

    match change:
        case Add(entry=entry, photos=photos):
            return {"kind": "add", "entry": entry, "photos_sha256": [photo.hex() for photo in photos]}
        case Remove(entry=entry):
            return {"kind": "remove", "entry": entry}
    return {"kind": "threshold", "threshold": threshold_of(founding, change.threshold)}


def waiting_content(one: Waiting, founding: Founding) -> dict[str, Any]:
    """A proposal for a program."""
    return {
        "proposal": one.digest.hex(),
        "proposer": one.proposal.proposer,
        "at": moment(one.proposal.at).isoformat(),
        "reason": one.proposal.reason,
        "change": change_content(one.proposal.change, founding),
        "approved": one.verdict is not None,
    }


def waiting_fields(one: Waiting, state: Watchlist) -> dict[str, str]:
    """A proposal for a person."""
    from blindsight.core.dual_control import SetThreshold

    change, founding = one.proposal.change, state.founding
    now = f", now {threshold_of(founding, state.threshold):.4g}" if isinstance(change, SetThreshold) else ""
    return {
        "proposal": one.digest.hex(),
        "change": put(change, founding) + now,
        "reason": one.proposal.reason,
        "by": f"party {one.proposal.proposer}, {day(one.proposal.at)} UTC",
    }
