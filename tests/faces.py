"""Generated "people" for tests of learning on images: each a pattern of their own, under changing light."""

from __future__ import annotations

import numpy as np


def people(count: int, each: int, height: int, width: int, *, seed: int = 0, colour: bool = False):
    """Images uint8 (count · each, height, width[, 3]) and whose they are, int64."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width] / max(height, width)
    images, owners = [], []
    for person in range(count):
        waves = rng.normal(0, 6, (5, 2)), rng.uniform(0, 2 * np.pi, 5)
        face = sum(np.sin(u * down * 6 + v * across * 6 + p) for (u, v), p in zip(*waves, strict=True))
        for _ in range(each):
            light = rng.uniform(-1, 1) * down + rng.uniform(-1, 1) * across + rng.uniform(0.6, 1.2)
            noisy = 128 + 28 * face * light + 30 * (light - 0.9) + rng.normal(0, 4, face.shape)
            image = np.clip(noisy, 0, 255).astype(np.uint8)
            images.append(np.stack([image, 255 - image, image // 2], axis=-1) if colour else image)
            owners.append(person)
    return np.stack(images), np.array(owners, np.int64)
