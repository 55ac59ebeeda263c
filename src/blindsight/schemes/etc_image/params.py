"""What is scrambled, and in blocks of which size."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from blindsight.core.errors import ImageTooSmallError, MalformedError, ParameterError

VERSION: Final = 1
"""Of the key's expansion and of the steps; images and keys carry it."""

MAX_PIXELS: Final = 100_000_000
_BLOCKS: Final = (4, 8, 16, 32, 64)
_NAME: Final = re.compile(r"etc-(grey|colour|ycbcr|rgb)-([0-9]{1,2})")


class Layout(Enum):
    """How an image's pixels become blocks."""

    GREY = "grey"
    """One plane."""

    COLOUR = "colour"
    """Three channels together; the last step exchanges them in every block."""

    YCBCR = "ycbcr"
    """The grey-scale-based variant: planes Y, Cb and Cr one below the other, scrambled as one plane."""

    RGB = "rgb"
    """As YCBCR with the channels as they are, so that undoing it is exact."""


@dataclass(frozen=True, slots=True)
class Params:
    """A layout and the side of a block in pixels: 4, 8, 16, 32 or 64.

    Raises `ParameterError` for another size. JPEG keeps its efficiency where `fits_jpeg`.
    """

    layout: Layout
    block: int

    def __post_init__(self) -> None:
        if self.block not in _BLOCKS:
            raise ParameterError("The side of a block is 4, 8, 16, 32 or 64 pixels.")

    @classmethod
    def grey(cls, block: int = 8) -> Params:
        """Grey images; 8 is the side of JPEG's own blocks."""
        return cls(Layout.GREY, block)

    @classmethod
    def colour(cls, block: int = 16) -> Params:
        """Colour images; with halved chroma (4:2:0) JPEG's blocks are 16 pixels wide."""
        return cls(Layout.COLOUR, block)

    @classmethod
    def planes(cls, block: int = 8, *, exact: bool = False) -> Params:
        """Colour images as grey ones, three times as many blocks; ``exact`` keeps RGB instead of YCbCr."""
        return cls(Layout.RGB if exact else Layout.YCBCR, block)

    @property
    def channels(self) -> int:
        """Of the image that is put in: 1 or 3."""
        return 1 if self.layout is Layout.GREY else 3

    @property
    def stacked(self) -> bool:
        """Whether planes lie one below the other."""
        return self.layout in (Layout.YCBCR, Layout.RGB)

    @property
    def fits_jpeg(self) -> bool:
        """Whether blocks are whole blocks of JPEG as this project writes it."""
        return self.block % (16 if self.layout is Layout.COLOUR else 8) == 0

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of blocks of a scrambled image; `ImageTooSmallError` below one block."""
        if height < self.block or width < self.block:
            raise ImageTooSmallError(
                f"The image is {width} × {height} pixels, smaller than one block of {self.block}; "
                "take a larger image or smaller blocks."
            )
        rows = -(-height // self.block)
        return rows * (3 if self.stacked else 1), -(-width // self.block)

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Of the scrambled pixels: (rows, columns), or (rows, columns, 3) for `Layout.COLOUR`."""
        rows, columns = self.grid(height, width)
        plane = (rows * self.block, columns * self.block)
        return (*plane, 3) if self.layout is Layout.COLOUR else plane

    def key_space_bits(self, height: int, width: int) -> float:
        """log2 of the number of different scramblings: n! · 8^n · 2^n, and 6^n for `Layout.COLOUR`.

        The key itself has 256 bits, so that guessing it is never harder than that; and none of the
        attacks in `blindsight.evaluation.attacks` guesses keys.
        """
        rows, columns = self.grid(height, width)
        blocks = rows * columns
        each = 4.0 + (math.log2(6) if self.layout is Layout.COLOUR else 0.0)
        return math.lgamma(blocks + 1) / math.log(2) + each * blocks

    @property
    def params_id(self) -> str:
        return f"etc-{self.layout.value}-{self.block}"

    @classmethod
    def parse(cls, params_id: str) -> Params:
        """The set that a `params_id` names; `MalformedError` where it names none."""
        found = _NAME.fullmatch(params_id)
        if found is None or int(found[2]) not in _BLOCKS or found[2] != str(int(found[2])):
            raise MalformedError("These are not the parameters of a scrambled image.")
        return cls(Layout(found[1]), int(found[2]))
