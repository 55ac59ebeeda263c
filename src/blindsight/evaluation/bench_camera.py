"""What protection costs a camera: frames to answers, with both parties as processes behind TLS.

The camera is the one that ``blindsight serve camera`` runs; its stage clock says where the time goes.
"""

from __future__ import annotations

import itertools
import json
import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from blindsight.core.errors import UnavailableError, UsageError
from blindsight.core.types import U8
from blindsight.evaluation.bench_parties import PartyProcesses
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.watchlist import Watchlist
from blindsight.trusted.camera import Camera, Settings
from blindsight.trusted.camera_clock import PICTURES, PROTECTION, StageClock
from blindsight.trusted.camera_link import CameraLink
from blindsight.vision.decoding import pyav
from blindsight.vision.faces import Embedder, FacePipeline
from blindsight.vision.tracking import TrackingPolicy
from blindsight.vision.video import Source, frames

EVERY_FACE: Final = TrackingPolicy(interval=0.0, repeat=1e-6)
"""Sends each face of each frame, as a camera without tracking would."""
_LEAST_RATE: Final = 24
_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class CameraBench:
    """One pass over the video. Milliseconds are of wall time in the stage, the mean of all.

    Attributes:
        sending: ``tracked``, as `serve camera` does it, or ``every face`` of every frame.
        width, height: of a frame.
        entries: of the watchlist.
        frames, seconds: looked at, until everything was answered.
        frames_per_second: of both.
        faces_found: in all frames.
        faces_sent: to both parties, and answered by both.
        faces_per_second: answered, over ``seconds``.
        decode_ms, detect_ms, track_ms: a frame.
        embed_ms, quantise_ms, deal_ms, share_ms, send_ms: a face sent; embedding includes alignment.
        protection_ms: quantise, deal, share and send, a face sent.
        protection_share: of the time in all stages, 0 to 1.
    """

    sending: str
    width: int
    height: int
    entries: int
    frames: int
    seconds: float
    frames_per_second: float
    faces_found: int
    faces_sent: int
    faces_per_second: float
    decode_ms: float
    detect_ms: float
    track_ms: float
    embed_ms: float
    quantise_ms: float
    deal_ms: float
    share_ms: float
    send_ms: float
    protection_ms: float
    protection_share: float


def bench_camera(
    source: str,
    pipeline: FacePipeline,
    *,
    entries: int = 150,
    size: tuple[int, int] = (640, 480),
    count: int = 300,
    progress: Callable[[str], None] = lambda what: None,
) -> list[CameraBench]:
    """Two passes over ``count`` frames of the source, tracked and with every face sent.

    The frames are cropped and scaled to ``size`` and encoded again beforehand; a shorter source is
    repeated. The list is of random entries, so that hardly anybody matches.

    Raises:
        UsageError: a live source, or one without a face for this detector.
        UnavailableError: a party failed, or they compared another number of faces than were sent.

    """
    parsed = Source.parse(source)
    if parsed.live:
        raise UsageError("A benchmark needs a video that it can repeat: a file or a folder of pictures.")
    if not (entries >= 1 and count >= 1 and min(size) >= 64):
        raise UsageError("A benchmark needs an entry, a frame, and frames of at least 64 x 64 pixels.")
    with tempfile.TemporaryDirectory(prefix="blindsight-bench-") as folder, PartyProcesses() as parties:
        progress(f"scaling to {size[0]} x {size[1]}")
        video = Path(folder) / "video.mp4"
        _encode(video, itertools.islice(_repeated(parsed), count), size)
        if not any(pipeline.faces(frame.image()) for frame in frames(str(video))):
            raise UsageError("This detector finds no face in this video; take another of either.")
        watchlist, normalised = _strangers(pipeline.embedder, entries)
        _, addresses = parties.start(watchlist, pipeline.embedder.model_id, normalised=normalised)
        compared = [_Compared(process.stdout) for process in parties.processes]
        rows = []
        for sending, policy in (("tracked", TrackingPolicy()), ("every face", EVERY_FACE)):
            progress(sending)
            clock = StageClock()
            link = CameraLink(parties.identities[2], (addresses[0], addresses[1]), clock=clock)
            camera = Camera(
                Source.parse(str(video)), pipeline, link, Settings(tracking=policy), clock=clock
            )  # fmt: skip
            seconds = _run(camera)
            rows.append(_row(sending, camera, size, entries, seconds))
        sent = sum(row.faces_sent for row in rows)
        ends = time.monotonic() + _SECONDS
        while min(one.faces for one in compared) < sent and time.monotonic() < ends:
            time.sleep(0.02)
        if any(one.faces != sent for one in compared):
            raise UnavailableError("The parties did not compare all faces; look at their messages.")
    return rows


