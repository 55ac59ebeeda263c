"""``blindsight calibrate``: which threshold gives which false match rate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, plural, table


def calibrate(
    photos: Annotated[Path, typer.Argument(metavar="FOLDER", help="Photos, one folder a person.")],
    pairs: Annotated[
        Path | None,
        typer.Option(help="A list of pairs like LFW's; else all pairs of the folder, up to --impostors."),
    ] = None,
    fmr: Annotated[
        list[float] | None,
        typer.Option(help="Target false match rate; several for several. 0.01 and 0.001 if not given."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The threshold file to write.")] = Path("thresholds.json"),
    embedder: Annotated[
        str, typer.Option(help="dlib, dlib:68 or onnx:PATH, as in `gallery create`.")
    ] = "dlib",
    impostors: Annotated[int, typer.Option(min=1, help="Impostor pairs taken from a folder.")] = 100_000,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode photos and find faces.")] = 1,
    as_json: Json = False,
) -> None:
    """Find the thresholds of an embedder on photos of your own, for `--at fmr=…`.

    Nothing is encrypted or sent. A false match rate that the number of impostor pairs cannot support
    is refused.
    """
    output = Output(as_json)
    from blindsight.evaluation.calibration import Calibration
    from blindsight.evaluation.comparing import compare_photos
    from blindsight.evaluation.pairs import folder_pairs, read_pairs
    from blindsight.evaluation.verification import Verification
    from blindsight.vision import open_embedder

    listed = read_pairs(pairs, photos) if pairs else folder_pairs(photos, impostors=impostors)
    pipeline = open_embedder(embedder)
    total, done = len(listed.photos), 0
    with output.progress("photos", total) as bar:

        def advance(_: object) -> None:
            nonlocal done
            done += 1
            bar(done, total)

        comparisons, rejected = compare_photos(pipeline, listed, workers=workers, on_photo=advance)
    model = pipeline.embedder
    made = Calibration.from_comparisons(
        comparisons, fmr or [1e-2, 1e-3], model_id=model.model_id, metric=model.metric
    )
    made.save(out)
    eer = Verification(comparisons).eer()
    output.document(
        {
            "file": str(out),
            "model_id": made.model_id,
            "metric": made.metric,
            "genuine_pairs": len(comparisons.genuine),
            "impostor_pairs": len(comparisons.impostor),
            "eer": eer.rate,
            "points": [
                {
                    "fmr": point.fmr,
                    "threshold": point.threshold,
                    "observed_fmr": point.observed_fmr,
                    "fnmr": point.fnmr,
                    "firm": point.firm,
                }
                for point in made.points
            ],
            "rejected": [
                {"photo": str(rejection.photo.path), "reason": rejection.reason}
                for rejection in rejected.rejections
            ],
        }
    )
    for line in rejected.lines():
        output.note(clean(line))
    titles = ("FMR at most", "threshold", "FMR seen", "95 % of FMR", "FNMR", "95 % of FNMR")
    shown = table(*titles, right=titles)
    for point in made.points:
        shown.add_row(
            f"{point.fmr:g}",
            f"{point.threshold:.4f}",
            f"{point.observed_fmr:.2g}",
            f"{point.fmr_interval.low:.2g} … {point.fmr_interval.high:.2g}",
            f"{point.fnmr:.2%}",
            f"{point.fnmr_interval.low:.2%} … {point.fnmr_interval.high:.2%}",
        )
    genuine = plural(len(comparisons.genuine), "genuine pair")
    impostor = plural(len(comparisons.impostor), "impostor pair")
    output.show(f"{genuine}, {impostor}, equal error rate {eer.rate:.2%}")
    output.show(shown)
    use = f"--at fmr={made.points[0].fmr:g} --calibration {clean(str(out))}"
    output.show(f"Written. To use it: blindsight identify … {use}")
