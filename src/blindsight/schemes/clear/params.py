"""The parameter set of the plaintext twin: two sizes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from blindsight.core.errors import MalformedError, ParameterError
from blindsight.core.matching import Wire

LIMIT = 1 << 21
"""Coordinates are below this in absolute value; 4100 products then stay below 2^55."""


@dataclass(frozen=True, slots=True)
class Params:
    """Templates of ``width`` integers (16 to 4100), ``rows`` of them in a block (1 to 4096).

    Raises `ParameterError` for other sizes.
    """

    width: int
    rows: int = 256

    def __post_init__(self) -> None:
        if not 16 <= self.width <= 4100:
            raise ParameterError("The width of a template is between 16 and 4100 integers.")
        if not 1 <= self.rows <= 4096:
            raise ParameterError("A block holds between 1 and 4096 templates.")

    @classmethod
    def parse(cls, wire: Wire) -> Params:
        """The set that travelled; `MalformedError` unless it has exactly the two integers."""
        if set(wire) != {"width", "rows"}:
            raise MalformedError("Parameters of the scheme clear are a width and rows, nothing else.")
        width, rows = wire["width"], wire["rows"]
        if type(width) is not int or type(rows) is not int:
            raise MalformedError("The width and the rows of the scheme clear are integers.")
        return cls(width, rows)

    def wire(self) -> dict[str, int | str]:
        return {"width": self.width, "rows": self.rows}

    @property
    def params_id(self) -> str:
        canonical = json.dumps(self.wire(), sort_keys=True, separators=(",", ":"))
        return "clear-" + hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def batch(self) -> int:
        return 1

    @property
    def head_bytes(self) -> int:
        return 0

    @property
    def body_bytes(self) -> int:
        return 4 * self.rows * self.width

    @property
    def probe_bytes(self) -> int:
        return 4 * self.width

    @property
    def largest_error(self) -> float:
        return 0.0

    @property
    def answer_bytes(self) -> int:
        return 8 * self.rows
