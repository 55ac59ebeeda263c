"""Slow, obvious twins of the figures."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import strategies as st

from blindsight.evaluation.scores import Comparisons, Searches


def matches(score, threshold, larger_is_closer):
    return score >= threshold if larger_is_closer else score <= threshold


def fmr(c, threshold):
    return sum(matches(s, threshold, c.larger_is_closer) for s in c.impostor) / len(c.impostor)


def fnmr(c, threshold):
    return sum(not matches(s, threshold, c.larger_is_closer) for s in c.genuine) / len(c.genuine)


def auc(c):
    wins = Fraction(0)
    for g in c.genuine:
        for i in c.impostor:
            wins += Fraction(1, 2) if g == i else int((g > i) == c.larger_is_closer)
    return wins / (len(c.genuine) * len(c.impostor))


def eer(c):
    """Walk the ROC from the strictest point on; cross the diagonal on a straight line."""
    points = [(Fraction(0), Fraction(1))]
    scores = sorted({*c.genuine.tolist(), *c.impostor.tolist()}, reverse=c.larger_is_closer)
    for t in scores:
        points.append(
            (
                Fraction(sum(matches(s, t, c.larger_is_closer) for s in c.impostor), len(c.impostor)),
                Fraction(sum(not matches(s, t, c.larger_is_closer) for s in c.genuine), len(c.genuine)),
            )
        )
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 >= y1:
            share = (y0 - x0) / ((y0 - x0) - (y1 - x1))
            return x0 + share * (x1 - x0)
    raise AssertionError("the curves cross")


def cmc(s: Searches):
    """Every way of breaking the ties is as likely as the next."""
    total = [Fraction(0)] * len(s.gallery)
    mated = 0
    for row, name in zip(s.scores, s.probes, strict=True):
        if name not in s.gallery:
            continue
        mated += 1
        own = row[s.gallery.index(name)]
        better = sum((x > own) if s.larger_is_closer else (x < own) for x in row)
        tied = sum(x == own for x in row)
        for rank in range(1, len(s.gallery) + 1):
            places = min(max(rank - better, 0), tied)
            total[rank - 1] += Fraction(int(places), int(tied))
    return [float(t / mated) for t in total]


few = st.integers(-4, 4).map(float)
"""Scores with many ties."""
many = st.floats(-1e6, 1e6, allow_subnormal=False)


@st.composite
def comparisons(draw, largest=25):
    one_kind = draw(st.sampled_from([few, many]))
    return Comparisons(
        draw(st.lists(one_kind, min_size=1, max_size=largest)),
        draw(st.lists(one_kind, min_size=1, max_size=largest)),
        draw(st.booleans()),
    )


@st.composite
def searches(draw, mated=True, non_mated=False):
    people = draw(st.integers(1, 6))
    gallery = [f"p{n}" for n in range(people)]
    probes = draw(st.lists(st.sampled_from([*gallery, None, "stranger"]), max_size=8))
    probes += ["p0"] * mated + [None] * non_mated
    if not probes:
        probes = [None]
    scores = [[draw(few) for _ in gallery] for _ in probes]
    return Searches(scores, tuple(gallery), tuple(probes), draw(st.booleans()))
