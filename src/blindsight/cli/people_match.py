"""``blindsight people enroll`` and ``match``: one camera's crowd protected, the other's compared with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.opening import Keys, embedder_of
from blindsight.cli.options import GalleryName, Json, KeyFile, PassphraseFile, VaultPath
from blindsight.cli.output import USAGE, Output, clean, plural, size, table
from blindsight.cli.people_options import CropsFolder
from blindsight.core.errors import ImageError, UsageError, VectorError

if TYPE_CHECKING:
    from blindsight.core.types import Embedding
    from blindsight.trusted.crowds import CrowdMatch
    from blindsight.vision import FacePipeline
    from blindsight.vision.people import PersonImage

Camera = Annotated[
    str | None, typer.Option("--camera", metavar="NUMBER", help="Only the crops of this camera.")
]

_BATCH = 64
Seen = tuple["PersonImage", "Embedding", bytes]


def enroll(
    name: GalleryName,
    crops: CropsFolder,
    camera: Camera = None,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Enroll a camera's people by their crops.

    Templates are sent every 64 crops. Stopped in the middle, the same command goes on where it was;
    crops that cannot be used are reported and stop nothing.
    """
    output = Output(as_json)
    images = _images(crops, camera)
    from blindsight.trusted.gallery import require_subject_name

    for person in {image.person for image in images}:
        require_subject_name(person)
    enrolled = already = 0
    rejected: list[tuple[PersonImage, str]] = []
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        pipeline = embedder_of(gallery)
        gallery.sync()
        known = gallery.photos()
        with output.progress("crops", len(images)) as advance:
            for at in range(0, len(images), _BATCH):
                part = images[at : at + _BATCH]
                seen = _looked_at(pipeline, part, rejected)
                fresh = {sha256: (image.person, embedding) for image, embedding, sha256 in seen}
                fresh = {sha256: one for sha256, one in fresh.items() if sha256 not in known}
                gallery.enroll([(person, one, sha256) for sha256, (person, one) in fresh.items()])
                known.update(fresh)
                enrolled, already = enrolled + len(fresh), already + len(seen) - len(fresh)
                advance(at + len(part), len(images))
        subjects, templates = len(gallery.subjects()), len(gallery)
    output.document(
        {
            "gallery": name,
            "crops": len(images),
            "enrolled": enrolled,
            "already": already,
            "rejected": _rejections(rejected),
            "subjects": subjects,
            "templates": templates,
        }
    )
    _show_rejections(output, rejected)
    output.show(f"{plural(enrolled, 'crop')} enrolled, {already:,} there already.", "bold")
    output.show(f"{name} has {plural(templates, 'template')} of {plural(subjects, 'person')} now.")
    if not enrolled and not already:
        raise typer.Exit(USAGE)


