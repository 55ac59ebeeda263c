from __future__ import annotations

import hashlib
import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import skimage.data
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blindsight.core.errors import ImageError, ImageTooLargeError, UnreadableImageError
from blindsight.vision import Image, read_image

SMALL = PIL.Image.fromarray(skimage.data.astronaut()[::8, ::8])


def encoded(image: PIL.Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises width x height and whose body is empty."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


class TestModes:
    def test_rgb_is_exact_and_read_only(self, tmp_path: Path) -> None:
        data = encoded(SMALL, "PNG")
        path = tmp_path / "small.png"
        path.write_bytes(data)
        for image in (read_image(path), read_image(str(path)), read_image(data)):
            np.testing.assert_array_equal(image.pixels, np.asarray(SMALL))
            assert image.sha256 == hashlib.sha256(data).digest()
            with pytest.raises(ValueError, match="read-only"):
                image.pixels[0, 0, 0] = 1
        assert read_image(path).source == "small.png"

    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "RGB"])
    def test_png_modes(self, mode: str) -> None:
        image = read_image(encoded(SMALL.convert(mode), "PNG"))
        expected = np.asarray(SMALL.convert(mode).convert("RGB"))
        assert image.pixels.shape == (64, 64, 3)
        np.testing.assert_allclose(image.pixels, expected, atol=1)

    def test_cmyk_jpeg_keeps_its_colours(self) -> None:
        image = read_image(encoded(SMALL.convert("CMYK"), "JPEG", quality=95))
        assert np.abs(image.pixels.astype(int) - np.asarray(SMALL).astype(int)).mean() < 8

    @pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP", "GIF", "JPEG", "MPO", "JPEG2000", "PPM", "AVIF"])
    def test_formats(self, kind: str) -> None:
        image = read_image(encoded(SMALL, kind))
        assert image.pixels.shape == (64, 64, 3)
        assert np.abs(image.pixels.astype(int) - np.asarray(SMALL).astype(int)).mean() < 12

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_sixteen_bit_grey_is_scaled_not_clipped(self, kind: str) -> None:
        ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
        image = read_image(encoded(PIL.Image.fromarray(ramp), kind))
        expected = np.rint(ramp / 257.0).astype(np.uint8)
        np.testing.assert_array_equal(image.pixels, np.repeat(expected[:, :, None], 3, axis=2))

    @pytest.mark.parametrize(
        ("dtype", "full"), [("f4", 1.0), ("f4", 255.0), ("f4", 65535.0), ("i4", 65535.0)]
    )
    def test_wide_grey_tiff(self, dtype: str, full: float) -> None:
        ramp = (np.linspace(0.0, full, 256).reshape(16, 16)).astype(dtype)
        stream = io.BytesIO()
        tifffile.imwrite(stream, ramp)
        image = read_image(stream.getvalue())
        np.testing.assert_allclose(image.pixels[:, :, 1], ramp.astype("f8") * (255.0 / full), atol=0.5)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, 1e10])
    def test_float_grey_that_is_no_brightness(self, bad: float) -> None:
        stream = io.BytesIO()
        tifffile.imwrite(stream, np.full((4, 4), bad, dtype=np.float32))
        with pytest.raises(UnreadableImageError):
            read_image(stream.getvalue())

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_transparency_lies_on_white(self, mode: str) -> None:
        clear = PIL.Image.new("RGBA", (4, 2), (0, 0, 0, 0))
        clear.putpixel((0, 0), (0, 0, 0, 255))
        clear.putpixel((1, 0), (0, 0, 0, 128))
        image = read_image(encoded(clear.convert(mode), "PNG"))
        assert image.pixels[0, :, 0].tolist() == [0, 127, 255, 255]

    def test_transparent_palette_entry(self) -> None:
        palette = PIL.Image.new("P", (2, 1), 0)
        palette.putpalette([10, 20, 30, 40, 50, 60])
        palette.putpixel((1, 0), 1)
        image = read_image(encoded(palette, "PNG", transparency=0))
        assert image.pixels.tolist() == [[[255, 255, 255], [40, 50, 60]]]

    @pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
    def test_animation_gives_its_first_frame(self, kind: str) -> None:
        frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
        np.testing.assert_array_equal(read_image(data).pixels, np.asarray(frames[0]))


