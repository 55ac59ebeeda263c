"""What a revealer writes: pictures, video, and the manifest that proves them (specs/reveal.md, section 5)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from blindsight.core.consent import Consent, Request, shown_instant
from blindsight.core.errors import UsageError
from blindsight.core.types import U8
from blindsight.schemes.footage.public import Share, StillShape
from blindsight.schemes.footage.reveal import Segment, Still
from blindsight.wire.channel import Channel
from blindsight.wire.dual_control import Signed
from blindsight.wire.footage_messages import Granted, Item

_SUFFIXES: Final = {"video/mp4": ".mp4", "video/x-matroska": ".mkv"}
_STRIPE: Final = 8
_DARK, _LIGHT = 70, 120


@dataclass(slots=True)
class Revealed:
    """What came of a reveal: the content of ``manifest.json``, in parts.

    Attributes:
        items: what was put together, a file each.
        gaps: what a party does not hold, withholds, or cannot read any more.
        refused: halves that are not what the camera made, and whose they are.
        stopped: why it ended early, or empty.
    """

    items: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = ""


def written(shown: Still | Segment, half: Share, out: Path, count: int) -> dict[str, Any]:
    """Write one item; what the manifest says of it, from the signed statement and not from any list."""
    statement = half.statement
    name = f"{count:05}-{shown.about.first:%Y%m%dT%H%M%SZ}"
    said: dict[str, Any] = {
        "digest": statement.digest().hex(),
        "camera": shown.about.camera,
        "number": shown.about.number,
        "first": _iso(shown.about.first),
        "last": _iso(shown.about.last),
        "statement": statement.encode().hex(),
        "signature": half.signature.hex(),
        "withheld": [],
    }
    if isinstance(shown, Segment):
        path = out / (name + _SUFFIXES.get(shown.media, ".bin"))
        said |= {"kind": "segment", "media": shown.media}
        data = shown.data
    else:
        assert isinstance(statement.shape, StillShape)
        path = out / (name + ".png")
        said |= {"kind": "still", "width": statement.shape.width, "height": statement.shape.height}
        said["withheld"] = _rectangles(shown, statement.shape)
        data = _png(_hatched(shown))
    _write(path, data)
    return {"file": path.name, "sha256": sha256(data).hexdigest()} | said


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def about(item: Item) -> dict[str, Any]:
    """What a party's list says of an item that it does not give, or not as the camera made it."""
    return {
        "digest": item.digest.hex(),
        "number": item.number,
        "first": shown_instant(item.first),
        "last": shown_instant(item.last),
    }


def _hatched(still: Still) -> U8:
    """The pixels, uint8 (h, w, 3), with stripes where a party withheld: black might be the picture."""
    height, width, _ = still.pixels.shape
    diagonals = np.arange(height)[:, np.newaxis] + np.arange(width)
    stripes = np.where(diagonals // _STRIPE % 2 == 0, np.uint8(_DARK), np.uint8(_LIGHT))
    return np.where(still.withheld[..., np.newaxis], stripes[..., np.newaxis], still.pixels)


def _rectangles(still: Still, shape: StillShape) -> list[list[int]]:
    """What was withheld, as [left, top, width, height] in whole tiles."""
    found: list[list[int]] = []
    for row, tiles in enumerate(still.withheld[:: shape.tile, :: shape.tile]):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], tiles.astype(np.int8), [0]])))
        top = row * shape.tile
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            left, right = start * shape.tile, min(end * shape.tile, shape.width)
            height = min(shape.tile, shape.height - top)
            above = next((one for one in found if _continues(one, left, top, right - left)), None)
            if above is None:
                found.append([left, top, right - left, height])
            else:
                above[3] += height
    return found


def _continues(above: list[int], left: int, top: int, width: int) -> bool:
    """Whether a row of tiles lies right below a rectangle, and is as wide."""
    return above[0] == left and above[2] == width and above[1] + above[3] == top


def _png(pixels: U8) -> bytes:
    import io

    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError('Stills need pillow: pip install "blindsight[video]".') from error
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "PNG")
    return memory.getvalue()


def head(
    asked: Request,
    digest: bytes,
    agreed: Sequence[Consent],
    request: Signed,
    consents: Sequence[Signed],
    channels: Sequence[Channel],
    grants: Sequence[Granted],
) -> dict[str, Any]:
    """How ``manifest.json`` begins: who asked for what, who agreed, and both logs' heads."""
    return {
        "blindsight": "footage manifest 1",
        "request": {
            "digest": digest.hex(),
            "camera": asked.camera,
            "first": shown_instant(asked.first),
            "last": shown_instant(asked.last),
            "reason": asked.reason,
            "operator": asked.operator.hex(),
            "until": shown_instant(asked.until * 1_000_000),
            "revealer": asked.revealer.hex(),
            "value": request.value.hex(),
            "signature": request.signature.hex(),
        },
        "consents": [
            {
                "operator": one.operator.hex(),
                "withhold": [list(rectangle) for rectangle in one.withhold],
                "value": signed.value.hex(),
                "signature": signed.signature.hex(),
            }
            for one, signed in zip(agreed, consents, strict=True)
        ],
        "parties": [
            {"party": party, "certificate": channel.peer.fingerprint, "log": grant.log.hex()}
            for party, (channel, grant) in enumerate(zip(channels, grants, strict=True))
        ],
    }


def write_manifest(out: Path, beginning: Mapping[str, Any], found: Revealed) -> None:
    """Write ``manifest.json``, of what came until now."""
    content = dict(beginning) | {
        "items": found.items,
        "gaps": found.gaps,
        "refused": found.refused,
        "stopped": found.stopped,
    }
    _write(out / "manifest.json", json.dumps(content, indent=1).encode() + b"\n")


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
    part.replace(path)
