"""The shapes of a private sum: what a user, the aggregator and the key holder each offer.

One *round* adds one vector of integers of each user. In every *stage* of it the aggregator sends a
request to each user that is still there, and each answers with one message; whoever does not
answer is gone for the round. A scheme has one stage (Paillier, DPHE, BFV) or five (masking). At
the end stands a *total*, which the key holder opens; where no key is needed (masking), opening is
only parsing. Every step takes a message and returns messages: no sockets, no files, no clock.

Bytes are those of ``specs/secure-sums.md``, section 3.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np

from blindsight.core.errors import (
    BlindsightError,
    DimensionError,
    KeyMismatchError,
    MalformedError,
    ParameterError,
    ParamsMismatchError,
    RoundError,
    TooFewError,
    VectorError,
)
from blindsight.core.types import I64, AnyArray, frozen

_HEAD: Final = struct.Struct("<4sBB16s16sIHI")
HEAD_BYTES: Final = _HEAD.size
_MAGIC: Final = b"BSUM"
_VERSION: Final = 1
AGGREGATOR: Final = 0xFFFF
"""The sender's number in what the aggregator sends."""

MOST_USERS: Final = 10_000
MOST_WEIGHTS: Final = 1 << 26
LAST_ROUND: Final = (1 << 32) - 1


class Kind(IntEnum):
    """What a message is."""

    REQUEST = 1
    UPDATE = 2
    TOTAL = 3
    ADVERT = 4
    PEERS = 5
    SHARES = 6
    INBOX = 7
    MASKED = 8
    SURVIVORS = 9
    SIGNATURE = 10
    WITNESSES = 11
    REVEALED = 12


@dataclass(frozen=True, slots=True)
class RoundId:
    """What every message of a round is bound to.

    Attributes:
        params: 16 bytes that name the parameter set, see `params_digest`.
        key: 16 bytes that name the key, or the group where there is no key.
        number: of the round, 1 to 2^32 - 1; rounds of one key only count up.
    """

    params: bytes
    key: bytes
    number: int

    def __post_init__(self) -> None:
        if len(self.params) != 16 or len(self.key) != 16 or not 1 <= self.number <= LAST_ROUND:
            raise ParameterError("A round has two names of 16 bytes and a number from 1 to 2^32 - 1.")

    def pack(self, kind: Kind, user: int, body: bytes = b"") -> bytes:
        """A message of this round."""
        return _HEAD.pack(_MAGIC, _VERSION, kind, self.params, self.key, self.number, user, len(body)) + body

    def pack_place(self, user: int) -> bytes:
        """Parameters, key, round and user as bytes, for what is hashed or signed."""
        return self.params + self.key + struct.pack("<IH", self.number, user)

    def parse(self, data: bytes, kind: Kind, user: int, low: int, high: int) -> bytes:
        """The body, of ``low`` to ``high`` bytes, of a message of this round by this sender.

        Raises:
            MalformedError: not such a message, or of another length.
            ParamsMismatchError, KeyMismatchError, RoundError: it belongs elsewhere.
        """
        if not isinstance(data, bytes) or not HEAD_BYTES + low <= len(data) <= HEAD_BYTES + high:
            raise MalformedError("A message of a private sum has another length than its parameters say.")
        magic, version, found, params, key, number, sender, length = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != _VERSION or length != len(data) - HEAD_BYTES:
            raise MalformedError("This is not a message of a private sum, or it was damaged on the way.")
        if params != self.params:
            raise ParamsMismatchError("An update was made with other parameters; use the federation's.")
        if key != self.key:
            raise KeyMismatchError("An update was made under another key; use the federation's.")
        if number != self.number or found != kind:
            raise RoundError(f"A message of round {number} came where round {self.number} is; it is refused.")
        if sender != user:
            raise MalformedError("A message names another sender than the one it came from.")
        return data[HEAD_BYTES:]


def params_digest(wire: Mapping[str, int | str]) -> bytes:
    """16 bytes that name a parameter set: of SHA-256 over its canonical JSON."""
    return hashlib.sha256(json.dumps(dict(wire), sort_keys=True).encode()).digest()[:16]


# -- values ----------------------------------------------------------------------------------


