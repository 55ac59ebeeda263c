"""Integers to CKKS's plaintexts and back: two rows a slot, in its real and its imaginary part."""

from __future__ import annotations

from typing import Any

import numpy as np

from blindsight.core.types import I64, AnyArray
from blindsight.schemes.ckks.params import PROBE_CHECK, Params
from blindsight.schemes.ckks.public import ARITHMETIC
from blindsight.schemes.seal.library import sealapi


class Codec:
    """See `blindsight.schemes.seal.protect.Codec`."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._encoder = ARITHMETIC.context(params).encoder
        self._template_scale, self._probe_scale, _ = ARITHMETIC.scales(params)

    def column(self, values: I64) -> Any:
        plain = sealapi().Plaintext()
        half = len(values) // 2
        slots = values[:half] + 1j * values[half:]
        self._encoder.encode(slots.tolist(), self._template_scale, plain)
        return plain

    def constant(self, value: int) -> Any:
        """A real constant, which multiplies both rows of a slot; nothing is rounded."""
        plain = sealapi().Plaintext()
        self._encoder.encode(float(value), self._probe_scale, plain)
        return plain

    def template_rows(self, plain: Any) -> AnyArray:
        return np.rint(self.score_rows(plain)).astype(np.int64)

    def score_rows(self, plain: Any) -> AnyArray:
        slots = np.array(self._encoder.decode_complex(plain), np.complex128)
        return np.concatenate([slots.real, slots.imag])

    def block_checks(self, words: AnyArray) -> I64:
        """Between half the templates' norm and the whole, of either sign."""
        return _between(words, -(-self._params.template_norm // 2))

    def probe_checks(self, words: AnyArray) -> I64:
        """Between an eighth of the probes' norm and a quarter, of either sign."""
        return _between(words, -(-self._params.probe_norm // PROBE_CHECK))

    def checked(self, found: AnyArray, block: I64, probe: I64) -> bool:
        return bool((np.abs(found - block * probe) <= self._params.largest_error).all())


def _between(words: AnyArray, low: int) -> I64:
    """Integers with ``low <= |value| <= 2 low`` from random words, uniform but for 2^-32."""
    size = (words >> np.uint64(1)) % np.uint64(low + 1)
    return (size.astype(np.int64) + low) * np.where(words & np.uint64(1), -1, 1)
