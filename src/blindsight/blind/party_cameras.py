"""A camera's connection to a party (specs/party.md, section 2)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blindsight.blind.party_intake import Feed, Intake
from blindsight.blind.party_links import Link
from blindsight.core.errors import BlindsightError, MismatchError
from blindsight.schemes.spdz2k.messages import Header, Kind, Layout
from blindsight.schemes.spdz2k.public import Grant, Source
from blindsight.wire.channel import Channel

if TYPE_CHECKING:
    from blindsight.blind.party_door import Door


class CameraLink(Link):
    """One camera, in one session: of its own dealing, or lent by a provider."""

    def __init__(self, channel: Channel, party: int, intake: Intake, door: Door) -> None:
        super().__init__(channel, party, intake, door)
        self._lock = threading.Lock()
        self._feed: Feed | None = None
        self._gone = False

    def lend(self, feed: Feed) -> bool:
        """Take part in a session that a provider deals for; False where it deals itself, or is gone."""
        with self._lock:
            before = self._feed
            if self._gone or not (before is None or before.over or _lent(before)):
                return False
            self._feed = feed
        if before is not None:
            self._intake.end(before, "replaced")
        return not (self._channel.peer.until < datetime.now(UTC))

    def _layouts(self) -> list[Layout]:
        feed = self._feed
        return [] if feed is None else [feed.session.grant.layout]

    def _ended(self) -> None:
        with self._lock:
            self._gone = True
        if self._feed is not None:
            self._intake.end(self._feed, "gone")

    def _take(self, message: bytearray) -> None:
        header = Header.parse(message)
        if header.kind is Kind.GRANT:
            self._open(Grant.parse(bytes(message)))
            return
        feed = self._feed
        if feed is None or feed.over:
            return  # sent before the camera knew
        if header.session != feed.id:
            return  # of the session before
        self._put(feed, message, header.kind is Kind.INPUTS or not _lent(feed))

    def _open(self, grant: Grant) -> None:
        self._enter(None)
        try:
            if grant.camera != self.name:
                raise MismatchError("This grant is for another camera.")
            feed = self._door.begin(grant, Source.CAMERA, self._channel.peer, self)
        except BlindsightError as error:
            self._refuse(grant.session, error)
            return
        self._enter(feed)

    def _enter(self, feed: Feed | None) -> None:
        with self._lock:
            before, self._feed = self._feed, feed
        if before is not None:
            self._intake.end(before, "replaced")


def _lent(feed: Feed) -> bool:
    return feed.session.grant.source is Source.PROVIDER
