"""Block scrambling as specs/etc-image.md says it, pixel by pixel."""

import hashlib
import hmac

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]


def derive(key: bytes, purpose: str, context: bytes = b"") -> bytes:
    return hmac.new(key, purpose.encode() + b"\0" + context, hashlib.sha256).digest()


def stream(key: bytes, step: str, params_id: str, rows: int, columns: int, count: int) -> bytes:
    seed = derive(key, f"etc {step}", f"{params_id} {rows} {columns}".encode())
    return Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor().update(bytes(count))


def permutation(words: bytes, count: int) -> list[int]:
    order, at = list(range(count)), 0
    for position in range(count - 1, 0, -1):
        while True:
            word = int.from_bytes(words[4 * at : 4 * at + 4], "little")
            at += 1
            value = word % 2 ** position.bit_length()
            if value <= position:
                break
        order[position], order[value] = order[value], order[position]
    return order


def sixths(data: bytes, count: int) -> list[int]:
    return [byte % 6 for byte in data if byte < 252][:count]


def turned(block: np.ndarray, turn: int) -> np.ndarray:
    size = len(block)
    out = np.empty_like(block)
    for r in range(size):
        for c in range(size):
            a, b = (c, r) if turn & 4 else (r, c)
            a = size - 1 - a if turn & 2 else a
            b = size - 1 - b if turn & 1 else b
            out[r, c] = block[a, b]
    return out


def scramble(image, order, turns, masks, colours, size):
    """One padded image, (height, width) or (height, width, 3)."""
    out, columns = np.empty_like(image), image.shape[1] // size
    for i, (origin, turn, mask, code) in enumerate(zip(order, turns, masks, colours, strict=True)):
        top, left = (int(part) * size for part in divmod(int(origin), columns))
        block = turned(image[top : top + size, left : left + size], turn)
        if image.ndim == 3:
            block = block[:, :, list(ORDERS[code])]
        top, left = (part * size for part in divmod(i, columns))
        out[top : top + size, left : left + size] = block ^ mask
    return out


def padded(image, size):
    height, width = image.shape[:2]
    rows = [min(r, height - 1) for r in range(-(-height // size) * size)]
    columns = [min(c, width - 1) for c in range(-(-width // size) * size)]
    return image[rows][:, columns]


def planes(image):
    r, g, b = (int(part) for part in image)
    made = (
        (19595 * r + 38470 * g + 7471 * b + 32768) >> 16,
        (-11059 * r - 21709 * g + 32768 * b + 128 * 65536 + 32768) >> 16,
        (32768 * r - 27439 * g - 5329 * b + 128 * 65536 + 32768) >> 16,
    )
    return tuple(min(max(value, 0), 255) for value in made)


def back(y, cb, cr):
    made = (
        (65536 * y + 91881 * (cr - 128) + 32768) >> 16,
        (65536 * y - 22554 * (cb - 128) - 46802 * (cr - 128) + 32768) >> 16,
        (65536 * y + 116130 * (cb - 128) + 32768) >> 16,
    )
    return tuple(min(max(value, 0), 255) for value in made)


def protect(key: bytes, layout: str, size: int, image):
    """The scrambled pixels of one image."""
    image = padded(image, size)
    if layout in ("ycbcr", "rgb"):
        tall = image.reshape(-1, 3)
        made = [planes(pixel) for pixel in tall] if layout == "ycbcr" else tall
        image = np.array(made, np.uint8).reshape(image.shape).transpose(2, 0, 1).reshape(-1, image.shape[1])
    rows, columns = image.shape[0] // size, image.shape[1] // size
    count = rows * columns
    name = f"etc-{layout}-{size}"
    order = permutation(stream(key, "permutation", name, rows, columns, 64 * count + 64), count)
    turns = [byte % 8 for byte in stream(key, "rotation and inversion", name, rows, columns, count)]
    masks = [255 * (byte % 2) for byte in stream(key, "negative-positive", name, rows, columns, count)]
    colours = [0] * count
    if layout == "colour":
        colours = sixths(stream(key, "colour components", name, rows, columns, 2 * count + 64), count)
    return scramble(image, order, turns, masks, colours, size)