class _Compared(threading.Thread):
    """How many faces a party says it compared; reads what it prints."""

    def __init__(self, lines: Any) -> None:
        super().__init__(name="compared", daemon=True)
        self.faces = 0
        self._lines = lines
        self.start()

    def run(self) -> None:
        for line in self._lines:
            self.faces += int(json.loads(line)["count"])


def _run(camera: Camera) -> float:
    """Seconds from the first frame to the last answer."""
    with camera:
        while camera.began is None and not camera.wait(0.01):
            pass
        while not camera.wait(0.1):
            pass
    if camera.began is None or camera.ended is None:
        raise UnavailableError("The camera was stopped before it began.")
    return camera.ended - camera.began


def _row(sending: str, camera: Camera, size: tuple[int, int], entries: int, seconds: float) -> CameraBench:
    progress, counts, spent = camera.progress, camera.link.counts, camera.clock.seconds
    if counts.answered != progress.chosen - progress.refused:
        raise UnavailableError("Faces were lost on the way; look at the parties' messages.")
    protection = sum(spent[stage] for stage in PROTECTION)

    def each(stage: str) -> float:
        of = progress.frames if stage in PICTURES[:3] else counts.sent
        return round(1000.0 * spent[stage] / max(1, of), 4)

    return CameraBench(
        sending=sending,
        width=size[0],
        height=size[1],
        entries=entries,
        frames=progress.frames,
        seconds=round(seconds, 3),
        frames_per_second=round(progress.frames / seconds, 2),
        faces_found=progress.found,
        faces_sent=counts.sent,
        faces_per_second=round(counts.answered / seconds, 2),
        **{f"{stage}_ms": each(stage) for stage in (*PICTURES, *PROTECTION)},
        protection_ms=round(1000.0 * protection / max(1, counts.sent), 4),
        protection_share=round(camera.clock.protection_share, 5),
    )


def _repeated(source: Source) -> Iterator[U8]:
    while True:
        for frame in frames(source, strict=False):
            yield frame.pixels


def _encode(path: Path, pictures: Iterator[U8], size: tuple[int, int]) -> None:
    """H.264 of the pictures' middles, in the shape of ``size`` and scaled to it."""
    av = pyav()
    width, height = size
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=_LEAST_RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for pixels in pictures:
            whole_height, whole_width = pixels.shape[:2]
            wide = min(whole_width, whole_height * width // height)
            high = min(whole_height, whole_width * height // width)
            left, top = (whole_width - wide) // 2, (whole_height - high) // 2
            middle = np.ascontiguousarray(pixels[top : top + high, left : left + wide])
            frame = av.VideoFrame.from_ndarray(middle, "rgb24").reformat(width, height)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def _strangers(embedder: Embedder, entries: int) -> tuple[Watchlist, bool]:
    """Random entries as long as this model's embeddings may be, and whether they are normalised."""
    normalised = embedder.metric == "cosine" or not math.isfinite(embedder.radius)
    radius = 1.0 if normalised else embedder.radius
    params = Params.for_radius(embedder.dimension, radius=radius)
    near = embedder.threshold
    squared = 2.0 - 2.0 * near if embedder.metric == "cosine" else near**2
    points = np.random.default_rng(1).standard_normal((entries, embedder.dimension))
    points *= 0.9 * radius * params.scale / np.linalg.norm(points, axis=1, keepdims=True)
    rows = np.rint(points).astype(np.int32)
    return Watchlist(params, rows, params.threshold(squared)), normalised
