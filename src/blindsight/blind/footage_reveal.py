"""A party gives its shares to a revealer, where both operators agreed (specs/reveal.md, sections 4 and 5)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from blindsight.blind.footage_store import Entry, FootageStore
from blindsight.blind.party_log import PartyLog
from blindsight.core.consent import Grant, Rectangle, granted, shown_instant
from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    NotFoundError,
    RefusedError,
    StorageFullError,
    TamperedError,
)
from blindsight.schemes.footage.compute import Region, open_share
from blindsight.schemes.footage.public import Share, StillShape
from blindsight.wire.channel import Channel
from blindsight.wire.consent import opened_consent, opened_request
from blindsight.wire.footage_messages import (
    MOST_ITEMS,
    Ask,
    Denied,
    Done,
    Fetch,
    Gap,
    Granted,
    Item,
    Items,
    Page,
)
from blindsight.wire.party_messages import parse

_log = logging.getLogger(__name__)

_SECONDS: Final = 120.0
_COMMAND_BYTES: Final = 4096
_MOST_ENTRIES: Final = 200_000


class Reveal:
    """One revealer's connection; its thread runs `serve`."""

    def __init__(
        self,
        party: int,
        channel: Channel,
        store: FootageStore,
        log: PartyLog,
        reveals: Path,
        operators: tuple[bytes, bytes],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._party, self._channel, self._store, self._log = party, channel, store, log
        self._reveals, self._operators, self._clock = reveals, operators, clock

    def serve(self) -> None:
        """Until the revealer is done, or gone: `ProtocolError`."""
        peer = self._channel.peer
        try:
            ask = parse(self._channel.receive(Ask.at_most, _SECONDS), Ask)
            grant = self._judge(ask)
        except BlindsightError as error:
            self._log.append(
                "reveal-refused", revealer=peer.name, certificate=peer.fingerprint, reason=error.message
            )
            self._channel.send(Denied(_sentence(error)).pack(), _SECONDS)
            return
        try:
            entries = self._begin(grant, ask)
        except BlindsightError as error:
            self._channel.send(Denied(_sentence(error)).pack(), _SECONDS)
            raise
        given: list[bytes] = []
        gaps: list[bytes] = []
        finished = False
        try:
            self._channel.send(Granted(self._party, len(entries), self._log.head).pack(), _SECONDS)
            finished = self._answer(grant, entries, given, gaps)
        finally:
            self._log.append(
                "revealed",
                request=grant.digest.hex(),
                given=len(set(given)),
                gaps=len(set(gaps)),
                finished=finished,
            )

    def _judge(self, ask: Ask) -> Grant:
        request, digest = opened_request(ask.request)
        consents = [opened_consent(one) for one in ask.consents]
        certificate = bytes.fromhex(self._channel.peer.fingerprint)
        return granted(request, digest, consents, self._operators, certificate, self._clock())

    def _begin(self, grant: Grant, ask: Ask) -> list[Entry]:
        """What there is; request, consents and a line of the log are on disk when this returns."""
        request, peer = grant.request, self._channel.peer
        entries = self._store.held(request.camera, request.first, request.last)
        if len(entries) > _MOST_ENTRIES:
            raise RefusedError(f"This range has more than {_MOST_ENTRIES:,} pieces; ask for a shorter one.")
        self._remember(grant, ask)
        self._log.append(
            "reveal",
            request=grant.digest.hex(),
            operator=request.operator.hex(),
            revealer=peer.name,
            certificate=peer.fingerprint,
            camera=request.camera,
            first=shown_instant(request.first),
            last=shown_instant(request.last),
            reason=request.reason,
            items=len(entries),
            withhold=[[list(one) for one in withhold] for withhold in grant.withhold],
        )
        return entries

    def _answer(self, grant: Grant, entries: list[Entry], given: list[bytes], gaps: list[bytes]) -> bool:
        known = {entry.digest for entry in entries}
        while True:
            wanted: Any = parse(self._channel.receive(_COMMAND_BYTES, _SECONDS), Page, Fetch, Done)
            if isinstance(wanted, Done):
                return True
            if isinstance(wanted, Page):
                page = entries[wanted.after : wanted.after + MOST_ITEMS]
                rows = tuple(Item(one.digest, one.number, one.first, one.last, one.size) for one in page)
                self._channel.send(Items(rows).pack(), _SECONDS)
                continue
            if wanted.digest not in known:
                raise MalformedError("The revealer asks for footage that it was not granted.")
            try:
                grant.require_valid(self._clock())
            except RefusedError as error:
                self._channel.send(Denied(_sentence(error)).pack(), _SECONDS)
                return False
            share = self._opened(grant, wanted.digest)
            if isinstance(share, str):
                gaps.append(wanted.digest)
                self._channel.send(Gap(wanted.digest, share).pack(), _SECONDS)
            else:
                given.append(wanted.digest)
                self._channel.send(share.encode(), _SECONDS)

    def _opened(self, grant: Grant, digest: bytes) -> Share | str:
        """What is handed over, or why it is not."""
        try:
            share = self._store.share(digest)
        except NotFoundError:
            return "gone"
        except TamperedError as error:
            _log.warning("%s", error.message)
            self._log.append("footage-damaged", digest=digest.hex())
            return "damaged"
        shape = share.statement.shape
        if not isinstance(shape, StillShape):
            return "withheld" if any(grant.withhold) else share
        own = grant.withhold[self._party]
        return open_share(share, _regions(shape, own)) if own else share

    def _remember(self, grant: Grant, ask: Ask) -> None:
        """Keep who agreed to what; flushed before the log names it."""
        path = self._reveals / grant.digest.hex()
        try:
            self._reveals.mkdir(mode=0o700, exist_ok=True)
            if path.exists():
                return
            part = path.with_suffix(".part")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(ask.pack())
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise StorageFullError(
                f"The request cannot be kept ({error.strerror}), so nothing is revealed; make room."
            ) from None


def _regions(shape: StillShape, withhold: tuple[Rectangle, ...]) -> list[Region]:
    """The rectangles as far as they lie in the still."""
    found = []
    for left, top, width, height in withhold:
        right, bottom = min(left + width, shape.width), min(top + height, shape.height)
        if left < right and top < bottom:
            found.append(Region(left, top, right, bottom))
    return found


def _sentence(error: BlindsightError) -> str:
    shown = "".join(c if " " <= c <= "~" or "\u00a0" <= c <= "\uffff" else "?" for c in error.message)
    return shown[:400] or "It was refused."
