"""The one door to Microsoft SEAL: contexts, and residues to SEAL's objects and back.

TenSEAL's ``sealapi`` reads and writes files only, and SEAL's reader is C++ that was not
written for hostile bytes. So what comes over a wire never reaches it: residues are checked
here, as integers, and the uncompressed stream that SEAL loads (its version 4 format: header,
parameter hash, level, sizes, scale, coefficients, seed) is written around them, in a memory
file. The other way about, SEAL's compressed stream is opened by the zstd that SEAL carries
itself; those bytes are always our own.

Every exception that SEAL throws leaves here as an error of `blindsight.core.errors`.
"""

from __future__ import annotations

import ctypes
import math
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import InsecureParametersError, MalformedError, ModelError, ProtocolError
from blindsight.core.types import AnyArray
from blindsight.schemes.seal.params import SEED_BYTES

U64 = NDArray[np.uint64]

_HEADER: Final = struct.Struct("<HBBBBHQ")
"""Magic 0xA15E, header size 16, major, minor, compression, reserved, bytes with this header."""

_HEAD: Final = struct.Struct("<4QBQQQdQ")
"""Of a ciphertext: parameter hash, in transformed form, polynomials, degree, primes, scale, 1."""

_KEYS_HEAD: Final = struct.Struct("<4QQ")
_PLAIN_HEAD: Final = struct.Struct("<4QQd")
_BLAKE2XB: Final = 1
_HELPER_PLAIN: Final = 65537
_INSTALL: Final = 'The schemes bfv and ckks need TenSEAL: pip install "blindsight[seal]".'


@lru_cache(maxsize=1)
def sealapi() -> Any:
    """TenSEAL's binding of SEAL; `ModelError` where it is not installed."""
    try:
        import tenseal.sealapi as found
    except ImportError as error:
        raise ModelError(_INSTALL) from error
    if not hasattr(os, "memfd_create"):
        raise ModelError("The schemes bfv and ckks need a system with memory files (Linux).")
    return found


@contextmanager
def guarded(sentence: str, kind: type[ProtocolError] = MalformedError) -> Iterator[None]:
    """What SEAL throws inside leaves as ``kind`` with this sentence."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        raise kind(sentence) from error


class _Scratch(threading.local):
    """A memory file for each thread: it has a path, and its bytes never reach a disk."""

    def __init__(self) -> None:
        self.file = os.memfd_create("seal", os.MFD_CLOEXEC)
        self.path = f"/proc/self/fd/{self.file}"
        self.room = np.empty(0, np.uint8)

    def load(self, target: Any, context: Any, stream: bytes | bytearray) -> None:
        """Have SEAL read a stream; it stops where the header says, so what lies behind may stay."""
        os.pwrite(self.file, stream, 0)
        target.load(context, self.path)

    def save(self, source: Any, at_most: int) -> NDArray[np.uint8]:
        """What SEAL writes of an object, uncompressed, without the outer header."""
        source.save(self.path)
        size = os.fstat(self.file).st_size
        if len(self.room) < at_most:
            self.room = np.empty(at_most, np.uint8)
        packed = os.pread(self.file, size, 0)
        count = _zstd()(self.room.ctypes.data, at_most, packed[_HEADER.size :], size - _HEADER.size)
        if count > at_most:
            raise MalformedError("SEAL wrote an object of another size than expected.")
        return self.room[:count]

    def forget(self) -> None:
        """Overwrite what is in the file: it was secret."""
        os.pwrite(self.file, bytes(os.fstat(self.file).st_size), 0)
        self.room[:] = 0


_scratch: Final = _Scratch()


@lru_cache(maxsize=1)
def _zstd() -> Any:
    """The decompressor inside SEAL's own library, which writes nothing uncompressed by itself."""
    import _sealapi_cpp  # the module behind tenseal.sealapi

    try:
        found = ctypes.CDLL(_sealapi_cpp.__file__).ZSTD_decompress
    except (OSError, AttributeError) as error:
        raise ModelError("This build of TenSEAL hides its decompressor; install tenseal 0.3.18.") from error
    found.restype = ctypes.c_size_t
    found.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    return found


