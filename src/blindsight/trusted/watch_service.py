"""A watch list over HTTP: routes and nothing else. ``specs/watchlist.md`` is the contract."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from starlette.responses import Response

from blindsight.blind.application import Application, Desk, message
from blindsight.blind.token import TokenCheck
from blindsight.core.errors import NotFoundError
from blindsight.trusted.watch_owner import WatchListOwner
from blindsight.wire import watchlist

_AT_ONCE: Final = 2


def create_app(owner: WatchListOwner, token: TokenCheck) -> FastAPI:
    """An ASGI application over a watch list."""
    application = Application.behind(token, "Blindsight watch list", watchlist.MAX_BODY)
    app, body, work = application.app, application.body, Desk(_AT_ONCE)

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
        count = await work(owner.piece, _digest(digest), at, data)
        return message(watchlist.encode_received(count))

    @app.post("/v1/watchlist/score")
    async def score(request: Request) -> Response:
        """Encrypted scores of an encrypted probe with every template."""
        asked = watchlist.decode_question(await body(request))
        return message(watchlist.encode_answer(*await work(owner.score, *asked)))

    return app


def _digest(digest: str) -> str:
    if not watchlist.DIGEST.fullmatch(digest):
        raise NotFoundError("Keys are named by the 64 hexadecimal digits of their SHA-256.")
    return digest
