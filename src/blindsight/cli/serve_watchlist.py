"""``blindsight serve watchlist``: a list of one's own, and probes that one cannot see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, fields
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.trusted.watch_owner import WatchListOwner


def watchlist(
    path: Annotated[
        Path,
        typer.Argument(metavar="LIST", help="A folder of <subject>/<photo>, or vectors in a .npy file."),
    ],
    embedder: Annotated[str, typer.Option(help="Of photos: dlib, or an ONNX model's .toml.")] = "dlib",
    model_id: Annotated[str | None, typer.Option(help="Of vectors: the model they come from.")] = None,
    metric: Annotated[str, typer.Option(help="Of vectors: cosine, inner_product or euclidean.")] = "cosine",
    radius: Annotated[float, typer.Option(help="Of vectors: bound on their norm.")] = 1.0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8430,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM), without passphrase.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="The clients' token; made where there is none.")
    ] = None,
    allow_insecure_http: Annotated[
        bool, typer.Option(help="Listen without TLS on an address that others can reach.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score encrypted probes against one owner's list, which this machine has in the open.

    The list of two parties who agree on every change is another: `watchlist` and `serve party`.

    It does not see whom a client asks about, and the client learns the scores of the rows and
    nothing else of the list. Runs until SIGTERM or Ctrl-C. Without --token-file the token lies
    beside the list, in LIST.token.
    """
    output = Output(as_json)
    try:
        from blindsight.blind import serve, token
        from blindsight.trusted.watch_service import create_app
    except ImportError as error:
        raise UsageError(f'Serving needs {error.name}: pip install "blindsight[server]".') from error
    serve.require_protected(host, tls_cert, tls_key, allow_insecure_http)
    if path.is_dir():
        owner, rows = _of_photos(path, embedder, output)
    else:
        owner, rows = _of_vectors(path, model_id, metric, radius), []
    tokens = (token_file or path.with_name(path.name + ".token")).absolute()
    check = token.load_or_make(tokens)

    def ready(url: str) -> None:
        count = owner.describe().count
        output.line(
            {"event": "listening", "url": url, "token_file": str(tokens), "count": count, "rows": rows}
        )
        output.show(f"listening on {url}", "bold")
        output.show(fields(templates=f"{count:,}", token_in=tokens))
        for number, subject in enumerate(rows):
            output.show(f"row {number}: {clean(subject)}", "dim")

    serve.run(create_app(owner, check), host, port, tls_cert, tls_key, ready)
    output.note("stopped")


def _of_vectors(path: Path, model_id: str | None, metric: str, radius: float) -> WatchListOwner:
    import numpy as np

    from blindsight.trusted.watch_owner import WatchListOwner

    if model_id is None:
        raise UsageError("Vectors need --model-id: clients of another model are refused by it.")
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} is neither a folder of photos nor a .npy file of vectors.") from error
    if not isinstance(vectors, np.ndarray) or vectors.dtype.kind != "f":
        raise UsageError(f"{path} does not hold one array of floating-point vectors.")
    return WatchListOwner(vectors, model_id=model_id, metric=metric, radius=radius)


def _of_photos(path: Path, embedder: str, output: Output) -> tuple[WatchListOwner, list[str]]:
    import numpy as np

    from blindsight.trusted.watch_owner import WatchListOwner
    from blindsight.vision import EmbeddedPhoto, RejectionReport, embed_folder, list_photos, open_embedder

    pipeline = open_embedder(embedder)
    found = list_photos(path)
    rejections = list(found.rejections)
    vectors, rows = [], []
    for outcome in embed_folder(pipeline, found.photos):
        if isinstance(outcome, EmbeddedPhoto):
            vectors.append(outcome.embedding.vector)
            rows.append(outcome.photo.subject)
        else:
            rejections.append(outcome)
    for line in RejectionReport(tuple(rejections)).lines():
        output.note(line)
    if not vectors:
        raise UsageError(f"There is no usable photo in {path}; it is a folder of <subject>/<photo>.")
    model = pipeline.embedder
    owner = WatchListOwner(
        np.stack(vectors), model_id=model.model_id, metric=model.metric, radius=model.radius
    )
    return owner, rows
