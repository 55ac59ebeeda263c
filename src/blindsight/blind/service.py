"""The matcher over HTTP: routes and nothing else. ``specs/matcher.md`` is the contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import numpy as np
from fastapi import FastAPI, Query, Request
from starlette.responses import Response, StreamingResponse

from blindsight.blind.application import Application, Desk, message
from blindsight.blind.door import Metrics
from blindsight.blind.matcher import LocalMatcher
from blindsight.blind.token import TokenCheck
from blindsight.core.matching import Answer
from blindsight.core.types import AnyArray
from blindsight.schemes.ckks import distance
from blindsight.wire import framing, messages

DEFAULT_MAX_BODY: Final = messages.MAX_BODY

_GALLERY: Final = "/v1/galleries/{gallery_id}"
_SEARCHES_AT_ONCE: Final = 2
_OTHERS_AT_ONCE: Final = 8


def _sends(media_type: str, what: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary", "description": what}
    return {"responses": {200: {"content": {media_type: {"schema": schema}}, "description": what}}}


def _takes(what: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary", "description": what}
    return {
        "openapi_extra": {
            "requestBody": {"required": True, "content": {messages.MEDIA_TYPE: {"schema": schema}}},
        }
    }


def create_app(matcher: LocalMatcher, token: TokenCheck, max_body: int = DEFAULT_MAX_BODY) -> FastAPI:
    """An ASGI application over a matcher, which stays the caller's to close.

    ``max_body`` is the largest request in bytes that is read.
    """
    searches, work = Desk(_SEARCHES_AT_ONCE), Desk(_OTHERS_AT_ONCE)

    async def refresh(metrics: Metrics) -> None:
        active, staged, blocks, stored = await work(matcher.totals)
        metrics.galleries.labels("active").set(active)
        metrics.galleries.labels("staged").set(staged)
        metrics.blocks.set(blocks)
        metrics.stored.set(stored)

    application = Application.behind(token, "Blindsight matcher", max_body, refresh)
    app, body = application.app, application.body

    @app.post("/v1/galleries", status_code=201, **_takes("A gallery description."))
    async def create(request: Request) -> Response:
        """Make an empty gallery."""
        raw = await body(request)
        made = await work(lambda: matcher.create(messages.decode_spec(raw)))
        return message(messages.encode_info(made), 201)

    @app.get("/v1/galleries", **_sends(messages.MEDIA_TYPE, "A list of galleries."))
    async def galleries() -> Response:
        """All active galleries, by name."""
        return message(messages.encode_infos(await work(matcher.galleries)))

    @app.get(_GALLERY, **_sends(messages.MEDIA_TYPE, "A gallery."))
    async def info(gallery_id: str) -> Response:
        """One gallery, staged or active."""
        return message(messages.encode_info(await work(matcher.info, gallery_id)))

    @app.delete(_GALLERY, status_code=204)
    async def delete(gallery_id: str) -> Response:
        """Drop a gallery and overwrite its blocks."""
        await work(matcher.delete, gallery_id)
        return Response(status_code=204)

    @app.post(_GALLERY + "/activate", **_takes("An activation."), **_sends(messages.MEDIA_TYPE, "A gallery."))
    async def activate(gallery_id: str, request: Request) -> Response:
        """A staged gallery takes the place of another, in one step."""
        raw = await body(request)
        done = await work(lambda: matcher.activate(gallery_id, *messages.decode_activate(raw)))
        return message(messages.encode_info(done))

    @app.post(_GALLERY + "/blocks", **_takes("A commit."), **_sends(messages.MEDIA_TYPE, "A receipt."))
    async def commit(gallery_id: str, request: Request) -> Response:
        """Write new or replaced blocks, all or none."""
        raw = await body(request)
        revision = await work(lambda: matcher.commit(gallery_id, messages.decode_commit(raw)))
        return message(messages.encode_revision(revision))

    @app.get(_GALLERY + "/changes", **_sends(messages.MEDIA_TYPE, "A list of changes."))
    async def changes(gallery_id: str, since: Annotated[int, Query(ge=0, lt=1 << 63)] = 0) -> Response:
        """The blocks that changed after a revision."""
        found = await work(matcher.changes, gallery_id, since)
        return message(messages.encode_changes(found))

    @app.post(_GALLERY + "/fetch", **_takes("A fetch."), **_sends(framing.MEDIA_TYPE, "A block a frame."))
    async def fetch(gallery_id: str, request: Request) -> Response:
        """Blocks by number, in the order asked."""
        raw = await body(request)
        blocks = await work(lambda: matcher.fetch(gallery_id, messages.decode_fetch(raw)))
        stream = framing.frames(messages.encode_block(block) for block in blocks)
        return StreamingResponse(stream, media_type=framing.MEDIA_TYPE)

    @app.post(_GALLERY + "/search", **_takes("A search."), **_sends(framing.MEDIA_TYPE, "An answer."))
    async def search(gallery_id: str, request: Request) -> Response:
        """Compare probes with every block."""
        raw = await body(request)

        def answer() -> Answer:
            asked = messages.decode_search(raw)
            return matcher.search(gallery_id, asked.key_id, asked.params_id, asked.probes)

        return _streamed(await searches(answer))

    @app.post("/v1/compare", **_takes("A pair."), **_sends(messages.MEDIA_TYPE, "A comparison."))
    async def compare(request: Request) -> Response:
        """The distance of two protected vectors, protected; nothing of them is kept."""
        raw = await body(request)

        def compared() -> bytes:
            return distance.compare_wire(*messages.decode_pair(raw))

        return message(messages.encode_compared(await searches(compared)))

    return app


def _streamed(answer: Answer) -> StreamingResponse:
    count, blocks, answer_bytes = answer.scores.shape
    header = messages.SearchHeader(answer.revision, count, blocks, answer_bytes, answer.server_ms)
    first = messages.encode_header(header)
    parts: tuple[AnyArray, ...] = (answer.block_ids.astype("<i8"), np.ascontiguousarray(answer.scores))
    number = 1 + sum(-(-part.nbytes // framing.PIECE_BYTES) for part in parts)
    length = framing.framed_bytes(len(first) + header.data_bytes, number)

    def payloads() -> Iterator[bytes | memoryview]:
        yield first
        for part in parts:
            yield from framing.pieces(part)

    return StreamingResponse(
        framing.frames(payloads()),
        media_type=framing.MEDIA_TYPE,
        headers={"Content-Length": str(length)},
    )
