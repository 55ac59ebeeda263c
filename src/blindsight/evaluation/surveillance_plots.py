"""The drawings of `evaluate surveillance`: times beside the thesis', costs over entries, the attack."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from blindsight.evaluation.figures import COLOURS, INK, Plot, csv_text, finished, legible, series, sheet
from blindsight.evaluation.surveillance_attack import Outcome
from blindsight.evaluation.surveillance_bench import NEIGHBOURS, THESIS, Cost
from blindsight.evaluation.surveillance_tables import number


def time_over_threads(costs: Sequence[Cost]) -> Plot:
    """One face, online and with everything, over threads, beside the thesis; both axes logarithmic."""
    lines: dict[str, list[tuple[int, float]]] = {
        "thesis, total": [(line.threads, line.total_s * 1e3) for line in THESIS],
        "thesis, online": [(line.threads, line.online_s * 1e3) for line in THESIS],
    }
    for dim in dict.fromkeys(cost.row.dim for cost in costs):
        rows = [cost for cost in costs if cost.row.dim == dim]
        lines[f"here, total, {dim}-d"] = [(cost.threads, cost.row.total_ms) for cost in rows]
        lines[f"here, online, {dim}-d"] = [(cost.threads, cost.row.online_ms) for cost in rows]
        lines[f"here, online in batches, {dim}-d"] = [
            (cost.threads, cost.row.online_ms_batched) for cost in rows
        ]
    with sheet(6.8, 5.0) as (drawing, (axes,)):
        for number, (label, points) in enumerate(lines.items()):
            x, y = zip(*points, strict=True)
            axes.plot(x, y, marker="o", markersize=4, label=label, **series(number))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ticks = sorted({x for points in lines.values() for x, _ in points})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("Threads (log scale)")
        axes.set_ylabel("One face, ms (log scale)")
        axes.set_title("Time of one face, 150 entries" if _all_150(costs) else "Time of one face")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
        rows_ = [(label, *point) for label, points in lines.items() for point in points]
        table = csv_text(("series", "threads", "ms"), rows_)
        return finished(drawing, "time-over-threads", "Time of one face over threads", table, None)


def _all_150(costs: Sequence[Cost]) -> bool:
    return all(cost.row.entries == 150 for cost in costs)


def time_of_systems(cost: Cost) -> Plot:
    """Everything that one face takes, by system, on a logarithmic axis; bars run from low to high."""
    thesis, row = THESIS[0].total_s * 1e3, cost.row
    bars: list[tuple[str, float, float]] = [("the thesis, one thread", thesis, thesis)]
    bars += [(n.name, *n.total_ms) for n in NEIGHBOURS if n.total_ms is not None]
    bars.append(("here, one face", row.total_ms, row.total_ms))
    bars.append((f"here, one of {row.batch}", row.total_ms_batched, row.total_ms_batched))
    with sheet(8.6, 4.4) as (drawing, (axes,)):
        for at, (_, low, high) in enumerate(bars):
            colour = COLOURS[1] if at >= len(bars) - 2 else COLOURS[0]
            axes.plot([low, high], [-at, -at], marker="o", markersize=6, linewidth=3, color=colour)
            text = number(low) if high == low else f"{number(low)} to {number(high)}"
            axes.annotate(
                f"{text} ms", (high, -at), (9, 0), textcoords="offset points", va="center", fontsize=8
            )
        axes.set_yticks([-at for at in range(len(bars))], [legible(name) for name, *_ in bars], fontsize=8)
        axes.set_xscale("log")
        axes.set_xlim(right=max(high for *_, high in bars) * 40)
        axes.set_xlabel("One face, everything included, ms (log scale)")
        axes.set_title("Systems at 150 entries, 128 coordinates")
        table = csv_text(("system", "from ms", "to ms"), bars)
        return finished(drawing, "time-of-systems", "Everything that one face takes, by system", table, None)


def over_entries(costs: Sequence[Cost]) -> Plot:
    """Times over the length of the watchlist, and what is proportional to it."""
    names = {
        "total": "total_ms",
        "dealing": "dealer_ms",
        "online": "online_ms",
        "online in batches": "online_ms_batched",
    }
    entries = [cost.row.entries for cost in costs]
    rows: list[tuple[object, ...]] = []
    with sheet(6.4, 4.6) as (drawing, (axes,)):
        for number, (label, name) in enumerate(names.items()):
            values = [float(getattr(cost.row, name)) for cost in costs]
            axes.plot(entries, values, marker="o", markersize=4, label=label, **series(number))
            rows += [(label, *pair) for pair in zip(entries, values, strict=True)]
        last = float(costs[-1].row.total_ms)
        guide = [last * count / entries[-1] for count in entries]
        axes.plot(entries, guide, color=INK, alpha=0.45, linewidth=0.9, label="proportional")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(entries, [f"{count:,}" for count in entries])
        axes.minorticks_off()
        axes.set_xlabel("Entries of the watchlist (log scale)")
        axes.set_ylabel("One face, ms (log scale)")
        axes.set_title("Time over entries")
        axes.legend(loc="upper left")
        return finished(
            drawing, "time-over-entries", "Time of one face over entries of the watchlist",
            csv_text(("series", "entries", "ms"), rows), None,
        )  # fmt: skip


def attack_counts(outcomes: Sequence[Outcome]) -> Plot:
    """What became of the photos of the hunted people in each run."""
    kinds: tuple[tuple[str, Callable[[Outcome], int], str], ...] = (
        ("alert “c” at both parties", lambda o: o.hits_hunted, COLOURS[1]),
        ("noticed by the honest party: aborted", lambda o: o.noticed_hunted, COLOURS[2]),
        ("no alert", lambda o: o.hunted - o.hits_hunted - o.noticed_hunted, COLOURS[6]),
    )
    rows: list[tuple[object, ...]] = []
    with sheet(9.4, 1.6 + 0.34 * len(outcomes)) as (drawing, (axes,)):
        left = [0.0] * len(outcomes)
        for label, count, colour in kinds:
            shares = [count(outcome) / outcome.hunted for outcome in outcomes]
            axes.barh(
                range(len(outcomes)), shares, left=left, height=0.7, color=colour, label=label,
                alpha=0.45 if label == "no alert" else 1.0,
            )  # fmt: skip
            left = [a + b for a, b in zip(left, shares, strict=True)]
            rows += [(o.protocol, o.behaviour, label, count(o)) for o in outcomes]
        names = [f"{outcome.protocol}: {outcome.behaviour}" for outcome in outcomes]
        axes.set_yticks(range(len(outcomes)), [legible(name) for name in names], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("Share of the photos of p")
        axes.legend(loc="lower center", bbox_to_anchor=(0.2, 1.0), ncols=3, fontsize=8)
        table = csv_text(("protocol", "corrupt party", "outcome", "faces"), rows)
        return finished(
            drawing,
            "attack",
            "What became of the photos of the hunted people, by protocol and attack",
            table,
            None,
        )
