"""The demo's cheating party: `serve party` that compares with somebody else than was agreed.

``python -m blindsight.cli.demo_cheat serve party …`` follows the protocol but for its own share of
the first entry's distances, which it computes for a person whom only it wants to find (W. Koch's
thesis, section 3.3). It says that it has the agreed list, and its copy on disk is that list.
"""

from __future__ import annotations

import sys

import numpy as np

from blindsight.blind import party_door
from blindsight.cli.app import main
from blindsight.core.types import I32
from blindsight.evaluation.attacks.corrupt_party import CorruptSession, SwapEntry
from blindsight.schemes.spdz2k.compute import Session
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.public import Grant
from blindsight.schemes.spdz2k.watchlist import Watchlist


def _corrupt(grant: Grant, watchlist: Watchlist) -> Session:
    return CorruptSession(grant, watchlist, SwapEntry(_wanted(watchlist.params), 0))


def _wanted(params: Params) -> I32:
    """Somebody: as long a template as half of what is allowed, in any direction."""
    direction = np.random.default_rng(33).standard_normal(params.dimension)
    return np.rint(direction * (params.norm / 2 / np.linalg.norm(direction))).astype(np.int32)


if __name__ == "__main__":
    vars(party_door)["Session"] = _corrupt
    main(sys.argv[1:])