class SumParams(Protocol):
    """A parameter set of a summing scheme: frozen, refused at construction if bad."""

    @property
    def scheme(self) -> str: ...

    @property
    def weights(self) -> int:
        """Integers in an update."""
        ...

    @property
    def users(self) -> int:
        """Most users of a round; the guard bits are for as many."""
        ...

    @property
    def minimum(self) -> int:
        """Fewest users whose sum is opened."""
        ...

    @property
    def bits(self) -> int:
        """Bits of one integer, its sign included: from -(2^(bits-1) - 1) to 2^(bits-1) - 1."""
        ...

    @property
    def largest_total(self) -> int:
        """The longest body of a total, in bytes."""
        ...

    def wire(self) -> dict[str, int | str]: ...


def check_shape(weights: int, users: int, minimum: int, bits: int) -> None:
    """What every parameter set must obey; raises `ParameterError`."""
    if not all(type(n) is int for n in (weights, users, minimum, bits)):
        raise ParameterError("Parameters of a private sum are integers.")
    if not 1 <= weights <= MOST_WEIGHTS:
        raise ParameterError(f"An update has 1 to {MOST_WEIGHTS} weights, not {weights}.")
    if not 2 <= minimum <= users <= MOST_USERS:
        raise ParameterError(
            f"A sum is of at least 2 and at most {MOST_USERS} users; of one it hides nothing."
        )
    if not 2 <= bits <= 32:
        raise ParameterError(f"A weight has 2 to 32 bits, not {bits}.")


def checked_values(params: SumParams, values: AnyArray) -> I64:
    """An update as int64 (weights,), or `DimensionError`, `VectorError`."""
    array = np.asarray(values)
    if array.shape != (params.weights,) or array.dtype.kind not in "iu":
        raise DimensionError(f"An update is {params.weights} integers, not an array of shape {array.shape}.")
    most = (1 << (params.bits - 1)) - 1
    if array.max() > most or array.min() < -most:
        raise VectorError(
            f"A weight lies outside the fixed-point range of {params.bits} bits; clip the update, or take "
            "a coarser scale or more bits."
        )
    return array.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Opened:
    """A sum in the clear: int64 (weights,), and whose updates are in it, ascending."""

    values: I64
    users: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", frozen(self.values))


# -- the three roles -------------------------------------------------------------------------


class SumUser(Protocol):
    """One user in one round. Refuses what a lying aggregator might ask."""

    def answer(self, request: bytes) -> bytes:
        """The next message; raises a `ProtocolError` for a request that must not be answered."""
        ...


class SumServer(Protocol):
    """The aggregator in one round; there is no place in it for a secret or a plaintext update."""

    @property
    def finished(self) -> bool:
        """Whether `total` can be asked for."""
        ...

    def requests(self) -> dict[int, bytes]:
        """What to send now, by user."""
        ...

    def receive(self, replies: Mapping[int, bytes]) -> dict[int, BlindsightError]:
        """Take the answers of this stage; returns whose were refused, and why.

        Raises `TooFewError` where too few are left.
        """
        ...

    def total(self) -> bytes:
        """The message for whoever opens the sum."""
        ...


class SumKeyHolder(Protocol):
    """Opens totals: at most one a round, and none of fewer than ``minimum`` users."""

    def open(self, number: int, total: bytes) -> Opened: ...


def run_stages(server: SumServer, users: Mapping[int, SumUser]) -> bytes:
    """A whole round in one process: the total. A user that refuses or is not there is gone."""
    while not server.finished:
        replies = {}
        for user, request in server.requests().items():
            try:
                if user in users:
                    replies[user] = users[user].answer(request)
            except BlindsightError:
                continue
        server.receive(replies)
    return server.total()


# -- rounds of one stage ---------------------------------------------------------------------


