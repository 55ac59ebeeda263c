"""A client's hold on one encrypted gallery: the part that `EncryptedIndex` and `Gallery` share.

The server has the ciphertexts and counts revisions; the client has the key and, for every
block, a `BlockState`. Each change goes to the server first and is written down here when the
server has acknowledged it. A client that died in between, or another one with the same key,
finds the difference by `Session.sync` and reads the sealed records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from blindsight.core.errors import (
    BlindsightError,
    ConflictError,
    DuplicateError,
    MalformedError,
    MismatchError,
    NotFoundError,
    RollbackError,
    TamperedError,
    UsageError,
)
from blindsight.core.matching import Block, BlockInfo, Changes, Matcher
from blindsight.core.secrets import Secret
from blindsight.core.types import I32, I64, Probes, Templates, frozen
from blindsight.trusted.canaries import choose_rows
from blindsight.trusted.canaries import place as place_canaries
from blindsight.trusted.identity import Identity, announce
from blindsight.trusted.ledger import Ledger, MemoryLedger
from blindsight.trusted.records import (
    CANARY,
    EMPTY,
    BlockState,
    Label,
    content_digest,
    open_record,
    seal_record,
)
from blindsight.trusted.schemes import key_holder
from blindsight.trusted.scores import Scores, View
from blindsight.trusted.sealing import Seal

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""

_BATCH_BLOCKS = 64
_BATCH_BYTES = 16 << 20
"""Blocks protected and sent together: 16,384 templates, 8 MiB at 128 coordinates; fewer where
they are larger, so that memory and requests stay small."""

_PROBES_AT_ONCE = 64
_SCORES_AT_ONCE = 1 << 25
"""Scores revealed together, so that memory stays within a few hundred MiB."""

_TRIES = 3


class Session:
    """One client's open gallery. Not for several threads at once."""

    def __init__(self, identity: Identity, matcher: Matcher, ledger: Ledger) -> None:
        self.identity = identity
        self.matcher = matcher
        self._ledger = ledger
        self._key = key_holder(identity.scheme, identity.params, identity.secret)
        self._seal = Seal(identity.secret.derive("block records"))
        self.states: dict[int, BlockState] = {
            number: BlockState.load(data) for number, data in ledger.blocks()
        }
        self._rows: dict[int, int] = {}
        for number, state in self.states.items():
            self._index(number, state)
        self._view: View | None = None
        self._rotating: Session | None = None

    @classmethod
    def create(cls, matcher: Matcher, draft: Identity, ledger: Ledger) -> Session:
        """Make an empty gallery on the server; the ledger is not written yet."""
        return cls(announce(matcher, draft), matcher, ledger)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._rows

    @property
    def key_id(self) -> str:
        """Names the key."""
        return self._key.key_id

    @property
    def rows(self) -> int:
        """Templates in a block."""
        return self._key.params.rows

    @property
    def batch(self) -> int:
        """Blocks that are protected and sent together."""
        return max(1, min(_BATCH_BLOCKS, _BATCH_BYTES // self._key.params.body_bytes))

    @property
    def probes_at_once(self) -> int:
        """Probes that one search should take, so that neither they nor their scores fill memory."""
        scores = _SCORES_AT_ONCE // max(1, len(self.states) * self.rows)
        params = self._key.params
        messages = max(1, min(_PROBES_AT_ONCE, _BATCH_BYTES // params.probe_bytes))
        return max(1, min(scores, messages * params.batch))

    # -- keeping up with the server ------------------------------------------------------------

    def sync(self, progress: Progress | None = None) -> int:
        """Read what others changed, and what was acknowledged but not written down here.

        Returns the number of blocks that were read.

        Raises:
            RollbackError: the server is behind what it has acknowledged before.
            TamperedError: a block is not what this key made.
            MalformedError: the server contradicts itself.
            NotFoundError: the gallery is gone.

        """
        self._settle()
        return self._catch_up(self.identity.revision, progress)

    def rebuild(self, progress: Progress | None = None, *, accept_older: bool = False) -> int:
        """Read every block again and make its hint anew; the number of blocks.

        ``accept_older`` forgets first what the server has acknowledged before.
        """
        self._settle()
        if accept_older:
            self.identity = replace(self.identity, revision=0)
            self._ledger.reset(self.identity)
            self.states, self._rows, self._view = {}, {}, None
        changes = self._changes(0)
        if self._read(changes.blocks, changes.revision, progress):
            self.sync(progress)
        return len(changes.blocks)

    def _catch_up(self, since: int, progress: Progress | None = None) -> int:
        """Read the blocks that changed after a revision and are not the ones known here."""
        read = 0
        for _ in range(_TRIES):
            changes = self._changes(since)
            wanted = [info for info in changes.blocks if self._differs(info)]
            ahead = self._read(wanted, changes.revision, progress)
            read += len(wanted)
            if not ahead:
                return read
            since = self.identity.revision
        raise ConflictError("The gallery keeps changing while it is read; try again.")

    def _changes(self, since: int) -> Changes:
        changes = self.matcher.changes(self.identity.gallery_id, since)
        if changes.revision < self.identity.revision:
            raise RollbackError(
                f"The server is at revision {changes.revision} of {self.identity.name} and had acknowledged "
                f"{self.identity.revision}; it was set back to an older state."
            )
        # Each revision wrote a block, and the last one's cannot have been written since.
        if max((info.changed for info in changes.blocks), default=since) != changes.revision:
            raise MalformedError("The server's list of changes does not lead to the revision that it names.")
        if not since and (lost := set(self.states) - {info.block_id for info in changes.blocks}):
            raise RollbackError(f"The server no longer has block {min(lost)} of {self.identity.name}.")
        return changes

    def _differs(self, info: BlockInfo) -> bool:
        known = self.states.get(info.block_id)
        if known is None:
            return True
        if info.version < known.version:
            raise RollbackError(f"The server went back to an older version of block {info.block_id}.")
        if info.version == known.version and info.digest != known.digest:
            raise RollbackError(f"The server has another version {info.version} of block {info.block_id}.")
        return info.version > known.version

    def _fetch(self, numbers: Sequence[int]) -> list[Block]:
        """Blocks by number, each of the right size; what is in them is for the caller to check."""
        blocks = list(self.matcher.fetch(self.identity.gallery_id, numbers))
        if [block.block_id for block in blocks] != list(numbers):
            raise MalformedError("The server sent other blocks than those that were asked for.")
        sizes = self._key.params.head_bytes, (self._key.params.body_bytes,)
        if any((len(block.head), block.body.shape) != sizes for block in blocks):
            raise MalformedError("The server sent a block of another size than this gallery's.")
        return blocks

    def _read(self, infos: Sequence[BlockInfo], revision: int, progress: Progress | None) -> bool:
        """Read blocks; whether one was newer than announced, so that a search has to wait for more."""
        done, ahead = 0, False
        for batch in batches(infos, self.batch):
            read = self._fetch([info.block_id for info in batch])
            for info, block in zip(batch, read, strict=True):
                if block.version < info.version:
                    raise RollbackError(f"The server sent an older version of block {info.block_id}.")
                if block.version == info.version and block.digest() != info.digest:
                    raise TamperedError(f"Block {info.block_id} arrived other than the server announced it.")
                ahead = ahead or block.version > info.version
            opened = [open_record(self._seal, self.identity.gallery_id, block) for block in read]
            hints = self._key.hints([b.head for b in read], np.stack([b.body for b in read]))
            states = {
                block.block_id: BlockState(
                    block.version, block.digest(), block.head, frozen(hint), ids, labels
                )
                for block, hint, (ids, labels) in zip(read, hints, opened, strict=True)
            }
            done += len(batch)
            # The revision is written with the last batch, so that an interrupted sync starts over.
            reached = revision if done == len(infos) else self.identity.revision
            self._adopt(states, reached)
            if progress:
                progress(done, len(infos))
        if not infos:
            self._adopt({}, revision)
        return ahead

    def _adopt(self, states: Mapping[int, BlockState], revision: int) -> None:
        if states or revision != self.identity.revision:
            identity = replace(self.identity, revision=revision)
            self._ledger.write(identity, {number: state.stored() for number, state in states.items()})
            self.identity = identity
        for number, state in states.items():
            self._index(number, state)
            self.states[number] = state
        if states:
            self._view = None

    def _index(self, number: int, state: BlockState) -> None:
        if number in self.states:
            for identifier in self.states[number].ids.tolist():
                if identifier >= 0 and self._rows.get(identifier, -1) // self.rows == number:
                    del self._rows[identifier]
        for place, identifier in enumerate(state.ids.tolist(), start=number * self.rows):
            if identifier >= 0:
                self._rows[identifier] = place

    # -- changing --------------------------------------------------------------------------------

    def add(
        self,
        ids: I64,
        templates: Templates,
        labels: Sequence[Label] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Store templates under identifiers that are not taken.

        Every batch that the server acknowledged stays, also where a later one fails; adding
        the rest again completes the work.

        Raises:
            DuplicateError: an identifier is taken, or comes twice.
            MismatchError: templates of another encoding.
            ConflictError: others keep changing the same blocks.

        """
        if templates.encoding_id != self.identity.encoding.encoding_id:
            raise MismatchError("These templates were encoded for another gallery.")
        if ids.shape != (len(templates),) or (len(ids) and int(ids.min()) < 0):
            raise UsageError("There is one identifier for each template: integers from 0 to 2^63 - 1.")
        if len(np.unique(ids)) != len(ids):
            raise DuplicateError("An identifier comes twice.")
        self.sync()
        self._require_free(ids)
        total, done = len(ids), 0
        while done < total:

            def step(done: int = done) -> int:
                part = slice(done, done + self.batch * self.rows)
                self._require_free(ids[part])
                return self._add_some(ids[part], templates.values[part], labels[part] if labels else None)

            done += self._retried(step)
            if progress:
                progress(done, total)

    def _require_free(self, ids: I64) -> None:
        for identifier in ids.tolist():
            if identifier in self._rows:
                raise DuplicateError(f"The identifier {identifier} is taken already.")

    def _add_some(self, ids: I64, values: I32, labels: Sequence[Label] | None) -> int:
        """One commit: fill blocks that have room, or make new ones; how many were placed."""
        room = [(len(free), number) for number, state in self.states.items() if len(free := state.free())]
        worth = min(len(ids), max(1, self.rows // 4))
        fillable = sorted((entry for entry in room if entry[0] >= worth), reverse=True)[: self.batch]
        if fillable:
            edits: dict[int, list[tuple[int, int]]] = {}
            placed = 0
            for _, number in fillable:
                for row in self.states[number].free()[: len(ids) - placed]:
                    edits.setdefault(number, []).append((int(row), placed))
                    placed += 1
            self._edit(edits, ids, values, labels)
            return placed
        return self._append(ids, values, labels)

    def _append(self, ids: I64, values: I32, labels: Sequence[Label] | None) -> int:
        """New blocks for as many as one batch of them holds."""
        room = self.rows - self.identity.canaries
        first = max(self.states, default=-1) + 1
        count = min(len(ids), self.batch * room)
        blocks = -(-count // room)
        rows = np.full((blocks, self.rows), EMPTY, np.int64)
        for k in range(blocks):
            rows[k, choose_rows(self.rows, self.identity.canaries)] = CANARY
        taken = np.flatnonzero(rows == EMPTY)[:count]
        rows.flat[taken] = ids[:count]
        templates = np.zeros((rows.size, values.shape[1]), np.int32)
        templates[taken] = values[:count]
        of: list[dict[int, Label]] = [{} for _ in range(blocks)]
        for place, label in zip(taken.tolist(), labels or (), strict=False):
            of[place // self.rows][place % self.rows] = label
        for k in range(blocks):
            place_canaries(self.identity, first + k, rows[k], templates[k * self.rows : (k + 1) * self.rows])
        heads, bodies = self._key.protect_blocks(templates)
        self._commit([(first + k, 1, heads[k], bodies[k], rows[k], of[k]) for k in range(blocks)])
        return count

    def _edit(
        self,
        edits: Mapping[int, Sequence[tuple[int, int]]],
        ids: I64,
        values: I32 | None,
        labels: Sequence[Label] | None = None,
    ) -> None:
        """Re-encrypt blocks with rows replaced, or cleared where ``values`` is None.

        ``edits`` gives, by block, rows and the place in ``ids``, ``values`` and ``labels``
        of what goes there.
        """
        new = []
        for block in self._fetch(sorted(edits)):
            state = self._current(block)
            templates = np.array(self._key.open_block(block.head, block.body))
            rows, of = np.array(state.ids), dict(state.labels)
            for row, source in edits[block.block_id]:
                templates[row] = 0 if values is None else values[source]
                rows[row] = EMPTY if values is None else ids[source]
                of.pop(row, None)
                if labels:
                    of[row] = labels[source]
            head, body = self._key.protect_block(templates)
            new.append((block.block_id, block.version + 1, head, body, rows, of))
        self._commit(new)

    def _current(self, block: Block) -> BlockState:
        """What is known of a block that has just come, which has to be the one that is known."""
        state = self.states[block.block_id]
        if block.version < state.version:
            raise RollbackError(f"The server sent an older version of block {block.block_id}.")
        if block.version > state.version:
            raise ConflictError("Another client changed a block of this gallery in between; try again.")
        if block.digest() != state.digest:
            raise TamperedError(f"Block {block.block_id} is not what was stored.")
        return state

    def _commit(self, new: Sequence[tuple[int, int, bytes, Any, I64, Mapping[int, Label]]]) -> None:
        blocks = [
            Block(
                number,
                version,
                head,
                body,
                seal_record(
                    self._seal,
                    self.identity.gallery_id,
                    number,
                    version,
                    content_digest(head, body),
                    rows,
                    of,
                ),
            )
            for number, version, head, body, rows, of in new
        ]
        revision = self.matcher.commit(self.identity.gallery_id, blocks)
        hints = self._key.hints([b.head for b in blocks], np.stack([b.body for b in blocks]))
        states = {
            block.block_id: BlockState(
                block.version, block.digest(), block.head, frozen(hint), frozen(rows), of
            )
            for block, hint, (*_, rows, of) in zip(blocks, hints, new, strict=True)
        }
        # Where somebody else committed other blocks in between, the next sync still has to read them.
        ours = revision == self.identity.revision + 1
        self._adopt(states, revision if ours else self.identity.revision)

    def remove(self, ids: Sequence[int]) -> list[tuple[int, bytes, bytes]]:
        """Erase templates: their blocks are re-encrypted without them, the old bytes overwritten.

        Where two clients stored an identifier at the same moment, both templates go. Every
        batch that the server acknowledged stays, also where a later one fails.

        Returns, for each block that changed, its number and its digests before and after.

        Raises:
            NotFoundError: an identifier that is not there; nothing was erased then.

        """
        self.sync()
        for identifier in ids:
            if identifier not in self._rows:
                raise NotFoundError(f"There is no template {identifier} in this gallery.")
        wanted = np.array(ids, np.int64)

        def step() -> list[tuple[int, bytes, bytes]]:
            edits: dict[int, list[tuple[int, int]]] = {}
            numbers = sorted(self.states)
            known = [self.states[number].ids for number in numbers]
            for place in np.flatnonzero(np.isin(np.concatenate(known), wanted)).tolist() if known else ():
                number, row = numbers[place // self.rows], place % self.rows
                if number not in edits and len(edits) == self.batch:
                    break
                edits.setdefault(number, []).append((row, 0))
            before = {number: self.states[number].digest for number in edits}
            if edits:
                self._edit(edits, np.empty(0, np.int64), None)
            return [(number, digest, self.states[number].digest) for number, digest in before.items()]

        changed: list[tuple[int, bytes, bytes]] = []
        while some := self._retried(step):
            changed += some
        return changed

    def _retried(self, step: Callable[[], T]) -> T:
        """Run a change; where another client was faster, read its changes and plan again."""
        for _ in range(_TRIES - 1):
            try:
                return step()
            except ConflictError:
                if not self.sync():
                    self._catch_up(0)  # what is known here may be wrong; see `scores`
        try:
            return step()
        except ConflictError as error:
            raise ConflictError(
                "Other clients keep changing this gallery; the rest of this change was not made. Try again."
            ) from error

    # -- searching ---------------------------------------------------------------------------------

    def scores(self, probes: Probes) -> Scores:
        """Compare probes with every template, whatever state the server is in.

        Raises:
            MismatchError: probes of another encoding, or a gallery of another key.
            TamperedError: an answer that cannot be right.

        """
        if probes.encoding_id != self.identity.encoding.encoding_id:
            raise MismatchError("These probes were encoded for another gallery.")
        self._settle()
        started = time.perf_counter()
        sent, kept = self._key.protect_probes(probes.values)
        protected = time.perf_counter()
        compared = False
        for _ in range(_TRIES):
            answer = self.matcher.search(
                self.identity.gallery_id, self._key.key_id, self._key.params.params_id, sent
            )
            answered = time.perf_counter()
            if answer.revision < self.identity.revision:
                raise RollbackError(f"The server answered from an older state of {self.identity.name}.")
            if answer.revision != self.identity.revision:
                self.sync()
                if answer.revision != self.identity.revision:
                    continue
            view = self._prepared()
            ready = time.perf_counter()
            try:
                raw = view.reveal(kept, answer, probes)
            except TamperedError:
                # It may be what is known here that is wrong: a vault from a backup, or a server
                # that kept a change to itself. Comparing every block's digest tells.
                if compared or not self._catch_up(0):
                    raise
                compared = True
                continue
            break
        else:
            raise ConflictError("The gallery keeps changing under this search; try again.")
        revealed = time.perf_counter()
        timings = {
            "protect": (protected - started) * 1e3,
            "server": answer.server_ms,
            "round_trip": (answered - protected) * 1e3,
            "prepare": (ready - answered) * 1e3,
            "reveal": (revealed - ready) * 1e3,
        }
        return Scores(raw, view.ids, timings, {"up": sent.nbytes, "down": answer.scores.nbytes})

    def warm(self) -> None:
        """Make ready for a search now, so that the first one is as fast as the next."""
        self._prepared()

    def _prepared(self) -> View:
        if self._view is None:
            self._view = View.of(self._key, self.identity, self.states)
        return self._view

    # -- keys ----------------------------------------------------------------------------------------

    def blocks(self, progress: Progress | None = None) -> Iterator[tuple[Block, BlockState]]:
        """Every block with its state, checked, for export and rotation."""
        numbers = sorted(self.states)
        done = 0
        for batch in batches(numbers, self.batch):
            for block in self._fetch(batch):
                yield block, self._current(block)
            done += len(batch)
            if progress:
                progress(done, len(numbers))

    def fill(self, content: Iterable[tuple[tuple[bytes, Any], BlockState]]) -> None:
        """Put blocks of another gallery, heads and bodies under this key, into this empty one."""
        pending: list[tuple[int, int, bytes, Any, I64, Mapping[int, Label]]] = []
        for number, ((head, body), state) in enumerate(content):
            pending.append((number, 1, head, body, state.ids, state.labels))
            if len(pending) == self.batch:
                self._commit(pending)
                pending = []
        if pending:
            self._commit(pending)

    def restore(self, states: Mapping[int, BlockState]) -> None:
        """Start from states that were saved, before `sync`."""
        for number, state in states.items():
            self._index(number, state)
            self.states[number] = state
        self._view = None

    def _reprotected(self, source: Session, block: Block, state: BlockState) -> tuple[bytes, Any]:
        templates = np.array(source._key.open_block(block.head, block.body))
        place_canaries(self.identity, block.block_id, state.ids, templates)
        return self._key.protect_block(templates)

    def rotate(self, progress: Progress | None = None) -> None:
        """Re-encrypt every block under a new key, and destroy the old one.

        The new gallery is built beside the old one and takes its place in one step. Where
        this fails before that, the new one is cleared away and the gallery is as it was; where
        even that fails, or this process dies, `resume` does it later.

        Raises:
            ConflictError: the gallery was changed meanwhile; it is as it was.

        """
        self.sync()
        old = self.identity
        identity = announce(self.matcher, replace(old, secret=Secret.fresh()), staged=True)
        self._rotating = staged = Session(identity, self.matcher, MemoryLedger())
        try:
            self._ledger.stage(identity)
            staged.fill((staged._reprotected(self, *pair), pair[1]) for pair in self.blocks(progress))
            with self._ledger.alone():
                self.matcher.activate(identity.gallery_id, old.gallery_id, old.revision)
                self._take_over(staged)
        except BaseException as error:
            rotated = False
            with suppress(BlindsightError):
                rotated = self._settle()
            if not (rotated and isinstance(error, BlindsightError)):
                raise
        self._rotating = None

    def resume(self, identity: Identity) -> bool:
        """End a rotation to ``identity`` that was cut off: complete it if the server had, else clear it away.

        Returns whether the gallery is now the rotated one.
        """
        self._rotating = Session(identity, self.matcher, MemoryLedger())
        return self._settle()

    def _settle(self) -> bool:
        """End a rotation whose outcome is not known; whether there was one and it had succeeded."""
        staged = self._rotating
        if staged is None:
            return False
        with self._ledger.alone():
            try:
                info = self.matcher.info(staged.identity.gallery_id)
            except NotFoundError:
                info = None
            rotated = info is not None and not info.staged
            if rotated:
                staged.sync()
                self._take_over(staged)
            else:
                if info is not None:
                    self.matcher.delete(staged.identity.gallery_id)
                self._ledger.unstage(staged.identity)
        self._rotating = None
        return rotated

    def _take_over(self, other: Session) -> None:
        """Become the session of a rotated gallery; the key of this one is forgotten."""
        stored = {number: state.stored() for number, state in other.states.items()}
        self._ledger.replace(other.identity, stored)
        self._ledger.unstage(other.identity)
        self.identity, self._key, self._seal = other.identity, other._key, other._seal
        self.states, self._rows, self._view = other.states, other._rows, None


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Consecutive pieces of at most ``size`` items."""
    return (items[at : at + size] for at in range(0, len(items), size))
