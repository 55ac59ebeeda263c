"""Slow, obvious twins of the two-party protocol: Python integers, one block and one face at a time.

A second reading of specs/two-party.md. Nothing here imports the project.
"""

from __future__ import annotations

import hashlib
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

TWO64 = 1 << 64
LOW = 3


def aes(key, block):
    return Cipher(algorithms.AES128(key), modes.ECB()).encryptor().update(block)


def mix(key, value):
    """AES(X) xor X of a 128-bit integer, whose bytes are little-endian."""
    block = value.to_bytes(16, "little")
    return int.from_bytes(aes(key, block), "little") ^ value


def expand(key, seed):
    """Four things from a seed: (left seed, left bit, right seed, right bit, left value, right value)."""
    left, right, left_value, right_value = (mix(key, seed ^ c) for c in range(4))
    return left & ~LOW, left & 1, right & ~LOW, right & 1, left_value, right_value


def dcf_generate(key, levels, point, payload, root_0, root_1):
    """ePrint 2020/1392, figure 1, Gen, with XOR: a list of (seed, value) corrections and the last one."""
    seeds, control, total = [root_0, root_1], [0, 1], 0
    corrections = []
    for level in range(levels):
        bit = point >> (levels - 1 - level) & 1
        a, b = expand(key, seeds[0]), expand(key, seeds[1])
        side = [{"seed": x[0], "bit": x[1], "value": x[4]} for x in (a, b)]
        other = [{"seed": x[2], "bit": x[3], "value": x[5]} for x in (a, b)]
        keep, lose = (other, side) if bit else (side, other)
        seed = lose[0]["seed"] ^ lose[1]["seed"]
        value = lose[0]["value"] ^ lose[1]["value"] ^ total
        if bit:
            value ^= payload
        total ^= keep[0]["value"] ^ keep[1]["value"] ^ value
        turn_left = side[0]["bit"] ^ side[1]["bit"] ^ bit ^ 1
        turn_right = other[0]["bit"] ^ other[1]["bit"] ^ bit
        corrections.append((seed | turn_left | turn_right << 1, value))
        turn = turn_right if bit else turn_left
        for p in (0, 1):
            was = control[p]
            seeds[p] = keep[p]["seed"] ^ (seed if was else 0)
            control[p] = keep[p]["bit"] ^ (turn if was else 0)
    return corrections, seeds[0] ^ seeds[1] ^ total


def dcf_evaluate(key, levels, party, root, corrections, last, m):
    """Eval of the same figure."""
    seed, control, total = root, party, 0
    for level in range(levels):
        left, left_bit, right, right_bit, left_value, right_value = expand(key, seed)
        correction, value = corrections[level]
        if m >> (levels - 1 - level) & 1:
            seed, bit, mask, turn = right, right_bit, right_value, correction >> 1 & 1
        else:
            seed, bit, mask, turn = left, left_bit, left_value, correction & 1
        total ^= mask
        if control:
            total ^= value
            seed ^= correction & ~LOW
            bit ^= turn
        control = bit
    return total ^ seed ^ (last if control else 0)


def distances(entries, rows):
    """``last - 2 <c, x>`` modulo 2^64, one product at a time."""
    return [
        [
            (row[-1] - 2 * sum(int(c) * int(x) for c, x in zip(entry, row[:-1], strict=True))) % TWO64
            for entry in entries
        ]
        for row in ([int(x) for x in row] for row in rows)
    ]


def matches(entries, threshold, face):
    """The plaintext rule: squared distance below the threshold."""
    return [
        sum((int(x) - int(c)) ** 2 for x, c in zip(face, entry, strict=True)) < threshold for entry in entries
    ]


# -- the run -------------------------------------------------------------------------------------------


class Stream:
    """AES-256-CTR, 64-bit little-endian words."""

    def __init__(self, seed):
        self._encryptor = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor()

    def words(self, count):
        return list(struct.unpack(f"<{count}Q", self._encryptor.update(bytes(8 * count))))

    def blocks(self, count):
        words = self.words(2 * count)
        return [words[2 * i] | words[2 * i + 1] << 64 for i in range(count)]


def header(kind, session, first, count):
    return struct.pack("<2sBB16sQI", b"b2", 1, kind, session, first, count)


def generator_key(session, number):
    label = b"blindsight two-party generator v1"
    return hashlib.sha256(label + session + struct.pack("<Q", number)).digest()[:16]


