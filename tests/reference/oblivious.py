"""A second reading of specs/oblivious.md: a party in plain Python that speaks the same protocol.

Points are pairs of coordinates, strings of bits and ring elements Python's integers, every sum is
written out. Only AES, SHA and libsodium's map to the curve are borrowed.
"""

import hashlib
import os

import nacl.bindings
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# -- the curve ------------------------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add_projective(p, q):
    (x1, y1, z1), (x2, y2, z2) = p, q
    z, xx, yy = z1 * z2 % P, x1 * x2 % P, y1 * y2 % P
    square, t = z * z % P, D * xx * yy % P
    low, high = square - t, square + t
    return z * low * ((x1 + y1) * (x2 + y2) - xx - yy) % P, z * high * (yy + xx) % P, low * high % P


def affine(point):
    inverse = pow(point[2], -1, P)
    return point[0] * inverse % P, point[1] * inverse % P


def add(p, q):
    return affine(add_projective((*p, 1), (*q, 1)))


def times(scalar, point):
    total = (0, 1, 1)
    for bit in bin(scalar)[2:]:
        total = add_projective(total, total)
        if bit == "1":
            total = add_projective(total, (*point, 1))
    return affine(total)


def decode(data):
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    return (P - x if x & 1 != sign else x), y


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


BASE = decode(bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666"))


def to_curve(sender, index, choice, other):
    place = bytes([sender]) + index.to_bytes(4, "little") + bytes([choice])
    h = hashlib.sha512(b"blindsight base point v1\0" + place + other).digest()
    return add(*(decode(nacl.bindings.crypto_core_ed25519_from_uniform(part)) for part in (h[:32], h[32:])))


def scalar():
    return int.from_bytes(os.urandom(64), "little") % ORDER


# -- hashes and streams ---------------------------------------------------------------------------------


def digest(label, *parts):
    return hashlib.sha256(label.encode() + b"\0" + b"".join(parts)).digest()


def aes(key, number):
    data = Cipher(algorithms.AES128(key), modes.ECB()).encryptor().update(number.to_bytes(16, "little"))
    return int.from_bytes(data, "little")


def blocks(seed, start, count):
    return [aes(seed, i) ^ i for i in range(start, start + count)]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def times_in_field(a, b):
    product = 0
    for i in range(128):
        product ^= (a << i) * (b >> i & 1)
    for i in range(254, 127, -1):
        if product >> i & 1:
            product ^= 1 << i | 0x87 << i - 128
    return product


def column_hash(chi, column):
    total = 0
    for j, weight in enumerate(chi):
        total ^= times_in_field(weight, column >> 128 * j & 2**128 - 1)
    return total


def row_hash(key, x, j):
    once = aes(key, x)
    return aes(key, once ^ j) ^ once


# -- a party --------------------------------------------------------------------------------------------


def nibbles(value, count):
    return [value >> 4 * i & 15 for i in range(count)]


def tree(root):
    nodes, levels = [root], []
    for _ in range(4):
        nodes = [
            hashlib.sha256(b"blindsight tree v1\0" + node).digest()[at : at + 16]
            for node in nodes
            for at in (0, 16)
        ]
        levels.append(nodes)
    return levels, [leaf(node) for node in nodes]


def leaf(node):
    h = hashlib.sha512(b"blindsight leaf v1\0" + node).digest()
    return h[:16], h[16:48]


class Party:
    """Made by `setup`; calls are generators, as those of the real one."""

    def __init__(self, party, alpha, security):
        self.party, self.alpha, self.chunks = party, alpha, security // 4
        self.delta = int.from_bytes(os.urandom(16), "little")
        self.points = nibbles(self.delta, 32) + nibbles(alpha, self.chunks)
        self.calls = self.bit_blocks = self.word_blocks = 0

    def setup(self):
        own, other = self.party, 1 - self.party
        wanted = [1 ^ point >> 3 - level & 1 for point in self.points for level in range(4)]
        a, kept, message = scalar(), [], b""
        for t, bit in enumerate(wanted):
            y, pair = scalar(), [None, None]
            pair[1 - bit] = encode(times(scalar(), BASE))
            x0, y0 = to_curve(other, t, bit, pair[1 - bit])
            pair[bit] = encode(add(times(y, BASE), (-x0 % P, y0)))
            kept.append(y)
            message += b"".join(pair)
        message = os.urandom(32) + encode(times(a, BASE)) + message
        answer = yield message
        said = [message, answer] if own == 0 else [answer, message]
        transcript = b"".join(said)
        hashed = hashlib.sha256(transcript).digest()

        def key(sender, t, c, point):
            place = bytes([sender]) + t.to_bytes(4, "little") + bytes([c])
            return digest("blindsight base key v1", place, hashed, encode(point))[:16]

        keys = [key(other, t, b, times(kept[t], decode(answer[32:64]))) for t, b in enumerate(wanted)]
        pairs = []
        for t in range(len(wanted)):
            r = [answer[64 + 64 * t + 32 * c :][:32] for c in (0, 1)]
            points = [add(decode(r[c]), to_curve(own, t, c, r[1 - c])) for c in (0, 1)]
            pairs.append([key(own, t, c, times(a, points[c])) for c in (0, 1)])
        self.session = digest("blindsight oblivious session v1", bytes([4 * self.chunks]), transcript)
        self.all, message = [], b""
        for i in range(len(self.points)):
            levels, leaves = tree(os.urandom(16))
            for level, nodes in enumerate(levels):
                for side in (0, 1):
                    total = pairs[4 * i + level][side]
                    for node in nodes[side::2]:
                        total = xor(total, node)
                    message += total
            total = bytes(32)
            for _, check in leaves:
                total = xor(total, check)
            message += total + hashlib.sha256(b"".join(check for _, check in leaves)).digest()
            self.all.append([seed for seed, _ in leaves])
        answer = yield message
        self.punctured = [
            self.puncture(point, keys[4 * i : 4 * i + 4], answer[192 * i : 192 * i + 192])
            for i, point in enumerate(self.points)
        ]
        return self

    def puncture(self, point, keys, said):
        nodes = [None]
        for level in range(4):
            grown = []
            for node in nodes:
                h = hashlib.sha256(b"blindsight tree v1\0" + node).digest() if node else None
                grown += [h[:16], h[16:]] if h else [None, None]
            path = point >> 3 - level
            side = 1 ^ path & 1
            total = xor(said[32 * level + 16 * side :][:16], keys[level])
            for i in range(side, len(grown), 2):
                if grown[i]:
                    total = xor(total, grown[i])
            grown[path ^ 1] = total
            nodes = grown
        leaves = [leaf(node) if node else None for node in nodes]
        total = said[128:160]
        for found in leaves:
            if found:
                total = xor(total, found[1])
        checks = [found[1] if found else total for found in leaves]
        assert hashlib.sha256(b"".join(checks)).digest() == said[160:192]
        return [found[0] if found else None for found in leaves]

    def random_ots(self, choices):
        self.calls += 1
        n = len(choices)
        count = -(-n // 128) + 1
        length = 128 * count
        bits = int.from_bytes(os.urandom(length // 8), "little")
        bits = bits >> n << n | sum(int(bit) << j for j, bit in enumerate(choices))
        start, self.bit_blocks = self.bit_blocks, self.bit_blocks + count

        def stream(seed):
            return sum(block << 128 * i for i, block in enumerate(blocks(seed, start, count)))

        correction, columns = b"", []
        for seeds in self.all[:32]:
            streams = [stream(seed) for seed in seeds]
            u = 0
            for s in streams:
                u ^= s
            correction += (u ^ bits).to_bytes(length // 8, "little")
            for e in range(4):
                total = 0
                for x, s in enumerate(streams):
                    total ^= s * (x >> e & 1)
                columns.append(total)
        answer = yield correction
        sent = []
        for i, seeds in enumerate(self.punctured[:32]):
            used = int.from_bytes(answer[i * length // 8 : (i + 1) * length // 8], "little")
            mine = nibbles(self.delta, 32)[i]
            for e in range(4):
                total = used * (mine >> e & 1)
                for x, seed in enumerate(seeds):
                    if x != mine and (mine ^ x) >> e & 1:
                        total ^= stream(seed)
                sent.append(total)
        seed = os.urandom(16)
        answer = yield seed
        chi = [*blocks(answer, 0, count - 1), 1]
        hashes = [column_hash(chi, column) for column in (bits, *columns)]
        answer = yield b"".join(h.to_bytes(16, "little") for h in hashes)
        chi = [*blocks(seed, 0, count - 1), 1]
        said = [int.from_bytes(answer[16 * i : 16 * i + 16], "little") for i in range(129)]
        for c, column in enumerate(sent):
            assert column_hash(chi, column) == said[1 + c] ^ said[0] * (self.delta >> c & 1)

        def key(sender):
            place = self.session + bytes([sender]) + self.calls.to_bytes(8, "little")
            return digest("blindsight oblivious rows v1", place)[:16]

        def row(columns, j):
            return sum((column >> j & 1) << c for c, column in enumerate(columns))

        received = [row_hash(key(1 - self.party), row(columns, j), j) for j in range(n)]
        pads = [
            [row_hash(key(self.party), row(sent, j) ^ delta, j) for j in range(n)]
            for delta in (0, self.delta)
        ]
        return received, pads

    def authenticate(self, values, bits, checks=1):
        self.calls += 1
        rings = [bits - 4 * c for c in range(self.chunks)]
        sizes = [-(-b // 8) for b in rings]
        count = len(values)
        values = [*values, *(int.from_bytes(os.urandom(16), "little") % 2**bits for _ in range(checks))]
        n = len(values)
        start, self.word_blocks = self.word_blocks, self.word_blocks + n
        message, v = b"", []
        for seeds, ring, size in zip(self.all[32:], rings, sizes, strict=True):
            streams = [blocks(seed, start, n) for seed in seeds]
            v.append([sum(j * s[i] for j, s in enumerate(streams)) for i in range(n)])
            for i, x in enumerate(values):
                message += ((x - sum(s[i] for s in streams)) % 2**ring).to_bytes(size, "little")
        answer = yield message
        w, at = [], 0
        for c, (seeds, size) in enumerate(zip(self.punctured[32:], sizes, strict=True)):
            mine = nibbles(self.alpha, self.chunks)[c]
            streams = [seed and blocks(seed, start, n) for seed in seeds]
            w.append([])
            for i in range(n):
                d = int.from_bytes(answer[at : at + size], "little")
                at += size
                w[-1].append(mine * d + sum((mine - j) * s[i] for j, s in enumerate(streams) if s))
        seed = os.urandom(16)
        answer = yield seed

        def weights(seed, check):
            masks = [int(other == check) for other in range(checks)]
            return [*(block % 2**64 for block in blocks(seed, check * count, count)), *masks]

        message = b""
        for check in range(checks):
            chi = weights(answer, check)
            message += self.sum(chi, values, bits)
            for c in range(self.chunks):
                message += self.sum(chi, v[c], rings[c])
        answer = yield message
        at = 0
        for check in range(checks):
            chi = weights(seed, check)
            x = int.from_bytes(answer[at : at + -(-bits // 8)], "little")
            at += -(-bits // 8)
            for c in range(self.chunks):
                y = int.from_bytes(answer[at : at + sizes[c]], "little")
                at += sizes[c]
                total = y + sum(a * b for a, b in zip(chi, w[c], strict=True))
                assert (total - nibbles(self.alpha, self.chunks)[c] * x) % 2 ** rings[c] == 0

        def joined(parts):
            return [sum(parts[c][i] << 4 * c for c in range(self.chunks)) % 2**bits for i in range(count)]

        return joined(v), joined(w)

    def sum(self, chi, values, bits):
        total = sum(a * b for a, b in zip(chi, values, strict=True)) % 2**bits
        return total.to_bytes(-(-bits // 8), "little")

    def commit_and_open(self, message):
        self.calls += 1
        context = self.session + self.calls.to_bytes(8, "little")
        opening = os.urandom(32) + message
        commitment = yield digest("blindsight commitment v1", context, bytes([self.party]), opening)
        answer = yield opening
        assert commitment == digest("blindsight commitment v1", context, bytes([1 - self.party]), answer)
        return answer[32:]

    def coin(self, count):
        own = os.urandom(32)
        other = yield from self.commit_and_open(own)
        shares = own + other if self.party == 0 else other + own
        return hashlib.shake_256(b"blindsight coin v1\0" + shares).digest(count)


def setup(party, alpha, security=40):
    return (yield from Party(party, alpha, security).setup())
