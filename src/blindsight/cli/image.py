"""``blindsight image``: images whose content is hidden from the eye, and learning on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli import image_learning
from blindsight.cli.options import Json
from blindsight.cli.output import USAGE, Output, clean, fields, plural
from blindsight.core.errors import BlindsightError, UsageError

if TYPE_CHECKING:
    from blindsight.trusted.etc_files import Task

app = typer.Typer(
    help="Block-scrambled (EtC) images: hidden from a viewer's eye, and not encrypted.", no_args_is_help=True
)
app.command("train")(image_learning.train)
app.command("predict")(image_learning.predict)

Key = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="The key file; `blindsight image key` makes one.")
]
Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images, and folders of images.")]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Results go here, in the folders' structure.")
]


@app.command("key")
def key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The key file to make.")], as_json: Json = False
) -> None:
    """Make a key: 32 random bytes in a file that only its owner may read."""
    output = Output(as_json)
    from blindsight.trusted.etc_keys import make_key

    made = make_key(file)
    output.document({"key_file": str(file.absolute()), "key_id": made.key_id})
    output.show(fields(key_file=file.absolute(), key_id=made.key_id))
    output.show("Keep a copy apart from the images. Whoever has it can undo them; without it nobody should.")


@app.command("encrypt")
def encrypt(
    paths: Paths,
    key: Key,
    out: Out,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Write JPEG of this quality.", show_default="PNG, exact"),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(metavar="auto|grey|colour|ycbcr|rgb", help="auto is grey or colour, as the image is."),
    ] = "auto",
    block: Annotated[
        int | None, typer.Option(help="Side of a block in pixels.", show_default="8, in colour 16")
    ] = None,
    own_keys: Annotated[
        bool, typer.Option("--own-keys", help="A key for each image: safer, and of no use for learning.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Scramble images (EtC). This hides content from a viewer's eye; it is no encryption.

    One known image under a key opens all others under it, as do eight unknown ones; docs/etc-images.md
    has the measurements. Files that cannot be used are reported and stop nothing.
    """
    output = Output(as_json)
    from blindsight.trusted.etc_files import scramble_file, tasks
    from blindsight.trusted.etc_keys import read_key

    secret = read_key(key)
    if layout == "auto" and block is not None and block % 8:
        raise UsageError("With the layout auto the side of a block is a multiple of 8.")
    found = tasks(paths, out)

    def one(task: Task) -> Path:
        return scramble_file(secret, task, layout=layout, block=block, quality=quality, own_keys=own_keys)

    _all(output, found, one, {"key_id": secret.key_id, "claim": "perceptual"}, "scrambled")


@app.command("decrypt")
def decrypt(paths: Paths, key: Key, out: Out, as_json: Json = False) -> None:
    """Undo the scrambling of images, into PNG."""
    output = Output(as_json)
    from blindsight.trusted.etc_files import tasks, unscramble_file
    from blindsight.trusted.etc_keys import read_key

    secret = read_key(key)
    found = tasks(paths, out)
    _all(output, found, lambda task: unscramble_file(secret, task), {"key_id": secret.key_id}, "restored")


def _all(
    output: Output, tasks: Sequence[Task], one: Callable[[Task], Path], content: dict[str, Any], verb: str
) -> None:
    """Work through all files; one that fails is reported at the end."""
    if not tasks:
        raise UsageError("There is no image file under these paths.")
    written: list[str] = []
    rejected: list[dict[str, str]] = []
    with output.progress("images", len(tasks)) as advance:
        for done, task in enumerate(tasks, start=1):
            try:
                written.append(str(one(task)))
            except (BlindsightError, OSError) as error:
                rejected.append(_rejection(task.source, error))
            advance(done, len(tasks))
    output.document(content | {"images": len(tasks), "written": written, "rejected": rejected})
    output.show(f"{plural(len(written), 'image')} {verb}, {len(rejected):,} rejected.", "bold")
    for refusal in rejected:
        output.note(clean(f"  {refusal['file']}: {refusal['message']}"), "yellow")
    if not written:
        raise typer.Exit(USAGE)


def _rejection(path: Path, error: BlindsightError | OSError) -> dict[str, str]:
    if isinstance(error, BlindsightError):
        return {"file": str(path), "reason": error.code, "message": error.message}
    return {
        "file": str(path),
        "reason": "usage",
        "message": f"It cannot be read or written: {error.strerror}.",
    }
