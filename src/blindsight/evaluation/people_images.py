"""A folder a person, as the experiments on images want it: one size, grey or colour, halves by chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import ImageError, UsageError
from blindsight.core.types import I64, U8
from blindsight.vision.fitting import fitted
from blindsight.vision.folder import Rejection, RejectionReport, list_photos
from blindsight.vision.images import read_image

PAPER_SIZE = (192, 160)
"""Height and width of the paper's images."""


@dataclass(frozen=True, slots=True, eq=False)
class PeopleImages:
    """Images of one size and whose they are.

    Attributes:
        pixels: uint8 (n, height, width), or (n, height, width, 3) in colour.
        people: int64 (n,), numbers from 0 in the order of the folders' names.
        names: of the people.
        rejected: files that could not be used.
    """

    pixels: U8 = field(repr=False)
    people: I64 = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    rejected: RejectionReport

    def halves(self, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which images train and which are queries: half of each person's by chance, an odd one queries."""
        rng = np.random.default_rng(seed)
        train = np.zeros(len(self.people), bool)
        for person in range(len(self.names)):
            own = np.flatnonzero(self.people == person)
            train[rng.permutation(own)[: len(own) // 2]] = True
        return train, ~train


def read_people(
    root: Path,
    *,
    size: tuple[int, int] = PAPER_SIZE,
    colour: bool = False,
    advance: Callable[[int, int], None] = lambda done, of: None,
) -> PeopleImages:
    """Read ``<root>/<person>/<image>``, cut to the shape of ``size`` about the middle, then scale.

    Extended Yale B's 168 × 192 lose four columns on either side and are not scaled. A file that cannot
    be read is reported and left out, as is a person with fewer than two images.

    Raises:
        UsageError: fewer than two people are left.
    """
    found = list_photos(root)
    rejected = list(found.rejections)
    images: dict[str, list[U8]] = {}
    for done, photo in enumerate(found.photos, start=1):
        try:
            pixels = read_image(photo.path).pixels
        except ImageError as error:
            rejected.append(Rejection(photo, error.code, error.message))
            continue
        finally:
            advance(done, len(found.photos))
        images.setdefault(photo.subject, []).append(fitted(pixels, *size, grey=not colour))
    names = tuple(sorted(name for name, own in images.items() if len(own) >= 2))
    if len(names) < 2:
        raise UsageError(
            f"{root} has images of fewer than two people; put each person's into a folder of their own."
        )
    pixels = np.stack([image for name in names for image in images[name]])
    people = np.repeat(np.arange(len(names)), [len(images[name]) for name in names]).astype(np.int64)
    return PeopleImages(pixels, people, names, RejectionReport(tuple(rejected)))
