"""What a plan for q costs, its drawings, and its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from blindsight.core.errors import UsageError
from blindsight.evaluation.figures import INK, Plot, csv_text, finished, series, sheet
from blindsight.evaluation.obfuscation import Figure, Plan, figure
from blindsight.evaluation.obfuscation_study import Study
from blindsight.evaluation.report import Report, Section, Table
from blindsight.schemes.spdz2k.messages import Kind, Layout
from blindsight.schemes.spdz2k.params import Params

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PARTIES_WATCH = Layout(Params.for_radius(128), 150)
FACE_BYTES = sum(
    count * _PARTIES_WATCH.size(kind, 1)
    for kind, count in (
        (Kind.MATERIAL_0, 1), (Kind.MATERIAL_1, 1), (Kind.INPUTS, 2),
        (Kind.OPEN, 2), (Kind.BITS, 2), (Kind.CHECK, 2),
    )
)  # fmt: skip
"""What one face moves over the wire in the two-party protocol (specs/two-party.md, section 8), with 128
coordinates and 150 entries: material of P0 and of P1, the masked input to each, and what the
parties send each other."""

_CURVES = 6
_HORIZONS = 7
_AXIS = "P[whole path reconstructed], best tracker"


@dataclass(frozen=True, slots=True)
class Cost:
    """What the dummies of all cameras together add.

    Attributes:
        dummies: mean a step, where the fewest people are there.
        most: a step without people: q times the cameras.
        bytes_per_second: of the mean, at the given bytes a face and steps a second.
        comparisons_per_second: faces more that the parties compare with the watchlist.
        compute: share of one core of each party that these take; None where it is not said how long
            one takes.
    """

    dummies: float
    most: int
    bytes_per_second: float
    comparisons_per_second: float
    compute: float | None


def cost(study: Study, plan: Plan, q: int, *, face_bytes: float, steps: float, face_ms: float | None) -> Cost:
    """The cost of ``q``, at ``steps`` observations a second."""
    dummies = study.dummies(plan.question.people[0], q, plan.question.horizon)
    rate = dummies * steps
    return Cost(
        dummies,
        q * study.graph.cameras,
        rate * face_bytes,
        rate,
        None if face_ms is None else rate * face_ms / 1000,
    )


def curves(
    study: Study,
    plan: Plan,
    *,
    worlds: int = 200,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[Figure, ...]:
    """Figures over q and T for the most people, from the worst start of the largest q that failed.

    Their intervals hold each for itself. The study is saved whatever happens.
    """
    question = plan.question
    failed = [trial.worst for trial in plan.trials if trial.verdict != "kept"]
    people = question.people[1]
    start = failed[-1].start if failed else plan.floor_start
    horizons = _spread(2, question.horizon, _HORIZONS)
    sizes = _spread(0, question.largest, _CURVES)
    if plan.q is not None and plan.q not in sizes:
        sizes = sorted({*sizes, plan.q})
    found: list[Figure] = []
    alone = replace(question, max_q=0)  # one q: the intervals of a drawing are not corrected for a search
    try:
        for q in sizes:
            for horizon in horizons:
                progress(len(found), len(sizes) * len(horizons))
                asked = replace(alone, horizon=horizon)
                found.append(figure(study, asked, people, start, q, worlds=worlds))
    finally:
        study.save()
    return tuple(found)


def over_horizon(figures: Sequence[Figure], alpha: float, folder: Path | None = None) -> Plot:
    """The probability over T, a line for each q."""
    title = "How likely the whole path is reconstructed, over the observations"
    with sheet(6.4, 4.4) as (drawing, (axes,)):
        for number, q in enumerate(sorted({at.q for at in figures})):
            line = [at for at in figures if at.q == q]
            x = [at.horizon for at in line]
            axes.plot(x, [at.mean for at in line], label=f"q = {q}", **series(number))
            axes.fill_between(
                x,
                [max(at.low, 1e-9) for at in line],
                [at.high for at in line],
                color=series(number)["color"],
                alpha=0.13,
                linewidth=0,
            )
        _limits(axes, figures, alpha)
        axes.set_xticks(sorted({at.horizon for at in figures}))
        axes.set_xlabel("T, observations of a path")
        axes.legend(loc="lower left")
        return finished(drawing, "over-horizon", title, _csv(figures), folder)


def over_q(figures: Sequence[Figure], alpha: float, folder: Path | None = None) -> Plot:
    """The probability over q, at the largest T."""
    horizon = max(at.horizon for at in figures)
    line = [at for at in figures if at.horizon == horizon]
    title = f"How likely the whole path is reconstructed, over q (T = {horizon})"
    with sheet(6.4, 3.6) as (drawing, (axes,)):
        means = [at.mean for at in line]
        below = [max(0.0, at.mean - at.low) for at in line]
        above = [max(0.0, at.high - at.mean) for at in line]
        style = series(0)
        axes.errorbar(
            [at.q for at in line], means, yerr=[below, above], marker="o", capsize=4, color=style["color"]
        )
        _limits(axes, line, alpha)
        axes.set_xticks([at.q for at in line])
        axes.set_xlabel("q, faces that every camera shows at least")
        return finished(drawing, "over-q", title, _csv(line), folder)


def report(
    study: Study, plan: Plan, figures: Sequence[Figure], price: Cost | None, settings: Mapping[str, object]
) -> Report:
    """The page: answer, what was tried, cost, drawings and what they mean."""
    question = plan.question
    trials = tuple(
        (
            trial.q,
            {"kept": "below α", "broken": "not below α", "undecided": "undecided"}[trial.verdict],
            trial.worst.people,
            trial.worst.start,
            trial.worst.mean,
            trial.worst.low,
            trial.worst.high,
            trial.worst.method,
            trial.worst.worlds,
        )
        for trial in plan.trials
    )
    header = ("q", "verdict", "people", "start", "probability", "low", "high", "method", "worlds")
    tried = Table("trials", "Values of q tried, each at its worst start", header, trials, METHODS)
    sections = [Section("What was tried", (), (tried,))]
    if price is not None:
        rows: list[tuple[str, str | float | int | None]] = [
            ("dummies a step, all cameras, mean", price.dummies),
            ("dummies a step where nobody is there", price.most),
            ("bytes a second", price.bytes_per_second),
            ("comparisons a second", price.comparisons_per_second),
            ("share of a core at each party", price.compute),
        ]
        note = f"With {question.people[0]} people; real faces come on top."
        table = Table("cost", "Cost of the dummies", ("what", "figure"), tuple(rows), note)
        sections.append(Section("What it costs", (), (table,)))
    at = figures[0]
    sections.append(
        Section(
            "Probability over T and q",
            (
                f"The followed person starts at camera {at.start}, {at.people} people are there. A line is "
                "the mean, the shade what it lies between with the confidence asked for, point by point. The "
                "lowest line that can be is that of a tracker to whom every camera always shows q faces.",
            ),
            (),
            (over_horizon(figures, question.alpha), over_q(figures, question.alpha)),
        )
    )
    parameters = {
        "cameras": study.graph.cameras,
        "ways between them": len(study.graph.edges),
        **{f"movement: {name}": value for name, value in study.graph.fields()["movement"].items()},
        "people": "–".join(str(number) for number in sorted(set(question.people))),
        "horizon T": question.horizon,
        "alpha": question.alpha,
        "confidence": question.confidence,
        "seed": study.seed,
        **settings,
    }
    return Report("Dummy faces: the plan for q", sentence(plan), tuple(sections), parameters)


METHODS = (
    "unseen: exact, the counts say nothing; summed: exact, over all that can happen; sampled: the best "
    "tracker in simulated worlds; bounded: a tracker that knows more than the real one, an upper bound."
)


def sentence(plan: Plan) -> str:
    """The answer in words."""
    question = plan.question
    goal = f"below {question.alpha:g} over {question.horizon} observations"
    if plan.q is not None:
        kept = next(trial for trial in plan.trials if trial.q == plan.q).worst
        bound = "exactly" if kept.low == kept.high else "at most"
        return f"q = {plan.q} keeps the best tracker {goal}: {bound} {kept.high:.3g} at the worst start."
    if plan.horizon_needed is not None:
        return (
            f"No q keeps a tracker {goal}: who sees nothing at all guesses the path from camera "
            f"{plan.floor_start} with probability {plan.floor:.3g}. "
            f"From T = {plan.horizon_needed} on there is one."
        )
    if plan.floor >= question.alpha:
        return (
            f"No q keeps a tracker {goal}: who sees nothing at all guesses the path from camera "
            f"{plan.floor_start} with probability {plan.floor:.3g}, and longer horizons do not help."
        )
    tried = plan.trials[-1]
    if tried.verdict == "undecided":
        bounded = tried.worst.method == "bounded"
        more = "More people followed jointly, or a larger q," if bounded else "More samples"
        return (
            f"No q up to {question.largest} is shown to keep the best tracker {goal}; q = {tried.q} "
            f"lies between {tried.worst.low:.3g} and {tried.worst.high:.3g}. {more} may decide."
        )
    return (
        f"No q up to {question.largest} keeps the best tracker {goal}: at q = {tried.q} it is right with "
        f"probability {tried.worst.mean:.3g}. Allow a larger q."
    )


def write_page(made: Report, page: Path) -> tuple[Path, Path]:
    """Write the page, and in a folder beside it tables and points as CSV, drawings as SVG; both paths.

    Raises:
        UsageError: they cannot be written.
    """
    folder = page.with_name(f"{page.stem}-files")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in made.sections:
            texts = {f"{table.name}.csv": table.csv() for table in section.tables}
            for plot in section.plots:
                texts |= {f"{plot.name}.csv": plot.csv, f"{plot.name}.svg": plot.svg}
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8", newline="")
        page.write_text(made.html(), encoding="utf-8", newline="")
    except OSError:
        raise UsageError(f"{page} cannot be written; choose another file for the report.") from None
    return page, folder


def _spread(low: int, high: int, count: int) -> list[int]:
    steps = min(count - 1, high - low)
    return sorted({round(low + (high - low) * at / steps) for at in range(steps + 1)}) if steps else [low]


def _limits(axes: Axes, figures: Sequence[Figure], alpha: float) -> None:
    axes.axhline(alpha, color=INK, linewidth=1, alpha=0.6)
    axes.annotate(f"α = {alpha:g}", (1, alpha), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                  textcoords="offset points", ha="right", fontsize=9)  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(min(alpha, *(at.mean for at in figures)) / 2, 1.3)
    axes.set_ylabel(_AXIS)


def _csv(figures: Sequence[Figure]) -> str:
    header = ("people", "start", "q", "T", "probability", "low", "high", "method", "worlds")
    rows = [
        (at.people, at.start, at.q, at.horizon, at.mean, at.low, at.high, at.method, at.worlds)
        for at in figures
    ]
    return csv_text(header, rows)
