"""A watch list over HTTP: routes and nothing else. ``specs/watchlist.md`` is the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Final, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from blindsight.blind.door import Door, Metrics, read_body
from blindsight.blind.service import message, told
from blindsight.blind.token import TokenCheck
from blindsight.core.errors import BlindsightError, NotFoundError
from blindsight.trusted.watch_owner import WatchListOwner
from blindsight.wire import messages, watchlist

T = TypeVar("T")

_AT_ONCE: Final = 2


def create_app(owner: WatchListOwner, token: TokenCheck) -> FastAPI:
    """An ASGI application over a watch list."""
    app = FastAPI(title="Blindsight watch list", version=version("blindsight"), openapi_url=None)
    app.add_middleware(Door, token=token, metrics=Metrics(), max_body=watchlist.MAX_BODY)
    app.add_exception_handler(BlindsightError, told)
    app.add_exception_handler(HTTPException, told)
    app.add_exception_handler(RequestValidationError, told)
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def work(call: Callable[[], T]) -> T:
        return await run_sync(call, limiter=limiter)

    async def body(request: Request) -> bytearray:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != messages.MEDIA_TYPE:
            raise HTTPException(415)
        return await read_body(request, watchlist.MAX_BODY)

    @app.get("/health", response_class=JSONResponse)
    async def health() -> JSONResponse:
        """Whether the server answers, and its version. Needs no token."""
        return JSONResponse({"version": app.version})

    @app.get("/v1/watchlist")
    async def describe() -> Response:
        """What the list is."""
        return message(watchlist.encode_description(owner.describe()))

    @app.get("/v1/keys/{digest}")
    async def received(digest: str) -> Response:
        """How many bytes of these evaluation keys are here."""
        return message(watchlist.encode_received(owner.received(_digest(digest))))

    @app.post("/v1/keys/{digest}")
    async def piece(digest: str, request: Request) -> Response:
        """Take a piece of evaluation keys."""
        at, data = watchlist.decode_piece(await body(request))
        count = await work(partial(owner.piece, _digest(digest), at, data))
        return message(watchlist.encode_received(count))

    @app.post("/v1/watchlist/score")
    async def score(request: Request) -> Response:
        """Encrypted scores of an encrypted probe with every template."""
        asked = watchlist.decode_question(await body(request))
        return message(watchlist.encode_answer(*await work(partial(owner.score, *asked))))

    return app


def _digest(digest: str) -> str:
    if not watchlist.DIGEST.fullmatch(digest):
        raise NotFoundError("Keys are named by the 64 hexadecimal digits of their SHA-256.")
    return digest
