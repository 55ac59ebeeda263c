"""Who comes through a party's listener, and where they are sent (specs/party.md, sections 1 and 2)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from blindsight.blind.footage_service import FootageService
from blindsight.blind.party_cameras import CameraLink
from blindsight.blind.party_intake import Answers, Feed, Intake, window
from blindsight.blind.party_links import Link
from blindsight.blind.party_list import Compared, PartyList
from blindsight.blind.party_metrics import Metrics
from blindsight.blind.party_provider import ProviderLink
from blindsight.core.errors import MismatchError
from blindsight.schemes.spdz2k.compute import Session
from blindsight.schemes.spdz2k.messages import Kind, Layout
from blindsight.schemes.spdz2k.public import Grant, Source
from blindsight.wire.channel import Channel
from blindsight.wire.footage_messages import PURPOSE
from blindsight.wire.party_messages import State
from blindsight.wire.tls import Peer


class Door:
    """All cameras and providers that are connected to a party, and who else comes through its listener."""

    def __init__(
        self,
        party: int,
        intake: Intake,
        lists: PartyList,
        metrics: Metrics,
        on_peer: Callable[[Channel], None],
        footage: FootageService,
    ) -> None:
        self.metrics, self._footage = metrics, footage
        self._party = party
        self._intake, self.lists, self._on_peer = intake, lists, on_peer
        self._lock = threading.Lock()
        self._links: dict[tuple[str, str], Link] = {}
        self._open = False
        self._reason = "counterpart"

    @property
    def roles(self) -> tuple[str, ...]:
        """Who may come in."""
        everybody = ("camera", "provider", "revealer")
        return (*everybody, "party0") if self._party else everybody

    def camera(self, name: str) -> CameraLink | None:
        """The camera of this name, if it is connected."""
        with self._lock:
            link = self._links.get(("camera", name))
        return link if isinstance(link, CameraLink) else None

    def begin(self, grant: Grant, source: Source, dealer: Peer, answers: Answers) -> Feed:
        """Open a session that this dealer grants.

        Raises:
            MismatchError: not for this party or the present list, or of somebody who may not now.

        """
        compared = self.open_list()
        if compared is None:
            raise MismatchError("Faces are not compared now.")
        if (grant.party, grant.source) != (self._party, source):
            raise MismatchError("This grant is for another party, or of another source.")
        if dealer.until < datetime.now(UTC):
            raise MismatchError(f"The {dealer.role}'s certificate has expired.")
        feed = Feed(Session(grant, compared.watchlist), compared.names, answers)
        self._intake.open(feed)
        if self.open_list() is not compared:  # it changed in the meantime
            self._intake.end(feed, "watchlist")
        return feed

    def open_list(self) -> Compared | None:
        """The list that sessions may be opened for; None where faces are not compared now."""
        return self.lists.compared if self._open else None

    def set_open(self, agreed: bool, reason: str) -> None:
        """Say whether faces are compared, and tell all cameras what the list is."""
        self._open, self._reason = agreed and self.lists.compared is not None, reason
        self.metrics.agreed.set(self._open)
        message = self.state().pack()
        with self._lock:
            for link in self._links.values():
                link.post(message)

    def state(self) -> State:
        """What cameras are told."""
        founding, compared = self.lists.file.state.founding, self.lists.compared
        head = self.lists.file.state.head
        wide = 1
        if compared is not None:
            layout = Layout(compared.watchlist.params, len(compared.names))
            wide = window(layout.size((Kind.MATERIAL_0, Kind.MATERIAL_1)[self._party], 1))
        return State(
            party=self._party,
            open=self._open,
            reason="" if self._open else ("empty" if compared is None else self._reason),
            model_id=founding.model_id,
            normalised=founding.normalised,
            dimension=founding.dimension,
            scale=founding.scale,
            norm=founding.norm,
            value_bits=founding.value_bits,
            entries=0 if compared is None else len(compared.names),
            digest=bytes(32) if compared is None else compared.watchlist.digest,
            head=head,
            window=wide,
        )

    def receive(self, channel: Channel) -> None:
        """Serve a connection, until it ends."""
        if channel.peer.role == "party0":
            self._on_peer(channel)
        elif channel.peer.role == "revealer":
            self._footage.attend_revealer(channel)
        elif channel.purpose == PURPOSE:
            self._footage.attend_camera(channel)
        else:
            self._attend(channel)

    def _attend(self, channel: Channel) -> None:
        make = CameraLink if channel.peer.role == "camera" else ProviderLink
        link = make(channel, self._party, self._intake, self)
        with self._lock:
            before = self._links.get((link.role, link.name))
            self._links[link.role, link.name] = link
            self._count()
        if before is not None:
            before.close()
        try:
            link.serve()
        finally:
            with self._lock:
                if self._links.get((link.role, link.name)) is link:
                    del self._links[link.role, link.name]
                self._count()

    def _count(self) -> None:
        self.metrics.cameras.set(sum(role == "camera" for role, _ in self._links))

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            links = list(self._links.values())
        for link in links:
            link.close()
