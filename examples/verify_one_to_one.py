"""One face compared with one reference, on a machine that sees neither.

Parties: *you*, who have the key, and keep the protected reference wherever you like; *the matcher*,
here this process, elsewhere `RemoteMatcher(...).compare`. You learn the distance. The matcher learns
that two vectors of 128 coordinates were compared; there are no evaluation keys to send it.

Below it, the way of Yang et al. (2021): keys that are sent once for a session, in pieces, by digest.
"""

from hashlib import sha256

import numpy as np

from blindsight.schemes.ckks.pairs import EvaluationKeys, PairParams, compare
from blindsight.schemes.ckks.reveal import PairKeyHolder
from blindsight.schemes.seal.session import KeyRoom, pieces
from blindsight.trusted.pairs import PairVerifier

generator = np.random.default_rng(7)
vectors = generator.standard_normal((3, 128))
vectors[1] = vectors[0] + 0.3 * vectors[1]
enrolled, later, stranger = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

verifier = PairVerifier(128)
reference = verifier.protect(enrolled)
print(f"reference: {len(reference):,} bytes")
print(f"the same person: {verifier.distance(reference, later):.4f}")
print(f"in plaintext:    {np.linalg.norm(enrolled - later):.4f}")
print(f"a stranger:      {verifier.distance(reference, stranger):.4f}")

assert verifier.verify(reference, later, threshold=0.6)
assert not verifier.verify(reference, stranger, threshold=0.6)
assert (
    abs(verifier.distance(reference, later) ** 2 - np.sum((enrolled - later) ** 2)) < verifier.largest_error
)

params = PairParams()
holder = PairKeyHolder.generate(params)
keys = holder.evaluation_keys()
digest = sha256(keys).hexdigest()
server = KeyRoom(params.key_bytes, lambda data: EvaluationKeys.load(params, data))
for number, piece in enumerate(pieces(keys, 1 << 18)):
    server.piece(digest, number << 18, piece)
answer = compare(params, server[digest], holder.protect(enrolled), holder.protect(later))
print(f"by rotations, with {len(keys):,} bytes of keys sent once: {holder.reveal(answer):.4f}")

assert abs(holder.reveal(answer) - np.linalg.norm(enrolled - later)) < 1e-3
