"""The link between the parties: one thread, one channel, party 0 leading (specs/party.md, section 3)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from blindsight.blind.party_intake import Feed, Intake
from blindsight.blind.party_list import PartyList, Relation
from blindsight.blind.party_log import PartyLog
from blindsight.blind.party_metrics import Metrics
from blindsight.core.dual_control import named
from blindsight.core.errors import (
    AbortError,
    ConflictError,
    MalformedError,
    ProtocolError,
    TamperedError,
    UnavailableError,
)
from blindsight.schemes.spdz2k.compute import Comparison, Matches, Step
from blindsight.schemes.spdz2k.messages import HEADER_BYTES, Header, Kind
from blindsight.wire.channel import Channel
from blindsight.wire.party_messages import (
    At,
    Confirm,
    Get,
    Go,
    Have,
    Hello,
    Message,
    Records,
    Relay,
    Run,
    Sync,
    parse,
)

M = TypeVar("M", bound=Message)

_log = logging.getLogger(__name__)

_NOTICE_BYTES: Final = HEADER_BYTES + 1
_DISCARDED_BYTES: Final = 1 << 20
_SHORT_WAIT: Final = 0.02
"""Seconds for which party 1 waits for faces that party 0 has."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a party waits, in seconds.

    Attributes:
        round: for a message of a run, or an answer.
        relay: for a proposal with its photos, which may be 64 MiB.
        silence: party 1 takes this long without a command as a loss of the link.
        idle: party 0 synchronises after so long without faces.
        busy: party 0 synchronises this often under load.
        least, most: between attempts to connect.
    """

    round: float = 10.0
    relay: float = 60.0
    silence: float = 10.0
    idle: float = 0.5
    busy: float = 2.0
    least: float = 0.1
    most: float = 5.0


@dataclass(frozen=True, slots=True)
class Alert:
    """Faces that match, agreed by both parties and on both disks.

    Attributes:
        receipt: names the run; the same at both parties, in hex.
        camera: which camera.
        session: its session, in hex.
        matches: face number and entry of each match.
        at: when this party had the result, ISO 8601, UTC.
    """

    receipt: str
    camera: str
    session: str
    matches: tuple[tuple[int, str], ...]
    at: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that has its result.

    Attributes:
        matches: what was found.
        seconds: from taking it up to the result.
        wire_bytes: both ways, proposal and answer included.
        at: when the result was there, of `time.perf_counter`.
    """

    matches: Matches
    seconds: float
    wire_bytes: int
    at: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the link works on and whom it tells."""

    intake: Intake
    lists: PartyList
    log: PartyLog
    metrics: Metrics
    on_alert: Callable[[Alert], None]
    on_run: Callable[[Finished], None]
    on_change: Callable[[], None]
    timing: Timing = field(default_factory=Timing)


class _Aborted(Exception):  # noqa: N818
    """An abort, the step in which it came, and whether the link broke with it."""

    def __init__(self, error: AbortError, step: Step, lost: bool) -> None:
        super().__init__(error.message)
        self.error, self.step, self.lost = error, step, lost


class Conversation:
    """One link with the other party, from the greeting to its end. One thread's."""

    def __init__(self, number: int, channel: Channel, around: Surroundings) -> None:
        self.number, self.channel, self.around = number, channel, around
        self.agreed = False
        self._stopping = threading.Event()
        self._last: tuple[bytes, Feed] | None = None
        self._gave_up = False
        self._synced = 0.0
        self._forked_at = -1

    def stop(self) -> None:
        """Have `converse` return after what is under way."""
        self._stopping.set()
        self.around.intake.wake()

    def converse(self) -> None:
        """Until the link breaks: `ProtocolError`. Returns where it was stopped."""
        self._greet()
        while not self._stopping.is_set():
            if self.number == 0:
                self._lead()
            else:
                self._follow()

    # -- greeting ----------------------------------------------------------------------------

    def _greet(self) -> None:
        log, lists = self.around.log, self.around.lists
        own = log.unresolved()[:256]
        lists.greet()
        hello = self._exchange(Hello(lists.file.state.name, tuple(own)), Hello)
        if hello.name != lists.file.state.name:
            log.append("other-list", theirs=hello.name.hex())
            raise ProtocolError("The other party keeps another watchlist; found one list for both.")
        have = self._exchange(Have(tuple(r for r in hello.unresolved if log.has(r))), Have)
        for receipt in own:
            if receipt in have.receipts:
                self._confirmed(receipt, None)
            else:
                self._unconfirmed(receipt)

    # -- party 0 -----------------------------------------------------------------------------

    def _lead(self) -> None:
        timing = self.around.timing
        if time.monotonic() - self._synced >= timing.busy or not self.agreed:
            self._synchronise()
            if not self.agreed:
                self._stopping.wait(timing.idle)
                return
        proposed = self.around.intake.proposal(timing.idle)
        if proposed is None:
            if not self._stopping.is_set():
                self._synchronise()
            return
        feed, first, count = proposed
        before = self._passed
        begun = time.perf_counter()
        try:
            self._send(Run(feed.id, first, count))
            prepared = self._prepare(feed, first, count)  # while the other party looks what it has
            go = self._answer(Go)
            if (go.first, go.count) != (first, count):
                prepared.forget()
                if go.count == 0:
                    self.around.intake.missed(feed, first, count)
                    return
                if not (first <= go.first and go.first + go.count <= first + count):
                    raise MalformedError("The other party wants to compare faces that nobody proposed.")
                prepared = self._prepare(feed, go.first, go.count)
            self.around.intake.take(feed, go.first, go.count)
            self._run(feed, prepared, begun, before)
        finally:
            if feed.running:
                self.around.intake.finished(feed)

    def _synchronise(self) -> None:
        """Tell each other where the lists stand, and bring them together."""
        lists = self.around.lists
        while not self._stopping.is_set():
            own = lists.sync()
            self._send(own)
            theirs = self._answer(Sync)
            self._synced = time.monotonic()
            relation = lists.relation(theirs.number, theirs.head)
            if relation is Relation.BEHIND:
                self._disagree("behind")
                self._send(lists.records(theirs.number))
                if self._answer(At).number <= theirs.number:
                    self._fork(theirs.number)
                    return
            elif relation is Relation.AHEAD:
                self._disagree("ahead")
                self._send(Get(own.number))
                if not self._take_records(self._answer(Records)):
                    return
            elif relation is Relation.FORK:
                self._fork(theirs.number)
                return
            else:
                self._agree()
                self._relay(own, theirs)
                if not self._order():
                    return

    def _order(self) -> bool:
        """Number what is approved: party 1 writes it, then party 0. Whether there was something."""
        lists = self.around.lists
        record = lists.file.next_record()
        if record is None:
            return False
        self._disagree("changing")
        self._send(Records((record,)))
        if self._answer(At).head != named("record", record):
            raise ProtocolError("The other party does not take a record that both operators signed.")
        lists.take(Records((record,)))
        return True

    def _prepare(self, feed: Feed, first: int, count: int) -> Comparison:
        faces = self.around.intake.look(feed, first, count)
        return feed.session.prepare(faces.material, faces.inputs)

    # -- party 1 -----------------------------------------------------------------------------

    def _follow(self) -> None:
        lists = self.around.lists
        data = self.channel.receive(Records.at_most, self.around.timing.silence)
        if self._noticed(data):
            return
        before, begun = self._passed - len(data) - 4, time.perf_counter()
        command = parse(data, Run, Sync, Get, Records, Confirm)
        match command:
            case Run():
                self._answer_run(command, begun, before)
            case Sync():
                own = lists.sync()
                self._send(own)
                relation = lists.relation(command.number, command.head)
                if relation is Relation.SAME:
                    self._agree()
                    self._relay(own, command)
                elif relation is Relation.FORK:
                    self._fork(command.number)
                else:
                    self._disagree("catching-up")
            case Get(after=after):
                self._send(lists.records(after))
            case Records():
                self._disagree("changing")
                self._take_records(command)
                self._send(lists.at)

    def _answer_run(self, run: Run, begun: float, before: int) -> None:
        claimed = None
        if self.agreed:
            claimed = self.around.intake.claim(run.session, run.first, run.count, _SHORT_WAIT)
        if claimed is None:
            self._send(Go(run.first, 0))
            return
        feed, faces = claimed
        try:
            self._send(Go(faces.first, faces.count))
            prepared = feed.session.prepare(faces.material, faces.inputs)
            self._run(feed, prepared, begun, before)
        finally:
            self.around.intake.finished(feed)

    # -- a run -------------------------------------------------------------------------------

    def _run(self, feed: Feed, prepared: Comparison, begun: float, before: int) -> None:
        intake, metrics = self.around.intake, self.around.metrics
        comparison = feed.session.admit(prepared)
        self._last = Header(Kind.OPEN, feed.id, comparison.first, comparison.count).pack()[4:], feed
        self._gave_up = False
        rounds: list[float] = []
        try:
            self._rounds(comparison, rounds)
        except _Aborted as aborted:
            self._aborted(feed, aborted)
            return
        done = time.perf_counter()
        result = comparison.result
        pairs = result.pairs()
        metrics.faces.inc(comparison.count)
        metrics.matches.inc(len(pairs))
        metrics.run.observe(done - begun)
        for seconds in rounds:
            metrics.round.observe(seconds)
        self.around.on_run(Finished(result, done - begun, self._passed - before, done))
        if pairs:
            self._settle(feed, result, pairs)
        metrics.waiting.set(intake.waiting())
        metrics.dropped.set(intake.dropped)

    def _rounds(self, comparison: Comparison, seconds: list[float]) -> None:
        """All rounds; how long each took goes to ``seconds``. Raises `_Aborted`."""
        message: bytes | None = comparison.start()
        while message is not None:
            began, step, lost = time.perf_counter(), comparison.step, False
            try:
                try:
                    theirs = self.channel.exchange(
                        message, max(comparison.expected_bytes, _NOTICE_BYTES), self.around.timing.round
                    )
                except MalformedError:
                    lost, theirs = True, bytearray()  # announced too much: it is a malformed message
                except UnavailableError:
                    lost = True
                    comparison.vanish()
                seconds.append(time.perf_counter() - began)
                message = comparison.receive(theirs)
            except AbortError as error:
                raise _Aborted(error, step, lost) from error

    def _settle(self, feed: Feed, result: Matches, pairs: list[tuple[int, int]]) -> None:
        """A match: write it down, learn that the other one has, and only then raise the alert."""
        log = self.around.log
        log.append(
            "result",
            receipt=result.receipt.hex(),
            session=feed.id.hex(),
            camera=feed.session.grant.camera,
            digest=feed.session.watchlist.digest.hex(),
            matches=[[face, feed.names[entry]] for face, entry in pairs],
        )
        self._send(Confirm(result.receipt, log.head))
        while True:
            data = self.channel.receive(Confirm.at_most, self.around.timing.round)
            if self._noticed(data):
                self._unconfirmed(result.receipt)
                return
            confirm = parse(data, Confirm)
            if confirm.receipt == result.receipt:
                self._confirmed(result.receipt, confirm.log)
                return

    def _confirmed(self, receipt: bytes, other_log: bytes | None) -> None:
        seen = {} if other_log is None else {"other_log": other_log.hex()}
        self.around.log.append("confirmed", receipt=receipt.hex(), **seen)
        raise_alert(self.around, receipt)

    def _unconfirmed(self, receipt: bytes) -> None:
        self.around.log.append("unconfirmed", receipt=receipt.hex())
        self.around.metrics.alerts.labels("unconfirmed").inc()

    def _aborted(self, feed: Feed, aborted: _Aborted) -> None:
        """Write an abort down, then tell the other party, and take what it had sent already."""
        error, self._gave_up = aborted.error, True
        self.around.metrics.aborts.labels(error.code).inc()
        if error.evidence is not None:
            self.around.log.abort(error.evidence, feed.session.grant.camera)
        self.around.intake.end(feed, error.code)
        _log.warning("%s: %s", error.code, error.message)
        if aborted.lost:
            raise UnavailableError("The link to the other party is lost.")
        if error.notice:
            self.channel.send(error.notice, self.around.timing.round)
            if aborted.step is not Step.CHECK:
                self.channel.receive(_DISCARDED_BYTES, self.around.timing.round)

    def _noticed(self, data: bytes | bytearray) -> bool:
        """Whether this is a notice that the other aborted the last run, of which the result is here."""
        if data[:2] != b"b2":
            return False
        header = Header.parse(data)
        if header.kind is not Kind.ABORT or len(data) != _NOTICE_BYTES or self._last is None:
            raise MalformedError("The other party sent a message of a run that is not under way.")
        last, feed = self._last
        if header.pack()[4:] == last and not self._gave_up:
            self.around.metrics.aborts.labels("abort-counterpart").inc()
            self.around.log.append(
                "abort",
                reason="abort-counterpart",
                session=feed.id.hex(),
                camera=feed.session.grant.camera,
                first=header.first,
                count=header.count,
                evidence=None,
            )
            self.around.intake.end(feed, "abort-counterpart")
        return True

    # -- whether faces are compared ------------------------------------------------------------

    def _agree(self) -> None:
        if self.agreed:
            return
        self.agreed = True
        at = self.around.lists.at
        self.around.log.append("agreed", number=at.number, head=at.head.hex())
        self.around.on_change()

    def _disagree(self, reason: str) -> None:
        if self.agreed:
            self.agreed = False
            self.around.on_change()  # first, so that no session is opened in between
            self.around.intake.end_all("watchlist")
        _log.info("not comparing: %s", reason)

    def _fork(self, number: int) -> None:
        self._disagree("fork")
        if self._forked_at != number:
            self._forked_at = number
            at = self.around.lists.at
            self.around.log.append("fork", number=at.number, head=at.head.hex(), theirs=number)
            _log.error("the watchlists of the two parties differ; `blindsight watchlist diff` says where")

    def _relay(self, own: Sync, theirs: Sync) -> None:
        if own.waiting or theirs.waiting:
            relay = self._exchange(self.around.lists.relay(theirs), Relay, self.around.timing.relay)
            self.around.lists.receive(relay)

    def _take_records(self, records: Records) -> bool:
        """Whether they follow; where they do not, it is a fork."""
        try:
            self.around.lists.take(records)
        except (TamperedError, ConflictError, MalformedError):
            self._fork(self.around.lists.at.number)
            return False
        return True

    # -- messages ----------------------------------------------------------------------------

    @property
    def _passed(self) -> int:
        return self.channel.sent_bytes + self.channel.received_bytes

    def _send(self, message: Message) -> None:
        self.channel.send(message.pack(), self.around.timing.round)

    def _exchange(self, message: Message, wanted: type[M], seconds: float | None = None) -> M:
        wait = self.around.timing.round if seconds is None else seconds
        data = self.channel.exchange(message.pack(), wanted.at_most, wait)
        return parse(data, wanted)

    def _answer(self, wanted: type[M]) -> M:
        """What party 1 says to a command; a notice or a confirmation of the last run may precede it."""
        while True:
            data = self.channel.receive(wanted.at_most, self.around.timing.round)
            if self._noticed(data):
                continue
            answer: Any = parse(data, wanted, Confirm)
            if isinstance(answer, wanted):
                return answer


def raise_alert(around: Surroundings, receipt: bytes) -> None:
    """Hand on the alert of a confirmed result, and log that it was."""
    line = around.log.result(receipt)
    matches = tuple((int(face), str(entry)) for face, entry in line["matches"])
    around.on_alert(Alert(receipt.hex(), line["camera"], line["session"], matches, line["at"]))
    around.log.append("raised", receipt=receipt.hex())
    around.metrics.alerts.labels("raised").inc()
