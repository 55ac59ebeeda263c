"""The schemes this side can compute with: a static table, so that the contracts can see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from blindsight.core.matching import MatchingEngine
from blindsight.schemes.bfv import compute as bfv
from blindsight.schemes.ckks import compute as ckks
from blindsight.schemes.clear import compute as clear
from blindsight.schemes.lattice import compute as lattice

ENGINES: Final[Mapping[str, MatchingEngine]] = {
    "bfv": bfv.ENGINE,
    "ckks": ckks.ENGINE,
    "clear": clear.ENGINE,
    "lattice": lattice.ENGINE,
}
