"""``blindsight evaluate surveillance``: the two-party thesis' benchmark, accuracy and attack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindsight.cli.evaluate_lfw import embedded, require_place
from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, table
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.evaluation.bench_dealerless import Row as Alone
    from blindsight.evaluation.crowd import Crowd
    from blindsight.evaluation.report import Table
    from blindsight.evaluation.surveillance_bench import Cost

Line = tuple[int, int, int]
"""Entries, coordinates, threads."""

_LEFT_OUT = {"corrupt-party": (2, 5, 6, 8, 9, 11), "neighbours": (1, 4, 5)}
"""Columns of the page that a terminal has no room for."""
_NOTES = {"corrupt-party": "Alerts are the honest party's, on photos of p. A report has more columns."}
"""Notes of tables that lack what theirs explains."""

PARTS = ("table", "dealerless", "entries", "accuracy", "attack")
_ALONE_FACES = 40


def surveillance(
    pairs: Annotated[
        Path | None, typer.Option(help="A list of pairs like LFW's pairs.txt; generated vectors without one.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Its photos, one folder a person.")] = None,
    embedder: Annotated[
        str, typer.Option(help="dlib, dlib:68 or onnx:PATH, as in `gallery create`.")
    ] = "dlib",
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Keeps the embeddings, in the clear, for the next run: read where it exists, else written."
        ),
    ] = None,
    threads: Annotated[str, typer.Option(help="Threads of the table's lines.")] = "1,2,4",
    dims: Annotated[str, typer.Option(help="Coordinates of the table's lines.")] = "128,32",
    entries: Annotated[
        int, typer.Option(min=2, max=65536, help="Entries of the watchlist of table and attack.")
    ] = 150,
    sizes: Annotated[str, typer.Option(help="Watchlists of the table over entries.")] = "150,1000,10000",
    scales: Annotated[str, typer.Option(help="Integers a unit of an embedding, for the accuracy.")] = (
        "127,255,1023"
    ),
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each kind; fewer of long lists.")] = 50,
    batch: Annotated[int, typer.Option(min=2, max=1024, help="Faces in a timed batch.")] = 32,
    hunted: Annotated[int, typer.Option(min=1, help="People hunted in the attack, one after another.")] = 5,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help=f"{', '.join(PARTS)}; several for several, all if not given."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode photos and find faces.")] = 1,
    report: Annotated[
        Path | None,
        typer.Option(help="Where the page goes; its tables and plots as CSV into a folder beside it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Cost, accuracy and cheating in two-party surveillance, beside W. Koch's thesis and other systems.

    table: its benchmark, by real party processes. dealerless: the same, and nobody deals. entries:
    cost over the length of the watchlist. accuracy: the protocol's bits beside the plaintext rules,
    on pairs of photos. attack: its section 3.3, a party that tracks somebody unlisted, without
    authentication and here. The report is written when all is done; stopped before, nothing is but
    the embeddings.
    """
    output = Output(as_json)
    if report is not None:
        require_place(report)
    chosen = set(only or PARTS)
    if not chosen <= set(PARTS):
        raise UsageError(
            f"There is no part {sorted(chosen - set(PARTS))[0]!r}; choose among {', '.join(PARTS)}."
        )
    threads_, dims_ = numbers("--threads", threads, 256), numbers("--dims", dims, 4096, least=2)
    sizes_, scales_ = numbers("--sizes", sizes, 65536), numbers("--scales", scales, 65535)
    if (pairs is None) != (images is None):
        raise UsageError("Give --pairs and --images, or neither for generated vectors.")
    crowd = (
        _crowd(output, pairs, images, embedder, embeddings, workers)
        if chosen & {"accuracy", "attack"}
        else None
    )

    from blindsight.evaluation.surveillance_report import Surveillance, as_fields, report_of, tables

    wanted = _lines(chosen, entries, threads_, dims_, sizes_)
    costs = _measured(output, wanted, repeats, batch)
    alone = _alone(output, entries, dims_[0]) if "dealerless" in chosen else None
    accuracy = attacks = None
    if crowd is not None and "accuracy" in chosen:
        from blindsight.evaluation.surveillance_accuracy import evaluate_accuracy

        with output.progress("pairs at each scale") as advance:
            accuracy = evaluate_accuracy(crowd, scales_, progress=advance)
    if crowd is not None and "attack" in chosen:
        from blindsight.evaluation.surveillance_attack import evaluate_attacks

        with output.progress("faces of the attack") as advance:
            attacks = evaluate_attacks(crowd, entries=entries, hunted=hunted, progress=advance)
    found = Surveillance(*costs, accuracy, attacks, alone)
    page = None
    if report is not None:
        about: dict[str, object] = {
            "entries": entries,
            "timed runs": repeats,
            "parts": ", ".join(sorted(chosen)),
        }
        if pairs is not None and images is not None:
            about |= {"list": pairs.name, "photos": images.name or str(images)}
        page = report_of(found, about).write_page(report)
    output.document(as_fields(found) | {"report": str(page) if page else None})
    for one in tables(found):
        _show(output, one)
    if page:
        output.show(f"The report is {clean(str(page))}.")
    if accuracy is not None and any(one.differences for one in accuracy.scales):
        raise typer.Exit(1)


