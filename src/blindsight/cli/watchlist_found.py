"""``blindsight watchlist new`` and ``join``: the one list, made at one party and taken up by the other."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.gallery import confirm
from blindsight.cli.options import Json, Yes
from blindsight.cli.output import Output, fields
from blindsight.cli.watchlist_file import operator_of, threshold_of
from blindsight.core.errors import InaccurateParametersError, MalformedError, StorageFullError, UsageError

if TYPE_CHECKING:
    from blindsight.core.dual_control import Founding

NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="This party's copy of the list; a new file.")]


def new(
    file: NewFile,
    operator_0: Annotated[
        str, typer.Option(metavar="HEX", help="Public key of party 0's operator, of `keys operator`.")
    ],
    operator_1: Annotated[str, typer.Option(metavar="HEX", help="Public key of party 1's operator.")],
    founding: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="The founding, for the other party.", show_default="FILE.founding"),
    ] = None,
    embedder: Annotated[str, typer.Option(help="The model: dlib, dlib:68 or onnx:<path>.")] = "dlib",
    threshold: Annotated[
        float | None,
        typer.Option(help="Distance below which a face matches.", show_default="the model's; 0.6 for dlib"),
    ] = None,
    radius: Annotated[
        float | None, typer.Option(help="Longest embedding, where the model does not say.")
    ] = None,
    value_bits: Annotated[
        int, typer.Option(min=8, max=24, help="Bits of a squared distance; 64 less these are security.")
    ] = 24,
    as_json: Json = False,
) -> None:
    """Found a watchlist of two parties: this party's copy, and a file from which the other makes its own.

    The founding settles the model, the threshold and whose two signatures a change needs. Nobody is
    on the list yet.
    """
    output = Output(as_json)
    out = founding if founding is not None else file.with_name(file.name + ".founding")
    for path in (file, out):
        if path.exists():
            raise UsageError(f"{path} exists already; nothing is overwritten.")
    operators = _public(operator_0), _public(operator_1)
    from blindsight.blind.dual_control import WatchlistFile
    from blindsight.schemes.spdz2k.params import Params
    from blindsight.trusted.operator import found
    from blindsight.vision import open_embedder
    from blindsight.wire.dual_control import decode_founding

    model = open_embedder(embedder).embedder
    normalised = model.metric == "cosine"
    bound = 1.0 if normalised else radius if radius is not None else model.radius
    limit = threshold if threshold is not None else _distance(model.threshold, normalised)
    if not limit > 0:
        raise UsageError("A threshold is a positive distance.")
    if not math.isfinite(bound):
        raise UsageError("This model does not say how long its embeddings are; say it with --radius.")
    params = Params.for_radius(model.dimension, radius=bound, value_bits=value_bits)
    rounding = math.sqrt(params.dimension) / params.scale
    if rounding > limit / 2:
        raise InaccurateParametersError(
            f"Rounding alone could change a distance by {rounding:.2g}, and the threshold is {limit:.2g}; "
            "take more value bits."
        )
    encoded = found(
        model.model_id, params.dimension, normalised, min(params.scale, 32767), params.norm,
        params.value_bits, limit, operators,
    )  # fmt: skip
    _write(out, encoded)
    try:
        WatchlistFile.create(file, encoded).close()
    except BaseException:
        out.unlink()
        raise
    said = decode_founding(encoded)
    output.document({"file": str(file), "founding": str(out)} | _content(said, encoded))
    output.show("A watchlist of two parties is founded; nobody is on it yet.", "bold")
    output.show(fields(file=file, founding=out))
    output.show(_shown(said, encoded))
    output.show(
        f"Send {out.name} to the other party, where `blindsight watchlist join` makes its copy, and read\n"
        "the name to them another way: it covers everything above, both operators' keys too."
    )


def join(
    founding: Annotated[Path, typer.Argument(metavar="FOUNDING", help="What the other party sent.")],
    file: NewFile,
    name: Annotated[
        str | None, typer.Option(metavar="HEX", help="Refuse unless the list has this name.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="Refuse unless this is the key of one of its operators."),
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make this party's copy of a watchlist that the other one founded, after a look at what it says."""
    output = Output(as_json)
    from blindsight.blind.dual_control import WatchlistFile, require_computable
    from blindsight.core.dual_control import named
    from blindsight.wire.dual_control import MAX_FOUNDING_BYTES, decode_founding

    if file.exists():
        raise UsageError(f"{file} exists already; nothing is overwritten.")
    with founding.open("rb") as stream:
        encoded = stream.read(MAX_FOUNDING_BYTES + 1)
    try:
        said = decode_founding(encoded)
    except MalformedError:
        raise MalformedError(f"{founding} is not the founding of a watchlist.") from None
    require_computable(said)
    mine = None if key is None else operator_of(said, key).party
    digest = named("founding", encoded).hex()
    if name is not None and name.strip().lower() != digest:
        raise UsageError(f"The list of {founding} has the name {digest}; it was not joined.")
    output.show(_shown(said, encoded))
    if mine is not None:
        output.show(f"The key {key} is that of party {mine}'s operator.")
    if name is None:
        confirm("Did they read you this name, and is one of the two keys your own operator's?", yes)
    WatchlistFile.create(file, encoded).close()
    output.document({"file": str(file), "party": mine} | _content(said, encoded))
    output.show(f"{file} is this party's copy; `blindsight serve party --watchlist {file}` serves from it.")


def _public(text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise UsageError("An operator's public key is 64 hex digits; `blindsight keys operator` prints it.")
    return key


def _distance(threshold: float, normalised: bool) -> float:
    """A model's threshold as a distance: of unit vectors, where it is a cosine."""
    return math.sqrt(max(0.0, 2.0 - 2.0 * threshold)) if normalised else threshold


def _write(path: Path, content: bytes) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        raise UsageError(f"{path} exists already; nothing is overwritten.") from None
    except OSError as error:
        raise StorageFullError(f"{path} cannot be written: {error.strerror}.") from error


def _content(founding: Founding, encoded: bytes) -> dict[str, Any]:
    from blindsight.core.dual_control import named

    return {
        "name": named("founding", encoded).hex(),
        "model_id": founding.model_id,
        "dimension": founding.dimension,
        "normalised": founding.normalised,
        "threshold": threshold_of(founding, founding.threshold),
        "scale": founding.scale,
        "norm": founding.norm,
        "value_bits": founding.value_bits,
        "operators": [key.hex() for key in founding.operators],
    }


def _shown(founding: Founding, encoded: bytes) -> Any:
    said = _content(founding, encoded)
    kind = "of length 1" if founding.normalised else f"up to {founding.norm / founding.scale:.3g} long"
    return fields(
        name=said["name"],
        model=founding.model_id,
        embeddings=f"{founding.dimension} coordinates, {kind}",
        threshold=f"distance {said['threshold']:.4g}",
        security=f"{64 - founding.value_bits} bits against a cheating party",
        operator_of_party_0=said["operators"][0],
        operator_of_party_1=said["operators"][1],
    )
