"""The two tables of `federated` as drawings."""

from __future__ import annotations

from pathlib import Path

from blindsight.core.errors import UsageError
from blindsight.evaluation.federated import ALONE, REAL, TOGETHER, Study
from blindsight.evaluation.figures import Plot, csv_text, finished, legible, series, sheet


def draw_methods(study: Study, *, name: str = "learning-users", folder: Path | None = None) -> Plot:
    """Accuracy against the number of users; protected sums lie on the line of the real-valued one.

    Rows of which nothing was summed under the scheme are left out.
    """
    rows = [row for row in study.methods if row.protected_rounds or row.method in (TOGETHER, ALONE, REAL)]
    if not rows:
        raise UsageError("There is nothing to draw.")
    names = list(dict.fromkeys(row.method for row in rows))
    title = f"{legible(study.dataset)}: accuracy by method"
    with sheet(6.4, 4.2) as (drawing, (axes,)):
        numbers = sorted({row.users for row in rows})
        marks = iter("ovs^D<>ph*")
        for number, method in enumerate(names):
            points = sorted((row.users, row.accuracy) for row in rows if row.method == method)
            places = [numbers.index(users) for users, _ in points]
            style = series(number)
            if method not in (TOGETHER, ALONE, REAL):  # equal to REAL: marks around each other, no line
                size = 16 - 3 * (number - 3)
                style |= {"linestyle": "", "marker": next(marks), "markersize": size, "fillstyle": "none"}
            else:
                style |= {"marker": "."}
            axes.plot(places, [found for _, found in points], label=legible(method), **style)
        axes.set_xticks(range(len(numbers)), [f"{number}" for number in numbers])
        axes.set_xlabel("Users among whom the training images are dealt out")
        axes.set_ylabel("Test images right, %")
        axes.set_title(title)
        drawing.legend(loc="outside right upper", fontsize=9)
        table = csv_text(("method", "users", "accuracy"), [(r.method, r.users, r.accuracy) for r in rows])
        return finished(drawing, name, title, table, folder)


def draw_sparsities(study: Study, *, name: str = "learning-sparsity", folder: Path | None = None) -> Plot:
    """Accuracy, and a user's seconds, against the share of weights that are not zero."""
    if not study.sparsities:
        raise UsageError("There is nothing to draw.")
    title = f"{legible(study.dataset)}: sparsity against accuracy and encryption"
    rows = sorted(study.sparsities, key=lambda row: row.nonzero)
    with sheet(6.4, 5.2, panels=2) as (drawing, (above, below)):
        from matplotlib.ticker import LogLocator, NullFormatter

        shares = [row.nonzero for row in rows]
        above.plot(shares, [row.accuracy for row in rows], marker="o", **series(0))
        above.set_ylabel("Test images right, %")
        above.set_title(title)
        sparse = [(row.nonzero, row.dphe_encrypt_s) for row in rows if row.dphe_encrypt_s is not None]
        if sparse:
            x, y = zip(*sparse, strict=True)
            below.plot(x, y, label="DPHE", marker="o", **series(1))
        dense = [row.dense_encrypt_s for row in rows]
        below.plot(shares, dense, label="packed Paillier, dense", marker="s", **series(2))
        below.set_yscale("log")
        below.set_xscale("log")
        below.set_xlim(max(0.01, min(shares) / 1.5), 130)
        for axis, steps in ((below.xaxis, (1.0, 3.0)), (below.yaxis, (1.0, 2.0, 5.0))):
            axis.set_major_locator(LogLocator(subs=steps))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        below.set_xlabel("Weights of an update that are not zero, %")
        below.set_ylabel("A user's seconds a round")
        below.legend(fontsize=9)
        table = csv_text(
            ("alpha", "nonzero", "accuracy", "dphe_s", "dense_s"),
            [(r.alpha, r.nonzero, r.accuracy, r.dphe_encrypt_s, r.dense_encrypt_s) for r in rows],
        )
        return finished(drawing, name, title, table, folder)
