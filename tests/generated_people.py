"""Generated people: figures in a coat and trousers, with or without a bag and stripes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL.Image

from blindsight.vision.images import Image

COLOURS = np.array([[200, 40, 40], [40, 160, 60], [50, 70, 200], [230, 230, 220], [30, 30, 35]], dtype=float)
COLUMNS = ("up", "down", "bag", "stripes")


def values(person: int) -> tuple[int, ...]:
    """What a person wears: colour of coat (1 to 5) and trousers, bag and stripes (1 no, 2 yes)."""
    rng = np.random.default_rng(1000 + person)
    return (
        int(rng.integers(1, 6)),
        int(rng.integers(1, 6)),
        int(rng.integers(1, 3)),
        int(rng.integers(1, 3)),
    )


def draw(person: int, camera: int, *, height: int = 128, width: int = 64) -> Image:
    """One crop: the person, shifted, under the camera's own light and noise."""
    up, down, bag, stripes = values(person)
    own = np.random.default_rng(5000 + person)  # shades that no attribute names
    coat, trousers = COLOURS[up - 1] + own.normal(0, 12, 3), COLOURS[down - 1] + own.normal(0, 12, 3)
    rng = np.random.default_rng((person, camera))
    canvas = np.full((128, 64, 3), 120.0) + rng.normal(0, 6, (128, 64, 1)).cumsum(axis=0) * 0.2
    left, top = 16 + int(rng.integers(-3, 4)), 8 + int(rng.integers(-3, 4))
    canvas[top : top + 18, left + 10 : left + 22] = (205, 165, 140)
    canvas[top + 18 : top + 62, left : left + 32] = coat
    if stripes == 2:
        canvas[top + 18 : top + 62 : 8, left : left + 32] = 250
        canvas[top + 19 : top + 62 : 8, left : left + 32] = 250
    canvas[top + 62 : top + 112, left + 3 : left + 29] = trousers
    if bag == 2:
        canvas[top + 30 : top + 56, left + 26 : left + 40] = (110, 70, 20)
    light = np.array([1.0, 1.0, 1.0]) + np.array([0.12, 0.0, -0.1]) * (camera - 1)
    canvas = canvas * light * (1.0 - 0.08 * camera) + rng.normal(0, 5, canvas.shape)
    pixels = np.clip(canvas, 0, 255).astype(np.uint8)
    rows, columns = np.arange(height) * 128 // height, np.arange(width) * 64 // width
    return Image(pixels[rows][:, columns], f"{person:04d}_c{camera}")


def write_crowd(folder: Path, people: Iterable[int], cameras: Iterable[int] = (1, 2, 3)) -> Path:
    """Crops named as Market-1501's under ``folder/crops``, and ``attributes.csv`` beside them."""
    crops = folder / "crops"
    crops.mkdir(parents=True)
    people = list(people)
    for person in people:
        for camera in cameras:
            name = f"{person + 1:04d}_c{camera}s1_000001_01.png"
            PIL.Image.fromarray(draw(person, camera).pixels).save(crops / name)
    rows = [",".join(map(str, (f"{person + 1:04d}", *values(person)))) for person in people]
    (folder / "attributes.csv").write_text("\n".join([",".join(("identity", *COLUMNS)), *rows]) + "\n")
    return crops
