"""The learner over HTTP: routes and nothing else. ``specs/learner.md`` is the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.responses import Response

from blindsight.blind import serve, token
from blindsight.blind.application import Application, Desk, message
from blindsight.blind.learner import LocalLearner
from blindsight.blind.token import TokenCheck
from blindsight.wire import learning

DEFAULT_MAX_BODY: Final = 64 << 20

_MODEL: Final = "/v1/models/{model_id}"
_TRAININGS_AT_ONCE: Final = 2
_OTHERS_AT_ONCE: Final = 4


def create_app(learner: LocalLearner, check: TokenCheck, max_body: int = DEFAULT_MAX_BODY) -> FastAPI:
    """An ASGI application over a learner, which stays the caller's to close."""
    application = Application.behind(check, "Blindsight learner", max_body)
    app, body = application.app, application.body
    # Training waits for its turn apart from the rest, so that it holds nobody up who judges.
    training, work = Desk(_TRAININGS_AT_ONCE), Desk(_OTHERS_AT_ONCE)

    @app.get("/v1/models")
    async def models() -> Response:
        """All models, by name."""
        return message(learning.encode_infos(await work(learner.models)))

    @app.post("/v1/models", status_code=201)
    async def create(request: Request) -> Response:
        """Make a model without images."""
        raw = await body(request)
        made = await work(lambda: learner.create(learning.decode_spec(raw)))
        return message(learning.encode_info(made), 201)

    @app.get(_MODEL)
    async def info(model_id: str) -> Response:
        """One model."""
        return message(learning.encode_info(await work(learner.info, model_id)))

    @app.delete(_MODEL, status_code=204)
    async def delete(model_id: str) -> Response:
        """Drop a model, its images and all its versions."""
        await work(learner.delete, model_id)
        return Response(status_code=204)

    @app.post(_MODEL + "/images")
    async def add(model_id: str, request: Request) -> Response:
        """Keep scrambled images and their classes."""
        raw = await body(request)
        done = await work(lambda: learner.add(model_id, *learning.decode_images(raw)))
        return message(learning.encode_info(done))

    @app.post(_MODEL + "/train")
    async def train(model_id: str, request: Request) -> Response:
        """Train on what is there; answers when it is done."""
        raw = await body(request)
        classifier, ratio = learning.decode_train(raw)
        done = await training(learner.train, model_id, classifier, ratio)
        return message(learning.encode_info(done))

    @app.post(_MODEL + "/predict")
    async def predict(model_id: str, request: Request) -> Response:
        """Judge scrambled images."""
        raw = await body(request)

        def judged() -> Any:
            wanted, images = learning.decode_predict(raw)
            return learner.predict(model_id, images, wanted)

        return message(learning.encode_prediction(await work(judged)))

    return app


def serve_learner(
    folder: str | Path,
    host: str = "127.0.0.1",
    port: int = 8421,
    *,
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
    token_file: str | Path | None = None,
    max_body: int = DEFAULT_MAX_BODY,
    allow_insecure_http: bool = False,
    ready: Callable[[str], None],
) -> None:
    """Serve the models in ``folder``; arguments and manners are those of `blindsight.blind.serve.serve`."""
    serve.require_protected(host, tls_cert, tls_key, allow_insecure_http)
    learner = LocalLearner(folder)
    try:
        check = token.load_or_make(Path(token_file) if token_file else Path(folder) / "token")
        serve.run(create_app(learner, check, max_body), host, port, tls_cert, tls_key, ready)
    finally:
        learner.close()