class OneStage:
    """The aggregator of a scheme in which every user sends one message.

    Args:
        params: of the scheme.
        round_id: of the round.
        expected: the numbers of the users that take part.
        body_bytes: least and most length of an update's body.
        check: raises for a body that cannot be an update.
        combine: bodies, by user, to the body of the total.
    """

    def __init__(
        self,
        params: SumParams,
        round_id: RoundId,
        expected: Iterable[int],
        body_bytes: tuple[int, int],
        check: Callable[[bytes], None],
        combine: Callable[[Mapping[int, bytes]], bytes],
    ) -> None:
        self._params = params
        self._round = round_id
        self._expected = participants(params, expected)
        self._body_bytes = body_bytes
        self._check = check
        self._combine = combine
        self._bodies: dict[int, bytes] | None = None

    @property
    def finished(self) -> bool:
        return self._bodies is not None

    def requests(self) -> dict[int, bytes]:
        request = self._round.pack(Kind.REQUEST, AGGREGATOR)
        return {} if self.finished else dict.fromkeys(self._expected, request)

    def receive(self, replies: Mapping[int, bytes]) -> dict[int, BlindsightError]:
        if self.finished:
            raise RoundError("This round has its updates; a second one of the same user is refused.")
        bodies, refused = {}, dict[int, BlindsightError]()
        for user in self._expected:
            if user not in replies:
                continue
            try:
                body = self._round.parse(replies[user], Kind.UPDATE, user, *self._body_bytes)
                self._check(body)
                bodies[user] = body
            except BlindsightError as error:
                refused[user] = error
        if len(bodies) < self._params.minimum:
            raise TooFewError(
                f"{len(bodies)} users sent an update; a sum of fewer than {self._params.minimum} is not made."
            )
        self._bodies = bodies
        return refused

    def total(self) -> bytes:
        if self._bodies is None:
            raise RoundError("This round has no updates yet.")
        users = sorted(self._bodies)
        body = pack_users(users) + self._combine(self._bodies)
        return self._round.pack(Kind.TOTAL, AGGREGATOR, body)


class OneAnswer:
    """A user of such a scheme in one round: ``make`` gives the update's body, once."""

    def __init__(self, round_id: RoundId, user: int, make: Callable[[], bytes]) -> None:
        self._round = round_id
        self._user = user
        self._make: Callable[[], bytes] | None = make

    def answer(self, request: bytes) -> bytes:
        self._round.parse(request, Kind.REQUEST, AGGREGATOR, 0, 0)
        if self._make is None:
            raise RoundError("This round's update was sent already; it is not sent twice.")
        make, self._make = self._make, None
        return self._round.pack(Kind.UPDATE, self._user, make())


def participants(params: SumParams, expected: Iterable[int]) -> tuple[int, ...]:
    """User numbers, ascending: different, from 0, and not more than the guard bits are for."""
    users = tuple(sorted(expected))
    if len(users) > params.users:
        raise ParameterError(
            f"{len(users)} users are too many: the parameters have guard bits for {params.users}."
        )
    if len(set(users)) != len(users) or any(type(u) is not int or not 0 <= u < MOST_USERS for u in users):
        raise ParameterError(f"Users are numbered from 0 to {MOST_USERS - 1}, each once.")
    return users


def pack_users(users: Iterable[int]) -> bytes:
    """A count and the numbers, 16 bits each."""
    array = np.array(list(users), "<u2")
    return struct.pack("<H", len(array)) + array.tobytes()


def parse_users(params: SumParams, body: bytes) -> tuple[tuple[int, ...], bytes]:
    """The users at the head of a body and the rest of it.

    Raises `MalformedError`; `TooFewError` below ``params.minimum``.
    """
    count = int.from_bytes(body[:2], "little")
    if len(body) < 2 + 2 * count or count > params.users:
        raise MalformedError("The list of users in a total is cut off or too long.")
    users = tuple(np.frombuffer(body, "<u2", count, 2).tolist())
    if any(a >= b for a, b in pairwise(users)) or any(u >= MOST_USERS for u in users):
        raise MalformedError("The list of users in a total is not ascending.")
    if count < params.minimum:
        raise TooFewError(f"This total is of {count} users; fewer than {params.minimum} are not opened.")
    return users, body[2 + 2 * count :]


def users_bytes(params: SumParams) -> int:
    """Most bytes that `pack_users` writes."""
    return 2 + 2 * params.users


def wire_integers(wire: Mapping[str, Any], names: Iterable[str], scheme: str) -> dict[str, int]:
    """A parameter set that is all integers, as it came; `MalformedError` for another one."""
    fields = dict(wire)
    found = fields.pop("scheme", None)
    if found != scheme or set(fields) != set(names) or any(type(v) is not int for v in fields.values()):
        raise MalformedError(f"Parameters of {scheme} have the fields scheme, {', '.join(names)}.")
    return fields


class Once:
    """Round numbers that only count up: a number that was used is refused."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def use(self, number: int) -> None:
        """Raise `RoundError` unless this number is new."""
        if number <= self.last:
            raise RoundError(
                f"Round {number} was answered already, or is older than {self.last}; it is refused."
            )
        self.last = number
