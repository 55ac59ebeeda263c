"""Vector search on a machine that sees no vector.

Parties: *you*, who have the vectors and the key; *the matcher*, here in a folder of this process,
elsewhere a server. You learn the nearest vectors of each query and their scores. The matcher learns
how many blocks of 256 vectors there are, and that a search was made.
"""

import tempfile
from pathlib import Path

import numpy as np

from blindsight import EncryptedIndex

generator = np.random.default_rng(7)
vectors = generator.standard_normal((5_000, 128)).astype(np.float32)
queries = vectors[:20] + 0.3 * generator.standard_normal((20, 128)).astype(np.float32)

with tempfile.TemporaryDirectory() as folder, EncryptedIndex(128, matcher=Path(folder) / "matcher") as index:
    index.add(np.arange(5_000), vectors)
    found = index.search(queries, k=3)

unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
cosines = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ unit.T
print("nearest, encrypted :", found.ids[:, 0].tolist())
print("nearest, plaintext :", cosines.argmax(axis=1).tolist())
print(f"largest difference of a score: {np.abs(found.scores[:, 0] - cosines.max(axis=1)).max():.4f}")

assert (found.ids[:, 0] == np.arange(20)).all()
assert np.abs(found.scores[:, 0] - cosines.max(axis=1)).max() < 0.011
