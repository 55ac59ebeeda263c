"""Preparations on disk, each used once: the folder and its batches (specs/stock.md, sections 1, 2).

No face leaves a batch before the disk says that it is used. What is damaged, or belongs to a run that
was cut off, is void.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import AbortError, StorageFullError, TamperedError, UsageError
from blindsight.core.evidence import Evidence
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.prepared import Prepared
from blindsight.wire.fields import pack
from blindsight.wire.state import sync_folder

MOST_FACES: Final = 1 << 16
MOST_BATCHES: Final = 1 << 16
MOST_EVIDENCE: Final = 1000
NAME_BYTES: Final = 16

_HEADER: Final = struct.Struct("<4s4B4IQ32s32s32s")
_SLOT: Final = struct.Struct("<B3xIQ")
_SEAL_BYTES: Final = 32
_MAGIC: Final = b"b2st"
_TAKEN, _FINISHED = 1, 2
_NAMED: Final = re.compile(r"[0-9a-f]{32}\.batch")
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """What a stock holds; the same on both sides.

    Attributes:
        sizes: of the rings.
        entries: N of the list.
        dimension: d of a face.
    """

    sizes: Sizes
    entries: int
    dimension: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the arrays of one face."""
        return Prepared.shapes(self.sizes, self.entries, self.dimension)

    @property
    def record_bytes(self) -> int:
        """One face on disk."""
        return 8 * sum(int(np.prod(shape)) for shape in self.shapes().values()) + _SEAL_BYTES


