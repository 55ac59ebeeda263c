"""A party's half of the protocol: messages in, messages out, no input or output of its own.

`Session` is one camera session; `Comparison` is one run over some of its faces:

    comparison = session.begin(material, inputs)      # or prepare, then admit
    opening = comparison.start()                      # send
    bits = comparison.receive(their_opening)          # check first, then send
    check = comparison.receive(their_bits)            # send
    comparison.receive(their_check)                   # None: done
    comparison.result

Whatever is wrong with a message raises an `AbortError` that carries evidence and a notice for the
other party; the session is over then. Specification, sections 3, 6, 9 and 10.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import (
    AbortError,
    CounterpartAbortError,
    MalformedError,
    MalformedMessageError,
    MismatchError,
    OtherWatchlistError,
    ReplayedError,
    SessionOverError,
    UsageError,
    VanishedError,
    WrongOpeningError,
    WrongResultError,
)
from blindsight.core.evidence import Evidence
from blindsight.core.types import U8, frozen
from blindsight.kernels import dcf
from blindsight.kernels.distances import distances
from blindsight.schemes.spdz2k.expand import expand
from blindsight.schemes.spdz2k.messages import (
    HASH_BYTES,
    HEADER_BYTES,
    NAMED_BYTES,
    U64,
    Header,
    Kind,
    Message,
    body_words,
    pack_bits,
    unpack_bits,
)
from blindsight.schemes.spdz2k.public import Grant, generator_key, msb_mask, require_params
from blindsight.schemes.spdz2k.watchlist import Watchlist

CLAIM: Final = Claim.ACTIVE_2PC

LEAKAGE: Final = Leakage(
    learns=(
        (
            "party",
            (
                "for every face and every entry whether the squared distance is below the threshold",
                "how many faces a camera sends, real and dummies together, and when",
                "the watchlist, which it agreed to",
            ),
        ),
        ("camera", ("the face that it sees", "how many entries the watchlist has, and when it changes")),
        ("provider", ("for how many faces it deals, and when", "how many entries the watchlist has")),
    ),
    not_claimed=(
        "fairness: a party that stops after the second round has the bits of that run and the other has not; "
        "this ends the session and is on record",
        "anything once both parties, or a party and the dealer, work together",
        "that few bits say little: many entries close to each other, or a large threshold, locate a face; "
        "this is for the parties to refuse when they agree on entries",
        "that a camera sends what it saw: a camera that lies is believed",
    ),
)

_USED: Final = "These faces were begun before; nothing that was dealt is used twice."

_REASONS: Final[dict[int, type[AbortError]]] = {
    1: MalformedMessageError,
    2: WrongOpeningError,
    3: WrongResultError,
    4: OtherWatchlistError,
    5: ReplayedError,
    6: CounterpartAbortError,
    7: VanishedError,
}
_NUMBERS: Final = {cls: number for number, cls in _REASONS.items()}


@dataclass(frozen=True, slots=True)
class Matches:
    """The result of a run, checked.

    Attributes:
        session: the camera session, 16 bytes.
        first: number of the first face.
        bits: bool (count, N): which faces match which entries; read-only.
        receipt: 32 bytes that name the run; the same on both sides.
    """

    session: bytes
    first: int
    bits: NDArray[np.bool_]
    receipt: bytes

    def pairs(self) -> list[tuple[int, int]]:
        """All (face number, entry) that match."""
        return [(self.first + int(f), int(j)) for f, j in zip(*np.nonzero(self.bits), strict=True)]


class Step(IntEnum):
    """What a run waits for."""

    PREPARED = 0
    START = 1
    OPEN = 2
    BITS = 3
    CHECK = 4
    DONE = 5
    ABORTED = 6


_EXPECTED: Final = {Step.OPEN: Kind.OPEN, Step.BITS: Kind.BITS, Step.CHECK: Kind.CHECK}


class Session:
    """One camera session as one party sees it; safe to share between threads.

    Args:
        grant: from the dealer, for this party.
        watchlist: this party's own agreed state.

    Raises:
        ParamsMismatchError: the grant is for other parameters.
        MismatchError: the grant is for another watchlist; the camera has to open a new session.

    """

    def __init__(self, grant: Grant, watchlist: Watchlist) -> None:
        require_params(grant.params, watchlist.params)
        if grant.entries != len(watchlist) or not hmac.compare_digest(grant.watchlist, watchlist.digest):
            raise MismatchError("The camera's session is for another state of the watchlist; open a new one.")
        self.grant = grant
        self.watchlist = watchlist
        self.lock = threading.RLock()
        entries = watchlist.entries.astype(np.int64)
        added = np.einsum("ij,ij->i", entries, entries) - watchlist.threshold
        self.added: U64 = frozen(added.astype(np.uint64))  # |c|² - t
        self.alpha: U64 = np.array([grant.alpha], np.uint64)
        self._next = 0
        self._running: Comparison | None = None
        self._over = False

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self._over

    @property
    def next(self) -> int:
        """The lowest face number that may still be begun."""
        return self._next

    def begin(self, material: Message, inputs: Message) -> Comparison:
        """Begin a run; its face numbers are used up from here on.

        Args:
            material: this party's material message of some faces.
            inputs: the camera's inputs message of the same faces.

        Raises:
            SessionOverError: the session has ended, or a run is under way.
            MalformedError: not such messages, or not of the same faces.
            MismatchError: of another session, or of faces that were begun before.

        """
        with self.lock:
            self._require_free()
            return self.admit(self._comparison(material, inputs))

    def prepare(self, material: Message, inputs: Message) -> Comparison:
        """The part of a run that needs no message, ahead of `admit`: uses no number up and sends nothing.

        Arguments and errors are those of `begin`. Call `Comparison.forget` on one that is not admitted.
        """
        with self.lock:
            self.require()
            return self._comparison(material, inputs)

    def admit(self, comparison: Comparison) -> Comparison:
        """Begin a run that was prepared; see `begin`."""
        with self.lock:
            self._require_free()
            if comparison.first < self._next:
                raise MismatchError(_USED)
            comparison.admit()
            self._running = comparison
            self._next = comparison.first + comparison.count
            return comparison

    def _require_free(self) -> None:
        self.require()
        if self._running is not None:
            raise SessionOverError("Runs of one camera session follow each other; finish the last one first.")

    def _comparison(self, material: Message, inputs: Message) -> Comparison:
        """What `begin` makes; a cheating party of a test makes something else."""
        return Comparison(self, material, inputs)

    def require(self) -> None:
        """Raise `SessionOverError` unless the session is alive."""
        if self._over:
            raise SessionOverError("This camera session has ended; the camera must open another.")

    def finished(self) -> None:
        """A run has its result; the next may begin."""
        self._running = None

    def end(self) -> None:
        """End the session and forget its key; also what an abort does.

        To be called too when the other party's notice of an abort arrives after this party had
        its result: the other one has none.
        """
        with self.lock:
            self._over = True
            self.alpha.fill(0)
            if self._running is not None:
                self._running.forget()
                self._running = None


class Comparison:
    """One run: some faces against the whole watchlist. Made by `Session.begin`."""

    def __init__(self, session: Session, material: Message, inputs: Message) -> None:
        self._session = session
        self._grant = grant = session.grant
        layout = grant.layout
        kind = (Kind.MATERIAL_0, Kind.MATERIAL_1)[grant.party]
        header, other = Header.parse(memoryview(material)), Header.parse(memoryview(inputs))
        if header.kind is not kind or other.kind is not Kind.INPUTS:
            raise MalformedError("A run begins with this party's material and the camera's inputs.")
        if len(material) != layout.size(kind, header.count) or header.count > layout.most_faces:
            raise MalformedError("This material does not have the size that its faces need.")
        if len(inputs) != layout.size(Kind.INPUTS, other.count):
            raise MalformedError("These inputs do not have the size that their faces need.")
        if (header.first, header.count) != (other.first, other.count):
            raise MalformedError("The material and the inputs are not of the same faces.")
        if header.session != grant.session or other.session != grant.session:
            raise MismatchError("The material or the inputs belong to another session.")
        if header.first < session.next:
            raise MismatchError(_USED)
        self.first, self.count = header.first, header.count
        self._step = Step.PREPARED
        self._sent: list[bytes] = []
        self._received: list[bytes] = []
        self._result: Matches | None = None
        self._words = body_words(material, header)
        self._prepare(body_words(inputs, other))

    # -- what the caller does ---------------------------------------------------------------------

    @property
    def step(self) -> Step:
        """What the run waits for."""
        return self._step

    @property
    def expected_bytes(self) -> int:
        """Length of the message that `receive` waits for; an abort, which is shorter, may come instead."""
        return self._grant.layout.size(_EXPECTED[self._step], self.count) if self._step in _EXPECTED else 0

    @property
    def result(self) -> Matches:
        """The matches; `UsageError` before the run is through."""
        if self._result is None:
            raise UsageError("This run has no result.")
        return self._result

    def admit(self) -> None:
        """Its numbers are used up now. Called by `Session.admit`."""
        self._require(Step.PREPARED)
        self._step = Step.START

    def start(self) -> bytes:
        """Round 1: the opening to send."""
        with self._session.lock:
            self._require(Step.START)
            return self._send(Step.OPEN, self._open())

    def receive(self, message: Message) -> bytes | None:
        """Take the other party's next message; what to send then, or None when the run is through.

        Raises:
            AbortError: one of its kinds; the session is over. Send its ``notice`` where there is one.
            SessionOverError: the session ended in the meantime.
            UsageError: nothing is expected now.

        """
        with self._session.lock:
            self._require(*_EXPECTED)
            # One byte too many is enough to refuse a message; evidence need not hold gigabytes of it.
            message = bytes(memoryview(message)[: self.expected_bytes + 1])
            self._received.append(message)
            self._check_header(message)
            if self._step is Step.OPEN:
                return self._send(Step.BITS, self._bits(message))
            if self._step is Step.BITS:
                return self._send(Step.CHECK, self._check(message))
            self._finish(message)
            return None

    def vanish(self) -> NoReturn:
        """The other party did not answer, or is gone: end the session. Raises `VanishedError`."""
        with self._session.lock:
            self._require(Step.START, *_EXPECTED)
            self._abort(
                VanishedError, "The other party did not answer; the camera must open another session."
            )

    # -- round 1 ----------------------------------------------------------------------------------

    def _prepare(self, inputs: U64) -> None:
        """Shares, tags and keys of m = D - t + r, all local (section 3)."""
        session, grant, d = self._session, self._grant, self._grant.params.dimension + 1
        half = expand(self._words, grant.layout, grant.party)
        public = np.empty((self.count, grant.layout.values), np.uint64)
        public[:, :d], public[:, d:] = inputs, session.added
        if grant.party == 0:
            half.values[:, 0] += public
        else:
            public *= session.alpha
            half.values[:, 2] -= public
        rows = half.values.reshape(-1, grant.layout.values)
        linear = distances(session.watchlist.entries, rows).reshape(self.count, 3, -1)
        self._shares, self._tags, self._keys = linear[:, 0], linear[:, 1], linear[:, 2]
        self._half = half
        public.fill(0)

    def _open(self) -> bytes:
        header = self._header(Kind.OPEN)
        shares = self._shares.astype("<u8", copy=False).tobytes()
        proof = self._tag_hash(self._grant.party, header, shares, self._tags)
        return header + self._session.watchlist.digest[:NAMED_BYTES] + shares + proof

    def _tag_hash(self, party: int, header: bytes, shares: bytes, tags: U64) -> bytes:
        hashed = hashlib.sha256(b"open" + bytes([party]) + self._grant.context + header)
        hashed.update(shares)
        hashed.update(tags.astype("<u8", copy=False).tobytes())
        return hashed.digest()

    # -- round 2 ----------------------------------------------------------------------------------

    def _bits(self, message: bytes) -> bytes:
        digest = self._session.watchlist.digest[:NAMED_BYTES]
        if not hmac.compare_digest(message[HEADER_BYTES : HEADER_BYTES + NAMED_BYTES], digest):
            self._abort(OtherWatchlistError, "The other party has another watchlist; compare the two.")
        body = message[HEADER_BYTES + NAMED_BYTES : -HASH_BYTES]
        theirs = np.frombuffer(body, "<u8").reshape(self.count, -1)
        tags = self._session.alpha * theirs + self._keys
        proof = self._tag_hash(1 - self._grant.party, message[:HEADER_BYTES], body, tags)
        if not hmac.compare_digest(proof, message[-HASH_BYTES:]):
            self._abort(WrongOpeningError, "The other party opened values that it was not dealt.")
        self._u = self._tokens(self._shares + theirs)
        self._own_bits: U8 = (self._u[..., 0] & np.uint64(1)).astype(np.uint8)
        return self._header(Kind.BITS) + pack_bits(self._own_bits)

    def _tokens(self, opened: U64) -> U64:
        """u: XOR shares of match·Δ, uint64 (count, N, 2)."""
        grant, half = self._grant, self._half
        params = grant.params
        u = dcf.evaluate(
            grant.party,
            opened & np.uint64(2**params.levels - 1),
            half.roots,
            self._words,
            grant.layout.corrections_at(grant.party),
            params.levels,
            [generator_key(grant.session, self.first + i) for i in range(self.count)],
        )
        u ^= half.offset
        u ^= msb_mask(opened, params)[..., np.newaxis] & half.payload
        return u

    # -- round 3 ----------------------------------------------------------------------------------

    def _check(self, message: bytes) -> bytes:
        try:
            theirs = unpack_bits(message[HEADER_BYTES:], self.count, self._grant.entries)
        except MalformedError:
            self._abort(MalformedMessageError, "The other party's bits are not as the specification says.")
        self._match = self._own_bits ^ theirs
        self._chosen = self._choose()
        return self._header(Kind.CHECK) + self._result_hash(self._grant.party)

    def _result_hash(self, party: int) -> bytes:
        """What this party sends, and what the other one must send: they differ in the role alone."""
        return self._transcript_hash(b"check" + bytes([party]), self._chosen)

    def _choose(self) -> bytes:
        """All z: what is left of a token once the match is taken out; the same on both sides."""
        mask = np.uint64(0) - self._match.astype(np.uint64)
        z = self._u ^ (mask[..., np.newaxis] & self._half.payload)
        return z.astype("<u8", copy=False).tobytes()

    def _transcript_hash(self, label: bytes, last: bytes = b"") -> bytes:
        hashed = hashlib.sha256(label + self._grant.context)
        for own, other in zip(self._sent[:2], self._received[:2], strict=True):
            for message in (other, own) if self._grant.party else (own, other):
                hashed.update(message)
        hashed.update(last)
        return hashed.digest()

    def _finish(self, message: bytes) -> None:
        expected = self._result_hash(1 - self._grant.party)
        if not hmac.compare_digest(expected, message[HEADER_BYTES:]):
            self._abort(WrongResultError, "The other party's bits are not what it was dealt.")
        bits = frozen(self._match.astype(np.bool_))
        self._result = Matches(self._grant.session, self.first, bits, self._transcript_hash(b"receipt"))
        self._step = Step.DONE
        self._wipe()
        self._session.finished()

    # -- every round ------------------------------------------------------------------------------

    def _header(self, kind: Kind) -> bytes:
        return Header(kind, self._grant.session, self.first, self.count).pack()

    def _send(self, following: Step, message: bytes) -> bytes:
        self._sent.append(message)
        self._step = following
        return message

    def _require(self, *steps: Step) -> None:
        if self._step is Step.ABORTED:
            raise SessionOverError("This run was aborted; the camera must open another session.")
        if self._step not in steps:
            raise UsageError("This run does not expect that now.")
        self._session.require()

    def _check_header(self, message: bytes) -> None:
        layout, wanted = self._grant.layout, _EXPECTED[self._step]
        try:
            header = Header.parse(message)
        except MalformedError:
            self._abort(MalformedMessageError, "The other party sent something that is no message.")
        if (header.session, header.first, header.count) != (self._grant.session, self.first, self.count):
            self._abort(ReplayedError, "The other party's message belongs to other faces.")
        if header.kind is Kind.ABORT and len(message) == layout.size(Kind.ABORT, self.count):
            self._abort(CounterpartAbortError, "The other party aborted; its log says why.")
        if header.kind is not wanted or len(message) != layout.size(wanted, self.count):
            self._abort(MalformedMessageError, "The other party's message is not what is due now.")

    def _abort(self, cls: type[AbortError], sentence: str) -> NoReturn:
        """End the run and the session; evidence holds messages only, and no message holds a secret."""
        notice = b""
        if cls not in (CounterpartAbortError, VanishedError):
            notice = self._header(Kind.ABORT) + bytes([_NUMBERS[cls]])
            self._sent.append(notice)
        evidence = Evidence(
            cls.code,
            self._grant.party,
            self._grant.session,
            self.first,
            self.count,
            self._session.watchlist.digest,
            tuple(self._sent),
            tuple(self._received),
        )
        self._session.end()
        raise cls(sentence, evidence, notice)

    def forget(self) -> None:
        """Give up: what was dealt for this run is overwritten. Called by `Session.end`."""
        self._step = Step.ABORTED
        self._wipe()

    def _wipe(self) -> None:
        self._half.wipe()
        for array in (self._shares, self._tags, self._keys):
            array.fill(0)
