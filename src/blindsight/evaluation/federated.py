"""The tables of seed 003's paper: accuracy by method, by number of users, and by sparsity.

Every protected sum is compared with the plain sum of the same integers, to the last bit. As sums are
exact, a protected model is the plain one; ``protected_rounds`` says in how many rounds the sum is really
carried out under each scheme, the others add integers in the open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from blindsight.core.types import I64
from blindsight.evaluation.federations import federation, plain_sum, private_sum
from blindsight.evaluation.learning_data import F64, Dataset, among
from blindsight.learning.descent import Descent, descend, one_hot, sparsity
from blindsight.learning.fixed_point import FixedPoint
from blindsight.learning.rounds import Model, Task, combined, first_model, updated

PROTECTED: Final = ("dphe", "paillier-2048", "masking", "bfv")
ROUNDS: Final = 10

_SLOW_USERS: Final = 2
"""Users whose updates are really encrypted under Paillier and DPHE, which take seconds to minutes each."""


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method with some users. ``accuracy`` in percent of the test images.

    ``protected_rounds`` rounds of ``protected_users`` users were summed under the scheme, all of them
    bit-exactly, else an `AssertionError` ends the run; ``difference`` is the accuracy less that of
    real-valued sums, in points.
    """

    method: str
    users: int
    accuracy: float
    difference: float
    exact: bool
    protected_rounds: int
    protected_users: int
    encrypt_s: float
    bytes_per_weight: float


@dataclass(frozen=True, slots=True)
class SparsityRow:
    """One strength of the regularisation: shares in percent of all weights of the users' updates."""

    alpha: float
    nonzero: float
    accuracy: float
    dphe_encrypt_s: float
    dphe_bytes: int
    dense_encrypt_s: float
    dense_bytes: int


@dataclass(frozen=True, slots=True)
class Study:
    """What `evaluate learning` prints."""

    dataset: str
    weights: int
    train: int
    test: int
    methods: tuple[MethodRow, ...]
    sparsities: tuple[SparsityRow, ...]


def accuracy(model: Model, dataset: Dataset) -> float:
    """Percent of the test images whose class is found."""
    return 100.0 * float(np.mean(model.predict(dataset.test) == dataset.test_labels))


def study(
    dataset: Dataset,
    *,
    users: Iterable[int] = (5, 10, 100),
    rounds: int = ROUNDS,
    protected_rounds: int = 1,
    alphas: Iterable[float] = (0.0, 3e-5, 1e-4, 3e-4),
    descent: Descent = Descent(alpha=3e-5, l1=0.9, rate=30.0, epochs=5, batch=16),  # noqa: B008
    schemes: Iterable[str] = PROTECTED,
    progress: Callable[[str], None] = lambda _: None,
) -> Study:
    """Both tables for one data set.

    Args:
        dataset: training and test images as features.
        users: how many users the training images are dealt out to, one table row each and method.
        rounds: federated rounds.
        protected_rounds: of them, the first ones are really summed under each scheme.
        alphas: regularisations of the second table, which has the smallest number of users.
        descent: what users do in a round; ``alpha`` also that of the first table.
        schemes: of `PROTECTED`.
        progress: told what is being done.
    """
    numbers, schemes = sorted(users), list(schemes)
    task = Task(dataset.classes, dataset.dimension, descent, FixedPoint())
    with threadpool_limits(1):  # small products: threads cost more than they bring
        rows = []
        for number in numbers:
            progress(f"{number} users, in the open")
            rows += _plain_rows(task, dataset, number, rounds)
            model, updates = _trajectory(task, dataset, number, rounds, protected_rounds)
            found = round(accuracy(model, dataset), 3)
            for scheme in schemes:
                progress(f"{number} users, {scheme}")
                rows.append(_protected_row(task, number, scheme, updates, found))
        baseline = {row.users: row.accuracy for row in rows if row.method == "federated, real-valued"}
        rows = [replace(row, difference=round(row.accuracy - baseline[row.users], 3)) for row in rows]
        sparsities = []
        for alpha in alphas:
            progress(f"regularisation {alpha:g}")
            sparsities.append(_sparsity_row(task, dataset, numbers[0], rounds, alpha))
    return Study(
        dataset.name, task.weights, len(dataset.train), len(dataset.test), tuple(rows), tuple(sparsities)
    )


