"""The tables of `evaluate surveillance`, for its page and for a terminal."""

from __future__ import annotations

from blindsight.evaluation.report import Cell, Table
from blindsight.evaluation.surveillance_accuracy import Accuracy, Decisions, Quantised
from blindsight.evaluation.surveillance_attack import Attacks
from blindsight.evaluation.surveillance_bench import ELSEWHERE, NEIGHBOURS, THESIS, Cost

_THESIS_ROWS = "; ".join(
    f"{line.threads} threads {line.online_s} s, {line.online_mb} MB online, {line.total_s} s, "
    f"{line.total_mb:,.0f} MB in total"
    for line in THESIS[3:]
)


def thesis_table(costs: tuple[Cost, ...]) -> Table:
    """Section 4 of the thesis, ours beside it."""
    rows: list[tuple[Cell, ...]] = []
    for cost in costs:
        row, thesis, online_s = cost.row, cost.thesis, cost.thesis_online_s
        ours: tuple[Cell, ...] = (
            row.dim,
            cost.threads,
            row.online_ms,
            row.online_ms_batched,
            cost.online_bytes / 1e6,
            row.total_ms,
            row.total_ms_batched,
            cost.total_bytes / 1e6,
        )
        online: tuple[Cell, ...] = (_times(online_s, row.online_ms / 1e3),)
        beside: tuple[Cell, ...] = (None if online_s is None else _number(1e3 * online_s), None, None, None)
        ratios: tuple[Cell, ...] = (None, None, None)
        if thesis is not None:
            ratios = (
                _times(thesis.total_s, row.total_ms / 1e3),
                _times(thesis.online_mb, cost.online_bytes / 1e6),
                _times(thesis.total_mb, cost.total_bytes / 1e6),
            )
            beside = (
                _number(1e3 * thesis.online_s),
                thesis.online_mb,
                _number(1e3 * thesis.total_s),
                _number(thesis.total_mb),
            )
        rows.append((*ours, *online, *ratios, *beside))
    first = costs[0]
    return Table(
        "thesis-table",
        f"One face against {first.row.entries:,} entries, beside the thesis",
        (
            "d",
            "threads",
            "online, ms",
            "online in batches, ms",
            "online, MB",
            "total, ms",
            "total in batches, ms",
            "total, MB",
            "thesis / here: online time",
            "thesis / here: total time",
            "thesis / here: online sent",
            "thesis / here: total sent",
            "thesis: online, ms",
            "thesis: online, MB",
            "thesis: total, ms",
            "thesis: total, MB",
        ),
        tuple(rows),
        f"In batches: one face of {first.row.batch} in one run, with {first.online_bytes_batched:,} bytes "
        f"online and {first.total_bytes_batched:,} in total for each ({first.row.dim} coordinates). "
        f"Security: s = {first.row.security_bits}. The thesis' machine is an AWS c5a.8xlarge with 32 virtual cores; "
        f"its bytes are those of both parties, and of 32 coordinates it has one figure. Its further lines: "
        f"{_THESIS_ROWS}.",
    )


def neighbours_table(ours: Cost) -> Table:
    """Other systems, and how often slower than ours they are."""
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
        cells = (_number(value) for value in (total, online, total_bytes / 1e6, online_bytes / 1e6))
        rows.append((words, "active, the camera deals", *cells, None, None))
    first = THESIS[0]
    total_s, online_s = ((ms, ms) for ms in (first.total_s * 1e3, first.online_s * 1e3))
    sent = (first.total_mb, first.online_mb)
    rows.append(
        (
            "the thesis' own figures, 1 thread",
            "active, no dealer",
            _range(total_s),
            _range(online_s),
            *(_number(count) for count in sent),
            *_slower(total_s, online_s, ours, batched=False),
        )
    )
    for one in NEIGHBOURS:
        times = _range(one.total_ms), _range(one.online_ms)
        slower = _slower(one.total_ms, one.online_ms, ours, batched=one.batched)
        mega = (None if count is None else _number(count) for count in (one.total_mb, one.online_mb))
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
        "The last columns: their time over ours of this run, one of many faces over one of a batch here.",
    )


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
        "Where cost is linear in entries the last columns do not rise; from short lists to long ones they fall "
        "by what does not depend on the list, the three rounds and the masked face.",
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
            one.refused,
            one.evidence,
            one.bits_leaked,
        )
        for one in attacks.outcomes
    ]
    return Table(
        "corrupt-party",
        f"A corrupt party: {attacks.entries:,} entries, {attacks.hunted} hunted people, one after the other",
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
        "match bits that reached the corrupt party in aborted runs. The last line is a control, ours without the "
        "check of openings: so it is the check that stops the others.",
    )


def _times(theirs: float | None, ours: float) -> Cell:
    return None if theirs is None else f"{_number(theirs / ours)} ×"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _range(values: tuple[float, float] | None) -> str | None:
    if values is None:
        return None
    low, high = _number(values[0]), _number(values[1])
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
