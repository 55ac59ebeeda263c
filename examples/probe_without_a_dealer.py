"""One party holds a photo, both hold a list of people they agreed on; is the one on the other?

The parties: P0, a police station with a photo, and P1, who watches over it. Both have the same list.
Both learn which entries the photo matches: P1 nothing else of the photo, and P0 cannot keep a match to
itself. Nobody deals the randomness that this takes: the two make it themselves beforehand, by oblivious
transfer. Here both run in one process; `blindsight.blind.party_talk` runs the same generators over TLS.

Needs `pip install "blindsight[dealerless]"`.
"""

import numpy as np

from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.prepared import prepare
from blindsight.schemes.dealerless.probe import LEAKAGE, probe
from blindsight.schemes.dealerless.products import Maker
from blindsight.schemes.oblivious.session import setup
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import quantise
from blindsight.schemes.spdz2k.talk import run_both
from blindsight.schemes.spdz2k.watchlist import Watchlist

# The agreed list: eight people, by unit vectors in the place of embeddings.
generator = np.random.default_rng(7)
people = generator.standard_normal((8, 64))
people /= np.linalg.norm(people, axis=1, keepdims=True)
params = Params.for_radius(64)
watchlist = Watchlist(params, quantise(params, people), params.threshold(1.0))

# Long before: both set up, and prepare for two photos. No photo is needed for this.
zero, one = (Maker(end, Sizes(params.value_bits)) for end in run_both(setup(0), setup(1)))
kept = run_both(*(prepare(party, len(watchlist), 64, 2) for party in (zero, one)))

# P0 has another photo of person 5, and one of a stranger.
photos = np.stack([people[5] + 0.05 * generator.standard_normal(64), generator.standard_normal(64)])
faces = quantise(params, photos / np.linalg.norm(photos, axis=1, keepdims=True))
found, seen = run_both(
    probe(zero, 0, faces, watchlist, kept[0]),
    probe(one, 0, None, watchlist, kept[1]),
)

print("matches (photo, entry):", [tuple(map(int, pair)) for pair in np.argwhere(found)])
print("what a party learns:", "; ".join(LEAKAGE.learns[0][1]))
assert (found == seen).all()
assert [tuple(pair) for pair in np.argwhere(found)] == [(0, 5)]
