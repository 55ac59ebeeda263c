"""The schemes that a client can make a gallery under, and how each gets its key."""

from __future__ import annotations

from typing import Literal

from blindsight.core.errors import DimensionError, RefusedError, UsageError
from blindsight.core.matching import KeyHolder, MatchingParams, Wire
from blindsight.core.secrets import Secret
from blindsight.encoding import Encoding, GalleryEncoding, LinearEncoding, Quantiser
from blindsight.schemes.bfv.params import Params as BfvParams
from blindsight.schemes.bfv.reveal import BfvKeyHolder
from blindsight.schemes.ckks.params import Params as CkksParams
from blindsight.schemes.ckks.reveal import CkksKeyHolder
from blindsight.schemes.clear.params import Params as ClearParams
from blindsight.schemes.clear.secret import ClearKey
from blindsight.schemes.lattice.params import Params as LatticeParams
from blindsight.schemes.lattice.reveal import LatticeKeyHolder
from blindsight.schemes.lattice.secret import SecretKey

Precision = Literal["approximate", "exact"]
SCHEMES = ("lattice", "bfv", "ckks", "clear")
NOISE_LIMIT = 2e-3
"""Standard deviation of a score's error that a gallery bears unless it asks for exactness,
for vectors of norm 1."""

CKKS_NOISE_LIMIT = 1e-5
"""The same for `ckks`, whose large modulus makes scores far more precise."""

_CKKS_SCALE = 2**16
"""Integers a unit of a template under `ckks`: with 2^12 their rounding is over thirty times its noise,
and the median error of a distance of faces 0.04 %; this costs neither bytes nor noise."""


def encoding_for(
    dimension: int,
    metric: str,
    radius: float,
    precision: Precision,
    quantiser: Quantiser | None = None,
    *,
    scheme: str = "",
) -> GalleryEncoding:
    """The encoding that suits a precision, and a scheme that can do better than the others; or the one
    that keeps what a quantiser makes of the vectors.
    """
    if precision not in ("approximate", "exact"):
        raise UsageError("The precision is approximate or exact.")
    if quantiser is not None:
        if metric != "euclidean" or precision != "exact":
            raise UsageError("Quantised vectors are compared by exact Euclidean distances; ask for those.")
        if quantiser.dimension != dimension:
            raise DimensionError(
                f"The quantiser takes vectors of {quantiser.dimension} coordinates, not {dimension}."
            )
        return LinearEncoding.of(quantiser)
    if precision == "exact":
        return Encoding.integers(dimension, metric, radius=radius)  # type: ignore[arg-type]
    if scheme == "ckks":
        return Encoding(dimension, metric, _CKKS_SCALE, radius=radius)  # type: ignore[arg-type]
    return Encoding(dimension, metric, radius=radius)  # type: ignore[arg-type]


def params_for(
    scheme: str,
    encoding: GalleryEncoding,
    precision: Precision,
    *,
    insecure_clear: bool = False,
    batch: int = 1,
) -> MatchingParams:
    """Parameters of a new gallery; ``batch`` probes travel in one message.

    Raises:
        RefusedError: the scheme protects nothing, and nobody said ``insecure``.
        UsageError: no such scheme, or it cannot give this precision, or has no batches.

    """
    if batch != 1 and scheme != "bfv":
        raise UsageError("Only the scheme bfv puts several probes into one message; leave the batch at 1.")
    bounds = {
        "template_norm": encoding.template_norm,
        "probe_norm": encoding.probe_norm,
        "score_bound": encoding.score_bound,
    }
    if scheme == "lattice":
        if precision == "exact":
            return LatticeParams.integers(encoding.width, **bounds)
        return LatticeParams.approximate(encoding.width, **bounds, noise_limit=NOISE_LIMIT * _unit(encoding))
    if scheme == "bfv":
        if precision != "exact":
            raise UsageError("The scheme bfv gives exact integers; ask for the precision exact.")
        return BfvParams.integers(encoding.width, **bounds, batch=batch)
    if scheme == "ckks":
        if precision != "approximate":
            raise UsageError("The scheme ckks is approximate; for exact scores use bfv or lattice.")
        limit = CKKS_NOISE_LIMIT * _unit(encoding)
        return CkksParams.approximate(encoding.width, **bounds, noise_limit=limit)
    if scheme == "clear":
        if not insecure_clear:
            raise RefusedError(
                "The scheme clear protects nothing; it is for tests and comparisons. Say insecure to use it."
            )
        return ClearParams(encoding.width)
    raise UsageError(f"There is no scheme {scheme!r}; choose one of {', '.join(SCHEMES)}.")


def _unit(encoding: GalleryEncoding) -> int:
    """What a score of 1 is in integers, for vectors of norm 1."""
    assert isinstance(encoding, Encoding)  # `encoding_for` makes no other for an approximate gallery
    return encoding.template_scale * encoding.probe_scale


def key_holder(scheme: str, wire: Wire, secret: Secret) -> KeyHolder:
    """The key holder of an existing gallery; ``secret`` is the gallery's one secret."""
    if scheme == "lattice":
        return LatticeKeyHolder(SecretKey(LatticeParams.from_wire(wire), Secret(secret.derive("scheme key"))))
    if scheme == "bfv":
        return BfvKeyHolder(BfvParams.from_wire(wire), Secret(secret.derive("scheme key")))
    if scheme == "ckks":
        return CkksKeyHolder(CkksParams.from_wire(wire), Secret(secret.derive("scheme key")))
    if scheme == "clear":
        return ClearKey(ClearParams.parse(wire), "none-" + secret.derive("clear key id").hex()[:16])
    raise UsageError(f"This version does not know the scheme {scheme!r}.")
