"""``bench aggregation``: what a private sum costs, scheme by scheme."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, table


def aggregation(
    weights: Annotated[
        int, typer.Option(min=1, help="Weights of an update; the paper's 2048 × 101.")
    ] = 206_848,
    scheme: Annotated[
        list[str] | None, typer.Option(help="A scheme such as paillier-2048 or dphe-5; several for several.")
    ] = None,
    users: Annotated[int, typer.Option(min=2, help="Users that guard bits are for.")] = 10,
    summed: Annotated[int, typer.Option(min=2, help="Updates that are really encrypted.")] = 3,
    as_json: Json = False,
) -> None:
    """Private sums of model updates: a user's time and bytes, and the key holder's time.

    Every sum is compared with the plain one. TenSEAL as NVFlare uses it and Flower's SecAgg+ are
    measured beside them where they are installed.
    """
    from blindsight.evaluation.bench_aggregation import SCHEMES, bench_aggregation
    from blindsight.evaluation.machine import machine

    output = Output(as_json)

    def told(what: str) -> None:
        if output.interactive:
            output.note(what, "dim")

    rows = bench_aggregation(weights, only=scheme or SCHEMES, users=users, summed=summed, progress=told)
    output.document([asdict(row) for row in rows])
    about = machine()
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    output.show(f"sums of {weights:,} weights: {about['processor']}, {about['cores']} cores, {today}")
    titles = ("users", "encrypt s", "decrypt s", "B/weight", "set-up s", "combine s")
    shown = table("scheme", *titles, "exact", right=titles)
    for row in rows:
        shown.add_row(
            row.scheme,
            f"{row.users}",
            f"{row.encrypt_s:.4f}",
            f"{row.decrypt_s:.3f}",
            f"{row.bytes_per_weight:.2f}",
            f"{row.setup_s:.2f}",
            f"{row.combine_s:.3f}",
            "yes" if row.exact else "no",
        )
    output.show(shown)
