"""The matcher's half of `bfv`."""

from __future__ import annotations

from typing import Final

from blindsight.core.matching import MatchingEngine
from blindsight.schemes.bfv.params import Params
from blindsight.schemes.bfv.public import ARITHMETIC
from blindsight.schemes.seal.compute import SealEngine

ENGINE: Final[MatchingEngine] = SealEngine(Params, ARITHMETIC)
"""The `bfv` scheme as a matcher holds it."""
