"""The tables of `evaluate surveillance`, for its page and for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindsight.evaluation.report import Cell, Table
from blindsight.evaluation.surveillance_accuracy import Accuracy, Decisions, Quantised
from blindsight.evaluation.surveillance_attack import Attacks
from blindsight.evaluation.surveillance_bench import (
    ELSEWHERE,
    NEIGHBOURS,
    THESIS,
    THESIS_32_S,
    THESIS_ENTRIES,
    Cost,
)

if TYPE_CHECKING:
    from blindsight.evaluation.bench_dealerless import Row as Alone


def costs_table(costs: tuple[Cost, ...]) -> Table:
    """What was measured for the thesis' table."""
    rows: list[tuple[Cell, ...]] = [
        (
            cost.row.dim,
            cost.threads,
            cost.row.online_ms,
            cost.row.online_ms_batched,
            cost.online_bytes / 1e6,
            cost.row.total_ms,
            cost.row.total_ms_batched,
            cost.total_bytes / 1e6,
        )
        for cost in costs
    ]
    first = costs[0]
    return Table(
        "costs",
        f"One face against {first.row.entries:,} entries",
        (
            "d",
            "threads",
            "online, ms",
            "online in batches, ms",
            "online, MB",
            "total, ms",
            "total in batches, ms",
            "total, MB",
        ),
        tuple(rows),
        f"Medians; s = {first.row.security_bits}. In batches: one face of {first.row.batch} in one run, with "
        f"{first.online_bytes_batched:,} bytes online and {first.total_bytes_batched:,} in total for each "
        f"({first.row.dim} coordinates).",
    )


def beside_thesis_table(costs: tuple[Cost, ...]) -> Table:
    """Every figure of section 4 of the thesis, and what was measured here for it."""
    ours = {(cost.row.dim, cost.threads): cost for cost in costs if cost.row.entries == THESIS_ENTRIES}
    found: list[tuple[Cell, ...]] = []

    def row(what: str, d: int, threads: int, thesis: float, here: float | None) -> None:
        ratio = None if here is None else f"{number(thesis / here)} ×"
        shown = None if here is None else number(here)
        found.append((what, d, threads, number(thesis), shown, ratio))

    for line in THESIS:
        cost, at = ours.get((128, line.threads)), (128, line.threads)
        row("online, ms", *at, 1e3 * line.online_s, None if cost is None else cost.row.online_ms)
        row("online, MB", *at, line.online_mb, None if cost is None else cost.online_bytes / 1e6)
        row("total, ms", *at, 1e3 * line.total_s, None if cost is None else cost.row.total_ms)
        row("total, MB", *at, line.total_mb, None if cost is None else cost.total_bytes / 1e6)
    cost = ours.get((32, 1))
    row("online, ms", 32, 1, 1e3 * THESIS_32_S, None if cost is None else cost.row.online_ms)
    found.sort(key=lambda cells: (cells[1] == 32, str(cells[0]).endswith("MB"), cells[0]))
    return Table(
        "beside-thesis",
        "The thesis' figures and ours, one face by itself",
        ("figure", "d", "threads", "W. Koch 2020", "here", "thesis / here"),
        tuple(found),
        "The thesis' machine is an AWS c5a.8xlarge with 32 virtual cores; its total includes preprocessing "
        "by oblivious transfer, with no dealer, and its bytes are those of both parties. Ours includes what "
        "the camera deals and sends. Empty: not measured in this run.",
    )


