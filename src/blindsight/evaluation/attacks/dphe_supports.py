"""What a permutation that is used again gives away: DPHE's slots identified from supports.

The aggregator of Yonetani et al. (ICCV 2017) sees, each round, which permuted slots were filled; and
it distributes the new weights, of which it sees which are not zero, in their true order. With one P
for all rounds a slot and its weight have the same history of both. Where a history belongs to one slot and
one weight only, that slot is identified; when all are, P is known and every later update's places lie open.

Padding blurs it: a slot is then also filled by chance. Still a weight's slot is filled in every round
in which the weight is not zero; `identify` takes the slot with the fewest rounds too many, where it is
the only one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import UsageError
from blindsight.core.secrets import Secret
from blindsight.evaluation.figures import Plot, csv_text, finished, legible, series, sheet
from blindsight.evaluation.learning_data import Dataset, among, generated
from blindsight.learning.descent import Descent
from blindsight.learning.rounds import Task, combined, first_model, updated
from blindsight.schemes.dphe.params import Params
from blindsight.schemes.dphe.protect import shared_permutation, support_of

Bools = NDArray[np.bool_]
_LARGEST = 6000


@dataclass(frozen=True, slots=True)
class Attack:
    """One way of using DPHE, under attack.

    Attributes:
        name: of the way.
        rounds: after how many rounds the attack was tried.
        identified: share of the slots that were ever filled by a non-zero whose weight it then
            named, rightly.
        wrong: as large a share that it named wrongly.
        bytes_per_weight: that a user sends on average, beside what dense packed Paillier takes.
    """

    name: str
    rounds: tuple[int, ...]
    identified: tuple[float, ...]
    wrong: tuple[float, ...]
    bytes_per_weight: float


def identify(filled: Bools, published: Bools) -> NDArray[np.int64]:
    """The weight that each slot is, or -1: int64 (slots,).

    Args:
        filled: bool (rounds, slots): whether anybody sent something there.
        published: bool (rounds, weights): whether the published weight is not zero. As many.

    A weight's slot must be filled whenever the weight is not zero. Of the slots that could be,
    the one with the fewest further fillings is taken, if it is the only one, and no other weight takes it.
    """
    rounds, slots = filled.shape
    if published.shape != filled.shape or slots > _LARGEST:
        raise UsageError(f"Histories are of as many weights as slots, up to {_LARGEST}.")
    seen, shown = filled.astype(np.float32), published.astype(np.float32)
    missing = (1 - seen).T @ shown
    extra = seen.T @ (1 - shown)
    cost = np.where(missing > 0.5, np.float32(2 * rounds + 1), extra)
    best = cost.min(axis=0)
    only = ((cost == best).sum(axis=0) == 1) & (best <= rounds) & published.any(axis=0)
    slot_of = cost.argmin(axis=0)
    out = np.full(slots, -1, np.int64)
    weights = np.flatnonzero(only)
    taken, count = np.unique(slot_of[weights], return_counts=True)
    several = set(taken[count > 1].tolist())
    for weight in weights.tolist():
        if slot_of[weight] not in several:
            out[slot_of[weight]] = weight
    return out


def attack_study(
    dataset: Dataset | None = None,
    *,
    users: int = 5,
    rounds: int = 40,
    alpha: float = 0.012,
    fresh: float = 0.25,
    tries: Iterable[int] = (1, 2, 3, 5, 8, 12, 16, 20, 25, 30, 35, 40),
) -> list[Attack]:
    """Train, and attack DPHE as the paper has it and with each remedy.

    Args:
        dataset: what is learned; features of 100 coordinates and 20 classes if not given.
        users: among whom the images are dealt out.
        rounds: of learning.
        alpha: regularisation; it decides how sparse updates are.
        fresh: share of a user's images that it takes in one round, drawn anew: cameras see new things.
        tries: after how many rounds the attack is tried.
    """
    dataset = dataset or generated(20, 100)
    descent = Descent(alpha=alpha, l1=0.9, rate=10.0, epochs=2, batch=16)
    task = Task(dataset.classes, dataset.dimension, descent)
    if task.weights > _LARGEST:
        raise UsageError(f"The attack is drawn for up to {_LARGEST} weights; take a smaller task.")
    shares = among(dataset, users)
    generator = np.random.default_rng(1)
    model, supports, published = first_model(task), [], []
    for number in range(1, rounds + 1):
        updates = []
        for user, (x, y) in enumerate(shares):
            new = generator.permutation(len(x))[: max(1, round(fresh * len(x)))]
            updates.append(updated(task, model, x[new], y[new], user))
        total = np.sum(updates, axis=0)
        model = combined(task, model, number, total, users)
        supports.append([np.flatnonzero(one) for one in updates])
        published.append(total != 0)
    half = task.weights // 2
    most = max(half, *(len(one) for each in supports for one in each))
    ways = (
        ("one P for all rounds", Params.of(task.weights, users, fresh=False, modulus_bits=2048)),
        ("one P, padded", Params.of(task.weights, users, fresh=False, padded=most, modulus_bits=2048)),
        ("one P, dense", Params.of(task.weights, users, fresh=False, padded=task.weights, modulus_bits=2048)),
        ("fresh P each round", Params.of(task.weights, users, modulus_bits=2048)),
    )
    shown, tried = np.array(published), tuple(t for t in sorted(tries) if t <= rounds)
    return [_attacked(name, params, supports, shown, tried) for name, params in ways]


def _attacked(
    name: str,
    params: Params,
    supports: list[list[NDArray[np.int64]]],
    published: Bools,
    tries: tuple[int, ...],
) -> Attack:
    shared, sent = Secret.fresh(), []
    filled = np.zeros(published.shape, np.bool_)
    for number, each in enumerate(supports, 1):
        permuted = shared_permutation(params, shared, number)
        for support in each:
            places = support_of(params, support)
            sent.append(params.update_bytes(len(places)))
            filled[number - 1, permuted[places]] = True
    identified, wrong = [], []
    for count in tries:
        named = identify(filled[:count], published[:count])
        truth = np.argsort(shared_permutation(params, shared, count))
        right = (named == truth) & (named >= 0)
        of = max(1, int(published[:count].any(axis=0).sum()))
        identified.append(float(right.sum()) / of)
        wrong.append(float(((named >= 0) & ~right).sum()) / of)
    cost = float(np.mean(sent)) / params.weights
    return Attack(name, tries, tuple(identified), tuple(wrong), round(cost, 2))


def draw(results: list[Attack], *, name: str = "dphe-supports", folder: Path | None = None) -> Plot:
    """Slots identified against rounds, one line a way of using DPHE."""
    if not results:
        raise UsageError("There is nothing to draw.")
    title = "DPHE: slots identified from their history"
    rows = [
        (one.name, *row) for one in results for row in zip(one.rounds, one.identified, one.wrong, strict=True)
    ]
    with sheet(6.4, 4.2) as (drawing, (axes,)):
        for number, one in enumerate(results):
            label = f"{legible(one.name)} ({one.bytes_per_weight:.0f} B a weight)"
            shares = [100 * share for share in one.identified]
            axes.plot(one.rounds, shares, label=label, marker="o", markersize=4, **series(number))
        axes.set_xlabel("Rounds that the aggregator has seen")
        axes.set_ylabel("Slots identified, %")
        axes.set_ylim(-3, 103)
        axes.set_title(title)
        axes.legend(loc="center right", fontsize=9)
        table = csv_text(("way", "rounds", "identified", "wrong"), rows)
        return finished(drawing, name, title, table, folder)
