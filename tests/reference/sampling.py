"""An independent reading of the sampling rules: one value at a time, in Python integers."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def keystream(seed, count):
    """``count`` bytes of AES-256 in counter mode: the encryptions of 0, 1, 2, … as 16-byte numbers."""
    blocks = -(-count // 16)
    plain = b"".join(counter.to_bytes(16, "big") for counter in range(blocks))
    encryptor = Cipher(algorithms.AES256(seed), modes.ECB()).encryptor()
    return (encryptor.update(plain) + encryptor.finalize())[:count]


def derive(seed, purpose, context=b""):
    """HMAC-SHA-256 of purpose, a zero byte and context."""
    return hmac.new(seed, purpose.encode() + b"\x00" + context, hashlib.sha256).digest()


class Tape:
    """A seed's key stream, read forward."""

    def __init__(self, seed):
        self.seed, self.at, self.data = seed, 0, b""

    def take(self, count):
        if self.at + count > len(self.data):
            self.data = keystream(self.seed, 2 * (self.at + count) + 4096)
        taken = self.data[self.at : self.at + count]
        self.at += count
        return taken


def uniform(tape, count, q):
    """Residues in (-q/2, q/2): 30 low bits of little-endian 32-bit words, those below q."""
    out = []
    while len(out) < count:
        word = int.from_bytes(tape.take(4), "little") % 2**30
        if word < q:
            out.append(word if word <= (q - 1) // 2 else word - q)
    return out


def ternary(tape, count):
    """Values in {-1, 0, 1}: two bits a try, lowest first, 3 rejected."""
    out = []
    while len(out) < count:
        byte = tape.take(1)[0]
        for digit in range(4):
            pair = byte // 4**digit % 4
            if pair < 3 and len(out) < count:
                out.append(pair - 1)
    return out


def binomial(tape, count):
    """21 coins minus 21 coins: bits 0 to 20 and bits 32 to 52 of little-endian 64-bit words."""
    out = []
    for _ in range(count):
        word = int.from_bytes(tape.take(8), "little")
        heads = sum(word >> bit & 1 for bit in range(21))
        tails = sum(word >> bit & 1 for bit in range(32, 53))
        out.append(heads - tails)
    return out
