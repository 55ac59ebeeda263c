"""``image train`` and ``image predict``: a learner that gets scrambled images and never the key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindsight.cli.opening import token, where
from blindsight.cli.options import CaFile, Folder, Json, TokenFile
from blindsight.cli.output import USAGE, Output, clean, fields, plural, table
from blindsight.core.errors import BlindsightError, ImageError, MismatchError, UsageError

if TYPE_CHECKING:
    from blindsight.core.learning import ModelInfo
    from blindsight.core.types import U8
    from blindsight.trusted.etc_client import ImageClient

Key = Annotated[Path, typer.Option("--key", metavar="FILE", help="The key file; it stays here.")]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Address of the learner.", rich_help_panel="The learner"),
]
Model = Annotated[str, typer.Option("--model", metavar="NAME", help="Name of the model on the learner.")]
Quality = Annotated[
    int | None, typer.Option(min=1, max=100, help="Send JPEG of this quality.", show_default="PNG, exact")
]


def train(
    photos: Annotated[Path, typer.Argument(metavar="FOLDER", help="Images, one folder a person.")],
    model: Model,
    key: Key,
    server: Server = None,
    folder: Folder = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    classifier: Annotated[
        str, typer.Option(metavar="svm-linear|svm-rbf|knn|forest", help="What is trained.")
    ] = "svm-linear",
    ratio: Annotated[int, typer.Option(min=1, help="Of reduction: 20 looks at every 20th pixel.")] = 20,
    size: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="Cut and scale to this.", show_default="the first image's"),
    ] = None,
    colour: Annotated[
        bool, typer.Option("--colour", help="Keep colours; else images are made grey.")
    ] = False,
    key_condition: Annotated[
        str, typer.Option(metavar="common|each", help="One key for all, or one derived for each person.")
    ] = "common",
    quality: Quality = None,
    as_json: Json = False,
) -> None:
    """Scramble images of people, send them to a learner, and have it train on them.

    The learner gets neither key nor names. What it learns all the same (distances, blocks, who resembles
    whom) is in docs/etc-images.md: scrambled images are not encrypted. An existing model of this name
    is trained anew, as its next version, on what it has and these images.
    """
    output = Output(as_json)
    from blindsight.trusted.etc_keys import read_key

    if key_condition not in ("common", "each"):
        raise UsageError("The key condition is common or each.")
    secret = read_key(key)
    wanted = _size(size)
    people, images, rejected = _read(output, photos, wanted, colour)
    with _client(secret, server, folder, token_file, ca_file) as client:
        info, fresh = _model(client, model, people, images, colour, key_condition == "each")
        known = client.people(info)
        labelled, foreign = [], []
        for path, person, pixels in images:
            if person not in known:
                foreign.append((path, "usage", "The model has no class for this person; make a new model."))
            elif pixels.shape[:2] != (info.spec.height, info.spec.width):
                foreign.append(
                    (path, "params-mismatch", "It has another size than the model's; give --size.")
                )
            else:
                labelled.append((known.index(person), pixels))
        rejected += foreign
        if not labelled:
            raise UsageError("None of the images fits the model.")
        try:
            with output.progress("sending", len(labelled)) as advance:
                info = client.send(info, labelled, quality=quality, advance=advance)
            info = client.train(info, classifier, ratio)
        except BaseException:
            if fresh:
                client.drop_empty(info)
            raise
    output.document(
        {
            "model": model,
            "model_id": info.model_id,
            "version": info.versions,
            "classifier": classifier,
            "ratio": ratio,
            "key_condition": info.spec.condition,
            "size": [info.spec.width, info.spec.height],
            "people": info.spec.classes,
            "images": info.images,
            "sent": len(labelled),
            "rejected": [{"file": str(p), "reason": r, "message": m} for p, r, m in rejected],
        }
    )
    output.show(f"{model} was trained, version {info.versions}.", "bold")
    output.show(
        fields(
            classifier=f"{classifier} at 1/{ratio}",
            people=info.spec.classes,
            images=f"{plural(info.images, 'image')} of {info.spec.width} × {info.spec.height}",
            keys="one for all" if info.spec.condition == "common" else "one for each person",
        )
    )
    _tell(output, rejected)


def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images, and folders of images.")],
    model: Model,
    key: Key,
    server: Server = None,
    folder: Folder = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    claim: Annotated[
        str | None, typer.Option("--as", metavar="PERSON", help="Who asks; needed where each has a key.")
    ] = None,
    version: Annotated[int, typer.Option(min=0, help="Of the model.", show_default="the newest")] = 0,
    fit: Annotated[bool, typer.Option("--fit", help="Cut and scale to the model's size.")] = False,
    quality: Quality = None,
    as_json: Json = False,
) -> None:
    """Ask a learner whom images show. Files that cannot be used are reported and stop nothing."""
    output = Output(as_json)
    from blindsight.schemes.etc_image.params import Layout, Params
    from blindsight.trusted.etc_files import tasks
    from blindsight.trusted.etc_keys import read_key

    secret = read_key(key)
    found = tasks(paths, Path())
    verdicts, rejected = [], []
    with _client(secret, server, folder, token_file, ca_file) as client:
        info = client.find(model)
        client.people(info)
        colour = Params.parse(info.spec.params_id).layout is not Layout.GREY
        with output.progress("images", len(found)) as advance:
            for done, task in enumerate(found, start=1):
                try:
                    pixels = _pixels(
                        task.source, (info.spec.height, info.spec.width) if fit else None, colour
                    )
                    used, verdict = client.predict(
                        info, pixels, claim=claim, version=version, quality=quality
                    )
                    verdicts.append((task.source, used, verdict))
                except (ImageError, MismatchError) as error:
                    if isinstance(error, MismatchError) and len(found) == 1:
                        raise
                    rejected.append((task.source, error.code, error.message))
                advance(done, len(found))
    output.document(
        {
            "model": model,
            "images": [
                {
                    "file": str(path),
                    "person": v.name,
                    "score": v.score,
                    "claimed_score": v.claimed,
                    "version": used,
                }
                for path, used, v in verdicts
            ],
            "rejected": [{"file": str(p), "reason": r, "message": m} for p, r, m in rejected],
        }
    )
    shown = table("image", "person", "score", right=("score",))
    for path, _, verdict in verdicts:
        shown.add_row(clean(str(path)), clean(verdict.name), f"{verdict.score:.3f}")
    if verdicts:
        output.show(shown)
    _tell(output, rejected)
    if not verdicts:
        raise typer.Exit(USAGE)


def _tell(output: Output, rejected: list[tuple[Path, str, str]]) -> None:
    for path, _, message in rejected:
        output.note(clean(f"  {path}: {message}"), "yellow")


def _size(text: str | None) -> tuple[int, int] | None:
    """Height and width of ``WIDTHxHEIGHT``."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,5})[x×]([0-9]{1,5})", text)
    if found is None or "0" in (found[1], found[2]):
        raise UsageError("A size looks like 160x192: width, x, height.")
    return int(found[2]), int(found[1])


