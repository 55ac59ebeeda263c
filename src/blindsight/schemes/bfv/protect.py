"""Integers to BFV's plaintexts and back: exact, one row a slot."""

from __future__ import annotations

from typing import Any

import numpy as np

from blindsight.core.types import I64, AnyArray
from blindsight.schemes.bfv.params import Params
from blindsight.schemes.bfv.public import ARITHMETIC
from blindsight.schemes.seal.library import sealapi


class Codec:
    """See `blindsight.schemes.seal.protect.Codec`."""

    def __init__(self, params: Params) -> None:
        self._plain = params.plain
        self._encoder = ARITHMETIC.context(params).encoder

    def column(self, values: I64) -> Any:
        plain = sealapi().Plaintext()
        self._encoder.encode(np.asarray(values).tolist(), plain)
        return plain

    def constant(self, value: int) -> Any:
        """The constant polynomial: the same number in every slot."""
        return sealapi().Plaintext(f"{value % self._plain:x}")

    def template_rows(self, plain: Any) -> AnyArray:
        return self.score_rows(plain)

    def score_rows(self, plain: Any) -> AnyArray:
        return np.array(self._encoder.decode_int64(plain), np.int64)

    def block_checks(self, words: AnyArray) -> I64:
        """Anything but zero modulo the plaintext modulus, centred."""
        values = (words % np.uint64(self._plain - 1)).astype(np.int64) + 1
        return self._centred(values)

    def probe_checks(self, words: AnyArray) -> I64:
        return self.block_checks(words)

    def checked(self, found: AnyArray, block: I64, probe: I64) -> bool:
        return np.array_equal(found, self._centred(block * probe % self._plain))

    def _centred(self, values: I64) -> I64:
        return np.where(values > self._plain // 2, values - self._plain, values)
