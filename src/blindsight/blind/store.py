"""The gallery store: a folder that survives ``kill -9`` at any moment, and a full disk.

Layout, formats and the crash-safety argument are in ``specs/matcher.md``. In one sentence:
bodies go to free slots and to the disk first, then one SQLite transaction makes them visible,
then what they replaced is overwritten.

Every change runs on one thread of the store's own, where Ctrl-C cannot cut it in two
(`blindsight.blind.writer`).
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from blindsight.blind.catalog import BlockRow, Catalog, GalleryRow
from blindsight.blind.folder import DataFolder
from blindsight.blind.gallery import OpenGallery, Snapshot
from blindsight.blind.tiles import TileFile, storage_error
from blindsight.blind.writer import Writer
from blindsight.core.errors import (
    ConflictError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    StorageFullError,
    TamperedError,
    UnavailableError,
    UsageError,
)
from blindsight.core.matching import Block, Changes, GalleryInfo, GallerySpec

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Damage:
    """A block whose bytes on disk are not those that were committed."""

    gallery_id: str
    name: str
    block_id: int


class GalleryStore:
    """Galleries in ``folder``, which is made where there is none. Safe to call from several threads.

    Raises `UsageError` where another process has the folder open. Knows no scheme: sizes and
    contents of blocks are for the caller to check.
    """

    def __init__(self, folder: Path) -> None:
        self._closing = threading.Lock()
        self._open: dict[str, OpenGallery] = {}
        self._stale_log = False
        self._folder = DataFolder(folder)
        try:
            self._catalog = Catalog(self._folder.catalog())
            self._read_tiles()
            self._folder.take_ballast()
        except BaseException as error:
            self._folder.close()
            if isinstance(error, OSError):
                raise storage_error(error) from None
            raise
        self._writer = Writer("gallery-writer")

    def _read_tiles(self) -> None:
        self._catalog.forget()
        for row in self._catalog.doomed():
            self._bury(row.gallery, TileFile(self._folder.tiles(row.gallery_id), row.body_bytes))
        rows = {row.gallery_id: row for row in self._catalog.galleries()}
        for gallery_id, found in list(self._folder.tile_files()):
            if gallery_id not in rows:
                TileFile(found, 1).erase()  # of a crashed create or delete
        for row in rows.values():
            blocks = self._catalog.blocks(row.gallery)
            gallery = OpenGallery(
                TileFile(self._folder.tiles(row.gallery_id), row.body_bytes),
                row.revision,
                np.array([block.block_id for block in blocks], dtype=np.int64),
                np.array([block.slot for block in blocks], dtype=np.int64),
            )
            gallery.tidy()
            self._open[row.gallery_id] = gallery

    def close(self) -> None:
        """Wait for changes under way, then let go of the folder. Calling it twice is harmless."""
        self._writer.close()
        with self._closing:
            if self._folder.closed:
                return
            for gallery in self._open.values():
                gallery.leave(gallery.tiles.close)
            self._open.clear()
            self._catalog.forget()
            self._catalog.close()
            self._folder.close()

    # -- galleries -------------------------------------------------------------------------

    def create(self, spec: GallerySpec, params_id: str, body_bytes: int, at_most: int) -> GalleryInfo:
        """A new gallery; `RefusedError` where there are ``at_most`` galleries already."""
        gallery_id = secrets.token_hex(16)
        self._change(partial(self._create, gallery_id, spec, params_id, body_bytes, at_most))
        return self.info(gallery_id)

    def _create(
        self, gallery_id: str, spec: GallerySpec, params_id: str, body_bytes: int, at_most: int
    ) -> None:
        if len(self._open) >= at_most:
            raise RefusedError(f"This server keeps at most {at_most} galleries; delete one first.")
        path = self._folder.tiles(gallery_id)
        try:
            tiles = TileFile(path, body_bytes)
            self._folder.sync()
        except OSError as error:
            raise storage_error(error) from None
        try:
            self._catalog.create(gallery_id, spec, params_id, body_bytes)
        except BaseException:
            tiles.erase()
            raise
        none = np.empty(0, dtype=np.int64)
        self._open[gallery_id] = OpenGallery(tiles, 0, none, none)

    def galleries(self) -> list[GalleryInfo]:
        """All galleries, staged ones too, by name."""
        share = self._catalog.bytes_on_disk()
        return [self._info(row, share) for row in self._catalog.galleries()]

    def info(self, gallery_id: str) -> GalleryInfo:
        return self._info(self._row(gallery_id), self._catalog.bytes_on_disk())

    def delete(self, gallery_id: str) -> None:
        self._change(partial(self._delete, gallery_id))

    def _delete(self, gallery_id: str) -> None:
        row = self._row(gallery_id)
        self._even_when_full(partial(self._catalog.doom, row.gallery))
        self._dismiss(row)

    def activate(self, gallery_id: str, replacing: str, revision: int) -> GalleryInfo:
        """As `blindsight.core.matching.Matcher.activate`."""
        self._change(partial(self._activate, gallery_id, replacing, revision))
        return self.info(gallery_id)

    def _activate(self, gallery_id: str, replacing: str, revision: int) -> None:
        staged, replaced = self._row(gallery_id), self._row(replacing)
        if not staged.staged or replaced.staged:
            raise ConflictError("A staged gallery replaces an active one; look at both again.")
        if replaced.revision != revision:
            raise ConflictError(
                "The gallery to be replaced has changed since; start again from its new state."
            )
        self._even_when_full(partial(self._catalog.activate, staged, replaced))
        self._dismiss(replaced)

    def _dismiss(self, row: GalleryRow) -> None:
        """Let a doomed gallery go when its last reader has."""
        gallery = self._open.pop(row.gallery_id)
        gallery.leave(partial(self._bury, row.gallery, gallery.tiles))

    def _even_when_full(self, change: Callable[[], None]) -> None:
        try:
            change()
        except StorageFullError:
            self._folder.drop_ballast()
            change()

    def _bury(self, gallery: int, tiles: TileFile) -> None:
        """Overwrite a doomed gallery and forget it. What fails here is done at the next opening."""
        try:
            tiles.erase()
            self._catalog.bury(gallery)
            self._catalog.forget()
            self._folder.take_ballast()
        except (OSError, ProtocolError) as error:
            _log.warning("A deleted gallery could not be overwritten to the end: %s", type(error).__name__)

    # -- blocks ----------------------------------------------------------------------------

    def commit(self, gallery_id: str, blocks: Sequence[Block]) -> int:
        """As `blindsight.core.matching.Matcher.commit`; bodies are uint8 (body_bytes,)."""
        ids = [block.block_id for block in blocks]
        if not ids or len(set(ids)) < len(ids):
            raise UsageError("A commit names at least one block, and each block once.")
        digests = [block.digest() for block in blocks]
        return self._change(partial(self._commit, gallery_id, blocks, ids, digests))

    def _commit(
        self, gallery_id: str, blocks: Sequence[Block], ids: Sequence[int], digests: Sequence[bytes]
    ) -> int:
        row, gallery = self._row(gallery_id), self._gallery(gallery_id)
        if gallery.damaged:
            raise _cut_short(row)
        known = self._catalog.some_blocks(row.gallery, ids)
        earlier = _sent_before(blocks, digests, known)
        if earlier is not None:
            return earlier
        for block in blocks:
            before = known[block.block_id].version if block.block_id in known else 0
            if block.version != before + 1:
                raise ConflictError(
                    f"Block {block.block_id} of gallery {row.name} is at version {before}, so version "
                    f"{block.version} cannot follow: somebody else changed it. Fetch it and try again."
                )
        revision = row.revision + 1
        slots = self._put(row, gallery, revision, blocks, digests, len(blocks) - len(known))
        if gallery.publish(revision, ids, slots):
            self._stale_log = True
        gallery.reap()
        return revision

    def _put(
        self,
        row: GalleryRow,
        gallery: OpenGallery,
        revision: int,
        blocks: Sequence[Block],
        digests: Sequence[bytes],
        added: int,
    ) -> list[int]:
        """Bodies to the disk, then the transaction; on any failure, neither."""
        try:
            slots = gallery.take(len(blocks))
        except OSError as error:
            raise storage_error(error) from None
        try:
            for slot, block in zip(slots, blocks, strict=True):
                gallery.tiles.write(slot, block.body)
            gallery.tiles.sync()
            self._catalog.commit(row.gallery, revision, blocks, slots, digests, added)
        except BaseException as error:
            if not self._catalog.failed:  # else the slots may be the new state already
                gallery.give_back(slots)
            if isinstance(error, OSError):
                raise storage_error(error) from None
            raise
        return slots

    def changes(self, gallery_id: str, since: int) -> Changes:
        found = self._catalog.changes(self._row(gallery_id).gallery, since)
        if found is None:
            raise self._absent()
        return Changes(*found)

    def missing(self, gallery_id: str, block_ids: Sequence[int]) -> set[int]:
        """Those of the named blocks that do not exist."""
        row, gallery = self._row(gallery_id), self._gallery(gallery_id)
        if gallery.damaged:
            return set(block_ids) - set(self._catalog.some_blocks(row.gallery, block_ids))
        with gallery.pinned() as now:
            return set(block_ids) - set(now.block_ids.tolist())

    def block(self, gallery_id: str, block_id: int) -> Block:
        """One block, checked against its digest: `TamperedError` where the disk has changed it."""
        row, gallery = self._row(gallery_id), self._gallery(gallery_id)
        with gallery.pinned():
            # Looked up after pinning: whatever version this finds, its slot cannot be wiped now.
            found = self._catalog.block(row.gallery, block_id)
            if found is None:
                raise NotFoundError(f"Gallery {row.name} has no block {block_id}.")
            stored, record = found
            body = gallery.tiles.read(stored.slot)
        block = Block(block_id, stored.version, stored.head, np.frombuffer(body, dtype=np.uint8), record)
        if len(body) != row.body_bytes or block.digest() != stored.digest:
            raise TamperedError(
                f"Block {block_id} of gallery {row.name} is damaged on the server's disk; "
                "restore it from a backup."
            )
        return block

    @contextmanager
    def reading(self, gallery_id: str) -> Iterator[Snapshot]:
        """The current state of a gallery, for as long as the block lasts."""
        gallery = self._gallery(gallery_id)
        if gallery.damaged:
            raise _cut_short(self._row(gallery_id))
        with gallery.pinned() as snapshot:
            yield snapshot

    def verify(self) -> list[Damage]:
        """Read every block of every gallery; those whose digests do not agree."""
        damaged = []
        for row in self._catalog.galleries():
            for stored in self._catalog.blocks(row.gallery):
                try:
                    self.block(row.gallery_id, stored.block_id)
                except TamperedError:
                    damaged.append(Damage(row.gallery_id, row.name, stored.block_id))
                except NotFoundError:
                    break  # deleted while we were reading
        return damaged

    # -- plumbing --------------------------------------------------------------------------

    def _change(self, change: Callable[[], _T]) -> _T:
        """Run one change on the writer's thread; whatever it replaced is out of the log afterwards."""
        return self._writer.run(partial(self._run, change))

    def _run(self, change: Callable[[], _T]) -> _T:
        if self._catalog.failed:
            raise UnavailableError("The server's database failed; the server must be started again.")
        done = change()
        if self._stale_log:
            self._stale_log = not self._catalog.forget()
        return done

    def _row(self, gallery_id: str) -> GalleryRow:
        row = self._catalog.gallery(gallery_id) if gallery_id in self._open else None
        if row is None:
            raise self._absent()
        return row

    def _gallery(self, gallery_id: str) -> OpenGallery:
        try:
            return self._open[gallery_id]
        except KeyError:
            raise self._absent() from None

    def _absent(self) -> ProtocolError:
        if self._folder.closed:
            return UnavailableError("The server is shutting down.")
        return NotFoundError("The server has no such gallery.")

    def _info(self, row: GalleryRow, share: tuple[int, int]) -> GalleryInfo:
        database, total = share
        gallery = self._open.get(row.gallery_id)
        tiles = gallery.tiles.bytes_on_disk() if gallery else 0
        return GalleryInfo(
            gallery_id=row.gallery_id,
            name=row.name,
            scheme=row.scheme,
            params=row.params,
            params_id=row.params_id,
            key_id=row.key_id,
            sealed=row.sealed,
            staged=row.staged,
            revision=row.revision,
            blocks=row.blocks,
            stored_bytes=tiles + (database * row.small_bytes // total if total else 0),
        )


def _sent_before(blocks: Sequence[Block], digests: Sequence[bytes], known: dict[int, BlockRow]) -> int | None:
    """The revision that wrote exactly these blocks, if there is one."""
    revisions = set()
    for block, digest in zip(blocks, digests, strict=True):
        stored = known.get(block.block_id)
        if stored is None or stored.version != block.version or stored.digest != digest:
            return None
        revisions.add(stored.changed)
    return revisions.pop() if len(revisions) == 1 else None


def _cut_short(row: GalleryRow) -> TamperedError:
    return TamperedError(
        f"The file of gallery {row.name} is shorter than its blocks; restore it from a backup or delete it."
    )