def _row(method: str, users: int, found: float) -> MethodRow:
    return MethodRow(method, users, round(found, 3), 0.0, True, 0, 0, 0.0, 8.0)


def _plain_rows(task: Task, dataset: Dataset, users: int, rounds: int) -> list[MethodRow]:
    shares = among(dataset, users)
    whole = replace(task.descent, epochs=task.descent.epochs * rounds)
    generator = np.random.default_rng(1)
    start = np.zeros((task.dimension, len(task.classes)))
    targets = one_hot(dataset.train_labels, len(task.classes))
    together = Model(descend(start, dataset.train, targets, whole, generator), 0)
    alone = [
        accuracy(Model(descend(start, x, one_hot(y, len(task.classes)), whole, generator), 0), dataset)
        for x, y in shares
    ]
    model = first_model(task)
    for _ in range(rounds):
        new = []
        for user, (x, y) in enumerate(shares):
            draws = np.random.default_rng((user, model.number))
            new.append(descend(model.weights, x, one_hot(y, len(task.classes)), task.descent, draws))
        model = Model(np.mean(new, axis=0), model.number + 1)
    return [
        _row("SGD on all images", users, accuracy(together, dataset)),
        _row("local only", users, float(np.mean(alone))),
        _row("federated, real-valued", users, accuracy(model, dataset)),
    ]


def _trajectory(
    task: Task, dataset: Dataset, users: int, rounds: int, kept: int
) -> tuple[Model, list[dict[int, I64]]]:
    """The model after all rounds, summed in the open, and the updates of the first ``kept`` rounds."""
    shares = among(dataset, users)
    model, updates = first_model(task), []
    for number in range(1, rounds + 1):
        new = _updates(task, model, shares)
        if number <= kept:
            updates.append(new)
        model = combined(task, model, number, plain_sum(new), users)
    return model, updates


def _protected_row(
    task: Task, users: int, scheme: str, updates: list[dict[int, I64]], found: float
) -> MethodRow:
    """Sum those rounds under a scheme. As the sums are the plain ones, so is the model, and its accuracy."""
    slow = scheme.startswith(("paillier", "dphe"))
    some = min(users, _SLOW_USERS) if slow else users
    made = federation(scheme, task.weights, users, task.fixed.bits)
    seconds, sent = [], []
    for number, each in enumerate(updates, 1):
        part = {user: each[user] for user in range(some)}
        summed = private_sum(made, number, part)
        assert np.array_equal(summed.values, plain_sum(part)), f"the sum of {scheme} is not the plain one"
        seconds.append(summed.user_s)
        sent.append(summed.user_bytes)
    return MethodRow(
        scheme,
        users,
        found,
        0.0,
        True,
        len(updates),
        some,
        round(float(np.median(seconds)), 4),
        round(float(np.median(sent)) / task.weights, 3),
    )


def _updates(task: Task, model: Model, shares: list[tuple[F64, I64]]) -> dict[int, I64]:
    return {user: updated(task, model, x, y, user) for user, (x, y) in enumerate(shares)}


def _sparsity_row(task: Task, dataset: Dataset, users: int, rounds: int, alpha: float) -> SparsityRow:
    """The last round's updates are encrypted, by two users."""
    task = replace(task, descent=replace(task.descent, alpha=alpha))
    shares = among(dataset, users)
    model, updates = first_model(task), dict[int, I64]()
    for number in range(1, rounds + 1):
        updates = _updates(task, model, shares)
        model = combined(task, model, number, plain_sum(updates), users)
    two = {user: updates[user] for user in (0, 1)}
    cost = {}
    for scheme in ("dphe", "paillier-2048"):
        found = private_sum(federation(scheme, task.weights, 2, task.fixed.bits), 1, two)
        assert np.array_equal(found.values, plain_sum(two)), f"the sum of {scheme} is not the plain one"
        cost[scheme] = found
    return SparsityRow(
        alpha,
        round(100 * float(np.mean([sparsity(one.astype(np.float64)) for one in updates.values()])), 2),
        round(accuracy(model, dataset), 3),
        round(cost["dphe"].user_s, 3),
        cost["dphe"].user_bytes,
        round(cost["paillier-2048"].user_s, 3),
        cost["paillier-2048"].user_bytes,
    )
