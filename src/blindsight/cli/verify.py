"""``blindsight verify``: is it who they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli.decisions import Wording
from blindsight.cli.opening import Keys, embedder_of, require_subject, threshold_of
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
from blindsight.cli.output import NO_MATCH, Output, clean


def verify(
    name: GalleryName,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo with one face.")],
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Who it is said to be.")],
    threshold: Threshold = None,
    at: At = None,
    calibration: CalibrationFile = None,
    largest_face: LargestFace = False,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Compare a photo with one enrolled person: exit code 0 for a match, 1 for none.

    The matcher compares with everybody, so that it does not learn who was claimed.
    """
    output = Output(as_json)
    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        require_subject(gallery, subject)
        from blindsight.vision import read_image

        pipeline = embedder_of(gallery)
        image = read_image(photo)
        embedding = pipeline.largest_face(image) if largest_face else pipeline.one_face(image)
        limit = threshold_of(gallery, threshold, at, calibration)
        decision = gallery.verify(embedding, subject, threshold=limit)
        wording = Wording(gallery)
        output.document({"photo": str(photo), "claimed": subject} | wording.fields(decision))
        if decision.match:
            output.show(f"MATCH  {clean(photo.name)} shows {clean(subject)}", "bold green")
        else:
            output.show(f"NO MATCH  {clean(photo.name)} does not show {clean(subject)}", "bold yellow")
        if reason := wording.reason(decision.score, decision.threshold):
            output.show(reason)
        wording.cost(output, decision)
    if not decision.match:
        raise typer.Exit(NO_MATCH)
