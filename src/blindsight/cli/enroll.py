"""``blindsight enroll``: people by their photos."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.opening import Keys, embedder_of
from blindsight.cli.options import GalleryName, Json, KeyFile, LargestFace, PassphraseFile, VaultPath
from blindsight.cli.output import NO_FACE, USAGE, Advance, Output, clean, plural
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.trusted.gallery import Gallery
    from blindsight.vision import EmbeddedPhoto, FacePipeline, Photo, PhotoFolder, Rejection

_BATCH_PHOTOS = 64
_BATCH_SECONDS = 10.0


def enroll(
    name: GalleryName,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="A folder of <subject>/<photo>; photos, with --subject."),
    ],
    subject: Annotated[str | None, typer.Option("--subject", help="Whose photos these files are.")] = None,
    largest_face: LargestFace = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Threads that read and search photos.")] = 2,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and enroll nothing.")] = False,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Enroll the people on photos.

    Templates are sent every 64 photos or 10 seconds. Stopped in the middle, the same command goes
    on where it was: a photo that is enrolled already is passed over. Photos that cannot be used
    are reported at the end and stop nothing.
    """
    output = Output(as_json)
    found = _photos(paths, subject)
    run = Run(output, len(found.photos))
    run.rejections.extend(found.rejections)
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        pipeline = embedder_of(gallery)
        if not dry_run:
            gallery.sync()
        try:
            run.enroll(gallery, pipeline, found.photos, largest_face, workers, dry_run)
        except BaseException:
            if run.enrolled and not dry_run:
                done = plural(run.enrolled, "photo")
                output.note(f"{done} of this run were enrolled and stay so; run the same command to go on.")
            raise
        subjects, templates = len(gallery.subjects()), len(gallery)
    content = run.content() | {"ignored": found.ignored, "dry_run": dry_run}
    output.document({"gallery": name} | content | {"subjects": subjects, "templates": templates})
    run.report(dry_run)
    if not dry_run:
        people = plural(subjects, "subject")
        output.show(f"{name} has {plural(templates, 'template')} of {people} now.")
    if not run.enrolled and not run.already:
        faceless = bool(run.rejections) and all(one.reason == "no-face" for one in run.rejections)
        raise typer.Exit(NO_FACE if faceless else USAGE)


def _photos(paths: Sequence[Path], subject: str | None) -> PhotoFolder:
    from blindsight.trusted.gallery import require_subject_name
    from blindsight.vision import Photo, PhotoFolder, list_photos

    if subject is not None:
        if folders := [path for path in paths if path.is_dir()]:
            raise UsageError(f"{folders[0]} is a folder; with --subject name the photos themselves.")
        require_subject_name(subject)
        return PhotoFolder(tuple(Photo(subject, path) for path in paths), (), 0)
    if files := [path for path in paths if path.is_file()]:
        raise UsageError(f"Say whose photo {files[0].name} is, with --subject.")
    walked = [list_photos(path) for path in paths]
    found = PhotoFolder(
        tuple(sorted({photo for one in walked for photo in one.photos})),
        tuple(rejection for one in walked for rejection in one.rejections),
        sum(one.ignored for one in walked),
    )
    found = _named(found)
    if not found.photos and not found.rejections:
        raise UsageError(f"There is no photo in a subject's folder under {', '.join(map(str, paths))}.")
    return found


def _named(found: PhotoFolder) -> PhotoFolder:
    """Reject the folders whose name nobody can be enrolled under, before any photo is read."""
    from blindsight.trusted.gallery import require_subject_name
    from blindsight.vision import PhotoFolder, Rejection

    bad: dict[str, str] = {}
    for subject in {photo.subject for photo in found.photos}:
        try:
            require_subject_name(subject)
        except UsageError as error:
            bad[subject] = error.message
    good = tuple(photo for photo in found.photos if photo.subject not in bad)
    rejected = tuple(
        Rejection(photo, "folder-name", bad[photo.subject]) for photo in found.photos if photo.subject in bad
    )
    return PhotoFolder(good, found.rejections + rejected, found.ignored)


@dataclass
class Run:
    """What one enrolment has met so far."""

    output: Output
    total: int
    enrolled: int = 0
    done: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    already: int = 0
    seconds: float = 0.0

    def enroll(
        self,
        gallery: Gallery,
        pipeline: FacePipeline,
        photos: Sequence[Photo],
        largest: bool,
        workers: int,
        dry_run: bool,
    ) -> None:
        """Embed and enroll, in batches."""
        from blindsight.vision import Rejection, embed_folder

        started = time.monotonic()
        known = gallery.photos()
        before = len(self.rejections)
        with self.output.progress("photos", self.total) as advance:
            outcomes = embed_folder(
                pipeline,
                photos,
                known=known,
                largest=largest,
                workers=workers,
                on_photo=lambda photo: self._step(advance),
            )
            for batch in _batches(outcomes):
                fresh: dict[bytes, EmbeddedPhoto] = {}
                for outcome in batch:
                    if isinstance(outcome, Rejection):
                        self.rejections.append(outcome)
                    elif outcome.sha256 not in known:
                        fresh.setdefault(outcome.sha256, outcome)
                if not dry_run:
                    gallery.enroll([(one.photo.subject, one.embedding, one.sha256) for one in fresh.values()])
                known.update(fresh)
                self.enrolled += len(fresh)
        self.already = self.done - self.enrolled - (len(self.rejections) - before)
        self.seconds = time.monotonic() - started

    def _step(self, advance: Advance) -> None:
        self.done += 1
        advance(self.done, self.total)

    def content(self) -> dict[str, Any]:
        """The run, for JSON."""
        from blindsight.vision import RejectionReport

        return {
            "photos": self.total,
            "enrolled": self.enrolled,
            "already": self.already,
            "rejected": {
                "counts": RejectionReport(tuple(self.rejections)).counts,
                "photos": [
                    {
                        "photo": str(one.photo.path),
                        "subject": one.photo.subject,
                        "reason": one.reason,
                        "message": one.sentence,
                    }
                    for one in self.rejections
                ],
            },
            "seconds": round(self.seconds, 3),
        }

    def report(self, dry_run: bool) -> None:
        """The run, for a person."""
        from blindsight.vision import RejectionReport

        speed = f", {self.done / self.seconds:.1f} photos a second" if self.seconds > 0.05 else ""
        verb = "could be enrolled" if dry_run else "enrolled"
        self.output.show(
            f"{plural(self.enrolled, 'photo')} {verb}, {self.already:,} there already, "
            f"{len(self.rejections):,} rejected{speed}.",
            "bold",
        )
        for line in RejectionReport(tuple(self.rejections)).lines():
            self.output.show(clean(line), "yellow")


def _batches(outcomes: Iterator[EmbeddedPhoto | Rejection]) -> Iterator[list[EmbeddedPhoto | Rejection]]:
    """What belongs into one commit: 64 photos, or what came within ten seconds."""
    batch: list[EmbeddedPhoto | Rejection] = []
    since = time.monotonic()
    for outcome in outcomes:
        batch.append(outcome)
        if len(batch) >= _BATCH_PHOTOS or time.monotonic() - since >= _BATCH_SECONDS:
            yield batch
            batch, since = [], time.monotonic()
    if batch:
        yield batch
