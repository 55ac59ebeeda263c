"""The tables of seed 003's paper: accuracy by method, by number of users, and by sparsity.

Every protected sum is compared with the plain sum of the same integers, to the last bit, and a protected
row's accuracy is that of the model which its sums made. Where a scheme takes seconds to minutes a user,
only some rounds and users are really summed under it; the row says how many, and the rest of the same
integers is added in the open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from blindsight.core.types import I64
from blindsight.evaluation.federations import federation, plain_sum, private_sum
from blindsight.evaluation.kept_rows import KeptRows
from blindsight.evaluation.learning_data import F64, Dataset, among
from blindsight.learning.descent import Descent, descend, one_hot, sparsity
from blindsight.learning.fixed_point import FixedPoint
from blindsight.learning.rounds import Model, Task, combined, first_model, updated
from blindsight.schemes.paillier.params import Params

PROTECTED: Final = ("dphe", "paillier-2048", "masking", "bfv")
REAL: Final = "federated, real-valued"
TOGETHER: Final = "SGD on all images"
ALONE: Final = "local only"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        users: how many users the training images are dealt out to, one after the other.
        rounds: federated rounds.
        schemes: of `PROTECTED`, or other names of `federations.federation`.
        alphas: regularisations of the second table, which has the smallest number of users.
        descent: what users do in a round; ``alpha`` also that of the first table.
        ciphertexts: the most that a row makes under Paillier and DPHE, at about a millisecond each. As many
            users of the first round, and then as many rounds, as go into that are really summed
            under the scheme. The other schemes sum every round of all users.
    """

    users: tuple[int, ...] = (5, 10, 100)
    rounds: int = 10
    schemes: tuple[str, ...] = PROTECTED
    alphas: tuple[float, ...] = (0.0, 3e-5, 1e-4, 3e-4, 1e-3)
    descent: Descent = Descent(alpha=3e-5, l1=0.9, rate=30.0, epochs=5, batch=16)  # noqa: RUF009
    ciphertexts: int = 50_000

    @property
    def rows(self) -> int:
        """Of both tables."""
        return len(self.users) * (3 + len(self.schemes)) + len(self.alphas)


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method with some users. ``accuracy`` in percent of the test images.

    ``protected_rounds`` rounds of ``protected_users`` users were summed under the scheme, all of them
    bit-exactly, else an `AssertionError` ends the run; ``difference`` is the accuracy less that of
    real-valued sums, in points. Seconds and bytes are of one user's update, None where none was encrypted.
    """

    method: str
    users: int
    accuracy: float
    difference: float
    exact: bool
    rounds: int
    protected_rounds: int
    protected_users: int
    encrypt_s: float | None
    bytes_per_weight: float | None


@dataclass(frozen=True, slots=True)
class SparsityRow:
    """One strength of the regularisation: shares in percent of all weights of the users' updates.

    DPHE's cost is None where two of its updates have more non-zeros than `Plan.ciphertexts`.
    """

    alpha: float
    nonzero: float
    accuracy: float
    dphe_encrypt_s: float | None
    dphe_bytes: int | None
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
    return round(100.0 * float(np.mean(model.predict(dataset.test) == dataset.test_labels)), 3)


def study(
    dataset: Dataset,
    plan: Plan,
    *,
    kept: KeptRows | None = None,
    progress: Callable[[int, str], None] = lambda done, next_: None,
) -> Study:
    """Both tables for one data set.

    Args:
        dataset: training and test images as features.
        plan: what is measured.
        kept: where finished rows are; those are not measured again.
        progress: told before each row how many of `Plan.rows` are done, and what is next.
    """
    with threadpool_limits(1):  # small products: threads cost more than they bring
        return _Studied(dataset, plan, kept or KeptRows(None), progress).whole()


class _Studied:
    def __init__(
        self, dataset: Dataset, plan: Plan, kept: KeptRows, progress: Callable[[int, str], None]
    ) -> None:
        self._dataset = dataset
        self._plan = plan
        self._kept = kept
        self._progress = progress
        self._task = Task(dataset.classes, dataset.dimension, plan.descent, FixedPoint())
        self._done = 0
        self._common: dict[str, Any] = {
            "dataset": _digest(dataset),
            "rounds": plan.rounds,
            "descent": asdict(plan.descent),
            "fixed": asdict(self._task.fixed),
        }

    def whole(self) -> Study:
        dataset, plan = self._dataset, self._plan
        methods = [row for number in sorted(plan.users) for row in self._methods(number)]
        sparsities = [self._sparsity(alpha) for alpha in plan.alphas]
        return Study(
            dataset.name,
            self._task.weights,
            len(dataset.train),
            len(dataset.test),
            tuple(methods),
            tuple(sparsities),
        )

    def _told(self, what: str) -> None:
        self._progress(self._done, what)
        self._done += 1

    # -- the first table -----------------------------------------------------------------------------

    def _methods(self, users: int) -> list[MethodRow]:
        shares = among(self._dataset, users)
        rows = [
            replace(self._open_row(TOGETHER, 1, self._together), users=users),
            self._open_row(ALONE, users, lambda: self._alone(shares)),
            self._open_row(REAL, users, lambda: self._real(shares)),
        ]
        totals: list[I64] = []
        for scheme in self._plan.schemes:
            self._told(f"{users} users, {scheme}")
            of = self._common | {"users": users, "scheme": scheme}
            if _slow(scheme):
                of |= {"ciphertexts": self._plan.ciphertexts}

            def measured(scheme: str = scheme) -> MethodRow:
                if not totals:
                    totals.extend(_totals(self._task, self._plan.rounds, shares))
                return self._protected_row(scheme, shares, totals)

            rows.append(self._kept.row(MethodRow, of, measured))
        baseline = rows[2].accuracy
        return [replace(row, difference=round(row.accuracy - baseline, 3)) for row in rows]

    def _open_row(self, method: str, users: int, measure: Callable[[], float]) -> MethodRow:
        self._told(method if users == 1 else f"{users} users, {method}")
        return self._kept.row(
            MethodRow,
            self._common | {"users": users, "method": method},
            lambda: MethodRow(method, users, measure(), 0.0, True, self._plan.rounds, 0, 0, None, None),
        )

    def _descended(self, features: F64, labels: I64, generator: np.random.Generator) -> float:
        """Accuracy after as many epochs as a federation has in all its rounds."""
        classes, descent = len(self._task.classes), self._plan.descent
        whole = replace(descent, epochs=descent.epochs * self._plan.rounds)
        start = np.zeros((self._task.dimension, classes))
        weights = descend(start, features, one_hot(labels, classes), whole, generator)
        return accuracy(Model(weights, 0), self._dataset)

    def _together(self) -> float:
        return self._descended(self._dataset.train, self._dataset.train_labels, np.random.default_rng(1))

    def _alone(self, shares: list[tuple[F64, I64]]) -> float:
        generator = np.random.default_rng(1)
        return round(float(np.mean([self._descended(x, y, generator) for x, y in shares])), 3)

    def _real(self, shares: list[tuple[F64, I64]]) -> float:
        model = first_model(self._task)
        for _ in range(self._plan.rounds):
            new = []
            for user, (x, y) in enumerate(shares):
                draws = np.random.default_rng((user, model.number))
                targets = one_hot(y, len(self._task.classes))
                new.append(descend(model.weights, x, targets, self._plan.descent, draws))
            model = Model(np.mean(new, axis=0), model.number + 1)
        return accuracy(model, self._dataset)

    def _protected_row(self, scheme: str, shares: list[tuple[F64, I64]], totals: list[I64]) -> MethodRow:
        """Learn by sums under a scheme, and by the open sum of those who do not take part in it."""
        task, plan, users = self._task, self._plan, len(shares)
        made = federation(scheme, task.weights, users, task.fixed.bits)
        left, some = plan.ciphertexts, users
        model, costs = first_model(task), []
        for number, plain in enumerate(totals, 1):
            total = plain
            if some >= 2 and left >= 0:
                part = _updates(task, model, shares[:some])
                if _slow(scheme):
                    each = max(1, _ciphertexts(scheme, part))
                    if number == 1:
                        some = min(users, left // each)
                        part = {user: part[user] for user in range(some)}
                    left -= some * each
                if some >= 2 and left >= 0:
                    summed = private_sum(made, number, part)
                    _check(scheme, summed.values, part)
                    total = summed.values + (plain - plain_sum(part))
                    costs.append(summed)
            model = combined(task, model, number, total, users)
        return MethodRow(
            scheme,
            users,
            accuracy(model, self._dataset),
            0.0,
            True,
            plan.rounds,
            len(costs),
            some if costs else 0,
            round(float(np.median([one.user_s for one in costs])), 4) if costs else None,
            round(float(np.median([one.user_bytes for one in costs])) / task.weights, 3) if costs else None,
        )

    # -- the second table ------------------------------------------------------------------------------

    def _sparsity(self, alpha: float) -> SparsityRow:
        self._told(f"regularisation {alpha:g}")
        users = min(self._plan.users)
        of = self._common | {"users": users, "alpha": alpha, "ciphertexts": self._plan.ciphertexts}
        return self._kept.row(SparsityRow, of, lambda: self._sparsity_row(users, alpha))

    def _sparsity_row(self, users: int, alpha: float) -> SparsityRow:
        """The last round's updates are encrypted, by two users."""
        task = replace(self._task, descent=replace(self._task.descent, alpha=alpha))
        shares = among(self._dataset, users)
        model, updates = first_model(task), dict[int, I64]()
        for number in range(1, self._plan.rounds + 1):
            updates = _updates(task, model, shares)
            model = combined(task, model, number, plain_sum(updates), users)
        two = {user: updates[user] for user in (0, 1)}
        cost: dict[str, Any] = {}
        for scheme in ("dphe", "paillier-2048"):
            if scheme != "dphe" or 2 * _ciphertexts(scheme, two) <= self._plan.ciphertexts:
                cost[scheme] = private_sum(federation(scheme, task.weights, 2, task.fixed.bits), 1, two)
                _check(scheme, cost[scheme].values, two)
        sparse, dense = cost.get("dphe"), cost["paillier-2048"]
        shares_of = [sparsity(one.astype(np.float64)) for one in updates.values()]
        return SparsityRow(
            alpha,
            round(100 * float(np.mean(shares_of)), 2),
            accuracy(model, self._dataset),
            round(sparse.user_s, 3) if sparse else None,
            sparse.user_bytes if sparse else None,
            round(dense.user_s, 3),
            dense.user_bytes,
        )