@dataclass(slots=True)
class Batch:
    """One batch on disk, as its header and journal say.

    Attributes:
        path: of the file.
        kind: of its preparations.
        party: 0 or 1.
        alpha: this party's MAC key. Secret.
        session: 32 bytes.
        faces: how many it was made with.
        taken: faces below this number are used up.
    """

    path: Path
    kind: Kind
    party: int
    alpha: int = field(repr=False)
    session: bytes
    faces: int
    taken: int = 0
    slots: int = 0
    _running: bool = False

    @property
    def name(self) -> bytes:
        """16 bytes, the same on both sides."""
        return self.session[:NAME_BYTES]

    @property
    def left(self) -> int:
        """Faces not taken."""
        return self.faces - self.taken

    # -- taking -------------------------------------------------------------------------------

    def take(self, first: int, count: int) -> Prepared:
        """Use up all faces below ``first + count``, and give out those from ``first`` on.

        On disk before anything is read. To be followed by `finish`, or by `void`.

        Raises:
            UsageError: used before, not there, or another run is open.
            TamperedError: a record is damaged.

        """
        if self._running or count < 1 or not self.taken <= first <= first + count <= self.faces:
            raise UsageError("These faces of the stock are used, or not there.")
        self._running = True
        self._note(_TAKEN, first + count)
        self.taken = first + count
        return self._read(first, count)

    def finish(self) -> None:
        """The run that took last has ended well; what has nothing left is removed."""
        self._running = False
        self._note(_FINISHED, self.taken)
        if not self.left:
            self.void()

    def void(self) -> None:
        """Overwrite and remove it."""
        self.taken = self.faces
        remove(self.path)

    def _note(self, kind: int, value: int) -> None:
        slot = _SLOT.pack(kind, _checksum(self.session, self.slots, kind, value), value)
        try:
            with _opened(self.path, os.O_RDWR) as file:
                _write(file, slot, _HEADER.size + _SLOT.size * self.slots)
                os.fsync(file)
        except OSError as error:
            raise StorageFullError(f"{self.path} cannot be written: {error.strerror}.") from None
        self.slots += 1

    def _read(self, first: int, count: int) -> Prepared:
        size = self.kind.record_bytes
        place = _records_at(self.faces) + first * size
        with _opened(self.path, os.O_RDWR) as file:
            data = bytearray(count * size)
            if os.preadv(file, [data], place) != len(data):
                raise TamperedError(f"{self.path} is cut off; remove it.")
            _blank(file, place, len(data))
        arrays: dict[str, list[NDArray[np.uint64]]] = {name: [] for name in self.kind.shapes()}
        for face in range(count):
            record = bytes(data[face * size : (face + 1) * size - _SEAL_BYTES])
            if data[(face + 1) * size - _SEAL_BYTES : (face + 1) * size] != _seal(
                self.session, first + face, record
            ):
                raise TamperedError(f"{self.path} is damaged; nothing in it can be used.")
            at = 0
            for name, shape in self.kind.shapes().items():
                width = 8 * int(np.prod(shape))
                arrays[name].append(np.frombuffer(record, "<u8", width // 8, at).reshape(shape))
                at += width
        whole = {name: np.stack(parts).astype(np.uint64) for name, parts in arrays.items()}
        return Prepared.from_arrays(self.kind.sizes, self.kind.entries, self.kind.dimension, whole)


class Stock:
    """The stock of one party in a folder, which is made where there is none.

    Args:
        folder: where.
        party: whose.
        kind: of what it is to hold.

    """

    def __init__(self, folder: Path, party: int, kind: Kind) -> None:
        self.folder, self.party, self.kind = folder, party, kind
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be used as a stock: {error.strerror}.") from None
        self._known: dict[str, Batch] | None = None  # while this process uses it

    @contextmanager
    def making(self) -> Iterator[None]:
        """For the one process that makes; what another left half made is removed."""
        with _locked(self.folder / "make.lock", "makes preparations"):
            for part in self.folder.glob("*.part"):
                remove(part)
            yield

    @contextmanager
    def using(self) -> Iterator[None]:
        """For the one process that uses; what a run that was cut off had begun is void."""
        with _locked(self.folder / "use.lock", "uses preparations"):
            for path in [*self.folder.glob("*.void"), *filter(_cut_off, self._files())]:
                remove(path)
            self._known = {}
            try:
                yield
            finally:
                self._known = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep the evidence of an abort inside, in ``evidence/DIGEST``; at most `MOST_EVIDENCE` of them."""
        try:
            yield
        except AbortError as error:
            if error.evidence is not None:
                self._keep_evidence(error.evidence)
            raise

    def _keep_evidence(self, evidence: Evidence) -> None:
        folder = self.folder / "evidence"
        with contextlib.suppress(OSError):  # what happened is told in any case
            folder.mkdir(mode=0o700, exist_ok=True)
            if sum(1 for _ in folder.iterdir()) < MOST_EVIDENCE:
                path = folder / evidence.digest().hex()
                with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                    _write(file, pack(asdict(evidence)), 0)
                    os.fsync(file)

    def batches(self) -> list[Batch]:
        """All that have something left, by name; for who uses them, always the same objects.

        Raises:
            UsageError: one is of another party or another kind.
            TamperedError: a file is damaged.

        """
        found = {}
        for path in self._files():
            batch = (self._known or {}).get(path.name)
            if batch is None:
                try:
                    batch = open_batch(path)
                except FileNotFoundError:
                    continue  # used up in the meantime
                if (batch.party, batch.kind) != (self.party, self.kind):
                    raise UsageError(f"{path} is of another party or another kind; take a folder for each.")
            found[path.name] = batch
        if self._known is not None:
            self._known = found
        return [found[name] for name in sorted(found) if found[name].left]

    def level(self) -> int:
        """Faces not taken, as the disk says now; any thread and process may ask."""
        return sum(batch.left for batch in read_batches(self.folder))

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if _NAMED.fullmatch(path.name))

    # -- making ---------------------------------------------------------------------------------

    def write(self, session: bytes, alpha: int, prepared: Prepared) -> Path:
        """Put a batch on disk that does not count yet; the path is for `keep`.

        Raises:
            StorageFullError: there is no room; nothing is left behind.

        """
        path = self.folder / f"{session[:NAME_BYTES].hex()}.part"
        kind, faces = self.kind, len(prepared)
        head = _HEADER.pack(
            _MAGIC, 1, self.party, kind.sizes.value_bits, kind.sizes.security_bits,
            kind.entries, kind.dimension, faces, 0, alpha, session, bytes(32), bytes(32),
        )[:-32]  # fmt: skip
        arrays = prepared.arrays()
        try:
            with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                _write(file, head + hashlib.sha256(head).digest() + bytes(2 * _SLOT.size * faces), 0)
                at = _records_at(faces)
                for face in range(faces):
                    record = b"".join(
                        np.ascontiguousarray(arrays[name][face]).astype("<u8", copy=False).tobytes()
                        for name in kind.shapes()
                    )
                    _write(file, record + _seal(session, face, record), at)
                    at += kind.record_bytes
                os.fsync(file)
        except OSError as error:
            remove(path)
            raise StorageFullError(
                f"The stock cannot be written ({error.strerror}); make room and go on."
            ) from None
        return path

    def keep(self, part: Path) -> Path:
        """From now on the batch counts; where it is."""
        path = part.rename(part.with_suffix(".batch"))
        sync_folder(self.folder)
        return path


def read_batches(folder: Path) -> list[Batch]:
    """All batches of a stock, by name, as the disk says now; to look at."""
    found = []
    for path in sorted(folder.glob("*.batch")):
        with contextlib.suppress(FileNotFoundError):
            found.append(open_batch(path))
    return found


def open_batch(path: Path) -> Batch:
    """Read header and journal.

    Raises:
        TamperedError: no batch, or a damaged one.

    """
    with _opened(path, os.O_RDONLY) as file:
        head = os.pread(file, _HEADER.size, 0)
        damaged = TamperedError(f"{path} is no batch of a stock, or is damaged; remove it.")
        if len(head) != _HEADER.size or hashlib.sha256(head[:-32]).digest() != head[-32:]:
            raise damaged
        magic, version, party, k, s, entries, dimension, faces, *others = _HEADER.unpack(head)
        zero, alpha, session, rest, _ = others
        if magic != _MAGIC or version != 1 or party > 1 or zero or any(rest) or not 0 < faces <= MOST_FACES:
            raise damaged
        kind = Kind(Sizes(k, s), entries, dimension)
        if os.fstat(file).st_size != _records_at(faces) + faces * kind.record_bytes:
            raise damaged
        if path.name != f"{session[:NAME_BYTES].hex()}.batch":
            raise damaged
        batch = Batch(path, kind, party, alpha, session, faces)
        journal = os.pread(file, 2 * _SLOT.size * faces, _HEADER.size)
        if not _replay(batch, journal):
            raise damaged
    return batch


def _replay(batch: Batch, journal: bytes) -> bool:
    """Take the journal in; whether it is one."""
    expected = _TAKEN
    for number, at in enumerate(range(0, len(journal), _SLOT.size)):
        slot = journal[at : at + _SLOT.size]
        kind, _, value = _SLOT.unpack(slot)
        if not any(journal[at:]):
            return True
        if slot != _SLOT.pack(kind, _checksum(batch.session, number, kind, value), value):
            # It was being written when the power went, if nothing follows. What it said is not known.
            batch.taken, batch._running = batch.faces, True
            return not any(journal[at + _SLOT.size :])
        grown = value > batch.taken if kind == _TAKEN else value == batch.taken
        if kind != expected or not grown or value > batch.faces:
            return False
        batch.taken, batch.slots = value, number + 1
        batch._running = kind == _TAKEN
        expected = _FINISHED if kind == _TAKEN else _TAKEN
    return True


def _cut_off(path: Path) -> bool:
    """Whether a batch is of no use: its last run did not end, or it has nothing left, or it is damaged."""
    try:
        batch = open_batch(path)
    except TamperedError:
        return False  # to be told, not to be removed
    return batch._running or not batch.left


def _records_at(faces: int) -> int:
    return _HEADER.size + 2 * _SLOT.size * faces


def _checksum(session: bytes, slot: int, kind: int, value: int) -> int:
    return zlib.crc32(session + struct.pack("<IBQ", slot, kind, value))


def _seal(session: bytes, face: int, record: bytes) -> bytes:
    said = b"blindsight stock record 1\0" + session + face.to_bytes(8, "little")
    return hashlib.sha256(said + record).digest()


# -- files ------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    file = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _write(file: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written


def _blank(file: int, at: int, size: int) -> None:
    for first in range(0, size, _PIECE):
        _write(file, bytes(min(_PIECE, size - first)), at + first)


def remove(path: Path) -> None:
    """Overwrite and remove a file of a stock; one that is gone is gone.

    It has another name while it is overwritten, so that nobody takes it for a damaged batch.
    """
    gone = path.with_suffix(".void")
    with contextlib.suppress(FileNotFoundError):
        path.rename(gone)
        with _opened(gone, os.O_WRONLY) as file, contextlib.suppress(OSError):
            _blank(file, 0, os.fstat(file).st_size)
        gone.unlink()
        sync_folder(path.parent)


@contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
    with _opened(path, os.O_RDWR | os.O_CREAT) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"Another process {what} in {path.parent}; wait for it, or stop it.") from None
        yield
