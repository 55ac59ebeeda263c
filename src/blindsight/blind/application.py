"""What every HTTP service of ours is before it has routes: its door, its errors, its manners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Final, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from blindsight.blind.door import Door, Metrics, problem_response, read_body
from blindsight.blind.token import TokenCheck
from blindsight.core import errors
from blindsight.core.errors import BlindsightError
from blindsight.wire.messages import MEDIA_TYPE

T = TypeVar("T")

_FRAMEWORK: Final[dict[int, tuple[type[BlindsightError], str]]] = {
    404: (errors.NotFoundError, "There is nothing at this address."),
    405: (errors.UsageError, "This address does not take that method."),
    415: (errors.MalformedError, f"This address takes {MEDIA_TYPE}."),
}


@dataclass(frozen=True, slots=True)
class Application:
    """An ASGI application with a door, to which routes are added.

    Attributes:
        app: answers ``/health``, without a token, and ``/metrics``.
        metrics: what the door counts.
        max_body: the largest request in bytes that is read.

    """

    app: FastAPI
    metrics: Metrics
    max_body: int

    @classmethod
    def behind(
        cls,
        token: TokenCheck,
        title: str,
        max_body: int,
        refresh: Callable[[Metrics], Awaitable[None]] | None = None,
    ) -> Application:
        """A new one; ``refresh`` is awaited before the metrics are shown."""
        app = FastAPI(
            title=title,
            version=version("blindsight"),
            openapi_url="/v1/openapi.json",
            docs_url=None,
            redoc_url=None,
            default_response_class=Response,
        )
        metrics = Metrics()
        app.add_middleware(Door, token=token, metrics=metrics, max_body=max_body)
        for kind in (BlindsightError, HTTPException, RequestValidationError):
            app.add_exception_handler(kind, _told)

        @app.get("/health", response_class=JSONResponse)
        async def health() -> JSONResponse:
            """Whether the server answers, and its version. Needs no token."""
            return JSONResponse({"version": app.version})

        kind_of_text: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
        what = "Prometheus text format."

        @app.get("/metrics", responses={200: {"content": kind_of_text, "description": what}})
        async def count() -> Response:
            """Counts and durations for Prometheus."""
            if refresh is not None:
                await refresh(metrics)
            return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

        return cls(app, metrics, max_body)

    async def body(self, request: Request) -> bytearray:
        """A request's message, not longer than it may be."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != MEDIA_TYPE:
            raise HTTPException(415)
        return await read_body(request, self.max_body)


class Desk:
    """Where work is done beside the event loop, so much at once and the rest in turn."""

    def __init__(self, at_once: int) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)

    async def __call__(self, call: Callable[..., T], *arguments: object) -> T:
        return await run_sync(partial(call, *arguments), limiter=self._limiter)


def message(body: bytes, status: int = 200) -> Response:
    """One MessagePack message as an answer."""
    return Response(body, status, media_type=MEDIA_TYPE)


async def _told(request: Request, error: Exception) -> Response:
    """Every error that has a sentence; the others end at the door."""
    if isinstance(error, BlindsightError):
        return problem_response(error)
    if isinstance(error, HTTPException):
        kind, sentence = _FRAMEWORK.get(error.status_code, (errors.ProtocolError, "The request failed."))
        return problem_response(kind(sentence), error.status_code)
    return problem_response(errors.MalformedError("A part of the address is not what it should be."), 422)
