"""``blindsight plan-obfuscation``: how many faces every camera should show."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, fields, plural, size, table
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.evaluation.movement import CameraGraph

_MODEL = "The model"
_SAMPLING = "The simulation"
_COST = "The cost"


def plan_obfuscation(
    cameras: Annotated[
        str,
        typer.Option(
            metavar="N|FILE",
            help="Cameras in a line, or a graph: specs/obfuscation.md.",
            rich_help_panel=_MODEL,
        ),
    ],
    people: Annotated[
        str,
        typer.Option(
            metavar="N|N-M",
            help="People before all cameras; of a range the worst number counts.",
            rich_help_panel=_MODEL,
        ),
    ],
    horizon: Annotated[
        int,
        typer.Option(min=2, max=200, help="Observations T that a path has.", rich_help_panel=_MODEL),
    ],
    alpha: Annotated[
        float, typer.Option(help="What the probability has to stay below.", rich_help_panel=_MODEL)
    ] = 0.05,
    max_q: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Largest q to consider.",
            show_default="as many as people",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(min=50, help="Most simulated worlds for one start and q.", rich_help_panel=_SAMPLING),
    ] = 2000,
    confidence: Annotated[
        float, typer.Option(help="That the answer keeps below alpha.", rich_help_panel=_SAMPLING)
    ] = 0.95,
    followed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Others whom the tracker follows jointly; it is told the paths of the rest.",
            show_default="as many as can be afforded",
            rich_help_panel=_SAMPLING,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of the simulation, to repeat it.",
            show_default="the study's, or a fresh one",
            rich_help_panel=_SAMPLING,
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep what was simulated here, and go on from it.",
            rich_help_panel=_SAMPLING,
        ),
    ] = None,
    bytes_per_face: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="What a face moves over the wire.",
            show_default="the protocol's, 128-d, 150 entries",
            rich_help_panel=_COST,
        ),
    ] = None,
    ms_per_face: Annotated[
        float | None,
        typer.Option(min=0, help="Time a party takes for a face; bench tells.", rich_help_panel=_COST),
    ] = None,
    steps_per_second: Annotated[
        float, typer.Option(min=1e-6, help="Observations a second.", rich_help_panel=_COST)
    ] = 1.0,
    report: Annotated[
        Path | None,
        typer.Option(metavar="HTML", help="Write a page with drawings, and CSV and SVG beside it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the smallest q at which nobody's path can be followed by counting faces.

    Every camera adds dummy faces until it shows q. The tracker assumed is the best there can be: it knows
    the cameras, the movement probabilities, how many people there are and where each of them started.

    Exit code 1 where no q up to --max-q suffices. An interrupted run goes on with the same --study.
    """
    output = Output(as_json)
    from blindsight.evaluation.obfuscation import Question, plan
    from blindsight.evaluation.obfuscation_report import (
        FACE_BYTES,
        METHODS,
        cost,
        curves,
        sentence,
        write_page,
    )
    from blindsight.evaluation.obfuscation_report import report as paged
    from blindsight.evaluation.obfuscation_study import Study, stored_seed

    question = Question(_range(people), horizon, alpha, max_q, samples, confidence, followed)
    graph = _graph(cameras)
    if seed is None:
        seed = stored_seed(study)
    kept = Study(graph, seed, study)
    with output.progress("worlds", question.samples) as bar:
        made = plan(kept, question, lambda what, done, of: bar(done, of))
    face_bytes = FACE_BYTES if bytes_per_face is None else bytes_per_face
    price = None
    if made.q is not None:
        price = cost(kept, made, made.q, face_bytes=face_bytes, steps=steps_per_second, face_ms=ms_per_face)
    document: dict[str, Any] = {
        "q": made.q,
        "alpha": alpha,
        "horizon": horizon,
        "people": list(question.people),
        "cameras": graph.cameras,
        "confidence": confidence,
        "seed": seed,
        "floor": made.floor,
        "floor_start": made.floor_start,
        "horizon_needed": made.horizon_needed,
        "trials": [
            {"q": trial.q, "verdict": trial.verdict, "worst": asdict(trial.worst)} for trial in made.trials
        ],
        "cost": None if price is None else {**asdict(price), "bytes_per_face": face_bytes},
        "says": sentence(made),
    }
    if report is not None:
        with output.progress("points of the drawings") as bar:
            figures = curves(kept, made, progress=bar)
        settings = {"bytes a face": face_bytes, "steps a second": steps_per_second}
        page, folder = write_page(paged(kept, made, figures, price, settings), report)
        document |= {"report": str(page), "files": str(folder)}
    output.document(document)
    output.show(sentence(made))
    titles = ("q", "probability", "low", "high", "people", "start", "worlds")
    shown = table(*titles, "method", "", right=titles)
    for trial in made.trials:
        at = trial.worst
        shown.add_row(
            *(str(trial.q), f"{at.mean:.3g}", f"{at.low:.3g}", f"{at.high:.3g}"),
            *(str(at.people), str(at.start), f"{at.worlds:,}", at.method, trial.verdict),
        )
    output.show(shown)
    output.show(METHODS, "dim")
    if price is not None:
        bandwidth = f"{size(price.bytes_per_second)} a second at {size(face_bytes)} a face"
        lines = {
            "dummies_a_step": f"{price.dummies:.2f} on average, {price.most} where nobody is there",
            "bandwidth": f"{bandwidth}, {steps_per_second:g} steps a second",
            "comparisons": f"{price.comparisons_per_second:.2f} more a second",
        }
        if price.compute is not None:
            lines["compute"] = f"{price.compute:.2%} of a core at each party"
        output.show(fields(**lines))
    output.show(f"{plural(graph.cameras, 'camera')}, seed {seed}.", "dim")
    if report is not None:
        output.show(f"Written: {clean(str(report))}")
    if made.q is None:
        raise typer.Exit(1)


def _range(text: str) -> tuple[int, int]:
    """``3`` or ``2-6``."""
    found = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", text)
    if found is None:
        raise UsageError("People are a number, as 3, or a range, as 2-6.")
    return int(found[1]), int(found[2] or found[1])


def _graph(text: str) -> CameraGraph:
    from blindsight.evaluation.movement import CameraGraph

    if re.fullmatch(r"[0-9]{1,6}", text):
        return CameraGraph.line(int(text))
    return CameraGraph.load(Path(text))
