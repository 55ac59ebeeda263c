"""A question to somebody else's watch list that does not show whom it is about.

Parties: *the owner* has the list's vectors in the open, and no secret of yours; *you* have a face, and
a key. You learn how it scores against every row, and nothing else of the list. The owner learns that
somebody asked. Here both are in this process; elsewhere the owner runs `blindsight serve watchlist`, and
you pass `RemoteWatchList(url, token)`.
"""

import numpy as np

from blindsight.trusted.watch_client import WatchList
from blindsight.trusted.watch_owner import LEAKAGE, WatchListOwner

generator = np.random.default_rng(7)
listed = generator.standard_normal((4096, 128)).astype(np.float32)
face = listed[1234] + 0.5 * generator.standard_normal(128).astype(np.float32)
stranger = generator.standard_normal(128).astype(np.float32)

owner = WatchListOwner(listed, model_id="example")
with WatchList(owner) as watch_list:
    found = watch_list.matches(face, threshold=0.6)
    nobody = watch_list.matches(stranger, threshold=0.6)
    scores = watch_list.scores(face)
    print(f"the owner computed for {watch_list.server_ms:.0f} ms")

for role in ("server", "client"):
    print(f"the {role} learns:", *LEAKAGE.of(role), sep="\n  - ")
print("found:", found)

unit = listed / np.linalg.norm(listed, axis=1, keepdims=True)
cosines = unit @ (face / np.linalg.norm(face))
assert [match.row for match in found] == [1234]
assert nobody == []
assert np.abs(scores - cosines).max() < 0.02
