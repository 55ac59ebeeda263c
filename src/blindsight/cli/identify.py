"""``blindsight identify``: who is it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.decisions import Wording, box_fields
from blindsight.cli.opening import Keys, embedder_of, threshold_of
from blindsight.cli.options import (
    At,
    CalibrationFile,
    GalleryName,
    Json,
    KeyFile,
    LargestFace,
    PassphraseFile,
    Threshold,
    VaultPath,
)
from blindsight.cli.output import NO_FACE, NO_MATCH, USAGE, Output, clean, plural, table
from blindsight.core.errors import ImageError, NoFaceError, UsageError, VectorError

if TYPE_CHECKING:
    from blindsight.core.types import Decision, Embedding
    from blindsight.trusted.gallery import Gallery
    from blindsight.vision import FaceBox, FacePipeline

_AT_ONCE = 32
"""Probes sent together."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The faces on one photo, or why there are none; ``box`` is None where only one was wanted."""

    photo: Path
    faces: tuple[tuple[FaceBox | None, Embedding], ...] = ()
    error: ImageError | VectorError | None = None


def identify(
    name: GalleryName,
    path: Annotated[Path, typer.Argument(metavar="PHOTO|FOLDER", help="A photo, or a folder of them.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Candidates to show.")] = 5,
    threshold: Threshold = None,
    at: At = None,
    calibration: CalibrationFile = None,
    all_faces: Annotated[bool, typer.Option("--all-faces", help="Every face on a photo.")] = False,
    largest_face: LargestFace = False,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Find who is on a photo: the best candidates, and MATCH or UNKNOWN.

    Of a folder, every photo below it; with --json then one object a line, of the same form as for
    one photo, or {"photo", "error", "message"}. Exit code 0 if anybody was recognised, 1 if nobody,
    4 if no face was found at all.
    """
    output = Output(as_json)
    if all_faces and largest_face:
        raise UsageError("Ask for all faces or for the largest one.")
    photos = _walk(path) if path.is_dir() else [path]
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        pipeline = embedder_of(gallery)
        threshold = threshold_of(gallery, threshold, at, calibration)
        if at is not None:
            _warn_of_strangers(output, at, len(gallery.subjects()))
        wanted = "all" if all_faces else "largest" if largest_face else "one"
        if path.is_dir():
            code = _folder(output, gallery, pipeline, photos, wanted, k, threshold)
        else:
            code = _photo(output, gallery, pipeline, path, wanted, k, threshold)
    if code:
        raise typer.Exit(code)


def _warn_of_strangers(output: Output, at: str, subjects: int) -> None:
    from blindsight.evaluation.calibration import parse_at
    from blindsight.evaluation.identification import expected_fpir

    share = expected_fpir(parse_at(at), subjects)
    output.note(f"A stranger is compared with {subjects:,} people: about {share:.2%} of strangers match one.")


def _photo(
    output: Output,
    gallery: Gallery,
    pipeline: FacePipeline,
    photo: Path,
    wanted: str,
    k: int,
    threshold: float | None,
) -> int:
    seen = _look(pipeline, photo, wanted)
    decisions = gallery.identify([embedding for _, embedding in seen.faces], k=k, threshold=threshold)
    wording = Wording(gallery)
    output.document(_fields(wording, seen, decisions))
    for number, (decision, (box, _)) in enumerate(zip(decisions, seen.faces, strict=True), start=1):
        if box is not None:
            place = f"{box.width} x {box.height} pixels at {box.left}, {box.top}"
            output.show(f"{'' if number == 1 else chr(10)}face {number}, {place}", "dim")
        output.show(wording.verdict(decision))
        if reason := wording.reason(decision.score, decision.threshold):
            output.show(reason)
        wording.candidates(output, decision)
    wording.cost(output, decisions[0], len(decisions))
    return 0 if any(decision.match for decision in decisions) else NO_MATCH


def _folder(
    output: Output,
    gallery: Gallery,
    pipeline: FacePipeline,
    photos: list[Path],
    wanted: str,
    k: int,
    threshold: float | None,
) -> int:
    wording = Wording(gallery)
    shown = table("photo", "", "subject", wording.score, right=(wording.score,))
    rejected: list[Seen] = []
    probes = matches = 0
    server = total = 0.0
    with output.progress("photos", len(photos)) as advance:
        done = 0
        for batch in _batches(pipeline, photos, wanted):
            embeddings = [embedding for seen in batch for _, embedding in seen.faces]
            decisions = gallery.identify(embeddings, k=k, threshold=threshold)
            for timings in {id(d.timings): d.timings for d in decisions}.values():
                server, total = server + timings["server"], total + timings["total"]
            rest = iter(decisions)
            for seen in batch:
                own = [next(rest) for _ in seen.faces]
                if seen.error is not None:
                    rejected.append(seen)
                    error = {"error": seen.error.code, "message": seen.error.message}
                    output.line({"photo": str(seen.photo)} | error)
                    continue
                output.line(_fields(wording, seen, own))
                for decision in own:
                    _row(shown, seen.photo, decision)
            probes, matches = probes + len(decisions), matches + sum(d.match for d in decisions)
            done += len(batch)
            advance(done, len(photos))
    if probes:
        output.show(shown)
    for seen in rejected:
        assert seen.error is not None
        output.show(clean(f"rejected  {seen.photo.name}: {seen.error.message}"), "yellow")
    output.show(f"{plural(probes, 'face')}: {matches:,} recognised, {probes - matches:,} unknown.", "bold")
    if probes:
        output.show(
            f"{wording.sent(probes)}; the matcher computed "
            f"{server:.0f} ms, all of it took {total:.0f} ms without finding faces.",
            "dim",
        )
        return 0 if matches else NO_MATCH
    return NO_FACE if any(isinstance(seen.error, NoFaceError) for seen in rejected) else USAGE


def _row(shown: Any, photo: Path, decision: Decision) -> None:
    best = decision.candidates[0] if decision.candidates else None
    subject = clean(decision.subject or "") or "nobody who is enrolled"
    score = f"{best.score:.3f}" if best is not None and best.score is not None else ""
    verdict = "MATCH" if decision.match else "UNKNOWN"
    shown.add_row(clean(photo.name), verdict, subject, score, style="green" if decision.match else "yellow")


def _fields(wording: Wording, seen: Seen, decisions: list[Decision]) -> dict[str, Any]:
    if seen.faces and seen.faces[0][0] is None:
        return {"photo": str(seen.photo)} | wording.fields(decisions[0])
    pairs = zip(seen.faces, decisions, strict=True)
    faces = [{"box": box_fields(box)} | wording.fields(d) for (box, _), d in pairs if box is not None]
    return {"photo": str(seen.photo), "match": any(d.match for d in decisions), "faces": faces}


def _walk(folder: Path) -> list[Path]:
    """Every photo below a folder, in order; hidden ones are passed over."""
    from blindsight.vision.folder import EXTENSIONS

    found: list[Path] = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(where, name)
            for name in sorted(files)
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
        ]
    if not found:
        raise UsageError(f"There is no photo under {folder}.")
    return found


def _batches(pipeline: FacePipeline, photos: list[Path], wanted: str) -> Iterator[list[Seen]]:
    """Photos until they have a request's worth of faces."""
    batch: list[Seen] = []
    for photo in photos:
        try:
            batch.append(_look(pipeline, photo, wanted))
        except (ImageError, VectorError) as error:
            batch.append(Seen(photo, error=error))
        if sum(len(seen.faces) for seen in batch) >= _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _look(pipeline: FacePipeline, photo: Path, wanted: str) -> Seen:
    from blindsight.vision.images import decode_image, read_bytes, shown

    data = read_bytes(photo)
    image = decode_image(data, source=shown(photo), sha256=hashlib.sha256(data).digest())
    if wanted != "all":
        embedding = pipeline.largest_face(image) if wanted == "largest" else pipeline.one_face(image)
        return Seen(photo, ((None, embedding),))
    faces = tuple((face.box, embedding) for face, embedding in pipeline.all_faces(image))
    if not faces:
        raise NoFaceError(f"No face was found in {image.source}.")
    return Seen(photo, faces)
