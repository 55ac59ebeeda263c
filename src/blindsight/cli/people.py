"""``blindsight people``: recognise a crowd of one camera in that of another, by what people wear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli import people_match
from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, fields, plural
from blindsight.cli.people_options import Attributes, CropsFolder, attribute_table, image_features
from blindsight.core.errors import UsageError

app = typer.Typer(help="Recognise one camera's people in another's, by crops.", no_args_is_help=True)
app.command("enroll")(people_match.enroll)
app.command("match")(people_match.match)


@app.command()
def train(
    crops: CropsFolder,
    attributes: Attributes = None,
    out: Annotated[Path, typer.Option(help="The model file to write.")] = Path("people.model"),
    bits: Annotated[int, typer.Option(min=1, max=8, help="Bits of a coordinate; `evaluate reid` helps.")] = 6,
    dimension: Annotated[
        int, typer.Option(min=16, max=4096, help="Attributes and co-occurring attributes.")
    ] = 95,
    least_people: Annotated[
        int, typer.Option(min=1, help="People who must have, and lack, an attribute to learn it.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """Learn attributes, metric and quantisation from labelled crops: one file, `--embedder people:FILE`.

    Take people whom nobody will look for: a model is surer of those it has seen. The file is written
    at the end, in one step. It says something about those people in the aggregate; keep it on your
    side.
    """
    output = Output(as_json)
    if not out.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {clean(str(out.absolute().parent))}; make it first.")
    from blindsight.vision.people import list_people

    listed = list_people(crops)
    table = attribute_table(crops, attributes)
    table.values(listed.people)
    features = image_features(output, listed.images)
    from blindsight.trusted.people import train_people

    model = train_people(
        features,
        [image.person for image in listed.images],
        table,
        bits=bits,
        dimension=dimension,
        least_people=least_people,
    )
    model.save(out)
    shown = {
        "file": str(out),
        "model_id": model.model_id,
        "people": len(listed.people),
        "crops": len(listed.images),
        "dimension": model.dimension,
        "bits": model.bits,
        "limit": model.limit,
        "threshold": model.threshold,
    }
    output.document(shown)
    output.show(
        f"Learned from {plural(len(listed.images), 'crop')} of {plural(len(listed.people), 'person')}."
    )
    output.show(fields(**shown))
    use = clean(f"--embedder people:{out}")
    output.show(f"To use it: blindsight gallery create camera-a --scheme bfv --batch 13 {use} …")