class TestOrientation:
    # What a camera stores so that each tag's turn makes it upright again.
    STORED = {  # noqa: RUF012
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }

    @pytest.mark.parametrize("tag", range(1, 9))
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    def test_all_eight_give_the_same_pixels(self, tag: int, kind: str) -> None:
        upright = np.asarray(SMALL)[:, :40]
        exif = PIL.Image.Exif()
        exif[0x0112] = tag
        stored = PIL.Image.fromarray(np.ascontiguousarray(self.STORED[tag](upright)))
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(stored, kind, exif=exif.tobytes() if kind != "TIFF" else exif, **options)
        np.testing.assert_array_equal(read_image(data).pixels, upright)

    @pytest.mark.parametrize("tag", [0, 9, 65535])
    def test_an_impossible_tag_is_ignored(self, tag: int) -> None:
        exif = PIL.Image.Exif()
        exif[0x0112] = tag
        np.testing.assert_array_equal(read_image(encoded(SMALL, "PNG", exif=exif)).pixels, np.asarray(SMALL))

    def test_broken_exif_does_not_cost_the_photo(self) -> None:
        data = encoded(SMALL, "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + bytes(20))
        assert read_image(data).pixels.shape == (64, 64, 3)


class TestLimits:
    def test_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "big.png"
        data = encoded(SMALL, "PNG")
        path.write_bytes(data)
        assert read_image(path, max_bytes=len(data)).width == 64
        for file in (path, data):
            with pytest.raises(ImageTooLargeError, match="limit of"):
                read_image(file, max_bytes=len(data) - 1)

    @pytest.mark.parametrize("side", [10_001, 30_000, 2**31 - 1])
    def test_pixels_are_refused_before_they_are_decoded(self, side: int) -> None:
        # The body is empty: decoding it could only give "damaged".
        with pytest.raises(ImageTooLargeError, match="pixels"):
            read_image(png_of(side, side))

    def test_no_warning_between_the_limits(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with pytest.raises(UnreadableImageError):
                read_image(png_of(9_900, 9_900))
        assert caught == []

    def test_pixel_limit_is_inclusive(self) -> None:
        data = encoded(SMALL, "PNG")
        assert read_image(data, max_pixels=64 * 64).height == 64
        with pytest.raises(ImageTooLargeError):
            read_image(data, max_pixels=64 * 64 - 1)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_large_ones_are_scaled_down(self, kind: str) -> None:
        large = PIL.Image.fromarray(skimage.data.astronaut()[:300])
        image = read_image(encoded(large, kind), max_side=128)
        assert (image.width, image.height) == (128, 75)
        expected = np.asarray(large.resize((128, 75), PIL.Image.Resampling.BOX)).astype(int)
        assert np.abs(image.pixels.astype(int) - expected).mean() < 6

    def test_a_sliver_stays_an_image(self) -> None:
        sliver = read_image(encoded(PIL.Image.new("RGB", (5000, 1), "red"), "PNG"))
        assert (sliver.width, sliver.height) == (4096, 1)


class TestRefusals:
    def test_paths(self, tmp_path: Path) -> None:
        (tmp_path / "empty.jpg").touch()
        os.mkfifo(tmp_path / "pipe.jpg")
        cases = {"missing.jpg": "does not exist", "empty.jpg": "is empty", "pipe.jpg": "not a regular file"}
        for name, reason in cases.items():
            with pytest.raises(UnreadableImageError, match=reason) as caught:
                read_image(tmp_path / name)
            assert caught.value.message.startswith(name)
            assert str(tmp_path) not in caught.value.message
        with pytest.raises(UnreadableImageError, match="is a folder"):
            read_image(tmp_path)
        with pytest.raises(UnreadableImageError, match="does not exist"):
            read_image("nul\0byte.jpg")

    def test_a_hostile_name_is_cleaned(self, tmp_path: Path) -> None:
        path = tmp_path / "a\x1b[31m\n\udcff.jpg"
        path.write_bytes(b"nothing")
        with pytest.raises(UnreadableImageError) as caught:
            read_image(path)
        assert caught.value.message.startswith("a?[31m??.jpg is not an image")
        caught.value.message.encode("utf-8")

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff",
            b"GIF89a",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            b"<svg/>",
            b"\0\0\0\x18ftypheic",
            bytes(4096),
        ],
    )
    def test_not_an_image(self, data: bytes) -> None:
        with pytest.raises(UnreadableImageError):
            read_image(data)

    @pytest.mark.parametrize("kind", ["PCX", "ICO", "EPS"])
    def test_other_kinds_are_not_even_tried(self, kind: str) -> None:
        with pytest.raises(UnreadableImageError, match="supported kind"):
            read_image(encoded(SMALL, kind))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "PPM", "AVIF"])
    def test_truncated(self, kind: str) -> None:
        data = encoded(SMALL, kind)
        for cut in np.linspace(0, len(data) * 0.7, 40).astype(int):
            with pytest.raises(UnreadableImageError):
                read_image(data[:cut])

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "PPM", "AVIF"]),
        flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1),
        keep=st.floats(0.05, 1.0),
    )
    @pytest.mark.filterwarnings("ignore")
    def test_corruption_never_escapes(self, kind: str, flips: list[tuple[float, int]], keep: float) -> None:
        data = bytearray(self._samples()[kind])
        for position, mask in flips:
            # The square draws towards the header, where the structure is.
            data[int(position**2 * len(data))] ^= mask
        try:
            image = read_image(bytes(data[: max(1, int(keep * len(data)))]), max_pixels=10**6)
        except ImageError as error:
            message = error.message
        else:
            message = "."
            assert image.pixels.size <= 3 * 10**6
        assert message.endswith(".")
        assert ". " not in message

    @classmethod
    def _samples(cls) -> dict[str, bytes]:
        if not hasattr(cls, "_cached"):
            kinds = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "PPM", "AVIF")
            exif = PIL.Image.Exif()
            exif[0x0112] = 6
            tagged = {"JPEG", "PNG", "WEBP", "TIFF", "AVIF"}
            cls._cached = {
                kind: encoded(SMALL, kind, **({"exif": exif} if kind in tagged else {})) for kind in kinds
            }
        return cls._cached

    @pytest.mark.parametrize(
        "pixels", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
    )
    def test_pixels_of_another_shape(self, pixels: np.ndarray) -> None:
        with pytest.raises(ImageError, match="uint8 array"):
            Image(pixels)
