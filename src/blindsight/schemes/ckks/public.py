"""CKKS on the side without keys: which context, and how a sum of products is finished."""

from __future__ import annotations

from typing import Any

from blindsight.schemes.ckks.params import Params
from blindsight.schemes.seal.library import Context, context


class Ckks:
    """See `blindsight.schemes.seal.public.Arithmetic`."""

    def context(self, params: Params) -> Context:
        return context("ckks", params.degree, params.primes, params.special)

    def scales(self, params: Params) -> tuple[float, float, float]:
        return 2.0**params.template_bits, 2.0**params.probe_bits, params.answer_scale

    def finish(self, params: Params, total: Any, relin: Any) -> None:
        evaluator = self.context(params).evaluator
        evaluator.relinearize_inplace(total, relin)
        for _ in range(len(params.primes) - params.answer_primes):
            evaluator.rescale_to_next_inplace(total)


ARITHMETIC = Ckks()
