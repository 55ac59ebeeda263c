"""The tracker once more, slow and obvious: every way in which everybody can walk is written down."""

from __future__ import annotations

import itertools
from collections import defaultdict


def ways(near, movement, start, horizon):
    """All (path of cameras, probability) of one person, straight from the words of the model."""
    found = [((start,), 1.0)]
    for _ in range(horizon - 1):
        longer = []
        for path, chance in found:
            here = path[-1]
            if len(path) == 1:
                options = {to: 1 / (1 + len(near[here])) for to in [here, *near[here]]}
            elif path[-2] == here:
                options = {to: (1 - movement.stay) / len(near[here]) for to in near[here]}
                options[here] = movement.stay
            else:
                on = [to for to in near[here] if to != path[-2]]
                options = {here: movement.stop, path[-2]: movement.turn}
                if on:
                    options |= {to: movement.repeat / len(on) for to in on}
                else:
                    whole = movement.stop + movement.turn
                    options = {to: chance / whole for to, chance in options.items()}
            longer += [((*path, to), chance * share) for to, share in options.items() if share > 0]
        found = longer
    return found


def joint(near, movement, start, others, q, horizon):
    """P[path of the followed, what is seen], as {seen: {path: probability}}."""
    table = defaultdict(lambda: defaultdict(float))
    everybody = [ways(near, movement, at, horizon) for at in (start, *others)]
    for walks in itertools.product(*everybody):
        chance = 1.0
        for _, share in walks:
            chance *= share
        seen = tuple(
            tuple(max(q, sum(path[t] == camera for path, _ in walks)) for camera in range(len(near)))
            for t in range(horizon)
        )
        table[seen][walks[0][0]] += chance
    return table


def best(table):
    """The best tracker's probability of naming the whole path."""
    return sum(max(paths.values()) for paths in table.values())


def stepwise(table, horizon):
    """The thesis' tracker: at each step the most probable camera, given its choices and the past."""

    def sums(prefix, past):
        found = defaultdict(float)
        for seen, paths in table.items():
            if seen[: len(past)] == past:
                for path, chance in paths.items():
                    if path[: len(prefix)] == prefix and len(prefix) < len(past):
                        found[path[len(prefix)]] += chance
        return found

    total = 0.0
    for seen, paths in table.items():
        chosen = (next(iter(paths))[0],)
        while len(chosen) < horizon:
            options = sums(chosen, seen[: len(chosen) + 1])
            if not options:
                break
            most = max(options.values())
            chosen = (*chosen, min(to for to, share in options.items() if share >= most * (1 - 1e-12)))
        total += paths.get(chosen, 0.0)
    return total