def numbers(option: str, text: str, most: int, *, least: int = 1) -> tuple[int, ...]:
    """Whole numbers with commas between them, each once, in order.

    Raises:
        UsageError: something else.
    """
    parts = [part.strip() for part in text.split(",")]
    found = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= 9]
    if len(found) != len(parts) or any(not least <= value <= most for value in found):
        raise UsageError(f"{option} takes whole numbers from {least} to {most:,}, such as 1,2,4.")
    return tuple(dict.fromkeys(found))


def _crowd(
    output: Output, pairs: Path | None, images: Path | None, embedder: str, file: Path | None, workers: int
) -> Crowd:
    from blindsight.evaluation.crowd import crowd_of, generated_crowd

    if pairs is None or images is None:
        return generated_crowd()
    from blindsight.evaluation.pairs import read_pairs
    from blindsight.vision import open_embedder

    listed = read_pairs(pairs, images)
    pipeline = open_embedder(embedder)
    model = pipeline.embedder
    known = embedded(output, pipeline, listed, file, workers)
    for line in known.report.lines():
        output.note(clean(line))
    return crowd_of(listed, known, metric=model.metric, threshold=model.threshold, radius=model.radius)


def _lines(
    chosen: set[str], entries: int, threads: tuple[int, ...], dims: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[list[Line], list[Line]]:
    """The lines of the table, and those over entries."""
    table = [(entries, dim, count) for dim in dims for count in threads]
    over = [(size, dims[0], threads[0]) for size in sorted(sizes)]
    return table if "table" in chosen else [], over if "entries" in chosen else []


def _measured(
    output: Output, lines: tuple[list[Line], list[Line]], repeats: int, batch: int
) -> tuple[tuple[Cost, ...], tuple[Cost, ...]]:
    """What was measured for them; none is measured twice."""
    wanted = list(dict.fromkeys(lines[0] + lines[1]))
    if not wanted:
        return (), ()
    try:
        from blindsight.evaluation.surveillance_bench import measure_all
    except ImportError as error:
        raise UsageError(f'Party processes need {error.name}: pip install "blindsight[server]".') from error
    with output.progress("lines measured", len(wanted)) as advance:
        made = measure_all(wanted, repeats=repeats, batch=batch, progress=advance)
    found = dict(zip(wanted, made, strict=True))
    return tuple(found[line] for line in lines[0]), tuple(found[line] for line in lines[1])


def _alone(output: Output, entries: int, dim: int) -> Alone | None:
    """One line without a dealer; None, and a note, where what it needs is not installed."""
    try:
        from blindsight.evaluation import bench_dealerless as bench
    except ImportError as error:
        output.note(f'Not without a dealer: that needs {error.name}, pip install "blindsight[dealerless]".')
        return None
    plan = bench.Plan(entries=entries, dim=dim, faces=_ALONE_FACES, units=False)
    with output.progress("preparing without a dealer"), bench.Networked() as parties:
        return parties.measure(plan)


def _show(output: Output, one: Table) -> None:
    """A table of the report on the terminal: some of its columns, and lines as columns where they are few."""
    from blindsight.evaluation.report import shown as text

    output.show(one.title, "bold")
    columns = [at for at in range(len(one.header)) if at not in _LEFT_OUT.get(one.name, ())]
    head, rows = [one.header[at] for at in columns], [[text(row[at]) for at in columns] for row in one.rows]
    numeric = [not isinstance(one.rows[0][at], str) for at in columns]
    if len(head) > 2 * len(rows):
        head, *rows = [list(cells) for cells in zip(head, *rows, strict=True)]
        numeric = [False] + [True] * (len(head) - 1)
    made = table(*head, right=tuple(name for name, right in zip(head, numeric, strict=True) if right))
    before = ""
    for first, *others in rows:
        made.add_row("" if first == before else clean(first), *(clean(cell) for cell in others))
        before = first
    output.show(made)
    output.show(_NOTES.get(one.name, one.note), "dim")
    output.show()
