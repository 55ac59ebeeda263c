"""The key holder of a scheme without keys: it fits the shape and keeps nothing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from blindsight.core.errors import DimensionError
from blindsight.core.types import I32, I64, U8
from blindsight.schemes.clear import protect, reveal
from blindsight.schemes.clear.params import Params


class ClearKey:
    """A `blindsight.core.matching.KeyHolder` that protects nothing.

    ``key_id`` is ``none-`` and 16 random hex digits, so that mixing two galleries is caught
    here as it is with real keys. Pass one to open a gallery that was made earlier.
    """

    scheme = "clear"

    def __init__(self, params: Params, key_id: str | None = None) -> None:
        self.params = params
        self.key_id = key_id or "none-" + secrets.token_hex(8)

    def protect_block(self, templates: I32) -> tuple[bytes, U8]:
        if not 1 <= len(templates) <= self.params.rows:
            raise DimensionError(f"A block holds 1 to {self.params.rows} templates.")
        heads, bodies = self.protect_blocks(templates)
        return heads[0], bodies[0]

    def protect_blocks(self, templates: I32) -> tuple[list[bytes], U8]:
        bodies = protect.bodies(self.params, templates)
        return [b""] * len(bodies), bodies

    def open_block(self, head: bytes, body: U8) -> I32:
        return reveal.templates(self.params, head, body)

    def hints(self, heads: Sequence[bytes], bodies: U8) -> U8:
        """No hint is needed: uint8 (blocks, 0)."""
        return np.zeros((len(heads), 0), dtype=np.uint8)

    def protect_probes(self, probes: I32) -> tuple[U8, Any]:
        return protect.probes(self.params, probes), None

    def prepare(self, heads: Sequence[bytes], hints: U8) -> Any:
        return None

    def reveal(self, kept: Any, prepared: Any, answer: U8) -> I64:
        return reveal.scores(self.params, answer)
