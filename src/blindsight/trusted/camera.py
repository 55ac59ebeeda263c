"""The camera: frames to faces to integers, handed to the link; of none of them anything is kept.

    source → frames → faces → tracks → embeddings → integers → (ticks) → `CameraLink`

Pictures are worked on in one thread, ticks and the link have one each. Every array that this
process owns is overwritten when it was used; what a decoder, Pillow or a network owns is let go.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np

from blindsight.core.errors import (
    ModelMismatchError,
    UsageError,
    VectorError,
    VideoError,
    VideoSizeError,
)
from blindsight.core.types import I32, U8, AnyArray
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import Sharer, quantise
from blindsight.trusted.camera_clock import StageClock
from blindsight.trusted.camera_link import CameraLink
from blindsight.trusted.camera_ticks import Ticks
from blindsight.vision.decoding import Tap
from blindsight.vision.faces import Embedder, Face, FaceBox, FacePipeline
from blindsight.vision.images import Image
from blindsight.vision.live import LiveSettings
from blindsight.vision.tracking import Tracker, TrackingPolicy
from blindsight.vision.video import Frame, Source, frames
from blindsight.wire.party_messages import State
from blindsight.wire.tls import Identity

_log = logging.getLogger(__name__)

Look = Callable[[U8, float], None]

_LOOK_SECONDS: Final = 0.2
_REOPEN_SECONDS: Final = 0.5
_COMPLAIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a camera works.

    Attributes:
        fps: most frames a second; None for all.
        realtime: show a file no faster than it was filmed.
        dummies: q: inputs that each tick has at least; 0 for no ticks, faces go when they are seen.
        tick: seconds from one to the next.
        tracking: which sightings of a person are sent.
        live: patience with a live source.
        strict: whether a damaged file ends where the damage begins, or is shown as far as it goes.
    """

    fps: float | None = None
    realtime: bool = False
    dummies: int = 0
    tick: float = 1.0
    tracking: TrackingPolicy = field(default_factory=TrackingPolicy)
    live: LiveSettings = field(default_factory=LiveSettings)
    strict: bool = True

    def __post_init__(self) -> None:
        if self.fps is not None and not 0.0 < self.fps <= 1000.0:
            raise UsageError("Frames a second are a number above 0, at most 1,000.")
        if not 0 <= self.dummies <= 1024:
            raise UsageError("A camera sends 0 to 1,024 inputs a tick at least.")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a camera did so far.

    Attributes:
        frames: looked at.
        missed: of a live source, left out because newer ones had come.
        found: faces in all frames looked at.
        tracks: people, as far as places can tell.
        chosen: faces that were to be sent.
        refused: of those, the ones that the model or the parameters could not take.
        ticks, over: ticks sent, and those of them with more than q faces.
    """

    frames: int = 0
    missed: int = 0
    found: int = 0
    tracks: int = 0
    chosen: int = 0
    refused: int = 0
    ticks: int = 0
    over: int = 0


class Camera:
    """One source, watched in a thread of its own from `start` on, until it ends or `stop`.

    Args:
        source: what to watch.
        pipeline: detector and embedder; the parties' list must be of the same model.
        link: not started yet; it is started and closed here.
        settings: how.
        tap: is shown every encoded packet of the video, for whoever keeps footage (as of `frames`;
            the owner of the tap finishes what it has when `wait` says that the camera is done).
        look: is shown every picture that is looked at, before it is overwritten, with its time.
        clock: is told what takes how long; give the link the same one.

    Attributes:
        began, ended: on the monotonic clock, when it began to watch, and when all was answered.

    """

    def __init__(
        self,
        source: Source,
        pipeline: FacePipeline,
        link: CameraLink,
        settings: Settings | None = None,
        *,
        tap: Tap | None = None,
        look: Look | None = None,
        clock: StageClock | None = None,
    ) -> None:
        self.source, self.pipeline, self.link, self._tap, self._shown = source, pipeline, link, tap, look
        self.settings = settings or Settings()
        self.clock = clock or StageClock()
        self._ticks = None
        if self.settings.dummies:
            self._ticks = Ticks(
                link, pipeline.embedder.dimension, self.settings.dummies, self.settings.tick,
                hold=not source.live,
            )  # fmt: skip
        self._fitting: State | None = None
        self._stop = threading.Event()
        self._done = threading.Event()
        self._failure: BaseException | None = None
        self._frames = self._missed = self._found = self._tracks = self._chosen = self._refused = 0
        self.began: float | None = None
        self.ended: float | None = None
        self._complained, self._dropped = -math.inf, 0
        self._thread = threading.Thread(target=self._work, name="camera", daemon=True)

    # -- what the caller does ----------------------------------------------------------------

    def start(self) -> Camera:
        """Reach the parties, and begin to watch when they compare faces."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Have it end soon; faces that wait are forgotten. From any thread, or a signal handler's."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; whether it came. Raises what ended it, if that was an error.

        A file ends when all its faces are answered, a live source by `stop` or by an error.
        """
        if not self._done.wait(seconds):
            return False
        if self._failure is not None:
            raise self._failure
        return True

    def __enter__(self) -> Camera:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(self.settings.live.stall + 2.0)

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    @property
    def progress(self) -> Progress:
        """So far."""
        ticks = self._ticks
        return Progress(
            self._frames, self._missed, self._found, self._tracks, self._chosen, self._refused,
            0 if ticks is None else ticks.count, 0 if ticks is None else ticks.over,
        )  # fmt: skip

    # -- the thread --------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            rehearse(self.pipeline, self.clock)
            with self.link, contextlib.ExitStack() as ends:
                if not self._opened():
                    return
                self.began = time.monotonic()
                if self._ticks is not None:
                    ends.callback(self._ticks.close)
                    self._ticks.start()
                try:
                    self._watch()
                except VideoError:
                    self._deliver()
                    raise
                self._deliver()
                self.ended = time.monotonic()
        except BaseException as error:
            self._failure = error  # for whoever waits
        finally:
            self._done.set()

    def _opened(self) -> bool:
        """Wait for the parties; False where stopped before."""
        while not self._stop.is_set():
            if (known := self.link.known) is not None:
                self._fit(known)
            if self.link.state is not None:
                return True
            self._stop.wait(_LOOK_SECONDS)
        return False

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch_until_it_changes()
                return
            except VideoSizeError as error:
                if not self.source.live:
                    raise
                _log.warning("%s Opening it again.", error.message)
                self._stop.wait(_REOPEN_SECONDS)

    def _watch_until_it_changes(self) -> None:
        settings = self.settings
        pictures = frames(
            self.source, fps=settings.fps, strict=settings.strict, live=settings.live, tap=self._tap,
            stop=self._stop,
        )  # fmt: skip
        tracker, size = None, (0, 0)
        began, next_index = time.monotonic(), 0
        for frame in self._timed(pictures):
            if self._stop.is_set():
                return
            require_valid(self.link.identity)
            if settings.realtime and not self.source.live:
                self._stop.wait(max(0.0, began + frame.time - time.monotonic()))
            height, width = frame.pixels.shape[:2]
            if tracker is None or (width, height) != size:  # a live source may come back with another
                size = width, height
                tracker = Tracker(width, height, settings.tracking)
            if self.source.live:
                self._missed += frame.index - next_index
                next_index = frame.index + 1
            self._look(frame, tracker)
            if self._shown is not None:
                with self.clock("footage"):
                    self._shown(frame.pixels, frame.time)
            _wipe(frame.pixels)
            self._frames += 1

    def _timed(self, pictures: Iterator[Frame]) -> Iterator[Frame]:
        """The same, with the time that decoding takes; of a live source a thread of its own does that."""
        with contextlib.closing(pictures):  # type: ignore[type-var]
            while True:
                if self.source.live:
                    frame = next(pictures, None)
                else:
                    with self.clock("decode"):
                        frame = next(pictures, None)
                if frame is None:
                    return
                yield frame

    def _look(self, frame: Frame, tracker: Tracker) -> None:
        image = frame.image()
        self._keep_quiet("detect")
        with self.clock("detect"):
            found = self.pipeline.faces(image)
        with self.clock("track"):
            sightings = tracker.step(frame.time, found)
        self._found += len(found)
        rows: list[I32] = []
        for sighting in sightings:
            if sighting.send is None:
                continue
            self._tracks += sighting.send == "new"
            self._chosen += 1
            try:
                rows.append(self._integers(image, sighting.face))
            except VectorError as error:
                self._refused += 1
                self._complain(f"A face was refused: {error.message}")
        if rows:
            self._hand(np.concatenate(rows))
            for row in rows:
                row.fill(0)

    def _integers(self, image: Image, face: Face) -> I32:
        """One face as the parties' list has it: int32 (1, d)."""
        self._keep_quiet("embed")
        with self.clock("embed"):
            embedding = self.pipeline.embedder.embed(image, face)
        state = self.link.known
        assert state is not None  # it was known before the first frame
        self._fit(state)
        with self.clock("quantise"):
            wide = embedding.vector.astype(np.float64)
            _wipe(embedding.vector)
            if state.normalised:
                wide /= np.linalg.norm(wide)
            try:
                return quantise(params_of(state), wide)
            finally:
                wide.fill(0.0)

    def _hand(self, faces: I32) -> None:
        """On to the ticks or the link; a file waits until there is room, of a live source the oldest go."""
        ticks = self._ticks
        if ticks is not None:
            while not self.source.live and ticks.due() and not self._stop.is_set():
                ticks.wait_sent(_LOOK_SECONDS)
            ticks.add(faces)
        else:
            while not (self.source.live or self._stop.is_set()):
                if self.link.wait_room(len(faces), _LOOK_SECONDS):
                    break
            self.link.offer(faces)
            faces.fill(0)
        dropped = self.link.counts.dropped
        if dropped > self._dropped and self._complain(
            f"Faces come faster than the parties take them: {dropped} dropped so far."
        ):
            self._dropped = dropped

    def _deliver(self) -> None:
        """Wait until everything is answered, or nobody wants it any more."""
        while not self._stop.is_set():
            if self._ticks is not None and not self._ticks.wait_sent(_LOOK_SECONDS):
                continue
            if self.link.wait_answered(_LOOK_SECONDS):
                return

    def _keep_quiet(self, stage: str) -> None:
        if self._ticks is not None:
            self._ticks.keep_quiet(self.clock.longest(stage))

    def _fit(self, state: State) -> None:
        if state is not self._fitting:
            require_fit(self.pipeline.embedder, state)
            self._fitting = state

    def _complain(self, text: str) -> bool:
        """A line in the log, now and then; whether it was now."""
        now = time.monotonic()
        if now - self._complained < _COMPLAIN_SECONDS:
            return False
        self._complained = now
        _log.warning("%s", text)
        return True


