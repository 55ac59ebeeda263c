"""``blindsight evaluate reid``: matching rates of quantised and encrypted person features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, plural, table
from blindsight.cli.people_options import Attributes, Crops, attribute_table, image_features
from blindsight.core.errors import UsageError


def reid(
    crops: Crops,
    attributes: Attributes = None,
    splits: Annotated[int, typer.Option(min=2, max=1000, help="Random divisions of the people.")] = 10,
    bits: Annotated[str, typer.Option(metavar="1-8", help="Bits of a coordinate: 4, 1-8 or 2,4,6.")] = "1-8",
    dimension: Annotated[
        int, typer.Option(min=16, max=4096, help="Attributes and co-occurring attributes.")
    ] = 95,
    least_people: Annotated[
        int, typer.Option(min=1, help="People who must have, and lack, an attribute to learn it.")
    ] = 5,
    scheme: Annotated[
        str, typer.Option(metavar="bfv|lattice|none", help="How features are protected; none: plaintext.")
    ] = "bfv",
    encrypted_probes: Annotated[
        int, typer.Option(min=0, help="Probes of a split under encryption; 0 for all.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the random splits.")] = 0,
    report: Annotated[
        Path | None,
        typer.Option(help="Where the page goes; its tables and plots as CSV into a folder beside it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Who is recognised again by another camera, at which rank: float, 1 to 8 bits, encrypted.

    Half of the people train attributes and metric, the other half is recognised. Crops are named as
    in Market-1501, or lie in a folder a person with the camera in their names. The report is written
    when all is done; stopped before, nothing is.
    """
    output = Output(as_json)
    if report is not None:
        _require_place(report)
    from blindsight.evaluation.reid import Settings, evaluate_reid
    from blindsight.vision.people import list_people

    settings = Settings(
        splits, parse_bits(bits), dimension, least_people, None if scheme == "none" else scheme,
        encrypted_probes, seed,
    )  # fmt: skip
    listed = list_people(crops)
    labels = attribute_table(crops, attributes)
    labels.values(listed.people)
    features = image_features(output, listed.images)
    with output.progress("splits and bits", splits * (1 + len(settings.bits))) as advance:
        found = evaluate_reid(listed.images, features, labels, settings, advance)
    from blindsight.evaluation.reid_report import as_fields, report_of, spread

    page = None
    if report is not None:
        page = report_of(found, crops.name or str(crops)).write_page(report)
    output.document(as_fields(found) | {"report": str(page) if page else None})
    output.show(
        f"{plural(found.people, 'person')}, {plural(found.crops, 'crop')}, {plural(splits, 'split')}: "
        f"{found.gallery:,} enrolled, {min(found.probes):,} to {max(found.probes):,} probes in each."
    )
    ranks = [n for n in (1, 5, 10, 20) if n <= found.real.cmc.shape[1]]
    columns = [f"rank {n}, %" for n in ranks]
    more = ("against float", "p", "encrypted")
    shown = table("features", *columns, *more, right=(*columns, "against float", "p"))
    shown.add_row("real-valued", *(spread(found.real, n) for n in ranks), "", "", "")
    for g, rates in found.quantised.items():
        one, secret = found.differences[g], found.encrypted.get(g)
        verdict = "not run" if secret is None else "equal" if secret.equal else "DIFFERS"
        shown.add_row(
            f"g = {g}",
            *(spread(rates, n) for n in ranks),
            f"{100 * one.mean:+.2f}{' *' if one.significant else ''}",
            f"{one.p_splits:.3f}",
            verdict,
            style="red" if verdict == "DIFFERS" else "",
        )
    output.show(shown)
    output.show("* significant at 5 %, over splits or over people; encrypted: distances and CMC.", "dim")
    if page:
        output.show(f"The report is {clean(str(page))}.")


def parse_bits(text: str) -> tuple[int, ...]:
    """``4``, ``1-8`` or ``2,4,6`` as numbers, ascending; raises `UsageError`."""
    found: set[int] = set()
    for part in text.replace("…", "-").split(","):
        low, dash, high = part.partition("-")
        if not (low.isdecimal() and (high.isdecimal() if dash else True)) or len(part) > 5:
            raise UsageError(f"{clean(text[:40])} is no number of bits; write 4, 1-8 or 2,4,6.")
        found.update(range(int(low), int(high or low) + 1))
    if not found or min(found) < 1 or max(found) > 8:
        raise UsageError("Features are quantised to 1 to 8 bits; write 4, 1-8 or 2,4,6.")
    return tuple(sorted(found))


def _require_place(report: Path) -> None:
    """Raise before hours of work what would be raised after them."""
    if report.is_dir() or report.suffix.lower() not in (".html", ".htm"):
        raise UsageError("A report is an HTML file; write a name such as reid.html.")
    if not report.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {clean(str(report.absolute().parent))}; make it first.")
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise UsageError("A report with plots needs matplotlib; install blindsight[plot].")
