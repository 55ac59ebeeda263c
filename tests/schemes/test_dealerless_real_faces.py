"""A private probe with embeddings of real photos, over the real layer below."""

from __future__ import annotations

import numpy as np

from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.prepared import prepare
from blindsight.schemes.dealerless.probe import probe
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import quantise
from blindsight.schemes.spdz2k.watchlist import Watchlist
from dealerless_pairs import both, real
from real_data import DATA, needs

LISTED = 25
THRESHOLD = 1.3  # of the squared distance of unit vectors: a cosine of 0.35


@needs("embeddings", "lfw_fold01-08_mobilefacenet128.npz")
def test_people_on_the_list_are_found_by_another_photo():
    stored = np.load(DATA / "embeddings" / "lfw_fold01-08_mobilefacenet128.npz")
    photos: dict[str, list] = {}
    for name, vector in zip(stored["names"], stored["emb"], strict=True):
        photos.setdefault(str(name).split("/")[0], []).append(vector / np.linalg.norm(vector))
    known = [name for name in sorted(photos) if len(photos[name]) > 1][:LISTED]
    strangers = [name for name in sorted(photos) if name not in known][:4]
    params = Params.for_radius(128)
    entries = quantise(params, np.stack([photos[name][0] for name in known]))
    watchlist = Watchlist(params, entries, params.threshold(THRESHOLD))
    probes = [photos[name][1] for name in known[:6]] + [photos[name][0] for name in strangers]
    faces = quantise(params, np.stack(probes))
    pair = real(Sizes())
    prepared = both(pair, lambda party: prepare(party, LISTED, 128, len(faces)))
    one, other = both(
        pair,
        lambda party: probe(
            party, 1, faces if party.number == 1 else None, watchlist, prepared[party.number]
        ),
    )
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, watchlist.matches(faces))
    assert sum(one[i, i] for i in range(6)) >= 5
    assert not one[6:].any(axis=1).all()
