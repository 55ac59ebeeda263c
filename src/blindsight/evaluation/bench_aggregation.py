"""What a private sum costs a user, the aggregator and the key holder, scheme by scheme, in one run.

Every sum is compared with the plain one before its row is written. A user's work is on one core and
counted in processor time, so that a busy machine does not show in it; the key holder's decryption
takes the cores that it finds and is counted by the clock. Beside them, where their packages are installed,
what users of other systems get: NVFlare's default (TenSEAL CKKS, degree 8192, primes 60, 40, 40) and
Flower's SecAgg+ quantise-and-mask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import numpy as np

from blindsight.core.errors import ModelError, UsageError
from blindsight.core.secrets import Secret
from blindsight.core.types import I64
from blindsight.evaluation.federations import federation, plain_sum, private_sum
from blindsight.kernels.threads import cores

PAPER_WEIGHTS: Final = 2048 * 101
SCHEMES: Final = (
    "paillier-2048",
    "paillier-3072",
    "dphe-1",
    "dphe-5",
    "dphe-10",
    "masking",
    "masking-100",
    "bfv",
    "tenseal-ckks",
    "flower-secagg",
)

_BITS = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line. Seconds; a user's are medians over the users of the measured sum.

    Attributes:
        scheme: name, with key length, percentage of non-zeros, or number of neighbours.
        users: that the parameters have room for.
        weights: in an update.
        encrypt_s: all that one user computes in a round.
        decrypt_s: from the aggregator's total to integers; for masking, taking masks off.
        bytes_per_weight: that one user sends in a round.
        exact: whether the sum was the plain one to the last bit.
        summed: updates in the measured sum.
        setup_s: once a key, before the first round: tables.
        combine_s: the aggregator's work for one update.
        decrypt_cores: cores that decryption took.
    """

    scheme: str
    users: int
    weights: int
    encrypt_s: float
    decrypt_s: float
    bytes_per_weight: float
    exact: bool
    summed: int
    setup_s: float
    combine_s: float
    decrypt_cores: int


