"""Asking somebody else's watch list without showing whom one asks about."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import MalformedError, ModelMismatchError, NotFoundError, ParamsMismatchError
from blindsight.core.types import F32, Embedding
from blindsight.encoding import Encoding
from blindsight.schemes.bfv.reveal import WatchKeyHolder
from blindsight.schemes.bfv.watch_params import WatchParams
from blindsight.schemes.seal.session import PIECE_BYTES
from blindsight.wire.watchlist import Description


class WatchListServer(Protocol):
    """What a client asks of an owner, here or over HTTP (`blindsight.wire.watchlist`)."""

    def describe(self) -> Description: ...

    def received(self, digest: str) -> int: ...

    def piece(self, digest: str, at: int, data: bytes) -> int: ...

    def score(self, digest: str, probe: bytes) -> tuple[bytes, float]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the list at or beyond the threshold."""

    row: int
    score: float


class WatchList:
    """Somebody's watch list as a client sees it: scores, and nothing else.

    A fresh key is made for each session; its evaluation keys are sent with the first question.
    The owner learns that somebody asked. Not safe for several threads.

    Raises `ParamsMismatchError` for a server whose parameters do not fit its encoding.
    """

    def __init__(self, server: WatchListServer) -> None:
        self._server = server
        found = server.describe()
        self._encoding = _encoding(found)
        self.count = found.count
        self.model_id = found.model_id
        params = WatchParams.from_wire(found.params)
        e = self._encoding
        needed = (e.width, e.template_norm, e.probe_norm, e.score_bound)
        if (params.width, params.template_norm, params.probe_norm, params.score_bound) != needed:
            raise ParamsMismatchError("The watch list's parameters are not those of its encoding.")
        self._key = WatchKeyHolder.generate(params)
        self._keys = self._key.evaluation_keys()
        self._digest = sha256(self._keys).hexdigest()
        self._sent = False
        self.server_ms = 0.0

    @property
    def metric(self) -> str:
        """What scores mean: cosine, inner_product or euclidean."""
        return self._encoding.metric

    def scores(self, probe: Embedding | ArrayLike) -> F32:
        """Scores of one face with every row of the list, float32 (count,), in the metric's units.

        Raises `ModelMismatchError` for an embedding of another model than the list's.
        """
        if isinstance(probe, Embedding):
            if probe.model_id != self.model_id:
                raise ModelMismatchError(
                    f"The watch list holds templates of {self.model_id}, and this embedding is of "
                    f"{probe.model_id}."
                )
            probe = probe.vector
        encoded = self._encoding.probes(np.asarray(probe)[np.newaxis])
        answer, self.server_ms = self._asked(self._key.protect(encoded.values[0]))
        raw = self._key.reveal(answer, self.count)
        scores: F32 = self._encoding.scores(raw[np.newaxis], encoded)[0]
        return scores

    def matches(self, probe: Embedding | ArrayLike, threshold: float) -> list[Listed]:
        """The rows that score at the threshold or better, the best first."""
        scores = self.scores(probe)
        better = self._encoding.larger_is_closer
        order = np.argsort(-scores if better else scores, kind="stable")
        good = scores >= threshold if better else scores <= threshold
        return [Listed(int(row), float(scores[row])) for row in order if good[row]]

    def _asked(self, probe: bytes) -> tuple[bytes, float]:
        if self._sent:
            try:
                return self._server.score(self._digest, probe)
            except NotFoundError:  # dropped, or lost with a restart
                pass
        self._send()
        return self._server.score(self._digest, probe)

    def _send(self) -> None:
        """The evaluation keys, from where the server is."""
        at = self._server.received(self._digest)
        while at < len(self._keys):
            reached = self._server.piece(self._digest, at, self._keys[at : at + PIECE_BYTES])
            if not at < reached <= len(self._keys):
                raise MalformedError("The server does not take the evaluation keys as they are sent.")
            at = reached
        self._sent = True

    def close(self) -> None:
        """End the session."""
        self._server.close()

    def __enter__(self) -> WatchList:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _encoding(found: Description) -> Encoding:
    fields = dict(found.encoding)
    try:
        return Encoding.from_fields(fields | {"radius": float.fromhex(str(fields.get("radius"))[:64])})
    except (ValueError, OverflowError) as error:
        raise MalformedError("The watch list's radius is not a number.") from error
