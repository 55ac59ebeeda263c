"""What `evaluate surveillance` shows: W. Koch's table, the neighbours, accuracy, and section 3.3."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from blindsight.evaluation.figures import Plot
from blindsight.evaluation.plots import histogram, roc
from blindsight.evaluation.report import Report, Section, Table
from blindsight.evaluation.surveillance_accuracy import Accuracy, Decisions
from blindsight.evaluation.surveillance_attack import INSECURE, NOTHING, OURS, Attacks
from blindsight.evaluation.surveillance_bench import ELSEWHERE, NEIGHBOURS, THESIS, THESIS_ENTRIES, Cost
from blindsight.evaluation.surveillance_plots import (
    attack_counts,
    over_entries,
    time_of_systems,
    time_over_threads,
)
from blindsight.evaluation.surveillance_tables import (
    accuracy_table,
    attack_table,
    beside_thesis_table,
    costs_table,
    entries_table,
    neighbours_table,
)

if TYPE_CHECKING:
    from blindsight.evaluation.bench_dealerless import Row as Alone


@dataclass(frozen=True, slots=True)
class Surveillance:
    """All that one run found; parts that were not asked for are empty.

    Attributes:
        table: the thesis' table, a line for each dimension and number of threads.
        sizes: lines over the length of the watchlist.
        accuracy: of the pairs.
        attacks: of section 3.3.
        alone: the same two parties without a dealer.
    """

    table: tuple[Cost, ...] = ()
    sizes: tuple[Cost, ...] = ()
    accuracy: Accuracy | None = None
    attacks: Attacks | None = None
    alone: Alone | None = None

    @property
    def reference(self) -> Cost | None:
        """The line that other systems are compared with: the first that the thesis has with all figures."""
        return next((cost for cost in self.table if cost.thesis is not None), None)


def tables(found: Surveillance) -> tuple[Table, ...]:
    """Everything as tables, in order."""
    made: list[Table] = []
    if found.table:
        made.append(costs_table(found.table))
        if found.table[0].row.entries == THESIS_ENTRIES:
            made.append(beside_thesis_table(found.table))
    if found.reference is not None:
        made.append(neighbours_table(found.reference, found.alone))
    if found.sizes:
        made.append(entries_table(found.sizes))
    if found.accuracy is not None:
        made.append(accuracy_table(found.accuracy))
    if found.attacks is not None:
        made.append(attack_table(found.attacks))
    return tuple(made)


# -- the page --------------------------------------------------------------------------------------


def report_of(found: Surveillance, parameters: dict[str, object]) -> Report:
    """The page."""
    sections: list[Section] = []
    if found.table:
        sections.append(_costs(found.table))
    if found.reference is not None:
        sections.append(
            Section(
                "Neighbours",
                (f"The other systems were {ELSEWHERE}.",),
                (neighbours_table(found.reference, found.alone),),
                (time_of_systems(found.reference),),
            )
        )
    if found.sizes:
        drawn = (over_entries(found.sizes),) if len(found.sizes) > 1 else ()
        sections.append(Section("Linear in entries", (), (entries_table(found.sizes),), drawn))
    if found.accuracy is not None:
        sections.append(_accuracy(found.accuracy))
    if found.attacks is not None:
        sections.append(_attacks(found.attacks))
    title = "Two-party surveillance: cost, accuracy and a corrupt party"
    return Report(title, _summary(found), tuple(sections), parameters)


def _summary(found: Surveillance) -> str:
    said = []
    if found.table:
        cost = found.reference or found.table[0]
        said.append(
            f"One face against {cost.row.entries:,} entries of {cost.row.dim} coordinates takes "
            f"{cost.row.online_ms:.3g} ms online and {cost.row.total_ms:.3g} ms with everything, and "
            f"{cost.total_bytes / 1e6:.3g} MB are sent."
        )
    if found.accuracy is not None:
        ran = [one for one in found.accuracy.scales if one.params is not None]
        said.append(
            f"Of {sum(one.comparisons for one in ran):,} comparisons by both parties' protocol "
            f"{sum(one.differences for one in ran):,} differ from the plaintext rule of the integers."
        )
    if found.attacks is not None:
        attacked = [one for one in found.attacks.outcomes if one.behaviour != NOTHING]
        plain = [one for one in attacked if one.protocol == INSECURE]
        ours = [one for one in attacked if one.protocol == OURS]
        said.append(
            "A corrupt party that tracks somebody unlisted has "
            f"{sum(one.hits_hunted for one in plain):,} hits on {sum(one.hunted for one in plain):,} photos "
            f"without authentication, of which {sum(one.noticed for one in plain):,} are noticed, and "
            f"{sum(one.hits_hunted for one in ours):,} here, where {sum(one.noticed for one in ours):,} of "
            f"{sum(one.faces for one in ours):,} faces ended in an abort."
        )
    return " ".join(said)


def _costs(costs: tuple[Cost, ...]) -> Section:
    text = (
        "Two party processes and a camera that deals, TLS 1.3 between all on this machine, active security. "
        "Online: from material and masked face at hand to the result, by the slower party's clock; sent: the "
        "masked face to both parties, and what these send each other. Total: everything, from dealing to "
        "both results; sent: the material of both parties as well. Bytes of TLS itself are not counted, nor "
        "what opens a camera's session, once.",
        "Threads are those that the kernels of each party and of the dealer may use. One face against 150 "
        "entries is too little work to be split, so that they show in batches only; in the thesis they are "
        "MP-SPDZ's. Nothing is gained from more threads than the machine has cores, which both parties and "
        "the camera share here.",
    )
    made = [costs_table(costs)]
    if costs[0].row.entries == THESIS_ENTRIES:
        made.append(beside_thesis_table(costs))
    return Section("The thesis' table", text, tuple(made), (time_over_threads(costs),))


def _accuracy(accuracy: Accuracy) -> Section:
    crowd = accuracy.crowd
    rules = {"float": accuracy.verification(accuracy.floats)}
    for one in accuracy.scales:
        if one.integers is not None:
            rules[f"scale {one.scale}"] = accuracy.verification(one.integers)
    plots: tuple[Plot, ...] = (
        roc(rules, nested=True, name="roc", title="ROC by squared distance"),
        histogram(
            {"embeddings": rules["float"].comparisons},
            unit="squared Euclidean distance",
            threshold=crowd.threshold,
            name="distances",
            title="Squared distances of the pairs",
        ),
    )
    text = f"Vectors: {crowd.source}. First photos of pairs are entries of watchlists, second ones walk by."
    left = crowd.listed - len(crowd.pairs)
    if left:
        text += f" {left:,} of {crowd.listed:,} pairs have a photo without a usable face and are left out."
    return Section("Accuracy", (text,), (accuracy_table(accuracy),), plots)


def _attacks(attacks: Attacks) -> Section:
    text = (
        f"People hunted, who are not on the list of {attacks.entries:,}: {attacks.hunted}; vectors: "
        f"{attacks.source}. Of each the corrupt party has one photo p, and their other photos walk by among "
        "other people. Δ = p − c, for the entry c that is farthest from p.",
        "Without authentication (the thesis' form: shares of x − c, squared, added, compared) both parties "
        "see an alert for c exactly where a face is close to p, and their views are equal: there is "
        "nothing to notice. Under spdz2k the honest party checks the openings before it sends any bit, and "
        "an abort ends the session, so that every further face is shown in another one.",
        "There the distances are linear in the shares, so that a moved share does not even give the distance "
        "to p; all that can be added without knowing x is a constant, that is, another threshold for c. The "
        "control does just that where nobody checks.",
    )
    return Section(
        "Section 3.3: a corrupt party", text, (attack_table(attacks),), (attack_counts(attacks.outcomes),)
    )


# -- as JSON ---------------------------------------------------------------------------------------


def as_fields(found: Surveillance) -> dict[str, Any]:
    """All figures, plain: for ``--json``."""
    accuracy, attacks = found.accuracy, found.attacks
    return {
        "table": [_cost_fields(cost) for cost in found.table],
        "thesis": [asdict(line) for line in THESIS],
        "neighbours": {"measured": ELSEWHERE, "systems": [asdict(one) for one in NEIGHBOURS]},
        "without_dealer": None if found.alone is None else asdict(found.alone),
        "entries": [_cost_fields(cost) for cost in found.sizes],
        "accuracy": None if accuracy is None else _accuracy_fields(accuracy),
        "attacks": None if attacks is None else _attack_fields(attacks),
    }


def _cost_fields(cost: Cost) -> dict[str, Any]:
    sent = ("online_bytes", "online_bytes_batched", "total_bytes", "total_bytes_batched", "thesis_online_s")
    fields = {"threads": cost.threads, **asdict(cost.row)} | {name: getattr(cost, name) for name in sent}
    return fields | {"thesis": None if cost.thesis is None else asdict(cost.thesis)}


def _accuracy_fields(accuracy: Accuracy) -> dict[str, Any]:
    genuine = accuracy.crowd.genuine

    def rates(decisions: Decisions) -> dict[str, float]:
        found = dict(zip(("accuracy", "tar", "far"), decisions.rates(genuine), strict=True))
        return found | {"auc": accuracy.verification(decisions).auc()}

    scales = []
    for one in accuracy.scales:
        fields: dict[str, Any] = {"scale": one.scale, "refused": one.refused or None}
        if one.params is not None and one.integers is not None and one.protocol is not None:
            fields |= {
                "value_bits": one.params.value_bits,
                "security_bits": one.params.security_bits,
                "threshold": one.threshold,
                **rates(one.integers),
                "decided_otherwise_than_float": accuracy.changed(one),
                "comparisons": one.comparisons,
                "differences": one.differences,
                "pairs_equal": int((one.protocol == one.integers.matches).sum()),
            }
        scales.append(fields)
    return {
        "source": accuracy.crowd.source,
        "pairs": len(genuine),
        "listed_pairs": accuracy.crowd.listed,
        "genuine_pairs": int(genuine.sum()),
        "threshold": accuracy.crowd.threshold,
        "float": rates(accuracy.floats),
        "scales": scales,
    }


def _attack_fields(attacks: Attacks) -> dict[str, Any]:
    return {
        "source": attacks.source,
        "entries": attacks.entries,
        "hunted_people": attacks.hunted,
        "outcomes": [asdict(outcome) for outcome in attacks.outcomes],
    }