@contextmanager
def _client(
    secret: object, server: str | None, folder: Path | None, token_file: Path | None, ca_file: Path | None
) -> Iterator[ImageClient]:
    from blindsight.schemes.etc_image.secret import SecretKey
    from blindsight.trusted.etc_client import ImageClient, connect_learner

    assert isinstance(secret, SecretKey)
    place, word = where(server, folder), token(token_file)
    if server is not None and word is None:
        raise UsageError("Give the server's token: --token-file or BLINDSIGHT_TOKEN.")
    learner = connect_learner(place, token=word, ca_file=ca_file)
    try:
        yield ImageClient(learner, secret)
    finally:
        learner.close()


def _pixels(path: Path, size: tuple[int, int] | None, colour: bool) -> U8:
    import numpy as np

    from blindsight.trusted.etc_files import read_plain
    from blindsight.vision.fitting import fitted

    pixels = read_plain(path)
    if colour and pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    height, width = size or pixels.shape[:2]
    return fitted(pixels, height, width, grey=not colour)


def _read(
    output: Output, root: Path, size: tuple[int, int] | None, colour: bool
) -> tuple[list[str], list[tuple[Path, str, U8]], list[tuple[Path, str, str]]]:
    """People, their images, and the files that could not be used."""
    from blindsight.vision.folder import list_photos

    found = list_photos(root)
    rejected = [(one.photo.path, one.reason, one.sentence) for one in found.rejections]
    images = []
    with output.progress("images", len(found.photos)) as advance:
        for done, photo in enumerate(found.photos, start=1):
            try:
                images.append((photo.path, photo.subject, _pixels(photo.path, size, colour)))
            except BlindsightError as error:
                rejected.append((photo.path, error.code, error.message))
            advance(done, len(found.photos))
    if not images:
        _tell(output, rejected)
        raise UsageError(f"There is no usable image in a person's folder under {root}.")
    return sorted({person for _, person, _ in images}), images, rejected


def _model(
    client: ImageClient,
    name: str,
    people: list[str],
    images: list[tuple[Path, str, U8]],
    colour: bool,
    own_keys: bool,
) -> tuple[ModelInfo, bool]:
    """The model of this name, and whether it was made now."""
    from blindsight.core.errors import NotFoundError, ParamsMismatchError
    from blindsight.schemes.etc_image.params import Params

    params = Params.colour() if colour else Params.grey()
    try:
        info = client.find(name)
    except NotFoundError:
        height, width = images[0][2].shape[:2]
        fitting = [person for _, person, pixels in images if pixels.shape[:2] == (height, width)]
        chosen = [person for person in people if person in set(fitting)]
        return client.create(name, params, (height, width), chosen, own_keys=own_keys), True
    if (info.spec.condition == "each") != own_keys:
        other = "a key for each person" if info.spec.condition == "each" else "one key for all"
        raise ParamsMismatchError(f"The model {name} was made under another key condition: {other}.")
    if info.spec.params_id != params.params_id:
        raise ParamsMismatchError(f"The model {name} takes images scrambled as {info.spec.params_id}.")
    return info, False