def neighbours_table(ours: Cost, alone: Alone | None = None) -> Table:
    """Other systems, and how often slower than ours they are; ``alone`` is ours without a dealer."""
    threads = f"{ours.threads} thread{'s' if ours.threads > 1 else ''}"
    row = ours.row
    rows: list[tuple[Cell, ...]] = []
    for words, total, online, total_bytes, online_bytes in (
        (f"here, {threads}", row.total_ms, row.online_ms, ours.total_bytes, ours.online_bytes),
        (
            f"here, {threads}, one of a batch of {row.batch}",
            row.total_ms_batched,
            row.online_ms_batched,
            ours.total_bytes_batched,
            ours.online_bytes_batched,
        ),
    ):
        cells = (number(value) for value in (total, online, total_bytes / 1e6, online_bytes / 1e6))
        rows.append((words, "active, the camera deals", *cells, None, None))
    if alone is not None:
        rows += _without_dealer(alone)
    first = THESIS[0]
    total_s, online_s = ((ms, ms) for ms in (first.total_s * 1e3, first.online_s * 1e3))
    sent = (first.total_mb, first.online_mb)
    rows.append(
        (
            "the thesis' own figures, 1 thread",
            "active, no dealer",
            _range(total_s),
            _range(online_s),
            *(number(count) for count in sent),
            *_slower(total_s, online_s, ours, batched=False),
        )
    )
    for one in NEIGHBOURS:
        times = _range(one.total_ms), _range(one.online_ms)
        slower = _slower(one.total_ms, one.online_ms, ours, batched=one.batched)
        mega = (None if count is None else number(count) for count in (one.total_mb, one.online_mb))
        rows.append((one.name, one.security, *times, *mega, *slower))
    return Table(
        "neighbours",
        "One face, 150 entries, 128 coordinates, by system",
        (
            "system",
            "security",
            "total, ms",
            "online, ms",
            "total, MB",
            "online, MB",
            "total / here",
            "online / here",
        ),
        tuple(rows),
        f"All but ours and the thesis: {ELSEWHERE}. Semi-honest systems let a party cheat. "
        "The last columns: their time over ours of this run, one of many faces over one of a batch here; the "
        "camera deals. Without a dealer everything is made by the two parties, and its total is for one of "
        "many faces that are prepared for together.",
    )


def _without_dealer(alone: Alone) -> list[tuple[Cell, ...]]:
    security, offline = "active, no dealer", alone.offline_s_per_face * 1e3
    online_mb = alone.online_kb / 1e3
    sent = number(alone.offline_mb_per_face + online_mb), number(online_mb)
    single, batched = alone.online_ms, alone.online_ms_batched
    together = f"here, no dealer, one of {alone.together}"
    return [
        ("here, no dealer", security, number(offline + single), number(single), *sent, None, None),
        (together, security, number(offline + batched), number(batched), None, None, None, None),
    ]


def entries_table(costs: tuple[Cost, ...]) -> Table:
    """Cost over the length of the watchlist, and of a thousand entries."""
    rows: list[tuple[Cell, ...]] = []
    for cost in costs:
        row, thousands = cost.row, cost.row.entries / 1000
        rows.append(
            (
                row.entries,
                row.online_ms,
                row.online_ms_batched,
                row.batch,
                row.dealer_ms,
                row.total_ms,
                cost.online_bytes / 1e6,
                cost.total_bytes / 1e6,
                row.online_ms_batched / thousands,
                row.total_ms / thousands,
                cost.total_bytes / 1e6 / thousands,
            )
        )
    first = costs[0]
    threads = f"{first.threads} thread{'s' if first.threads > 1 else ''}"
    return Table(
        "entries",
        f"One face over entries, {first.row.dim} coordinates, {threads}",
        (
            "entries",
            "online, ms",
            "online in batches, ms",
            "faces in a batch",
            "dealing, ms",
            "total, ms",
            "online, MB",
            "total, MB",
            "per 1,000 entries: online in batches, ms",
            "per 1,000 entries: total, ms",
            "per 1,000 entries: total, MB",
        ),
        tuple(rows),
        "Where cost is linear in entries the last columns do not rise; from short lists to long ones they "
        "fall by what does not depend on the list, the three rounds and the masked face.",
    )


