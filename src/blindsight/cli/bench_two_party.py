"""``bench two-party``: faces against a watchlist that two parties share."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, table
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.evaluation.bench_parties import Networked


class Randomness(StrEnum):
    """Who may make it."""

    CAMERA = "camera"
    PROVIDER = "provider"
    NONE = "none"


def two_party(
    entries: Annotated[
        list[int] | None,
        typer.Option(min=1, max=65536, help="Size of the watchlist; several for several rows."),
    ] = None,
    dim: Annotated[int, typer.Option(min=2, max=4096, help="Coordinates of a face.")] = 128,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each kind.")] = 50,
    batch: Annotated[int, typer.Option(min=2, max=1024, help="Faces in the timed batch.")] = 32,
    check: Annotated[
        int, typer.Option(min=0, help="Instead, compare that many times with the plaintext rule.")
    ] = 0,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Both parties in this process, without a network.")
    ] = False,
    source: Annotated[
        Randomness, typer.Option(help="Who makes the randomness: a dealer, or with none the parties alone.")
    ] = Randomness.CAMERA,
    faces: Annotated[int, typer.Option(min=1, help="With --source none: faces to prepare for.")] = 100,
    as_json: Json = False,
) -> None:
    """Faces against a watchlist that two parties share, with active security.

    Each party is a process of its own, with TLS between them and to the camera. online_ms is from
    material and masked face at hand to the result, by the slower party's clock; total_ms is all.

    With --source none nobody deals: offline_s_per_face is what the two parties take to make the
    randomness of a face by oblivious transfer, and one of them holds the face.
    """
    if source is Randomness.NONE:
        _dealerless(entries or [150], dim, faces, in_process, Output(as_json))
        return
    from contextlib import ExitStack

    from blindsight.evaluation.bench_two_party import (
        InProcess,
        Parties,
        bench_two_party,
        compare_many,
        machine,
    )

    if in_process and source is not Randomness.CAMERA:
        raise UsageError("A provider is another process; leave out --in-process.")
    output = Output(as_json)
    about = machine()
    where = f"{about['processor']}, {about['cores']} cores, {datetime.now(UTC):%Y-%m-%d}"
    if check:
        with output.progress("comparisons", check) as step:
            agreement = compare_many(check, entries=(entries or [1000])[0], dim=dim, progress=step)
        output.document(asdict(agreement))
        output.show(f"spdz2k beside the plaintext rule: {where}")
        shown = table("", "", right=("",))
        for name, value in asdict(agreement).items():
            shown.add_row(name, f"{value:,}")
        output.show(shown)
        if agreement.differences:
            raise typer.Exit(1)
        return
    rows = []
    for count in entries or [150]:

        def told(what: str, count: int = count) -> None:
            if output.interactive:
                output.note(f"{count:,} × {dim}: {what}", "dim")

        with ExitStack() as stack:
            parties: Parties = InProcess() if in_process else stack.enter_context(_networked(source))
            row = bench_two_party(count, dim, repeats=repeats, batch=batch, parties=parties, progress=told)
        rows.append(asdict(row))
    output.document(rows if len(rows) > 1 else rows[0])
    output.show(f"spdz2k, {source.value} deals: {where}")
    output.show(f"AES: {rows[0]['aes']}. Network: {rows[0]['network']}.")
    sizes = [f"{row['entries']:,} × {row['dim']}" for row in rows]
    shown = table("", *sizes, right=tuple(sizes))
    for name in rows[0]:
        if name not in ("entries", "dim", "aes", "network", "source"):
            shown.add_row(name.replace("_", " "), *(f"{row[name]:,}" for row in rows))
    output.show(shown)


def _dealerless(entries: list[int], dim: int, faces: int, alone: bool, output: Output) -> None:
    from blindsight.evaluation.machine import machine

    try:
        from blindsight.evaluation import bench_dealerless as bench
    except ImportError as error:
        raise UsageError(
            f'Parties without a dealer need {error.name}: pip install "blindsight[dealerless]".'
        ) from error

    about = machine()
    rows = []
    for count in entries:
        plan = bench.Plan(entries=count, dim=dim, faces=faces)
        if output.interactive:
            output.note(f"{count:,} × {dim}: preparing for {faces} faces", "dim")
        if alone:
            row = bench.in_process(plan)
        else:
            with bench.Networked() as parties:
                row = parties.measure(plan)
        rows.append(asdict(row))
    output.document(rows if len(rows) > 1 else rows[0])
    where = f"{about['processor']}, {about['cores']} cores, {datetime.now(UTC):%Y-%m-%d}"
    output.show(f"spdz2k without a dealer: {where}")
    output.show(f"Network: {rows[0]['network']}.")
    sizes = [f"{row['entries']:,} × {row['dim']}" for row in rows]
    shown = table("", *sizes, right=tuple(sizes))
    for name in rows[0]:
        if name not in ("entries", "dim", "units", "network"):
            shown.add_row(name.replace("_", " "), *(f"{row[name]:,}" for row in rows))
    output.show(shown)
    units = table("one", "µs", "bytes", right=("µs", "bytes"))
    for name, cost in rows[0]["units"].items():
        units.add_row(name.replace("_", " "), f"{cost['us']:,}", f"{cost['bytes']:,}")
    output.show(units)


def _networked(source: Randomness) -> Networked:
    from blindsight.schemes.spdz2k.public import Source

    try:
        from blindsight.evaluation.bench_parties import Networked
    except ImportError as error:
        raise UsageError(
            f'Party processes need {error.name}: pip install "blindsight[server]", or give --in-process.'
        ) from error
    return Networked(Source[source.name])