def match(
    name: GalleryName,
    crops: CropsFolder,
    camera: Camera = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Candidates of each.")] = 5,
    named: Annotated[
        bool,
        typer.Option("--named", help="Both cameras call a person by one name: say how often it was found."),
    ] = False,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Compare a camera's whole crowd with a gallery, in one call: who is nearest, and who is whom.

    The candidates are each crop's nearest people. The assignment gives no person to two crops, and is
    the one whose distances are smallest together: for a crowd of one crop a person.
    """
    output = Output(as_json)
    images = _images(crops, camera)
    rejected: list[tuple[PersonImage, str]] = []
    from blindsight.trusted.crowds import match_crowds

    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        pipeline = embedder_of(gallery)
        with output.progress("crops", len(images)) as advance:
            seen: list[Seen] = []
            for number, image in enumerate(images, start=1):
                seen += _looked_at(pipeline, [image], rejected)
                advance(number, len(images))
        if not seen:
            raise UsageError("None of these crops could be read; give pictures of people.")
        with output.progress("matched", len(seen)) as advance:
            found = match_crowds(gallery, [embedding for _, embedding, _ in seen], advance)
        threshold, scheme = gallery.policy.threshold, gallery.session.identity.scheme
    assigned = found.assignment()
    score = "similarity" if found.larger_is_closer else "distance"
    rows = [_row(found, at, image, assigned[at], k, threshold) for at, (image, _, _) in enumerate(seen)]
    truth = _truth(found, [image.person for image, _, _ in seen], assigned) if named else None
    output.document(
        {
            "gallery": name,
            "scheme": scheme,
            "subjects": len(found.subjects),
            "metric": score,
            "threshold": threshold,
            "probes": rows,
            "named": truth,
            "rejected": _rejections(rejected),
            "timings_ms": {stage: round(spent, 3) for stage, spent in found.timings.items()},
            "bytes": dict(found.traffic),
        }
    )
    shown = table("crop", "nearest", score, "assigned", "then", right=(score,))
    for row in rows:
        first, *rest = row["candidates"]
        others = ", ".join(clean(one["subject"]) for one in rest)
        near = "green" if row["match"] else ""
        assigned_name = clean(row["assigned"] or "–")
        shown.add_row(
            clean(row["crop"]),
            clean(first["subject"]),
            f"{first['score']:.3f}",
            assigned_name,
            others,
            style=near,
        )
    output.show(shown)
    _show_rejections(output, rejected)
    people = plural(len(found.subjects), "person")
    output.show(f"{plural(len(rows), 'crop')} compared with {people}; green: within {threshold:.3f}.", "bold")
    if truth is not None:
        rates = ", ".join(f"rank {n} {truth['rates'][n]:.1%}" for n in truth["rates"])
        right = f"{truth['assigned_right']:.1%} of the assignment is right"
        output.show(f"Of {plural(truth['probes'], 'crop')} of people who are enrolled: {rates}; {right}.")
    total = found.timings["total"]
    output.show(
        f"{size(found.traffic['up'])} up, {size(found.traffic['down'])} down; {total:,.0f} ms, "
        f"{total / len(rows):.1f} ms a crop.",
        "dim",
    )


def _images(crops: Any, camera: str | None) -> Sequence[PersonImage]:
    from blindsight.vision.people import list_people

    listed = list_people(crops)
    if camera is None:
        return listed.images
    images = [image for image in listed.images if image.camera == camera]
    if not images:
        there = ", ".join(listed.cameras)
        raise UsageError(f"There is no crop of camera {clean(camera)} here; the cameras are {there}.")
    return images


def _looked_at(
    pipeline: FacePipeline, images: Sequence[PersonImage], rejected: list[tuple[PersonImage, str]]
) -> list[Seen]:
    from blindsight.vision.images import decode_image, read_bytes, shown

    seen: list[Seen] = []
    for image in images:
        try:
            data = read_bytes(image.path)
            sha256 = hashlib.sha256(data).digest()
            pixels = decode_image(data, source=shown(image.path), sha256=sha256)
            seen.append((image, pipeline.largest_face(pixels), sha256))
        except (ImageError, VectorError) as error:
            rejected.append((image, error.message))
    return seen


def _row(
    found: CrowdMatch, at: int, image: PersonImage, column: int | None, k: int, threshold: float
) -> dict[str, Any]:
    ranked = found.ranking(at, k)
    best = ranked[0][1]
    return {
        "crop": image.path.name
        if image.path.parent.name != image.person
        else f"{image.person}/{image.path.name}",
        "camera": image.camera,
        "match": best >= threshold if found.larger_is_closer else best <= threshold,
        "assigned": None if column is None else found.subjects[column],
        "candidates": [
            {"rank": rank, "subject": subject, "score": round(score, 6)}
            for rank, (subject, score) in enumerate(ranked, start=1)
        ],
    }


def _truth(found: CrowdMatch, people: Sequence[str], assigned: Sequence[int | None]) -> dict[str, Any]:
    """Matching rates of the crops whose people are enrolled under the same names."""
    from blindsight.evaluation.identification import Identification
    from blindsight.evaluation.scores import Searches

    columns = {subject: at for at, subject in enumerate(found.subjects)}
    mated = [at for at, person in enumerate(people) if person in columns]
    if not mated:
        raise UsageError("Nobody on these crops is enrolled under the same name; leave --named out.")
    probes = tuple(people[at] for at in mated)
    exact = found.scores if found.squared is None else found.squared.astype(float)  # no rounded ties
    cmc = Identification(Searches(exact[mated], found.subjects, probes, found.larger_is_closer)).cmc()
    right = sum(assigned[at] == columns[people[at]] for at in mated)
    ranks = [n for n in (1, 5, 10, 20) if n <= len(found.subjects)]
    rates = {n: float(cmc.rates[n - 1]) for n in ranks}
    return {"probes": len(mated), "rates": rates, "assigned_right": right / len(mated)}


def _rejections(rejected: Sequence[tuple[PersonImage, str]]) -> list[dict[str, str]]:
    return [{"crop": str(image.path), "message": message} for image, message in rejected]


def _show_rejections(output: Output, rejected: Sequence[tuple[PersonImage, str]]) -> None:
    for image, message in rejected:
        output.show(clean(f"rejected  {image.path.name}: {message}"), "yellow")