def accuracy_table(accuracy: Accuracy) -> Table:
    """Every rule over the same pairs."""
    genuine = accuracy.crowd.genuine
    rows: list[tuple[Cell, ...]] = [_rule_row("float", accuracy, accuracy.floats, None)]
    for one in accuracy.scales:
        name = f"scale {one.scale}"
        if one.integers is None:
            rows.append((name, *[None] * 7, f"refused: {one.refused}"))
        else:
            rows.append(_rule_row(name, accuracy, one.integers, one))
    return Table(
        "accuracy",
        f"{len(genuine):,} pairs ({int(genuine.sum()):,} genuine), match where the squared distance is below "
        f"{accuracy.crowd.threshold:.4g}",
        (
            "rule",
            "k",
            "s",
            "accuracy",
            "TAR",
            "FAR",
            "AUC",
            "decided otherwise than float",
            "protocol equal to the integers, bit for bit",
        ),
        tuple(rows),
        "TAR: genuine pairs that match; FAR: impostor pairs that do. Scale: integers a unit of an embedding; "
        "k value bits and s = 64 − k bits of security follow from it and the embedder's longest vectors. "
        "Every face went through both parties' protocol against the whole list that its entry is on, and all "
        "of these bits are counted.",
    )


def _rule_row(name: str, accuracy: Accuracy, decisions: Decisions, one: Quantised | None) -> tuple[Cell, ...]:
    rates = decisions.rates(accuracy.crowd.genuine)
    auc = accuracy.verification(decisions).auc()
    if one is None or one.params is None:
        return (name, None, None, *rates, auc, None, "")
    equal = f"{one.comparisons - one.differences:,} of {one.comparisons:,}"
    bits, security = one.params.value_bits, one.params.security_bits
    return (name, bits, security, *rates, auc, accuracy.changed(one), equal)


def attack_table(attacks: Attacks) -> Table:
    """What each corrupt party achieved."""
    rows: list[tuple[Cell, ...]] = [
        (
            one.protocol,
            one.behaviour,
            one.faces,
            one.hunted,
            one.hits_hunted,
            one.hits_others,
            one.as_rule,
            one.noticed,
            one.first_noticed or None,
            *((one.refused, one.evidence, one.bits_leaked) if one.noticed else (None, None, None)),
        )
        for one in attacks.outcomes
    ]
    return Table(
        "corrupt-party",
        f"A corrupt party: {attacks.entries:,} entries, {_hunted(attacks.hunted)}",
        (
            "protocol",
            "the corrupt party",
            "faces",
            "of p",
            "alerts “c” on p",
            "on others",
            "bit as intended",
            "noticed",
            "at face",
            "refused after",
            "evidence kept",
            "bits it got",
        ),
        tuple(rows),
        "Alerts are the honest party's. Bit as intended: faces whose bit at c is that of the plaintext rule "
        "which the corrupt party is after, or of the agreed one. At face: the latest first face at which it "
        "was noticed. Refused after: faces that an ended session did not take. Bits it got: messages with "
        "match bits that reached the corrupt party in aborted runs. The last line is a control, ours without "
        "the check of openings, to see whether it is this check that stops the others.",
    )


def _hunted(count: int) -> str:
    return "one person hunted" if count == 1 else f"{count} people hunted, one after the other"


def number(value: float) -> str:
    """Three figures, and all of what is left of the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _range(values: tuple[float, float] | None) -> str | None:
    if values is None:
        return None
    low, high = number(values[0]), number(values[1])
    return low if low == high else f"{low} to {high}"


def _slower(
    total: tuple[float, float] | None, online: tuple[float, float] | None, ours: Cost, *, batched: bool
) -> tuple[Cell, Cell]:
    row = ours.row
    own_total, own_online = (
        (row.total_ms_batched, row.online_ms_batched) if batched else (row.total_ms, row.online_ms)
    )
    cells: list[Cell] = []
    for theirs, own in ((total, own_total), (online, own_online)):
        ratio = None if theirs is None else _range((theirs[0] / own, theirs[1] / own))
        cells.append(None if ratio is None else f"{ratio} ×")
    return cells[0], cells[1]
