"""Scrambled images as files: read back, and every other file refused with one sentence."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import PIL.Image
import pytest
import skimage.data

from blindsight.core.errors import (
    BlindsightError,
    ImageTooLargeError,
    MalformedError,
    ParamsMismatchError,
    UnreadableImageError,
    UsageError,
)
from blindsight.schemes.etc_image.codec import KEYWORD, from_bytes, to_jpeg, to_png
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.protect import protect
from blindsight.schemes.etc_image.reveal import reveal
from blindsight.schemes.etc_image.secret import SecretKey

KEY = SecretKey.load(bytes(32))
ALL = [Params.grey(), Params.colour(), Params.planes(), Params.planes(exact=True)]


def portrait(params):
    pixels = skimage.data.astronaut()[:181, 100:251]
    return np.ascontiguousarray(pixels[:, :, 1] if params.channels == 1 else pixels)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("own_key", [False, True])
@pytest.mark.parametrize("params", ALL, ids=lambda p: p.params_id)
def test_png_is_exact(params, own_key):
    made = protect(KEY, params, portrait(params), own_key=own_key)
    found = from_bytes(to_png(made))
    assert (found.pixels == made.pixels).all()
    assert [found.height, found.width, found.params, found.key_id, found.nonce] == [
        made.height, made.width, made.params, made.key_id, made.nonce]  # fmt: skip
    assert (reveal(KEY, found) == reveal(KEY, made)).all()


@pytest.mark.parametrize("params", ALL, ids=lambda p: p.params_id)
def test_jpeg_of_any_quality_comes_back_close(params):
    image = portrait(params)
    made = protect(KEY, params, image)
    errors, sizes = [], []
    for quality in (1, 30, 60, 80, 95, 100):
        data = to_jpeg(made, quality)
        back = reveal(KEY, from_bytes(data))
        errors.append(np.sqrt(np.mean((back.astype(float) - image) ** 2)))
        sizes.append(len(data))
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-2] < 8


def test_scrambled_blocks_cost_jpeg_little():
    """The point of scrambling in JPEG's own blocks: the file grows, but it stays a compressed image."""
    image = portrait(Params.grey())[:176, :144]
    plain = len(saved(PIL.Image.fromarray(np.ascontiguousarray(image)), "JPEG", quality=80))
    made = protect(KEY, Params.grey(), np.ascontiguousarray(image))
    assert len(to_jpeg(made, 80)) < 1.35 * plain
    noise = np.random.default_rng(0).permuted(image.ravel()).reshape(image.shape)
    assert len(saved(PIL.Image.fromarray(noise), "JPEG", quality=80)) > 2 * plain


def test_quality_has_a_range():
    made = protect(KEY, Params.grey(), portrait(Params.grey()))
    for quality in (0, 101, -5):
        with pytest.raises(UsageError):
            to_jpeg(made, quality)


# -- bad input ---------------------------------------------------------------------------------------------


def grey(size=(40, 40)):
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8))


def refused(data, error=UnreadableImageError):
    with pytest.raises(error) as told:
        from_bytes(data, source="x.png")
    assert told.value.message.endswith(".")
    assert "\n" not in told.value.message
    return told.value.message


def test_kinds_that_cannot_be_undone_are_refused():
    rgb = PIL.Image.merge("RGB", [grey()] * 3)
    wide = PIL.Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40))
    assert "16-bit" in refused(saved(wide, "PNG"))
    assert "palette" in refused(saved(grey().convert("P"), "PNG"))
    assert "CMYK" in refused(saved(rgb.convert("CMYK"), "JPEG"))
    assert "transparency" in refused(saved(rgb.convert("RGBA"), "PNG"))
    assert "1 bit" in refused(saved(grey().convert("1"), "PNG"))
    animated = saved(rgb, "PNG", save_all=True, append_images=[rgb.rotate(90), rgb.rotate(180)])
    assert "animated" in refused(animated)
    assert "neither a PNG nor a JPEG" in refused(saved(rgb, "GIF"))
    assert "neither a PNG nor a JPEG" in refused(b"no image at all")
    assert "neither" in refused(b"")


def test_16_bit_colour_is_not_quietly_halved():
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes(range(48)) for _ in range(8))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert PIL.Image.open(io.BytesIO(data)).mode == "RGB"
    assert "16-bit" in refused(data)


@pytest.mark.parametrize("write", [to_png, lambda made: to_jpeg(made, 90)], ids=["png", "jpeg"])
def test_truncated_files(write):
    data = write(protect(KEY, Params.grey(), portrait(Params.grey())))
    for length in (10, 60, len(data) // 3, len(data) // 2, 2 * len(data) // 3):
        with pytest.raises(BlindsightError) as told:
            from_bytes(data[:length])
        assert isinstance(told.value, (UnreadableImageError, MalformedError))


def test_corrupt_bytes_never_do_worse_than_a_typed_error():
    rng = np.random.default_rng(4)
    for write in (to_png, lambda made: to_jpeg(made, 90)):
        data = bytearray(write(protect(KEY, Params.grey(), portrait(Params.grey()))))
        for _ in range(150):
            broken = bytearray(data)
            for at in rng.integers(0, min(len(broken), 700), 3):
                broken[at] = rng.integers(0, 256)
            with contextlib.suppress(BlindsightError):
                from_bytes(bytes(broken))


def test_size_limits():
    made = protect(KEY, Params.grey(), portrait(Params.grey()))
    with pytest.raises(ImageTooLargeError):
        from_bytes(to_png(made), max_pixels=1000)


def described(**changes):
    made = protect(KEY, Params.grey(), portrait(Params.grey()))
    fields = {
        "version": 1,
        "params": "etc-grey-8",
        "size": [made.width, made.height],
        "key": KEY.key_id,
        "nonce": None,
    }
    fields |= changes
    fields = {name: value for name, value in fields.items() if value is not ...}
    comment = f"{KEYWORD} {json.dumps(fields)}".encode()
    return saved(PIL.Image.fromarray(made.pixels), "JPEG", comment=comment)


def test_descriptions():
    assert from_bytes(described()).width == 151
    for wrong in (
        {"params": "etc-grey-16"},  # 181 × 151 rounds up to another size
        {"params": "etc-none-8"},
        {"size": [151]},
        {"size": [10, 10]},
        {"size": [-151, -181]},
        {"size": [151.0, 181]},
        {"size": [10**30, 181]},
        {"key": "zz"},
        {"key": 5},
        {"nonce": "00"},
        {"more": 1},
        {"nonce": ...},
        {"version": "1"},
        {"version": True},
        {"key": "a" * 600},
    ):
        with pytest.raises(MalformedError):
            from_bytes(described(**wrong))
    with pytest.raises(ParamsMismatchError, match="another version"):
        from_bytes(described(version=2))
    with pytest.raises(MalformedError, match="does not say how it was scrambled"):
        from_bytes(saved(grey(), "PNG"))
    for text in ("[]", "{", '"x"', "[" * 400, "null"):
        with pytest.raises(MalformedError):
            from_bytes(saved(grey(), "JPEG", comment=f"{KEYWORD} {text}".encode()))


def test_a_rescaled_image_is_noticed():
    data = to_png(protect(KEY, Params.grey(), portrait(Params.grey())))
    opened = PIL.Image.open(io.BytesIO(data))
    text = opened.info[KEYWORD]
    smaller = saved(opened.resize((80, 96)), "JPEG", comment=f"{KEYWORD} {text}".encode())
    with pytest.raises(MalformedError, match="rescaled or cut"):
        from_bytes(smaller)
