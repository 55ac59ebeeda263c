"""Around every route: the token, the size of bodies, errors as problem documents, counts."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

from fastapi import Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blindsight.blind.token import TokenCheck
from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    ProtocolError,
    TooLargeError,
    UnauthorizedError,
)
from blindsight.wire import problem

_log = logging.getLogger(__name__)

_IDLE_SECONDS: Final = 30.0
_DRAIN_SECONDS: Final = 10.0
_HEADERS: Final = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Metrics:
    """Counts and durations, in a registry of their own; no name, id or size of anything stored."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "blindsight_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "blindsight_request_seconds", "Time to a whole answer.", ["route"], registry=self.registry
        )
        self.galleries = Gauge(
            "blindsight_galleries", "Galleries, by state.", ["state"], registry=self.registry
        )
        self.blocks = Gauge("blindsight_blocks", "Blocks of all galleries.", registry=self.registry)
        self.stored = Gauge("blindsight_stored_bytes", "Bytes on disk.", registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)


def problem_response(error: BlindsightError, status: int | None = None) -> Response:
    """An error as an answer; ``status`` where HTTP has one that says more than the class."""
    status = status or problem.status_of(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Response(problem.encode(error, status), status, headers, problem.MEDIA_TYPE)


async def read_body(request: Request, limit: int) -> bytearray:
    """The body of a request, at most ``limit`` bytes, whatever its headers announce.

    Raises `TooLargeError`, and `MalformedError` where it does not arrive whole and in time.
    """
    too_large = TooLargeError(f"This server takes requests of at most {limit} bytes; send less at a time.")
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 18:
        raise MalformedError("The announced length of the request is not a number.")
    if int(announced) > limit:
        raise too_large
    body = bytearray()
    while True:
        try:
            message = await asyncio.wait_for(request.receive(), _IDLE_SECONDS)
        except TimeoutError:
            raise MalformedError("The rest of the request did not arrive in time.") from None
        if message["type"] == "http.disconnect":
            raise MalformedError("The request was cut off.")
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large
        if not message.get("more_body", False):
            return body


class Door:
    """ASGI middleware: lets in who has the token, and lets out no stack trace."""

    def __init__(self, app: ASGIApp, token: TokenCheck, metrics: Metrics, max_body: int) -> None:
        self._app = app
        self._token = token
        self._metrics = metrics
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(receive, send, self._max_body)
        started = time.perf_counter()
        try:
            if scope["path"] != "/health":
                self._token.require(_authorization(scope))
            await self._app(scope, visit.receive, visit.send)
        except BlindsightError as error:
            await visit.refuse(scope, error)
        except Exception as error:
            _log.error("A request failed: %s", _where(error))
            await visit.refuse(scope, ProtocolError("The server failed at this request; its log says where."))
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(_method(scope), route, str(visit.status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)


class _Visit:
    """One request and its answer, as they pass the door."""

    def __init__(self, receive: Receive, send: Send, max_body: int) -> None:
        self._receive = receive
        self._send = send
        self._max_body = max_body
        self._more = True
        self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), *_HEADERS]
            if self.status >= 400:
                await self._drain()
        await self._send(message)

    async def refuse(self, scope: Scope, error: BlindsightError) -> None:
        """Answer with an error; an answer that has begun is cut off instead."""
        if not self.status:
            await problem_response(error)(scope, self.receive, self.send)

    async def _drain(self) -> None:
        # A client that is still sending hears of the refusal only if somebody listens to the end.
        drained = 0
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while self._more and drained <= self._max_body:
                    drained += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass


def _authorization(scope: MutableMapping[str, Any]) -> str | None:
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) > 1:
        raise UnauthorizedError("The request presents several tokens; send one.")
    return found[0].decode("latin-1") if found else None


def _method(scope: Scope) -> str:
    known = {"GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS"}
    return scope["method"] if scope["method"] in known else "other"


def _where(error: Exception) -> str:
    """The kind and place of an exception; its message could quote what nobody may log."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"
    return f"{type(error).__name__} at {place}"
