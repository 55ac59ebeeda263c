"""BFV on the side without keys: which context, and how a sum of products is finished."""

from __future__ import annotations

from typing import Any

from blindsight.schemes.bfv.params import Params
from blindsight.schemes.seal.library import Context, context


class Bfv:
    """See `blindsight.schemes.seal.public.Arithmetic`."""

    def context(self, params: Params) -> Context:
        return context("bfv", params.degree, params.primes, params.special, params.plain)

    def scales(self, params: Params) -> tuple[float, float, float]:
        return 1.0, 1.0, 1.0

    def finish(self, params: Params, total: Any, relin: Any) -> None:
        evaluator = self.context(params).evaluator
        evaluator.relinearize_inplace(total, relin)
        for _ in range(len(params.primes) - params.answer_primes):
            evaluator.mod_switch_to_next_inplace(total)


ARITHMETIC = Bfv()
