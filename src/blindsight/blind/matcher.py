"""The matcher on this machine: engines over the store, with limits and refusals."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blindsight.blind.engines import ENGINES
from blindsight.blind.store import Damage, GalleryStore
from blindsight.core.claims import Claim
from blindsight.core.errors import (
    KeyMismatchError,
    NotFoundError,
    ParamsMismatchError,
    RefusedError,
    TooLargeError,
    UsageError,
)
from blindsight.core.matching import (
    Answer,
    Block,
    Changes,
    GalleryInfo,
    GallerySpec,
    MatchingEngine,
    MatchingParams,
    Wire,
)
from blindsight.core.types import U8

_NAME: Final = re.compile(r"[a-z0-9._-]{1,64}")
_KEY_ID: Final = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one matcher takes on; counts and bytes.

    ``answer_bytes`` bounds the scores of one search, which are in memory at once. Each gallery
    keeps two file descriptors open, of which a process usually has 1024.
    """

    galleries: int = 256
    blocks: int = 1 << 18
    commit_blocks: int = 1024
    body_bytes: int = 32 << 20
    record_bytes: int = 64 << 10
    sealed_bytes: int = 4096
    probes: int = 256
    answer_bytes: int = 1 << 30


class LocalMatcher:
    """A `blindsight.core.matching.Matcher` over a folder. Safe to call from several threads.

    Raises `UsageError` where another process has the folder open. A scheme that claims no
    protection is refused unless ``allow_insecure_clear``.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        engines: Mapping[str, MatchingEngine] = ENGINES,
        allow_insecure_clear: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._engines = dict(engines)
        self._insecure = allow_insecure_clear
        self._params: dict[str, MatchingParams] = {}
        self._lock = threading.Lock()
        self._store = GalleryStore(Path(folder))

    # -- galleries -------------------------------------------------------------------------

    def create(self, spec: GallerySpec) -> GalleryInfo:
        if not _NAME.fullmatch(spec.name):
            raise UsageError("A gallery's name is 1 to 64 of a-z, 0-9, dot, underscore and hyphen.")
        if not _KEY_ID.fullmatch(spec.key_id):
            raise UsageError("A key id is 1 to 64 visible ASCII characters.")
        if len(spec.sealed) > self.limits.sealed_bytes:
            raise TooLargeError(f"A gallery's sealed part is at most {self.limits.sealed_bytes} bytes.")
        params = self._engine(spec.scheme).params(spec.params)
        if params.body_bytes > self.limits.body_bytes:
            raise TooLargeError(f"This server takes blocks of at most {self.limits.body_bytes} bytes.")
        return self._store.create(spec, params.params_id, params.body_bytes, self.limits.galleries)

    def galleries(self) -> list[GalleryInfo]:
        return [info for info in self._store.galleries() if not info.staged]

    def info(self, gallery_id: str) -> GalleryInfo:
        return self._store.info(gallery_id)

    def delete(self, gallery_id: str) -> None:
        self._store.delete(gallery_id)

    def activate(self, gallery_id: str, replacing: str, revision: int) -> GalleryInfo:
        return self._store.activate(gallery_id, replacing, revision)

    # -- blocks ----------------------------------------------------------------------------

    def commit(self, gallery_id: str, blocks: Sequence[Block]) -> int:
        info = self._store.info(gallery_id)
        engine, params = self._parsed(info.scheme, info.params)
        if len(blocks) > self.limits.commit_blocks:
            raise TooLargeError(f"One commit takes at most {self.limits.commit_blocks} blocks; send several.")
        for block in blocks:
            if not 0 <= block.block_id < self.limits.blocks:
                raise UsageError(f"Blocks are numbered from 0 to {self.limits.blocks - 1}.")
            if len(block.record) > self.limits.record_bytes:
                raise TooLargeError(f"A block's record is at most {self.limits.record_bytes} bytes.")
            engine.check_block(params, block.head, block.body)
        return self._store.commit(gallery_id, blocks)

    def changes(self, gallery_id: str, since: int) -> Changes:
        return self._store.changes(gallery_id, since)

    def fetch(self, gallery_id: str, block_ids: Iterable[int]) -> Iterator[Block]:
        """As the Protocol says; unknown numbers are refused here and not while iterating."""
        wanted = list(block_ids)
        if missing := self._store.missing(gallery_id, wanted):
            raise NotFoundError(f"This gallery has no block {min(missing)}.")
        return (self._store.block(gallery_id, block_id) for block_id in wanted)

    def search(self, gallery_id: str, key_id: str, params_id: str, probes: U8) -> Answer:
        info = self._store.info(gallery_id)
        engine, params = self._parsed(info.scheme, info.params)
        if params_id != info.params_id:
            raise ParamsMismatchError(
                f"Gallery {info.name} was made with other parameters than these probes; open it anew."
            )
        if key_id != info.key_id:
            raise KeyMismatchError(
                f"Gallery {info.name} is protected under another key than these probes; use the key it was "
                "made with."
            )
        if not 1 <= len(probes) <= self.limits.probes:
            raise TooLargeError(f"One search takes 1 to {self.limits.probes} probes; send several.")
        engine.check_probes(params, probes)
        with self._store.reading(gallery_id) as now:
            if len(probes) * len(now.slots) * params.answer_bytes > self.limits.answer_bytes:
                raise TooLargeError("The answer would be too large; search with fewer probes at a time.")
            started = time.perf_counter()
            scores = engine.match(params, now.bodies, now.slots, probes)
            elapsed = (time.perf_counter() - started) * 1e3
            return Answer(now.revision, now.block_ids, scores, elapsed)

    # -- the folder ------------------------------------------------------------------------

    def warm(self) -> None:
        """Compile every engine's kernels, so that the first search is as fast as the next."""
        for engine in self._engines.values():
            engine.warm()

    def verify(self) -> list[Damage]:
        """Read everything; the blocks whose bytes are not those that were committed."""
        return self._store.verify()

    def totals(self) -> tuple[int, int, int, int]:
        """Active galleries, staged galleries, blocks, bytes on disk."""
        infos = self._store.galleries()
        staged = sum(info.staged for info in infos)
        return (
            len(infos) - staged,
            staged,
            sum(info.blocks for info in infos),
            sum(info.stored_bytes for info in infos),
        )

    def close(self) -> None:
        self._store.close()

    # -- plumbing --------------------------------------------------------------------------

    def _engine(self, scheme: str) -> MatchingEngine:
        engine = self._engines.get(scheme)
        if engine is None:
            known = ", ".join(sorted(self._engines))
            raise UsageError(f"This server does not know that scheme; it knows {known}.")
        if engine.claim is Claim.NONE and not self._insecure:
            raise RefusedError(
                f"The scheme {scheme} protects nothing, so it is insecure and refused; start the "
                "server with allow_insecure_clear for tests and comparisons."
            )
        return engine

    def _parsed(self, scheme: str, wire: Wire) -> tuple[MatchingEngine, MatchingParams]:
        engine = self._engine(scheme)
        key = f"{scheme} {sorted(wire.items())}"
        with self._lock:
            if key not in self._params:
                # Making a set may compute tables, so each one is made once.
                self._params[key] = engine.params(wire)
            return engine, self._params[key]
