"""What footage may be: limits that hold before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from blindsight.core.errors import ParameterError

MAX_SIDE: Final = 8192
MAX_PIXELS: Final = 1 << 25
MAX_SEGMENT_BYTES: Final = 1 << 26
MAX_NAME_BYTES: Final = 64
TILE_SIDES: Final = (8, 256)


@dataclass(frozen=True, slots=True)
class Params:
    """How stills are cut.

    Attributes:
        tile: side, in pixels, of the squares in which regions are withheld. Each costs 32
            bytes of an opening. 8 to 256.
    """

    tile: int = 32

    def __post_init__(self) -> None:
        least, most = TILE_SIDES
        if not least <= self.tile <= most:
            raise ParameterError(f"The side of a tile is between {least} and {most} pixels.")