class NaiveParty:
    """One party, one face; everything is a list of integers. See section 6 of the specification."""

    def __init__(self, party, grant, entries, threshold, material, inputs):
        """``grant``: session, dimension, bits, alpha, digest (32), context (32). Messages with headers."""
        self.party, self.grant, self.entries, self.threshold = party, grant, entries, threshold
        d, n, k = grant["dimension"], len(entries), grant["bits"]
        self.levels = k - 1
        self.number = struct.unpack_from("<Q", material, 20)[0]
        body = material[32:]
        stream = Stream(body[:32])
        at = 32
        share, r = stream.words(d + 1), stream.words(n)
        if party == 0:
            tags, keys = stream.words(d + 1 + n), stream.words(d + 1 + n)
        else:
            tags = list(struct.unpack_from(f"<{d + 1 + n}Q", body, at))
            at += 8 * (d + 1 + n)
            keys = list(struct.unpack_from(f"<{d + 1 + n}Q", body, at))
            at += 8 * (d + 1 + n)
        self.roots = [root & ~LOW for root in stream.blocks(n)]
        self.payload = [x & ~1 | party for x in stream.blocks(n)]
        if party == 0:
            self.w = stream.blocks(n)
        else:
            self.w = [int.from_bytes(body[at + 16 * j : at + 16 * j + 16], "little") for j in range(n)]
            at += 16 * n
        self.corrections = [[] for _ in range(n)]
        for _ in range(self.levels):
            for j in range(n):
                piece = body[at : at + 32]
                halves = int.from_bytes(piece[:16], "little"), int.from_bytes(piece[16:], "little")
                self.corrections[j].append(halves)
                at += 32
        self.last = [int.from_bytes(body[at + 16 * j : at + 16 * j + 16], "little") for j in range(n)]
        assert at + 16 * n == len(body)
        e = struct.unpack_from(f"<{d + 1}Q", inputs, 32)
        alpha = grant["alpha"]
        if party == 0:
            share = [(a + b) % TWO64 for a, b in zip(share, e, strict=True)]
        else:
            keys[: d + 1] = [(a - alpha * b) % TWO64 for a, b in zip(keys, e, strict=False)]
        add = [sum(int(x) ** 2 for x in entry) - threshold for entry in entries]
        plus = [y if party == 0 else 0 for y in add]
        minus = [0 if party == 0 else alpha * y for y in add]
        self.shares = [
            (a + b + y) % TWO64 for a, b, y in zip(distances(entries, [share])[0], r, plus, strict=True)
        ]
        self.tags = [
            (a + b) % TWO64
            for a, b in zip(distances(entries, [tags[: d + 1]])[0], tags[d + 1 :], strict=True)
        ]
        self.keys = [
            (a + b - y) % TWO64
            for a, b, y in zip(distances(entries, [keys[: d + 1]])[0], keys[d + 1 :], minus, strict=True)
        ]
        self.sent = []

    def _hash(self, label, party, *parts):
        return hashlib.sha256(label + bytes([party]) + self.grant["context"] + b"".join(parts)).digest()

    def _pack(self, words):
        return struct.pack(f"<{len(words)}Q", *words)

    def open(self):
        head = header(5, self.grant["session"], self.number, 1)
        mac = self._hash(b"open", self.party, head, self._pack(self.shares), self._pack(self.tags))
        self.sent.append(head + self.grant["digest"][:16] + self._pack(self.shares) + mac)
        return self.sent[-1]

    def bits(self, other):
        n = len(self.entries)
        shares = list(struct.unpack_from(f"<{n}Q", other, 48))
        tags = [(self.grant["alpha"] * x + b) % TWO64 for x, b in zip(shares, self.keys, strict=True)]
        mac = self._hash(b"open", 1 - self.party, other[:32], self._pack(shares), self._pack(tags))
        assert mac == other[48 + 8 * n :]
        self.received = [other]
        key = generator_key(self.grant["session"], self.number)
        self.u = []
        for j in range(n):
            m = (self.shares[j] + shares[j]) % TWO64
            u = dcf_evaluate(
                key,
                self.levels,
                self.party,
                self.roots[j],
                self.corrections[j],
                self.last[j],
                m % 2**self.levels,
            )
            self.u.append(u ^ self.w[j] ^ (self.payload[j] if m >> self.levels & 1 else 0))
        packed = sum((u & 1) << j for j, u in enumerate(self.u)).to_bytes((n + 7) // 8, "little")
        self.sent.append(header(6, self.grant["session"], self.number, 1) + packed)
        return self.sent[-1]

    def check(self, other):
        self.received.append(other)
        theirs = int.from_bytes(other[32:], "little")
        self.result = [bool((u & 1) ^ (theirs >> j & 1)) for j, u in enumerate(self.u)]
        z = [
            u ^ (self.payload[j] if b else 0)
            for j, (u, b) in enumerate(zip(self.u, self.result, strict=True))
        ]
        z = b"".join(x.to_bytes(16, "little") for x in z)
        pairs = zip(self.sent, self.received, strict=True)
        transcript = b"".join(b"".join(pair if self.party == 0 else pair[::-1]) for pair in pairs)
        self.expected = self._hash(b"check", 1 - self.party, transcript, z)
        head = header(7, self.grant["session"], self.number, 1)
        return head + self._hash(b"check", self.party, transcript, z)

    def finish(self, other):
        assert other[32:] == self.expected
        return self.result
