"""1:1 under CKKS as Yang et al. 2021 do it (section 4.3): subtract, square, sum; the client takes the root.

Vectors are real numbers here, encoded into slots without quantisation; so there are no integers
to be equal to, and the error is that of CKKS alone. The paper's own summation, by 127 single
rotations, is timed beside ours.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from blindsight.core.types import I64
from blindsight.evaluation.loopback import forget_peak, peak_bytes
from blindsight.evaluation.protected import CONTENDERS, Advance, Run, Sizes, Space, Times
from blindsight.evaluation.scores import F64
from blindsight.schemes.ckks.pairs import EvaluationKeys, PairParams, compare, compare_by_single_rotations
from blindsight.schemes.ckks.reveal import PairKeyHolder
from blindsight.schemes.seal.library import sealapi

_LOOPS = 5


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A CKKS ciphertext as TenSEAL holds it, at the parameters of its tutorials.

    Attributes:
        parameters: in words.
        python_bytes: ``sys.getsizeof`` of the Python object: what the paper's Table 2 reports.
        serialised_bytes: of the ciphertext behind it.
    """

    parameters: str
    python_bytes: int
    serialised_bytes: int


def compare_distances(
    space: Space,
    first: F64,
    second: F64,
    pairs: I64,
    *,
    advance: Advance = lambda done, of: None,
) -> tuple[Run, float]:
    """The pairs' scores, and the median milliseconds of the paper's own loop.

    Args:
        space: of the vectors. Under the cosine they are normalised, and the score is
            ``1 − distance² / 2``.
        first: float64 (n, d).
        second: float64 (n, d).
        pairs: int64 (n,), which pairs of the list these are.
        advance: told how many pairs are done.

    Raises:
        ParameterError: more coordinates than a ciphertext has slots.
    """
    forget_peak()
    params = PairParams(dimension=space.dimension)
    holder = PairKeyHolder.generate(params)
    sent = holder.evaluation_keys()
    keys = EvaluationKeys.load(params, sent)
    rows, scores, answer = [], np.empty(len(pairs)), b""
    one = other = b""
    encoder, plain = params.context.encoder, sealapi().Plaintext()
    for at in range(len(pairs)):
        ours, theirs = _unit(space, first[at]), _unit(space, second[at])
        clock = [time.perf_counter()]
        encoder.encode(theirs.tolist(), 2.0**params.scale_bits, plain)
        clock.append(time.perf_counter())
        encoder.decode_double(plain)
        clock.append(time.perf_counter())
        one = holder.protect(ours)
        clock.append(time.perf_counter())
        other = holder.protect(theirs)
        clock.append(time.perf_counter())
        answer = compare(params, keys, one, other)
        clock.append(time.perf_counter())
        distance = holder.reveal(answer)
        clock.append(time.perf_counter())
        scores[at] = _score(space, distance)
        rows.append(np.diff(clock) * 1e3)
        advance(at + 1, len(pairs))
    encode, decode, enroll, encrypt, match, decrypt = np.median(rows, axis=0).tolist()
    loop = [_timed(lambda: compare_by_single_rotations(params, keys, one, other)) for _ in range(_LOOPS)]
    run = Run(
        CONTENDERS["ckks"],
        "1:1",
        "subtract, square, sum by rotations",
        pairs,
        scores,
        0,
        0,
        Times(encode, enroll, encrypt, match, decrypt, decode, match),
        Sizes(len(one), len(other), len(answer), len(sent), peak_bytes(), 0),
    )
    return run, float(np.median(loop))


def python_wrapper() -> Wrapper:
    """Measure what the paper's 56 bytes are: the Python object of a ciphertext of 128 numbers."""
    import tenseal

    bits = [60, 40, 40, 60]
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=bits)
    context.global_scale = 2.0**40
    held = tenseal.ckks_vector(context, [0.1] * 128)
    parameters = f"N = 8192, primes of {', '.join(map(str, bits))} bits, scale 2^40"
    return Wrapper(parameters, sys.getsizeof(held.ciphertext()[0]), len(held.serialize()))


def _unit(space: Space, vector: F64) -> F64:
    """The vector in the unit ball, where the parameters want it."""
    length = float(np.linalg.norm(vector)) if space.metric == "cosine" else space.radius
    return np.asarray(vector / length)


def _score(space: Space, distance: float) -> float:
    return 1.0 - distance**2 / 2 if space.metric == "cosine" else distance * space.radius


def _timed(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return (time.perf_counter() - started) * 1e3