def _check(scheme: str, values: I64, part: Mapping[int, I64]) -> None:
    assert np.array_equal(values, plain_sum(part)), f"the sum of {scheme} is not the plain one"


def _slow(scheme: str) -> bool:
    return scheme.startswith(("paillier", "dphe"))


def _ciphertexts(scheme: str, updates: Mapping[int, I64]) -> int:
    """Of the largest update: one a non-zero, or one for many weights."""
    if scheme == "dphe":
        return max(int(np.count_nonzero(one)) for one in updates.values())
    some = next(iter(updates.values()))
    return Params.of(len(some), len(updates), modulus_bits=int(scheme.partition("-")[2])).groups


def _totals(task: Task, rounds: int, shares: list[tuple[F64, I64]]) -> list[I64]:
    """The sums of all rounds, added in the open."""
    model, totals = first_model(task), []
    for number in range(1, rounds + 1):
        totals.append(plain_sum(_updates(task, model, shares)))
        model = combined(task, model, number, totals[-1], len(shares))
    return totals


def _updates(task: Task, model: Model, shares: Iterable[tuple[F64, I64]]) -> dict[int, I64]:
    return {user: updated(task, model, x, y, user) for user, (x, y) in enumerate(shares)}


def _digest(dataset: Dataset) -> str:
    found = hashlib.sha256(repr(dataset.classes).encode())
    for part in (dataset.train, dataset.train_labels, dataset.test, dataset.test_labels):
        found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()