def bench_aggregation(
    weights: int = PAPER_WEIGHTS,
    *,
    only: Iterable[str] = SCHEMES,
    users: int = 10,
    summed: int = 3,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Measure schemes; those of packages that are not installed are left out.

    Args:
        weights: in an update.
        only: names of `SCHEMES`.
        users: that keys and guard bits are for; masking takes its neighbours and one.
        summed: users whose updates are really encrypted, where there is a key holder.
        progress: told which scheme is next.

    Raises `AssertionError` where a sum is not the plain one.
    """
    wanted = list(only)
    if unknown := sorted(set(wanted) - set(SCHEMES)):
        raise UsageError(f"There is no scheme {unknown[0]!r} to measure; there are {', '.join(SCHEMES)}.")
    if not 2 <= summed <= users:
        raise UsageError("A sum is of at least two users and of no more than there are.")
    rows = []
    for name in wanted:
        progress(name)
        kind, _, option = name.partition("-")
        try:
            if kind in ("paillier", "bfv"):
                rows.append(_row(name, name, weights, users, _updates(weights, summed)))
            elif kind == "dphe":
                rows.append(_row(name, kind, weights, users, _updates(weights, summed, int(option) / 100)))
            elif kind == "masking":
                others = int(option or 10)
                rows.append(_row(name, kind, weights, others + 1, _updates(weights, others + 1)))
            elif kind == "tenseal":
                rows.append(_tenseal(name, weights, users, summed))
            else:
                rows.append(_flower(name, weights))
        except (ImportError, ModelError):
            progress(f"{name} is left out: its package is not installed")
    return rows


def _updates(weights: int, count: int, share: float = 1.0) -> dict[int, I64]:
    generator = np.random.default_rng(count)
    most = (1 << (_BITS - 1)) - 1
    found = {}
    for user in range(count):
        values = np.zeros(weights, np.int64)
        places = generator.choice(weights, max(1, round(share * weights)), replace=False)
        values[places] = generator.integers(1, most + 1, len(places)) * generator.choice((-1, 1), len(places))
        found[user] = values
    return found


def _row(name: str, scheme: str, weights: int, users: int, updates: dict[int, I64]) -> Row:
    made = federation(scheme, weights, users, _BITS)
    if scheme in ("bfv", "masking"):  # the first call loads libraries; Paillier has none
        private_sum(
            made, 1, {user: updates[user] for user in list(updates)[: max(2, 2 * len(updates) // 3 + 2)]}
        )
    found = private_sum(made, 2, updates)
    assert np.array_equal(found.values, plain_sum(updates)), f"the sum of {name} is wrong"
    # Where there is no key, what takes the masks off is the aggregator's last step.
    opened = found.open_s + (found.aggregator_s * len(updates) if scheme == "masking" else 0.0)
    return Row(
        scheme=name,
        users=users,
        weights=weights,
        encrypt_s=round(found.user_s, 5),
        decrypt_s=round(opened, 5),
        bytes_per_weight=round(found.user_bytes / weights, 3),
        exact=True,
        summed=len(updates),
        setup_s=round(made.setup_s, 4),
        combine_s=round(found.aggregator_s, 5),
        decrypt_cores=1 if scheme in ("bfv", "masking") else cores(),
    )


def _tenseal(name: str, weights: int, users: int, summed: int) -> Row:
    """TenSEAL as NVFlare's default configuration uses it, a serialised CKKS vector for 4,096 weights."""
    import tenseal as ts

    context = ts.context(ts.SCHEME_TYPE.CKKS, 8192, -1, [60, 40, 40])
    context.global_scale = 2**40
    updates = _updates(weights, summed)
    scale, slots = 1 << (_BITS - 3), 4096
    encrypt, vectors = [], []
    for values in updates.values():
        started = time.thread_time()
        vectors.append(
            [
                ts.ckks_vector(context, (values[at : at + slots] / scale).tolist()).serialize()
                for at in range(0, weights, slots)
            ]
        )
        encrypt.append(time.thread_time() - started)
    started = time.perf_counter()
    total = [ts.ckks_vector_from(context, one) for one in vectors[0]]
    for other in vectors[1:]:
        total = [a + ts.ckks_vector_from(context, b) for a, b in zip(total, other, strict=True)]
    combine = (time.perf_counter() - started) / summed
    started = time.perf_counter()
    opened = np.concatenate([one.decrypt() for one in total])
    decrypt = time.perf_counter() - started
    plain = np.sum(list(updates.values()), axis=0)
    largest = float(np.abs(opened * scale - plain).max())
    assert largest < scale / 1000, f"the sum of {name} is wrong"
    return Row(
        scheme=name,
        users=users,
        weights=weights,
        encrypt_s=round(median(encrypt), 5),
        decrypt_s=round(decrypt, 5),
        bytes_per_weight=round(sum(map(len, vectors[0])) / weights, 3),
        exact=bool(np.array_equal(np.rint(opened * scale), plain)),
        summed=summed,
        setup_s=0.0,
        combine_s=round(combine, 5),
        decrypt_cores=1,
    )


def _flower(name: str, weights: int) -> Row:
    """Flower's own functions for SecAgg+: quantise, own mask, and a mask for each of ten neighbours."""
    from flwr.common.secure_aggregation.ndarrays_arithmetic import (
        parameters_addition,
        parameters_mod,
        parameters_subtraction,
    )
    from flwr.common.secure_aggregation.quantization import dequantize, quantize
    from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

    users, modulus, target, clip = 11, 1 << 32, 1 << 22, 8.0
    generator = np.random.default_rng(1)
    updates = [[generator.uniform(-clip, clip, weights)] for _ in range(users)]
    seeds = {(a, b): Secret.fresh(32) for a in range(users) for b in range(a, users)}
    spent, masked, dimensions = [], [], [(weights,)]

    def seed(a: int, b: int) -> bytes:
        return seeds[min(a, b), max(a, b)].derive("mask")

    for user, update in enumerate(updates):
        started = time.thread_time()
        vector: Any = quantize(update, clip, target)
        for other in range(users):
            mask = pseudo_rand_gen(seed(user, other), modulus, dimensions)
            vector = (parameters_addition if user <= other else parameters_subtraction)(vector, mask)
        masked.append(parameters_mod(vector, modulus))
        spent.append(time.thread_time() - started)
    started = time.perf_counter()
    total: Any = [np.zeros(weights, np.int64)]
    for vector in masked:
        total = parameters_addition(total, vector)
    combine = (time.perf_counter() - started) / users
    started = time.perf_counter()
    for user in range(users):
        total = parameters_subtraction(total, pseudo_rand_gen(seed(user, user), modulus, dimensions))
    opened = dequantize(parameters_mod(total, modulus), clip, target)[0] - (users - 1) * clip
    decrypt = time.perf_counter() - started
    plain = np.sum([update[0] for update in updates], axis=0)
    assert np.abs(opened - plain).max() < users * 2 * clip / target * 2, f"the sum of {name} is wrong"
    return Row(
        scheme=name,
        users=users,
        weights=weights,
        encrypt_s=round(median(spent), 5),
        decrypt_s=round(decrypt, 5),
        bytes_per_weight=round(masked[0][0].nbytes / weights, 3),
        exact=False,
        summed=users,
        setup_s=0.0,
        combine_s=round(combine, 5),
        decrypt_cores=1,
    )