def params_of(state: State) -> Params:
    """The parameters that a party's list has."""
    return Params(state.dimension, state.scale, state.norm, state.value_bits)


def require_fit(embedder: Embedder, state: State) -> None:
    """Raise `ModelMismatchError` unless this embedder's faces can be compared with the parties' list."""
    if embedder.model_id != state.model_id:
        raise ModelMismatchError(
            f"The parties' list is of {state.model_id}, this camera embeds with {embedder.model_id}; "
            "use the list's embedder."
        )
    if embedder.dimension != state.dimension:
        raise ModelMismatchError(
            f"The parties' list has {state.dimension} coordinates, this camera's embeddings have "
            f"{embedder.dimension}; use the list's embedder."
        )
    if embedder.metric == "cosine" and not state.normalised and embedder.radius > 1.0 + 1e-6:
        raise ModelMismatchError(
            "This embedder's vectors are compared by direction and the parties' list has their lengths in "
            "it; the operators have to found it normalised."
        )


def require_valid(identity: Identity) -> None:
    """Raise `UsageError` where the camera's own certificate is no camera's, or expired."""
    own = identity.own
    if own.role != "camera":
        raise UsageError(f"The identity in {identity.folder} is a {own.role}'s, not a camera's.")
    if own.until < datetime.now(UTC):
        raise UsageError(
            f"The camera's certificate expired on {own.until:%Y-%m-%d}; make another with "
            "`blindsight keys new` and have both parties trust it."
        )


def rehearse(pipeline: FacePipeline, clock: StageClock) -> None:
    """Do everything once with a grey picture, so that nothing is loaded or compiled between two ticks."""
    grey = Image(np.full((240, 240, 3), 128, np.uint8), "a grey picture")
    for _ in range(2):
        with clock("detect"):
            pipeline.faces(grey)
        with contextlib.suppress(VectorError), clock("embed"):
            pipeline.embedder.embed(grey, Face(FaceBox(60, 60, 180, 180)))
    params = Params.for_radius(2)
    dealer = Dealer(params, bytes(32), 1, camera="rehearsal")
    sharer = Sharer(params, dealer.session)
    sharer.add(dealer.deal(2).masks)
    sharer.share(np.zeros((1, 2), np.int32), dummies=1)
    clock.restart()


def _wipe(array: AnyArray) -> None:
    """Overwrite an array with zeros, though it may be a read-only view, unless the memory itself is."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    if array.flags.writeable:
        array.fill(0)
