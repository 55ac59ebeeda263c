"""The scrambled image: what may travel, and what everybody who sees it learns."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import KeyMismatchError, MalformedError, ParamsMismatchError
from blindsight.core.types import U8, frozen
from blindsight.schemes.etc_image.params import MAX_PIXELS, VERSION, Params

CLAIM: Final = Claim.PERCEPTUAL

_LEARNER: Final = (
    "The size of every image, and every block's grey levels up to their order and their negative.",
    "The distance between any two images under one key, exactly: who resembles whom, which images are equal.",
    "Labels, counts and times of training and of every request, and every decision.",
    "With one original and its scrambled image: all other images under that key.",
    "With many images under one key: most of where the blocks belong, from their statistics alone.",
    "With one image: large parts of it where blocks are large or have colours, by solving the puzzle.",
)

LEAKAGE: Final = Leakage(
    learns=(
        ("learner", _LEARNER),
        ("network", ("Where the connection is not TLS: all that the learner learns.",)),
        ("client", ("What its own key protects; nothing of other clients' images under other keys.",)),
    ),
    not_claimed=(
        "Encryption: the claim is PERCEPTUAL, hidden from a viewer's eye and no more.",
        "Resistance to known or chosen images, to statistics over many images, or to puzzle solvers.",
        "Unlinkability: the same image under two keys is recognised by its blocks.",
        "Integrity: whoever can write a scrambled image can move its blocks.",
    ),
)

_KEY_ID: Final = re.compile(r"[0-9a-f]{32}")
NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class EtcImage:
    """A block-scrambled image.

    Attributes:
        pixels: uint8, `Params.shape` of the size below, made read-only.
        height: of the original in pixels; what goes beyond is padding that undoing cuts off.
        width: of the original.
        params: layout and block.
        key_id: of the key, 32 hexadecimal digits.
        nonce: 16 bytes where the image has a key of its own (`secret.SecretKey.for_image`).
        version: of the scheme.

    Raises:
        MalformedError: parts that do not fit together.
        ParamsMismatchError: another version.
    """

    pixels: U8 = field(repr=False)
    height: int
    width: int
    params: Params
    key_id: str
    nonce: bytes | None = None
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ParamsMismatchError(
                f"The image was scrambled by version {self.version} of the scheme; this is version {VERSION}."
            )
        if not _KEY_ID.fullmatch(self.key_id) or (self.nonce is not None and len(self.nonce) != NONCE_BYTES):
            raise MalformedError(
                "A scrambled image names its key by 32 hexadecimal digits, a nonce by 16 bytes."
            )
        if not 0 < self.height * self.width <= MAX_PIXELS or self.height < 0:
            raise MalformedError("A scrambled image has between one pixel and 100 million.")
        shape = self.params.shape(self.height, self.width)
        if self.pixels.dtype != np.uint8 or self.pixels.shape != shape:
            raise MalformedError(
                "The scrambled pixels have another size than the image says; it was rescaled or cut."
            )
        object.__setattr__(self, "pixels", frozen(np.ascontiguousarray(self.pixels)))

    def require(self, params: Params, key_id: str) -> None:
        """Raise `ParamsMismatchError` or `KeyMismatchError` unless it was made with these."""
        if self.params != params:
            raise ParamsMismatchError(
                f"The image was scrambled as {self.params.params_id}, not as {params.params_id}; scramble "
                "it again."
            )
        if self.key_id != key_id:
            raise KeyMismatchError("The image was scrambled under another key.")
