"""The strategy: Flower's server adds up updates that it cannot read.

Who learns what: the ServerApp is the aggregator of each scheme's ``LEAKAGE``. With ``dphe`` the model that
it distributes is in permuted order, and only users can use it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from logging import INFO, WARNING
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray

from blindsight.blind.aggregator import Aggregator
from blindsight.core.errors import BlindsightError, MalformedError, ProtocolError, UnavailableError
from blindsight.core.summing import SumServer
from blindsight.core.types import I64
from blindsight.flower.records import KEY_HOLDER, OPEN, RECORD, STEP, TRAIN, WHO, field, record
from blindsight.schemes.masking.compute import MaskingServer

F64 = NDArray[np.float64]

_PAUSE = 1.0
_POLL = 0.2


class PrivateSum(FedAvg):  # type: ignore[misc]
    """Federated averaging over a private sum: every user counts the same.

    Args:
        state: the aggregator's state file.
        fraction_bits: bits behind the point of the integers; as in the clients' ``FixedPoint``.
        step_timeout: seconds that users have for each further step of a round.
        options: of `flwr.serverapp.strategy.FedAvg`.
    """

    def __init__(
        self, state: str | Path, *, fraction_bits: int = 14, step_timeout: float = 600.0, **options: object
    ) -> None:
        super().__init__(**options)
        self._aggregator = Aggregator(Path(state))
        self._fraction_bits = fraction_bits
        self._timeout = step_timeout
        self._nodes: dict[int, int] = {}
        self._permuted = 0
        self._grid: Grid | None = None
        self._server: SumServer | None = None
        self._number = 0
        self._arrays: ArrayRecord | None = None

    # -- a round ---------------------------------------------------------------------------------------

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Begin a private sum: the model and the first request, to every user that is connected."""
        self._grid, self._arrays = grid, arrays
        self._server = None
        self._find_nodes()
        users = {user for user in self._nodes if user != KEY_HOLDER}
        self._number, self._server = self._aggregator.begin(users)
        config["server-round"] = server_round
        return [
            self._message(
                user,
                RecordDict(
                    {
                        self.arrayrecord_key: arrays,
                        self.configrecord_key: config,
                        RECORD: ConfigRecord(self._fields(TRAIN, request)),
                    }
                ),
            )
            for user, request in self._server.requests().items()
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Go on to the sum, and make a model of it; none where the round came to nothing."""
        assert self._server is not None
        try:
            self._take(replies)
            while not self._server.finished:
                requests = self._server.requests()
                steps = [self._message(u, record(**self._fields(STEP, r))) for u, r in requests.items()]
                self._take(self._sent(steps))
            values, users = self._opened()
        except ProtocolError as error:
            log(WARNING, "round %s has no sum: %s", server_round, error.message)
            return None, None
        mean = values / (len(users) * 2.0**self._fraction_bits)
        log(INFO, "round %s: the sum of %s users", server_round, len(users))
        return self._shaped(mean), MetricRecord({"users": len(users)})

    def _fields(self, kind: str, request: bytes) -> dict[str, str | int | bytes]:
        return {"kind": kind, "round": self._number, "request": request, "permuted": self._permuted}

    def _message(self, user: int, content: RecordDict) -> Message:
        return Message(content, dst_node_id=self._nodes[user], message_type=MessageType.TRAIN)

    def _sent(self, messages: list[Message]) -> Iterable[Message]:
        """Replies that come in time.

        Flower's own ``send_and_receive`` looks every three seconds: too rarely for rounds of short steps.
        """
        assert self._grid is not None
        waiting, found = set(self._grid.push_messages(messages)), list[Message]()
        end = time.monotonic() + self._timeout
        while waiting and time.monotonic() < end:
            replies = list(self._grid.pull_messages(waiting))
            waiting -= {reply.metadata.reply_to_message_id for reply in replies}
            found += replies
            if waiting:
                time.sleep(_POLL)
        return found

    def _take(self, replies: Iterable[Message]) -> None:
        """Hand answers to the scheme; a node that failed, or did not answer, is gone for the round."""
        assert self._server is not None
        by_node = {node: user for user, node in self._nodes.items()}
        found = {}
        for reply in replies:
            user = by_node.get(reply.metadata.src_node_id)
            if user is None or reply.has_error():
                continue
            try:
                found[user] = field(reply.content, "body", bytes)
            except MalformedError:
                continue
        refused: dict[int, BlindsightError] = self._server.receive(found)
        for user, error in refused.items():
            log(WARNING, "the message of user %s is refused: %s", user, error.message)

    # -- nodes -----------------------------------------------------------------------------------------

    def _find_nodes(self) -> None:
        """Ask nodes that are new who they are, until there are enough users, and the key holder."""
        assert self._grid is not None
        params = self._aggregator.params
        wanted = max(self.min_available_nodes, params.minimum)
        waited = 0.0
        while True:
            there = set(self._grid.get_node_ids())
            self._nodes = {user: node for user, node in self._nodes.items() if node in there}
            asked = [
                Message(record(kind=WHO), dst_node_id=node, message_type=MessageType.TRAIN)
                for node in sorted(there - set(self._nodes.values()))
            ]
            for reply in self._sent(asked) if asked else ():
                if not reply.has_error():
                    user = field(reply.content, "user", int)
                    if user == KEY_HOLDER or 0 <= user < params.users:
                        self._nodes[user] = reply.metadata.src_node_id
            users = len(self._nodes) - (KEY_HOLDER in self._nodes)
            if users >= wanted and (KEY_HOLDER in self._nodes or self._aggregator.scheme == "masking"):
                return
            if waited > self._timeout:
                raise UnavailableError(f"{users} users are connected, {wanted} are needed, and a key holder.")
            time.sleep(_PAUSE)
            waited += _PAUSE

    # -- the sum -----------------------------------------------------------------------------------------

    def _opened(self) -> tuple[I64, tuple[int, ...]]:
        if isinstance(self._server, MaskingServer):
            opened = self._server.opened()
            return opened.values, opened.users
        assert self._server is not None
        content = record(kind=OPEN, round=self._number, total=self._server.total())
        replies = list(self._sent([self._message(KEY_HOLDER, content)]))
        if not replies or replies[0].has_error():
            raise UnavailableError("The key holder did not open the sum; see its log.")
        data, users = field(replies[0].content, "values", bytes), field(replies[0].content, "users", list)
        if len(data) != 8 * self._aggregator.params.weights or not users:
            raise MalformedError("The key holder's answer has another length than the model.")
        if self._aggregator.scheme == "dphe":
            self._permuted = self._number
        return np.frombuffer(data, "<i8"), tuple(users)

    def _shaped(self, flat: F64) -> ArrayRecord:
        assert self._arrays is not None
        parts = self._arrays.to_numpy_ndarrays()
        edges = np.cumsum([part.size for part in parts])[:-1]
        shaped = [
            one.reshape(part.shape).astype(part.dtype)
            for one, part in zip(np.split(flat, edges), parts, strict=True)
        ]
        made = ArrayRecord(shaped)
        return ArrayRecord(dict(zip(self._arrays.keys(), made.values(), strict=True)))