@lru_cache(maxsize=1)
def _version() -> tuple[int, int]:
    """The version that SEAL writes into its headers, and that it wants to read there."""
    _scratch.forget()
    api = sealapi()
    api.EncryptionParameters(api.SCHEME_TYPE.BFV).save(_scratch.path)
    _, _, major, minor, *_ = _HEADER.unpack(os.pread(_scratch.file, _HEADER.size, 0))
    if major != 4:
        raise ModelError("This build of TenSEAL carries another SEAL than version 4; install tenseal 0.3.18.")
    return major, minor


def _headed(parts: Sequence[bytes]) -> bytes:
    """Uncompressed, with SEAL's header in front."""
    size = sum(map(len, parts)) + _HEADER.size
    return b"".join((_HEADER.pack(0xA15E, _HEADER.size, *_version(), 0, 0, size), *parts))


@dataclass(frozen=True, eq=False)
class Context:
    """A ring with its tables, as SEAL holds it. Immutable and safe for several threads.

    Attributes:
        degree: of the ring.
        primes: of fresh ciphertexts.
        special: the prime of key switching; 0 where there is none, and so no evaluation key.
        seal: SEAL's own context.
        evaluator: what computes.
        encoder: numbers to plaintexts.
        transformed: whether ciphertexts are held in the transformed form (CKKS).
        levels: SEAL's parameter hash by the number of primes; that of keys has one more.
    """

    degree: int
    primes: tuple[int, ...]
    special: int
    seal: Any
    evaluator: Any
    encoder: Any
    transformed: bool
    levels: tuple[tuple[int, ...], ...]

    @property
    def moduli(self) -> tuple[int, ...]:
        """The primes of keys."""
        return (*self.primes, self.special) if self.special else self.primes

    # -- ciphertexts -----------------------------------------------------------------------------

    def ciphertext(self, residues: AnyArray, scale: float = 1.0, seed: bytes = b"") -> Any:
        """SEAL's object from checked residues: unsigned (polynomials, primes, degree).

        With a seed there is one polynomial, and SEAL draws the other one from the seed.
        """
        found = sealapi().Ciphertext()
        count, primes, _ = residues.shape
        polynomials = self._ciphertext(residues, self.transformed, scale, seed, self.levels[primes])
        with guarded("A ciphertext does not fit its parameters."):
            _scratch.load(found, self.seal, _headed(polynomials))
        if found.size() != (2 if seed else count) or found.is_transparent():
            raise MalformedError("A ciphertext has no encrypted part; it was damaged or made up.")
        return found

    def _ciphertext(
        self, residues: AnyArray, transformed: bool, scale: float, seed: bytes, level: tuple[int, ...]
    ) -> list[bytes]:
        count, primes, _ = residues.shape
        size = 2 if seed else count
        data = np.ascontiguousarray(residues, dtype="<u8")
        parts = [
            _HEAD.pack(*level, transformed, size, self.degree, primes, scale, 1),
            _headed([struct.pack("<Q", data.size), data.tobytes()]),
        ]
        if seed:
            parts.append(_headed([bytes([_BLAKE2XB]), seed]))
        return parts

    def residues(self, ciphertext: Any, polynomials: int, primes: int) -> U64:
        """What `ciphertext` takes: uint64 (polynomials, primes, degree)."""
        shape = (polynomials, primes, self.degree)
        start = _HEAD.size + _HEADER.size + 8
        stream = _scratch.save(ciphertext, start + 8 * polynomials * primes * self.degree)
        if len(stream) != start + 8 * polynomials * primes * self.degree:
            raise MalformedError("A ciphertext has another level or size than expected.")
        return stream[start:].copy().view("<u8").reshape(shape)

    def seeded(self, serializable: Any, primes: int) -> tuple[U64, bytes]:
        """The one polynomial, uint64 (primes, degree), and the seed of a fresh symmetric ciphertext."""
        start, count = _HEAD.size + _HEADER.size + 8, 8 * primes * self.degree
        whole = start + count + _HEADER.size + 1 + SEED_BYTES
        stream = _scratch.save(serializable, whole)
        if len(stream) != whole or stream[-SEED_BYTES - 1] != _BLAKE2XB:
            raise MalformedError("SEAL wrote a ciphertext of another shape than expected.")
        body = stream[start : start + count].copy().view("<u8").reshape(primes, self.degree)
        return body, stream[-SEED_BYTES:].tobytes()

    # -- keys --------------------------------------------------------------------------------------

    def switching_residues(self, serializable: Any, keys: int) -> tuple[U64, NDArray[np.uint8]]:
        """Fresh relinearisation or rotation keys: uint64 (keys, digits, moduli, degree), and their seeds.

        SEAL writes them one after the other, and for rotations a place for each that is absent.
        """
        digits, moduli = len(self.primes), len(self.moduli)
        each = _HEADER.size + _HEAD.size + _HEADER.size + 8 + 8 * moduli * self.degree
        each += _HEADER.size + 1 + SEED_BYTES
        room = _KEYS_HEAD.size + 8 * self.degree + keys * (8 + digits * each)
        stream = _scratch.save(serializable, room)
        places = int(stream[32:40].copy().view("<u8")[0])
        bodies = np.empty((keys, digits, moduli, self.degree), "<u8")
        seeds = np.empty((keys, digits, SEED_BYTES), np.uint8)
        at, key = _KEYS_HEAD.size, 0
        for _ in range(places):
            present = int(stream[at : at + 8].copy().view("<u8")[0])
            at += 8
            for digit in range(present):
                inner = stream[at : at + each]
                start = _HEADER.size + _HEAD.size + _HEADER.size + 8
                coefficients = inner[start : start + 8 * moduli * self.degree]
                bodies[key, digit] = np.frombuffer(coefficients.tobytes(), "<u8").reshape(moduli, -1)
                seeds[key, digit] = inner[-SEED_BYTES:]
                at += each
            key += bool(present)
        if key != keys or at != len(stream):
            raise MalformedError("SEAL wrote keys of another shape than expected.")
        return bodies, seeds

    def switching_keys(self, bodies: AnyArray, seeds: AnyArray, elements: Sequence[int] = ()) -> Any:
        """SEAL's keys from checked residues; for relinearisation, or for rotations by Galois elements."""
        api = sealapi()
        found = api.GaloisKeys() if elements else api.RelinKeys()
        places = [(element - 1) // 2 for element in elements] if elements else [0]
        parts = [_KEYS_HEAD.pack(*self.levels[-1], self.degree if elements else 1)]
        for place in range(self.degree if elements else 1):
            if place not in places:
                parts.append(bytes(8))
                continue
            key = places.index(place)
            parts.append(struct.pack("<Q", len(bodies[key])))
            for body, seed in zip(bodies[key], seeds[key], strict=True):
                inner = self._ciphertext(body[np.newaxis], True, 1.0, seed.tobytes(), self.levels[-1])
                parts.append(_headed(inner))
        with guarded("An evaluation key does not fit its parameters; it was damaged on the way."):
            _scratch.load(found, self.seal, _headed(parts))
        return found

    def public_residues(self, public: Any) -> U64:
        """SEAL's public key as residues, uint64 (2, moduli, degree); its second half is not seeded."""
        shape = (2, len(self.moduli), self.degree)
        start = _HEAD.size + _HEADER.size + 8
        stream = _scratch.save(public, start + 8 * math.prod(shape))
        if len(stream) != start + 8 * math.prod(shape):
            raise MalformedError("SEAL wrote a public key of another shape than expected.")
        return stream[start:].copy().view("<u8").reshape(shape)

    def public_key(self, residues: AnyArray) -> Any:
        """SEAL's public key from checked residues (2, moduli, degree): an encryption of zero."""
        found = sealapi().PublicKey()
        with guarded("A public key does not fit its parameters; it was damaged on the way."):
            _scratch.load(
                found, self.seal, _headed(self._ciphertext(residues, True, 1.0, b"", self.levels[-1]))
            )
        return found

    def secret_key(self, ternary: NDArray[np.int8]) -> Any:
        """SEAL's secret key from its coefficients, int8 (degree,) in {-1, 0, 1}."""
        found = sealapi().SecretKey()
        values = self.transformed_secret(ternary).reshape(-1)
        _scratch.load(found, self.seal, _headed(self._plaintext(values, self.levels[-1])))
        _scratch.forget()
        return found

    def transformed_secret(self, ternary: NDArray[np.int8]) -> U64:
        """The secret in SEAL's transformed basis: uint64 (moduli, degree).

        BFV transforms plaintexts modulo every prime, -1 for the plaintext modulus less one, so
        a BFV context of the same primes does the work for both schemes.
        """
        helper = context("bfv", self.degree, self.primes, self.special, _HELPER_PLAIN)
        coefficients = (ternary.astype(np.int64) % _HELPER_PLAIN).astype("<u8")
        plain = sealapi().Plaintext()
        _scratch.load(plain, helper.seal, _headed(self._plaintext(coefficients, (0, 0, 0, 0))))
        helper.evaluator.transform_to_ntt_inplace(plain, list(helper.levels[-1]))
        start = _PLAIN_HEAD.size + _HEADER.size + 8
        stream = _scratch.save(plain, start + 8 * len(self.moduli) * self.degree)
        values: U64 = stream[start:].copy().view("<u8").reshape(len(self.moduli), self.degree)
        _scratch.forget()
        return values

    def _plaintext(self, values: U64, level: tuple[int, ...]) -> list[bytes]:
        return [
            _PLAIN_HEAD.pack(*level, values.size, 1.0),
            _headed([struct.pack("<Q", values.size), values.tobytes()]),
        ]


@lru_cache(maxsize=32)
def context(
    scheme: Literal["bfv", "ckks"], degree: int, primes: tuple[int, ...], special: int, plain: int = 0
) -> Context:
    """The context of a ring, made once; SEAL's own check of the 128-bit table is on."""
    api = sealapi()
    kind = {"bfv": api.SCHEME_TYPE.BFV, "ckks": api.SCHEME_TYPE.CKKS}[scheme]
    parameters = api.EncryptionParameters(kind)
    parameters.set_poly_modulus_degree(degree)
    parameters.set_coeff_modulus([api.Modulus(p) for p in (*primes, special) if p])
    if scheme == "bfv":
        parameters.set_plain_modulus(plain)
    seal = api.SEALContext(parameters, True, api.SEC_LEVEL_TYPE.TC128)
    if not seal.parameters_set():
        raise InsecureParametersError(
            f"SEAL refuses these parameters at 128 bits: {seal.parameters_error_name()}."
        )
    levels: list[tuple[int, ...]] = [tuple(seal.key_parms_id())]
    data = seal.first_context_data()
    while data is not None:
        levels.append(tuple(data.parms_id()))
        data = data.next_context_data()
    encoder = api.CKKSEncoder(seal) if scheme == "ckks" else _batches(api, seal, plain, degree)
    # A level whose modulus is below the plaintext's does not exist; its place stays empty.
    absent = len(primes) + 2 - len(levels)
    by_primes = ((),) * absent + tuple(reversed(levels))
    return Context(degree, primes, special, seal, api.Evaluator(seal), encoder, scheme == "ckks", by_primes)


def _batches(api: Any, seal: Any, plain: int, degree: int) -> Any:
    return api.BatchEncoder(seal) if plain % (2 * degree) == 1 else None
