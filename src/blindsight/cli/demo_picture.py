"""The demo's picture: one moment as the camera, each party, and both together see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from blindsight.core.types import U8

_INK: Final = "#222222"
_FAINT: Final = "#d8d8d8"
_FOUND: Final = "#c0392b"


def held_by(data: Path, party: int, digest: bytes) -> U8:
    """A party's share of a still, uint8 (height, width, 3), from its folder."""
    from blindsight.blind.footage_store import kept_at, read_kept
    from blindsight.schemes.footage.compute import open_share
    from blindsight.schemes.footage.public import StillShape

    share, _ = read_kept(kept_at(data / "footage", digest), party)
    shape = share.statement.shape
    assert isinstance(shape, StillShape)
    return open_share(share).body.reshape(shape.height, shape.width, 3)


def draw(
    path: Path, frame: U8, shares: tuple[U8, U8], revealed: U8, entries: int, matched: int | None
) -> None:
    """Write the picture as a PNG file.

    Args:
        path: where to.
        frame: what the camera saw, uint8 (height, width, 3).
        shares: what party 0 and party 1 hold of it.
        revealed: what both consents gave.
        entries: of the watchlist.
        matched: which of them matched, from 0; None for none.

    """
    import matplotlib.pyplot as plt
    from matplotlib.gridspec import GridSpec

    figure = plt.figure(figsize=(12.8, 3.75), dpi=125)
    grid = GridSpec(
        2, 4, figure=figure, height_ratios=(1, 0.24), left=0.01, right=0.99, top=0.93, bottom=0.01,
        wspace=0.04, hspace=0.05,
    )  # fmt: skip
    panels = (
        ("The camera sees, and forgets", frame),
        ("Party 0 holds", shares[0]),
        ("Party 1 holds", shares[1]),
        ("Both consented", revealed),
    )
    for column, (title, pixels) in enumerate(panels):
        shown: Any = figure.add_subplot(grid[0, column])
        shown.imshow(pixels)
        shown.set_title(title, fontsize=12, color=_INK)
        shown.set_axis_off()
    for column in (1, 2):
        _bits(figure.add_subplot(grid[1, column]), entries, matched)
    _words(figure.add_subplot(grid[1, 0]), "what each party learns of a face:\none bit an entry of the list")
    _words(
        figure.add_subplot(grid[1, 3]),
        "signed by two operators, for one camera,\ntime and reader; in both logs",
    )
    figure.savefig(path)
    plt.close(figure)


def _words(place: Any, text: str) -> None:
    place.text(0, 0.9, text, va="top", fontsize=10, color=_INK, transform=place.transAxes)
    place.set_axis_off()


def _bits(shown: Any, entries: int, matched: int | None) -> None:
    """The watchlist as squares, the matched one filled."""
    columns = 30
    rows = -(-entries // columns)
    for entry in range(entries):
        x, y = entry % columns, entry // columns
        colour = _FOUND if entry == matched else _FAINT
        shown.add_patch(_square(x, y, colour))
    shown.set_xlim(0, columns)
    shown.set_ylim(max(rows, 5), 0)
    shown.set_anchor("N")
    shown.set_aspect("equal")
    shown.set_axis_off()


def _square(x: int, y: int, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x + 0.1, y + 0.1), 0.8, 0.8, color=colour, linewidth=0)
