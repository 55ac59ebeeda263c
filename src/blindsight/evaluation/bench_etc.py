"""What scrambling an image costs, beside Pillow's JPEG encoding of the same image in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from statistics import median

import numpy as np

from blindsight.core.types import U8
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.protect import protect_batch
from blindsight.schemes.etc_image.secret import SecretKey

SIZES = ((160, 192, False), (1920, 1080, True))
"""Width, height and whether in colour: the paper's faces, and a camera's frame."""


@dataclass(frozen=True, slots=True)
class EtcBench:
    """One size of image; times are medians in milliseconds.

    Attributes:
        width: in pixels.
        height: in pixels.
        colour: three channels in blocks of 16, or one in blocks of 8.
        encrypt_ms: scrambling with a key that has scrambled an image of this size before.
        first_ms: with a new key: drawing the tables and scrambling.
        jpeg_ms: encoding the original as JPEG with Pillow.
        ratio: ``encrypt_ms`` over ``jpeg_ms``.
        images_per_second: scrambled one by one.
    """

    width: int
    height: int
    colour: bool
    encrypt_ms: float
    first_ms: float
    jpeg_ms: float
    ratio: float
    images_per_second: float


def bench_etc(
    sizes: Sequence[tuple[int, int, bool]] = SIZES,
    *,
    quality: int = 75,
    repeats: int = 51,
    progress: Callable[[str], None] = lambda what: None,
) -> list[EtcBench]:
    """Measure each size; scrambling and encoding take turns, so that both meet the same neighbours.

    Args:
        sizes: width, height, colour.
        quality: of the JPEG; 75 is Pillow's own default and quicker than more.
        repeats: of which the median is taken.
        progress: told what is measured.

    """
    import PIL.Image

    found = []
    for width, height, colour in sizes:
        progress(f"{width} × {height} {'colour' if colour else 'grey'}")
        pixels = natural(height, width, colour=colour)
        params = Params.colour() if colour else Params.grey()
        key, picture = SecretKey.generate(), PIL.Image.fromarray(pixels)

        def encode(picture: PIL.Image.Image = picture) -> None:
            picture.save(BytesIO(), "JPEG", quality=quality)

        def scramble(key: SecretKey = key, pixels: U8 = pixels, params: Params = params) -> None:
            protect_batch(key, params, pixels[np.newaxis])

        def first(pixels: U8 = pixels, params: Params = params) -> None:
            protect_batch(SecretKey.generate(), params, pixels[np.newaxis])

        scramble()
        encode()
        times = [(_ms(scramble), _ms(encode), _ms(first)) for _ in range(repeats)]
        scrambled, encoded, fresh = (median(column) for column in zip(*times, strict=True))
        ratio = scrambled / encoded
        found.append(
            EtcBench(
                width,
                height,
                colour,
                round(scrambled, 4),
                round(fresh, 4),
                round(encoded, 4),
                round(ratio, 3),
                round(1000 / scrambled, 1),
            )
        )
    return found


def natural(height: int, width: int, *, colour: bool, _seed: int = 0) -> U8:
    """An image with the power spectrum of photographs (amplitude falls as 1 / frequency).

    uint8 (height, width), or (height, width, 3) with channels that correlate as in photographs.
    """
    rng = np.random.default_rng(_seed)
    down, right = np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)
    frequency = np.hypot(down, right)
    frequency[0, 0] = np.inf
    planes = []
    for _ in range(3 if colour else 1):
        noise = rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape)
        plane = np.fft.irfft2(noise / frequency, (height, width))
        planes.append(plane / plane.std())
    light = planes[0]
    channels = [light] if not colour else [0.9 * light + 0.3 * other for other in planes]
    pixels = np.clip(128 + 45 * np.stack(channels, axis=-1), 0, 255).astype(np.uint8)
    return pixels if colour else np.ascontiguousarray(pixels[:, :, 0])


def _ms(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)
