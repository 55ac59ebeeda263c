"""What sharing footage costs, beside copying the same bytes and beside one NumPy exclusive or.

    python benchmarks/footage.py [--repeat 15]

Prints Markdown. All columns of a row come from one run, each the median; ``check`` is what a
party does on arrival (the one with the long share), ``reveal`` includes both parties' checks.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.evaluation.machine import machine
from blindsight.kernels.prg import Stream
from blindsight.schemes.footage.compute import check
from blindsight.schemes.footage.protect import share_segment, share_still
from blindsight.schemes.footage.public import About
from blindsight.schemes.footage.reveal import reveal

CONTENTS = {
    "still 640 × 480": (480, 640),
    "still 1920 × 1080": (1080, 1920),
    "segment 1 MiB": 1 << 20,
    "segment 16 MiB": 1 << 24,
}


def timed(work: Callable[[], object], repeat: int) -> float:
    """Median milliseconds."""
    work()
    took = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        took.append(1e3 * (time.perf_counter() - start))
    return median(took)


def row(content: tuple[int, int] | int, repeat: int) -> list[float]:
    """copy, exclusive or, pad, share, check, reveal in milliseconds; MB/s shared; share ÷ exclusive or."""
    now = datetime.now(UTC)
    about, key = About("benchmark", 0, now, now), Ed25519PrivateKey.generate()
    size = content if isinstance(content, int) else 3 * content[0] * content[1]
    data = os.urandom(size)
    flat = np.frombuffer(data, np.uint8)
    if isinstance(content, int):
        protect = lambda: share_segment(data, about, key)  # noqa: E731
    else:
        pixels = flat.reshape(*content, 3)
        protect = lambda: share_still(pixels, about, key)  # noqa: E731
    other = np.frombuffer(os.urandom(size), np.uint8)
    seed, body = protect()
    costs = [
        timed(work, repeat)
        for work in (
            flat.copy,
            lambda: np.bitwise_xor(flat, other),
            lambda: flat - Stream(bytes(32)).read(size),
            protect,
            lambda: check(body, key.public_key()),
            lambda: reveal(seed, body, key.public_key()),
        )
    ]
    return [*costs, size / 1e3 / costs[3], costs[3] / costs[1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=15)
    repeat = parser.parse_args().repeat
    said = ", ".join(f"{name} {value}" for name, value in machine().items())
    print(f"{said}, {datetime.now(UTC):%Y-%m-%d}\n")
    names = ("copy ms", "xor ms", "pad ms", "share ms", "check ms", "reveal ms", "MB/s", "share ÷ xor")
    print("| content | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for name, content in CONTENTS.items():
        print(f"| {name} | " + " | ".join(f"{value:.3g}" for value in row(content, repeat)) + " |")


if __name__ == "__main__":
    main()
