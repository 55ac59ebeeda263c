"""What commands on people's crops share: their options, their attribute table, their features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindsight.cli.output import Output
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.core.types import F32
    from blindsight.vision.attribute_table import AttributeTable
    from blindsight.vision.images import Image
    from blindsight.vision.people import PersonImage

Crops = Annotated[
    Path,
    typer.Option(
        "--crops",
        metavar="FOLDER",
        help="Crops of people, named as Market-1501's, or <person>/<name with the camera, such as cam3>.",
    ),
]
CropsFolder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Crops, named as Market-1501's, or <person>/<name with the camera, such as cam3>.",
    ),
]
Attributes = Annotated[
    Path | None,
    typer.Option(
        "--attributes",
        metavar="CSV",
        help="A row of numbers for each person.",
        show_default="attributes.csv in the folder or beside it",
    ),
]


def attribute_table(crops: Path, attributes: Path | None) -> AttributeTable:
    """The table that was named, or the one that lies with the crops."""
    from blindsight.vision.attribute_table import read_attribute_table

    if attributes is None:
        near = [crops / "attributes.csv", crops.absolute().parent / "attributes.csv"]
        attributes = next((path for path in near if path.is_file()), None)
        if attributes is None:
            raise UsageError("There is no attributes.csv with these crops; name the table with --attributes.")
    return read_attribute_table(attributes)


def image_features(output: Output, images: Sequence[PersonImage]) -> F32:
    """Image features of every crop, with a bar: float32 (crops, D)."""
    from blindsight.vision.people_features import features_of

    with output.progress("crops", len(images)) as advance:

        def read() -> Iterator[Image]:
            for number, image in enumerate(images, start=1):
                yield image.read()
                advance(number, len(images))

        return features_of(read())
