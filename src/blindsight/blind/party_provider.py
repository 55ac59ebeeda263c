"""A provider's connection to a party: sessions and material for cameras that do not deal themselves.

Specification: specs/party.md, section 2.1.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from blindsight.blind.party_intake import Answers, Feed, Intake
from blindsight.blind.party_links import Link
from blindsight.core.errors import BlindsightError, MismatchError
from blindsight.schemes.spdz2k.messages import Header, Kind, Layout
from blindsight.schemes.spdz2k.public import Grant, Source
from blindsight.wire.channel import Channel
from blindsight.wire.party_messages import Stored

if TYPE_CHECKING:
    from blindsight.blind.party_door import Door

_log = logging.getLogger(__name__)


class _Both:
    """Tells the provider and the camera."""

    def __init__(self, *ends: Answers) -> None:
        self._ends = ends

    def credit(self, session: bytes, faces: int) -> None:
        for end in self._ends:
            end.credit(session, faces)

    def over(self, session: bytes, reason: str) -> None:
        for end in self._ends:
            end.over(session, reason)


class ProviderLink(Link):
    """One provider, in a session for each camera that it deals for."""

    def __init__(self, channel: Channel, party: int, intake: Intake, door: Door) -> None:
        super().__init__(channel, party, intake, door)
        self._feeds: dict[bytes, Feed] = {}
        self._last: list[Layout] = []

    def over(self, session: bytes, reason: str) -> None:
        self._feeds.pop(session, None)
        super().over(session, reason)

    def _layouts(self) -> list[Layout]:
        return list(self._last)

    def _ended(self) -> None:
        for feed in list(self._feeds.values()):
            self._intake.end(feed, "provider")

    def _take(self, message: bytearray) -> None:
        header = Header.parse(message)
        if header.kind is Kind.GRANT:
            self._open(Grant.parse(bytes(message)))
            return
        feed = self._feeds.get(header.session)
        if feed is None:
            return  # sent before the provider knew that it is over
        if self._put(feed, message, header.kind is not Kind.INPUTS):
            self._outbox.append(Stored(feed.id, header.first + header.count).pack())

    def _open(self, grant: Grant) -> None:
        camera = self._door.camera(grant.camera)
        try:
            if camera is None:
                raise MismatchError("A provider deals for a camera that is not connected.")
            feed = self._door.begin(grant, Source.PROVIDER, self._channel.peer, _Both(self, camera))
        except BlindsightError as error:
            self._refuse(grant.session, error)
            return
        self._last = [grant.layout]
        self._feeds[feed.id] = feed
        if not camera.lend(feed):
            _log.warning("provider %s: camera %s has gone, or deals itself", self.name, camera.name)
            self._intake.end(feed, "refused")
        if feed.over:  # and said so before this knew of it
            self._feeds.pop(feed.id, None)
