"""The matcher's half of `ckks`."""

from __future__ import annotations

from typing import Final

from blindsight.core.matching import MatchingEngine
from blindsight.schemes.ckks.params import Params
from blindsight.schemes.ckks.public import ARITHMETIC
from blindsight.schemes.seal.compute import SealEngine

ENGINE: Final[MatchingEngine] = SealEngine(Params, ARITHMETIC)
"""The `ckks` scheme as a matcher holds it."""
