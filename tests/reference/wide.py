"""Two-word arithmetic with Python's integers."""

MOD = 1 << 128


def numbers(array):
    return [int(low) | int(high) << 64 for low, high in array.reshape(-1, 2)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) % MOD


def pack(values, bits):
    return b"".join(value.to_bytes(-(-bits // 8), "little") for value in values)
