"""``evaluate etc``: learning on scrambled images, and the attacks on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, plural, table
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.core.types import U8
    from blindsight.evaluation.people_images import PeopleImages

_PUZZLE_SIDE = 192


def etc(
    photos: Annotated[Path, typer.Argument(metavar="FOLDER", help="Images, one folder a person.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Report and CSV files go here.")] = Path(
        "etc-report"
    ),
    attack: Annotated[bool, typer.Option("--attack", help="Break the scheme instead of using it.")] = False,
    ratio: Annotated[
        list[int] | None, typer.Option(min=1, help="Of reduction, 20 for 1/20; several for several.")
    ] = None,
    photo: Annotated[
        list[Path] | None,
        typer.Option(help="A colour photo for the puzzles; scikit-image's pictures where not given."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the halves and the attacked images.")] = 0,
    as_json: Json = False,
) -> None:
    """Judge people by scrambled (EtC) images, plain beside scrambled; with --attack, break them.

    Images are made grey, cut to 160 × 192 about the middle and scrambled in blocks of 8, as the paper
    has it. The claim of these images is PERCEPTUAL: they are not encrypted.
    """
    output = Output(as_json)
    from blindsight.evaluation.people_images import read_people

    with output.progress("images") as bar:
        data = read_people(photos, advance=bar)
    for line in data.rejected.lines():
        output.note(clean(line), "yellow")
    if attack:
        _attack(output, data, photo or [], out, seed)
    else:
        _experiment(output, data, ratio, out, seed)


def _told(output: Output) -> Any:
    def told(what: str) -> None:
        if output.interactive:
            output.note(what, "dim")

    return told


def _experiment(output: Output, data: PeopleImages, ratio: list[int] | None, out: Path, seed: int) -> None:
    from blindsight.evaluation.etc_experiment import RATIOS, Experiment, run
    from blindsight.evaluation.etc_report import experiment_document, experiment_report

    told = _told(output)
    experiment = Experiment(data, seed=seed)
    told("pixels by position")
    by_position = {kernel: experiment.by_position(kernel, 20) for kernel in ("linear", "rbf")}
    rows = run(experiment, ratios=ratio or RATIOS, progress=told)
    page = experiment_report(experiment, rows, by_position, seed).write(out)
    content = experiment_document(experiment, rows, by_position)
    output.document(content | {"report": str(page), "rejected": data.rejected.counts})
    names = ("EER plain", "one key", "own keys", "stolen key", "largest difference")
    shown = table("classifier", "ratio", *names, right=names)
    for row in content["rows"]:
        cells = (row["eer_plain"], row["eer_common"], row["eer_each"], row["eer_stolen"])
        numbers = ["–" if cell is None else f"{cell:.4f}" for cell in cells]
        shown.add_row(row["classifier"], f"1/{row['ratio']}", *numbers, f"{row['relative_difference']:.1g}")
    people, queries = plural(len(data.names), "person"), plural(experiment.queries, "query image")
    output.show(f"{people}, {plural(experiment.trained, 'training image')}, {queries}")
    output.show(shown)
    output.show(f"Report: {page}")


def _attack(output: Output, data: PeopleImages, photos: list[Path], out: Path, seed: int) -> None:
    from blindsight.evaluation.etc_attacks import PAIRS, TOGETHER, audit
    from blindsight.evaluation.etc_report import audit_document, audit_report

    most = len(data.pixels)
    if most < 64:
        raise UsageError("The attacks need 64 images or more, to be shown what each image more gives away.")
    together = [count for count in TOGETHER if 3 * count < most]
    found = audit(data, _pictures(photos), seed=seed, pairs=PAIRS, together=together, progress=_told(output))
    height, width = data.pixels.shape[1:3]
    about = {
        "Images": most,
        "Size": f"{height} × {width} (height × width)",
        "Blocks": found.blocks,
        "Seed": seed,
    }
    page = audit_report(found, about).write(out)
    output.document(audit_document(found) | {"report": str(page), "rejected": data.rejected.counts})
    first = found.known[0]
    positions = round(first.positions * found.blocks)
    output.show(f"One known image: {positions} of {found.blocks} block positions.", "bold")
    shown = table("under one key", "neighbours together", "blocks in place", right=("under one key",))
    for one in found.together:
        shown.add_row(str(one.images), f"{one.neighbours:.1%}", f"{one.pieces:.1%}")
    output.show("Scrambled images alone:")
    output.show(shown)
    for one in found.puzzles:
        output.show(f"One image, {one.what}, blocks of {one.block}: {one.neighbours:.1%} of neighbours.")
    for link in found.linking:
        output.show(f"Linked, {link.what}: {link.rate:.1%} (chance {link.chance:.2%}).")
    output.show(f"Report: {page}")


def _pictures(paths: list[Path]) -> list[tuple[str, U8]]:
    """Colour photos for the puzzles, square: those given, else pictures that scikit-image ships."""
    import numpy as np
    import PIL.Image

    from blindsight.vision.images import read_image

    if paths:
        found = [(path.name, read_image(path).pixels) for path in paths]
    else:
        try:
            import skimage.data
        except ImportError:
            raise UsageError(
                "Give a colour photo for the puzzles: --photo, or install scikit-image."
            ) from None
        pictures: Any = skimage.data
        found = [("portrait", pictures.astronaut()), ("cat", pictures.chelsea())]
    made = []
    for name, pixels in found:
        side = min(pixels.shape[:2])
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        square = PIL.Image.fromarray(pixels[top : top + side, left : left + side])
        made.append((name, np.array(square.resize((_PUZZLE_SIDE, _PUZZLE_SIDE)), np.uint8)))
    return made
