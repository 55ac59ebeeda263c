"""specs/footage.md read a second time: byte by byte, nothing of the project imported."""

from __future__ import annotations

import hashlib
import hmac
import struct

from reference.sampling import keystream


def prf(key, purpose, footage_id):
    return hmac.new(key, purpose + b"\x00" + footage_id, hashlib.sha256).digest()


def tiles(height, width, tile, body):
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            piece = b""
            for y in range(top, min(top + tile, height)):
                for x in range(left, min(left + tile, width)):
                    at = 3 * (y * width + x)
                    piece += body[at : at + 3]
            yield piece


def root(party, footage_id, key, pieces):
    leaves = b""
    labels = keystream(key, 32 * len(pieces))
    for j, piece in enumerate(pieces):
        head = b"blindsight footage piece v1\x00" + bytes([party]) + struct.pack("<I", j)
        leaves += hashlib.sha256(head + footage_id + labels[32 * j : 32 * j + 32] + piece).digest()
    return hashlib.sha256(b"blindsight footage root v1\x00" + bytes([party]) + footage_id + leaves).digest()


def shares(content, form, *, seeded, footage_id, seed, body_key, camera, number, first, last, sign):
    """The encoded seed and body shares.

    ``form`` is (height, width, tile) of a still or the media type of a segment; ``first`` and
    ``last`` are microseconds; ``sign`` maps bytes to 64 bytes.
    """
    r = keystream(prf(seed, b"footage pad", footage_id), len(content))
    if isinstance(form, tuple):
        body = bytes((x - pad) % 256 for x, pad in zip(content, r, strict=True))
        cut = [list(tiles(*form, share)) for share in (r, body)]
        shape, kind = struct.pack("<HHH", *form), 1
    else:
        body = bytes(x ^ pad for x, pad in zip(content, r, strict=True))
        cut = [[r], [body]]
        shape, kind = struct.pack("<IB", len(content), len(form)) + form.encode(), 2
    roots = {
        seeded: root(seeded, footage_id, prf(seed, b"footage labels", footage_id), cut[0]),
        1 - seeded: root(1 - seeded, footage_id, body_key, cut[1]),
    }
    name = camera.encode()
    statement = b"BSFT" + bytes([1, kind, seeded]) + footage_id + bytes([len(name)]) + name
    statement += struct.pack("<Qqq", number, first, last) + shape + roots[0] + roots[1]
    signature = sign(b"blindsight footage statement v1\x00" + statement)

    def share(form, rest):
        return b"BSFS" + bytes([form]) + struct.pack("<H", len(statement)) + statement + signature + rest

    return share(0, seed), share(1, body_key + body)
