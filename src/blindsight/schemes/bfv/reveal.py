"""The key holder of `bfv`."""

from __future__ import annotations

from blindsight.core.secrets import Secret
from blindsight.schemes.bfv.compute import ENGINE
from blindsight.schemes.bfv.params import Params
from blindsight.schemes.bfv.protect import Codec
from blindsight.schemes.bfv.public import ARITHMETIC
from blindsight.schemes.seal.reveal import SealKeyHolder
from blindsight.schemes.seal.secret import SecretKey


class BfvKeyHolder(SealKeyHolder):
    """The `bfv` scheme as a client holds it: integers come back exactly."""

    def __init__(self, params: Params, secret: Secret) -> None:
        key = SecretKey(params, ARITHMETIC.context(params), secret)
        super().__init__(key, Codec(params), ARITHMETIC, ENGINE, params.score_bound)

    @classmethod
    def generate(cls, params: Params) -> BfvKeyHolder:
        """Under a new key from the operating system's generator."""
        return cls(params, Secret.fresh())
