"""The report of `evaluate reid`: seed 000's Fig. 2, its numbers, and whether encryption changed any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.evaluation.figures import COLOURS, INK, Plot, csv_text, finished, sheet
from blindsight.evaluation.reid import Evaluation, Rates
from blindsight.evaluation.report import Cell, Report, Section, Table

RANKS = (1, 5, 10, 20)
_MOST_RANKS = 20
PAPER = "Morita et al. 2018"


def matching_rates(found: Evaluation, folder: Path | None = None) -> Plot:
    """Fig. 2: the n-th matching rate, mean and standard deviation over splits, for each g."""
    most = min(_MOST_RANKS, found.real.cmc.shape[1])
    ranks = np.arange(1, most + 1)
    lines = _kinds(found)
    rows: list[tuple[object, ...]] = []
    shades = ("#d55e00", "#e69f00", "#cc79a7", "#009e73", "#56b4e9", "#0072b2", "#5b3b9c", "#7f7f7f")
    marks = "ovs^D<>P"
    with sheet(7.0, 5.4) as (drawing, (axes,)):
        for number, (label, rates) in enumerate(lines.items()):
            mean, spread = 100 * rates.cmc.mean(axis=0)[:most], 100 * rates.cmc.std(axis=0, ddof=1)[:most]
            rows += [(label, *row) for row in zip(ranks.tolist(), mean, spread, strict=True)]
            if number == 0:
                axes.plot(ranks, mean, color=INK, linewidth=2.2, label=label, zorder=5)
                axes.fill_between(ranks, mean - spread, mean + spread, color=INK, alpha=0.12, linewidth=0)
                continue
            at = (number - 1) % len(shades)
            # A little apart, so that curves that lie on one another are all seen.
            beside = ranks + 0.07 * (number - (len(lines)) / 2)
            axes.errorbar(
                beside, mean, spread, color=shades[at], marker=marks[at], markersize=3.6,
                linewidth=0.9, elinewidth=0.7, capsize=1.5, label=label,
            )  # fmt: skip
        axes.set_xlim(0.3, most + 0.7)
        axes.set_xticks([1, *range(5, most + 1, 5)] if most >= 5 else ranks)
        axes.set_ylim(0, 102)
        axes.set_xlabel("Rank n")
        axes.set_ylabel("Matching rate (%), mean and standard deviation")
        axes.set_title("Matching rate at rank n")
        axes.legend(ncols=2, loc="lower right", fontsize=9)
        table = csv_text(("features", "rank", "mean, %", "standard deviation, %"), rows)
        return finished(drawing, "matching-rates", "Matching rate at rank n", table, folder)


def rates_by_bits(found: Evaluation, folder: Path | None = None) -> Plot:
    """Rank-1 rate over g: in the clear, in the range of the largest value, and under encryption where
    that was of all probes.
    """
    bits = np.array(sorted(found.quantised))
    rows: list[tuple[object, ...]] = []
    with sheet(6.4, 4.4) as (drawing, (axes,)):
        mean, spread = 100 * found.real.mean(1), 100 * found.real.deviation(1)
        rows.append(("real-valued", None, mean, spread))
        axes.axhline(mean, color=INK, linewidth=1.6, label="real-valued")
        axes.axhspan(mean - spread, mean + spread, color=INK, alpha=0.1, linewidth=0)
        series: list[tuple[str, Mapping[int, Rates], dict[str, Any]]] = [
            ("largest value as range", found.widest, {"color": COLOURS[1], "marker": "v", "linestyle": ":"}),
            ("fitted range", found.quantised, {"color": COLOURS[0], "marker": "o", "linestyle": "-"}),
        ]
        if found.encrypted and not found.settings.encrypted_probes:  # rates of fewer probes are others
            inside = {g: one.rates for g, one in found.encrypted.items()}
            style: dict[str, Any] = {
                "color": COLOURS[2],
                "marker": "s",
                "linestyle": "none",
                "fillstyle": "none",
            }
            series.append((f"fitted range, encrypted ({found.settings.scheme})", inside, style))
        for number, (label, rates, drawn) in enumerate(series):
            means = [100 * rates[g].mean(1) for g in bits.tolist()]
            spreads = [100 * rates[g].deviation(1) for g in bits.tolist()]
            rows += [(label, *row) for row in zip(bits.tolist(), means, spreads, strict=True)]
            size = 9 if "fillstyle" in drawn else 5
            axes.errorbar(bits + 0.06 * (number - 1), means, spreads, label=label, markersize=size,
                          linewidth=1.4, elinewidth=0.9, capsize=2.5, **drawn)  # fmt: skip
        axes.set_xticks(bits)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Bits g of a coordinate")
        axes.set_ylabel("Matching rate at rank 1 (%)")
        axes.set_title("Rank-1 matching rate over the number of bits")
        axes.legend(loc="lower right")
        table = csv_text(("features", "bits", "mean, %", "standard deviation, %"), rows)
        return finished(
            drawing, "rates-by-bits", "Rank-1 matching rate over the number of bits", table, folder
        )


def report_of(found: Evaluation, source: str) -> Report:
    """The whole report; ``source`` says what was evaluated."""
    settings = found.settings
    equal = all(one.equal for one in found.encrypted.values())
    changed = [g for g, one in found.differences.items() if one.significant]
    rank_1 = f"{100 * found.real.mean(1):.1f} ± {100 * found.real.deviation(1):.1f} %"
    summary = f"Rank 1 without quantisation and encryption: {rank_1} over {settings.splits} splits. "
    if found.encrypted:
        same = "The encrypted CMC is that of the quantised features at every g, distance for distance. "
        summary += same if equal else "The encrypted CMC DIFFERS from that of the quantised features. "
    summary += (
        f"Significantly different from the real-valued features: g = {', '.join(map(str, changed))}."
        if changed
        else "No g differs significantly from the real-valued features."
    )
    return Report(
        "Person re-identification on quantised, encrypted features",
        summary,
        (
            Section(
                "Matching rates (Fig. 2)",
                (
                    f"{PAPER} draw the mean and the standard deviation of the n-th matching rate over 10 "
                    "random splits of SARC3D without overlapping people, for different g, and print no rate. "
                    "The rates here are of another set of people, so that their height says nothing about "
                    "the paper; how they change with g does.",
                ),
                (_rates_table(found),),
                (matching_rates(found), rates_by_bits(found)),
            ),
            *((_encrypted_section(found),) if found.encrypted else ()),
            _difference_section(found),
            Section("Beside the paper", (), (_paper_table(found),)),
        ),
        {
            "crops": source,
            "people": f"{found.people:,}, {found.single:,} of them seen by one camera alone",
            "images": found.crops,
            "splits": f"{settings.splits}, half of the people to learn from, half to recognise",
            "enrolled in a split": f"{found.gallery:,}, one crop of each",
            "probes in a split": f"{min(found.probes):,} to {max(found.probes):,}, from other cameras",
            "dimension N": settings.dimension,
            "seed": settings.seed,
        },
    )


def as_fields(found: Evaluation) -> dict[str, Any]:
    """The figures for JSON; rates are shares."""

    def rates(one: Rates) -> dict[str, Any]:
        shown = [n for n in RANKS if n <= one.cmc.shape[1]]
        return {f"rank_{n}": {"mean": one.mean(n), "std": one.deviation(n)} for n in shown}

    by_bits = []
    for g, one in found.quantised.items():
        difference = found.differences[g]
        entry: dict[str, Any] = {
            "bits": g,
            "quantised": rates(one),
            "largest_value_as_range": rates(found.widest[g]),
            "difference_rank_1": difference.mean,
            "p_splits": difference.p_splits,
            "interval_people": [difference.interval.low, difference.interval.high],
            "significant": difference.significant,
        }
        if secret := found.encrypted.get(g):
            entry |= {
                "encrypted": rates(secret.rates),
                "cmc_equal": secret.equal,
                "distances": secret.distances,
                "distances_unequal": secret.unequal,
                "milliseconds_a_probe": round(secret.milliseconds, 3),
                "bytes_a_probe": {"up": round(secret.up), "down": round(secret.down)},
                "parameters": found.parameters[g],
            }
        by_bits.append(entry)
    return {
        "people": found.people,
        "crops": found.crops,
        "splits": found.settings.splits,
        "gallery": found.gallery,
        "probes": list(found.probes),
        "scheme": found.settings.scheme,
        "seed": found.settings.seed,
        "real": rates(found.real),
        "by_bits": by_bits,
    }


# -- parts -----------------------------------------------------------------------------------------


def _kinds(found: Evaluation) -> dict[str, Rates]:
    return {"real-valued": found.real} | {f"g = {g}": one for g, one in found.quantised.items()}


def spread(rates: Rates, rank: int) -> str:
    """``36.9 ± 1.3``, in percent."""
    return f"{100 * rates.mean(rank):.1f} ± {100 * rates.deviation(rank):.1f}"


def _rates_table(found: Evaluation) -> Table:
    shown = [n for n in RANKS if n <= found.real.cmc.shape[1]]
    names = ["features"]
    for n in shown:
        names += [f"rank {n}, mean %", f"rank {n}, std %"]

    def row(label: str, rates: Rates) -> tuple[Cell, ...]:
        cells: list[Cell] = [label]
        for n in shown:
            cells += [100 * rates.mean(n), 100 * rates.deviation(n)]
        return tuple(cells)

    rows = [row(label, rates) for label, rates in _kinds(found).items()]
    probes = found.settings.encrypted_probes
    fewer = f" ({probes:,} probes a split)" if probes else ""
    for g, one in found.encrypted.items():
        rows.append(row(f"g = {g}, encrypted{fewer}", one.rates))
        if probes:
            rows.append(row(f"g = {g}, of the same probes in the clear", one.plain))
    rows += [row(f"g = {g}, range of the largest value", one) for g, one in found.widest.items()]
    note = (
        "Features are centred and turned, which changes no distance, and the range of quantisation is fitted "
        "to the training features, what lies outside being clipped; the last rows, as the paper has it, take "
        "L f as it is and the largest training value as the range."
    )
    return Table("matching-rates-table", "Matching rates", tuple(names), tuple(rows), note)


def _encrypted_section(found: Evaluation) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for g, one in found.encrypted.items():
        rows.append(
            (
                g,
                found.parameters[g],
                one.distances,
                one.unequal,
                "yes" if one.equal else "NO",
                one.milliseconds,
                one.up / 1e6,
                one.down / 1e3,
            )
        )
    header = (
        "g", "parameters", "distances", "unequal", "CMC equal", "ms a probe", "MB up", "kB down",
    )  # fmt: skip
    probes = found.settings.encrypted_probes
    which = f"{probes:,} probes of each split" if probes else "every probe of every split"
    text = (
        f"Camera A's people in a gallery under {found.settings.scheme}, camera B's matched with it by the "
        f"way a user's crowd takes (vault, gallery, session, matcher): {which}. Every decrypted distance is "
        "compared with the squared distance of the same integers in the clear, and the CMC with theirs.",
    )
    table = Table("encrypted", "Encrypted against plaintext", header, tuple(rows),
                  "Milliseconds and bytes are for one probe, in the mean.")  # fmt: skip
    return Section("With encryption", text, (table,))


def _difference_section(found: Evaluation) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for g, one in found.differences.items():
        low, high = 100 * one.interval.low, 100 * one.interval.high
        rows.append((g, 100 * one.mean, one.p_splits, low, high, "yes" if one.significant else "no"))
    header = ("g", "difference, points", "p over splits", "95 % low", "95 % high", "significant")
    text = (
        "Rank-1 rate of the quantised features less that of the real-valued ones, on the same probes. Over "
        "splits: a two-sided t-test of the paired differences, its variance corrected for splits that share "
        "people (Nadeau and Bengio 2003: 1/k + 1 in place of 1/k). Over probes: a bootstrap that draws "
        "people, each with all their probes in all splits. A difference counts as significant where either "
        "says so at 5 %; nothing is corrected for the number of g.",
    )
    return Section(
        "Difference to real-valued features", text, (Table("differences", "Rank 1", header, tuple(rows)),)
    )


def _paper_table(found: Evaluation) -> Table:
    low = [g for g, one in found.differences.items() if one.significant]
    high = [g for g, one in found.differences.items() if not one.significant]
    four = found.parameters.get(4, "not run")
    rows: list[tuple[Cell, ...]] = [
        ("people, images a person", "SARC3D, of PETA", f"{found.people:,}, {found.crops / found.people:.1f}"),
        ("dimension N", "95", str(found.settings.dimension)),
        ("splits", "10", str(found.settings.splits)),
        ("accuracy falls for", "g < 4", f"g in {{{', '.join(map(str, low))}}}" if low else "no g"),
        ("no significant fall for", "g >= 4", f"g in {{{', '.join(map(str, high))}}}" if high else "no g"),
        ("parameters at g = 4", "p = 65,537, m = 14,089 (144 slots), HElib", four),
        ("rates at rank n", "drawn, not printed", f"rank 1 {spread(found.real, 1)} %"),
    ]
    return Table("paper", "Seed 000 and here", ("figure", PAPER, "here"), tuple(rows))
