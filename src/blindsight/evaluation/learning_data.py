"""Images, or generated features, split into training and test, and training among users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import UsageError
from blindsight.core.types import I64
from blindsight.vision.image_features import FeatureCache

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Features of norm 1 or less, float64 (n, dimension), and labels, int64 (n,) into ``classes``."""

    name: str
    classes: tuple[str, ...]
    train: F64
    train_labels: I64
    test: F64
    test_labels: I64

    @property
    def dimension(self) -> int:
        return int(self.train.shape[1])


def read_dataset(folder: Path, cache: FeatureCache, told: Callable[[int, int], None]) -> Dataset:
    """Images in ``folder/images/<class>/``, with ``train.txt`` and ``test.txt`` that list them.

    Raises `UsageError` where these are not there, or name what is outside the folder.
    """
    listed = []
    for name in ("train.txt", "test.txt"):
        path = folder / name
        if not path.is_file():
            raise UsageError(f"{folder} has no {name}; it lists images as <class>/<file>, a line each.")
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
        if not lines or any(
            len(Path(line).parts) != 2 or ".." in line or line.startswith("/") for line in lines
        ):
            raise UsageError(f"{name} does not list images as <class>/<file>, a line each.")
        listed.append(lines)
    classes = tuple(sorted({line.split("/")[0] for lines in listed for line in lines}))
    place = {name: k for k, name in enumerate(classes)}
    total = len(listed[0]) + len(listed[1])

    def part(lines: list[str], before: int) -> tuple[F64, I64]:
        paths = (folder / "images" / line for line in lines)
        features = cache.all(paths, lambda count: told(before + count, total))
        return features.astype(np.float64), np.array([place[line.split("/")[0]] for line in lines], np.int64)

    train, test = part(listed[0], 0), part(listed[1], len(listed[0]))
    return Dataset(folder.name, classes, *train, *test)


def generated(
    classes: int = 101, dimension: int = 2048, a_class: int = 30, *, noise: float = 0.14, _seed: int = 1
) -> Dataset:
    """Features of the paper's size: few large coordinates a class, as a network's last layer has, and noise.

    ``a_class`` samples of each class for training, a third of that for the test; ``noise`` is the mean of
    what is added to every coordinate.
    """
    generator = np.random.default_rng(_seed)
    means = generator.random((classes, dimension)) ** 12

    def part(count: int) -> tuple[F64, I64]:
        labels = np.repeat(np.arange(classes), count)
        added = generator.exponential(noise, (len(labels), dimension))
        raw = means[labels] * generator.random((len(labels), dimension)) + added
        raw -= raw.mean(axis=1, keepdims=True)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True), labels.astype(np.int64)

    names = tuple(f"class {k}" for k in range(classes))
    return Dataset("generated", names, *part(a_class), *part(max(1, a_class // 3)))


def among(dataset: Dataset, users: int, *, _seed: int = 1) -> list[tuple[F64, I64]]:
    """Training data dealt out to users at random, as evenly as it goes."""
    if not 2 <= users <= len(dataset.train):
        raise UsageError(f"{len(dataset.train)} training images are for 2 to as many users, not {users}.")
    order = np.random.default_rng(_seed).permutation(len(dataset.train))
    return [(dataset.train[rows], dataset.train_labels[rows]) for rows in np.array_split(order, users)]
