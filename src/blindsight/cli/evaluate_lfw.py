"""``blindsight evaluate lfw``: pairs of photos, scored in the clear and under every scheme."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, plural, size, table
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.evaluation.embeddings import PhotoEmbeddings
    from blindsight.evaluation.lfw import Found
    from blindsight.evaluation.pairs import PairList
    from blindsight.vision import FacePipeline


def lfw(
    pairs: Annotated[Path, typer.Option(help="A list of pairs like LFW's pairs.txt.")],
    images: Annotated[Path, typer.Option(help="The photos, one folder a person.")],
    scheme: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="clear, lattice, lattice-exact, ckks or bfv; several for several, all if not given. "
            "clear always runs, as the reference.",
        ),
    ] = None,
    embedder: Annotated[
        str, typer.Option(help="dlib, dlib:68 or onnx:PATH, as in `gallery create`.")
    ] = "dlib",
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Keeps the embeddings, in the clear, for the next run: read where it exists, else written."
        ),
    ] = None,
    singles: Annotated[
        int,
        typer.Option(
            min=2, help="Pairs compared 1:1 by schemes without a protocol for pairs (all but ckks)."
        ),
    ] = 100,
    report: Annotated[
        Path | None,
        typer.Option(help="Where the page goes; its tables and plots as CSV into a folder beside it."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode photos and find faces.")] = 1,
    as_json: Json = False,
) -> None:
    """Error rates, ROC, times and sizes of face verification under encryption, beside the paper's.

    Every pair is scored in the clear and under each scheme: one to many, the first photos enrolled and
    the second ones searched for at a matcher of its own on this machine, and one to one. The report is
    written when all is done; stopped before, nothing is but the embeddings.
    """
    output = Output(as_json)
    if report is not None:
        require_place(report)
    from blindsight.evaluation.pairs import read_pairs
    from blindsight.evaluation.protected import contenders
    from blindsight.vision import open_embedder

    chosen = contenders(scheme or ())
    listed = read_pairs(pairs, images)
    pipeline = open_embedder(embedder)
    model = pipeline.embedder
    known = embedded(output, pipeline, listed, embeddings, workers)
    import tempfile

    from blindsight.evaluation.lfw import evaluate_pairs
    from blindsight.evaluation.lfw_report import as_fields, report_of
    from blindsight.evaluation.loopback import matcher_process
    from blindsight.wire.client import RemoteMatcher

    with (
        tempfile.TemporaryDirectory(prefix="blindsight-evaluate-") as folder,
        matcher_process(Path(folder), insecure_clear=True) as (url, token, server),
    ):
        matcher = RemoteMatcher(url, token)
        try:
            found = evaluate_pairs(
                listed, known, chosen, matcher, metric=model.metric, radius=model.radius,
                singles=singles, server=server, phase=output.progress,
            )  # fmt: skip
        finally:
            matcher.close()
    page = None
    if report is not None:
        page = report_of(found, names=(pairs.name, images.name or str(images))).write_page(report)
    output.document(as_fields(found) | {"report": str(page) if page else None})
    for line in known.report.lines():
        output.note(clean(line))
    _show(output, found)
    if page:
        output.show(f"The report is {clean(str(page))}.")


def embedded(
    output: Output, pipeline: FacePipeline, listed: PairList, file: Path | None, workers: int
) -> PhotoEmbeddings:
    """The embeddings of all photos: from the file, or made now and written to it."""
    from blindsight.evaluation.embeddings import embed_photos, load_embeddings, save_embeddings

    model, photos = pipeline.embedder, listed.photos
    if file is not None and file.exists():
        return load_embeddings(file, photos, model_id=model.model_id, dimension=model.dimension)
    if file is not None and not file.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {clean(str(file.absolute().parent))}; make it first.")
    done = 0
    with output.progress("photos", len(photos)) as bar:

        def advance(_: object) -> None:
            nonlocal done
            done += 1
            bar(done, len(photos))

        found = embed_photos(pipeline, photos, workers=workers, on_photo=advance)
    if file is not None:
        save_embeddings(file, found)
    return found


def _show(output: Output, found: Found) -> None:
    genuine = sum(pair.genuine for pair in found.pairs)
    photos = plural(found.failures.attempts, "photo")
    output.show(f"{plural(len(found.pairs), 'pair')} ({genuine:,} genuine) of {photos}")
    numbers = ("pairs", "AUC", "from clear", "median error", "equal to the bit")
    shown = table("scheme", *numbers, right=numbers)
    for run in found.runs:
        shown.add_row(
            f"{run.contender.name} {run.mode}",
            f"{len(run.pairs):,}",
            f"{found.auc(run):.5f}",
            f"{found.auc_difference(run):.1g}",
            f"{found.agreement(run).median:.2g} %",
            f"{run.equal:,} of {run.compared:,}" if run.compared else "",
        )
    output.show(shown)
    costs = ("encrypt ms", "match ms", "decrypt ms", "probe", "answer")
    shown = table("scheme", *costs, right=costs)
    for run in found.runs:
        shown.add_row(
            f"{run.contender.name} {run.mode}",
            f"{run.times.encrypt:,.3f}",
            f"{run.times.match:,.3f}",
            f"{run.times.decrypt:,.3f}",
            size(run.sizes.probe),
            size(run.sizes.answer),
        )
    output.show()
    output.show(shown)
    output.show("Errors are |plain − encrypted| / |plain|; sizes are serialised.", "dim")


def require_place(report: Path) -> None:
    """Raise before the work what would be raised after it."""
    if report.is_dir() or report.suffix.lower() not in (".html", ".htm"):
        raise UsageError("A report is an HTML file; write a name such as lfw.html.")
    if not report.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {clean(str(report.absolute().parent))}; make it first.")
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise UsageError("A report with plots needs matplotlib; install blindsight[plot].")
