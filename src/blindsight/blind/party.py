"""One of the two parties as a long-running process (specs/party.md).

It learns which faces match which entries, and sees neither a face nor what the other party holds.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from blindsight.blind.dual_control import WatchlistFile
from blindsight.blind.folder import DataFolder
from blindsight.blind.footage_service import FootageService
from blindsight.blind.footage_store import Limits
from blindsight.blind.party_door import Door
from blindsight.blind.party_intake import Intake
from blindsight.blind.party_list import PartyList
from blindsight.blind.party_log import PartyLog
from blindsight.blind.party_metrics import Metrics
from blindsight.blind.party_peer import Alert, Conversation, Finished, Surroundings, Timing, raise_alert
from blindsight.blind.party_warm import warm
from blindsight.core.errors import ProtocolError, StorageFullError, UsageError
from blindsight.wire.channel import Channel, connect
from blindsight.wire.listener import Listener
from blindsight.wire.tls import Identity

__all__ = ["Alert", "Finished", "Party", "Timing"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5


def _nothing(_: object) -> None:
    pass


class Party:
    """Party ``number``, listening when this returns. `run` serves until `stop`.

    Args:
        number: 0 or 1; the identity must be that party's.
        identity: its key and certificate, and those it trusts.
        watchlist: its copy of the list; no other party process may have it open.
        data: folder of log and evidence; made where there is none, held by this process alone.
        listen: host and port; port 0 takes a free one.
        peer: where party 1 listens; needed for party 0 and for no other.
        on_alert: called for each alert, from the thread that owns the link to the other party.
        on_run: called for each finished run, likewise.
        timing: how long to wait.
        footage: how much footage is kept.

    Raises:
        UsageError: an argument that cannot be used.
        TamperedError: the log or the watchlist was altered.

    """

    def __init__(
        self,
        number: int,
        identity: Identity,
        watchlist: Path,
        data: Path,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        peer: tuple[str, int] | None = None,
        *,
        on_alert: Callable[[Alert], None] = _nothing,
        on_run: Callable[[Finished], None] = _nothing,
        timing: Timing | None = None,
        footage: Limits | None = None,
    ) -> None:
        if identity.own.role != f"party{number}":
            raise UsageError(
                f"The identity in {identity.folder} is a {identity.own.role}'s, not party {number}'s."
            )
        if (peer is None) != (number == 1):
            raise UsageError("Party 0 needs the address of party 1, and party 1 waits for party 0.")
        self.number, self._identity, self._peer = number, identity, peer
        warm(number)
        self._folder = DataFolder(data)
        self._file = WatchlistFile(watchlist)
        self.log = PartyLog(data)
        self.metrics, self._intake, self._lists = Metrics(), Intake(), PartyList(self._file)
        self._around = Surroundings(
            self._intake, self._lists, self.log, self.metrics, on_alert, on_run, self._changed,
            timing or Timing(),
        )  # fmt: skip
        self._footage = FootageService(
            number, data, self.log, self.metrics, self._file.state.founding.operators, footage
        )
        self._door = Door(number, self._intake, self._lists, self.metrics, self._take_peer, self._footage)
        self._listener = Listener(
            identity, listen, self._door.roles, self._door.receive,
            lambda why: self.metrics.refused.labels(why).inc(),
        )  # fmt: skip
        self._channels: queue.SimpleQueue[Channel] = queue.SimpleQueue()
        self._channel: Channel | None = None
        self._conversation: Conversation | None = None
        self._stopping = threading.Event()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._listener.address

    def run(self) -> None:
        """Serve until `stop`. Raises what makes going on impossible, such as a full disk of the log."""
        self.log.append("opened", party=self.number)
        for receipt in self.log.not_raised():
            raise_alert(self._around, receipt)
        self._footage.start()
        threading.Thread(target=self._listener.run, name="listener", daemon=True).start()
        try:
            self._converse()
        finally:
            self._listener.close()
            self._door.close()
            self._intake.end_all("stopping")
            self._footage.close()
            self.log.close()
            self._file.close()
            self._folder.close()

    def stop(self) -> None:
        """Have `run` return soon. From any thread, or a signal handler's."""
        self._stopping.set()
        conversation, channel = self._conversation, self._channel
        if conversation is not None:
            conversation.stop()
        if channel is not None and self.number == 1:
            channel.close()

    # -- the link to the other party -----------------------------------------------------------

    def _converse(self) -> None:
        timing = self._around.timing
        pause = timing.least
        while not self._stopping.is_set():
            try:
                channel = self._next_channel()
            except ProtocolError as error:
                _log.info("%s", error.message)
                self._stopping.wait(pause)
                pause = min(2 * pause, timing.most)
                continue
            if channel is None:
                continue
            _log.info(
                "%s is connected, key exchange %s", channel.peer.role, channel.group or "as OpenSSL chose"
            )
            conversation = Conversation(self.number, channel, self._around)
            self._channel, self._conversation = channel, conversation
            try:
                with channel:
                    if not self._stopping.is_set():
                        conversation.converse()
            except StorageFullError:
                raise
            except ProtocolError as error:
                if not self._stopping.is_set():  # else it is how the link ends
                    _log.warning("the link to the other party: %s", error.message)
            finally:
                if conversation.agreed:
                    pause = timing.least
                self._channel = self._conversation = None
                conversation.agreed = False
                self._door.set_open(False, "counterpart")
                self._intake.end_all("counterpart")
            if not self._stopping.is_set() and self.number == 0:
                self._stopping.wait(pause)
                pause = min(2 * pause, timing.most)

    def _next_channel(self) -> Channel | None:
        if self._peer is not None:
            return connect(self._identity, *self._peer, "party1")
        try:
            channel = self._channels.get(timeout=_LOOK_SECONDS)
            while not self._channels.empty():
                channel.close()
                channel = self._channels.get()
        except queue.Empty:
            return None
        return channel

    def _take_peer(self, channel: Channel) -> None:
        """Party 0 has connected: whatever link there was is no more."""
        self._channels.put(channel)
        before = self._channel
        if before is not None:
            before.close()

    def _changed(self) -> None:
        conversation = self._conversation
        self._door.set_open(conversation is not None and conversation.agreed, "watchlist")
