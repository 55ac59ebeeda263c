"""One person, one track: so that a face is not sent at every frame in which it is seen.

Faces of successive frames belong together by where they are, and by nothing else: no embedding
is kept or compared. A track's centre is predicted by a Kalman filter for constant velocity;
predictions and detections are paired greedily, then pairs exchanged where that is closer. What
is kept is bounded, and the same input gives the same output.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from blindsight.core.errors import UsageError
from blindsight.vision.faces import Face, FaceBox

Reason = Literal["new", "better", "again"]

# Standard deviations of the filter, in sides of the face: how far a detector's box is off, how
# fast people are that nothing is known of, and how much they change their speed in a second.
_OFF: Final = 0.05
_SPEED: Final = 2.0
_CHANGE: Final = 1.0
_SIZE_GAIN: Final = 0.4
_FULL_SIDE: Final = 160.0
"""Pixels of a face's side above which embedders see no more."""


@dataclass(frozen=True, slots=True)
class TrackingPolicy:
    """When detections are one person, and when that person's face is sent.

    A face is sent when its track begins (its ``confirm``-th sighting); again when its quality
    is ``margin`` better than that of the last one sent; and after ``repeat`` seconds however it
    looks, as watchlists change. But never within ``interval`` seconds of the last time.

    Attributes:
        overlap: smallest intersection over union of prediction and detection.
        reach: where nothing overlaps, a detection of similar size belongs to a track up to this
            many sides away from the prediction (few frames a second, quick people).
        patience: seconds that a track lives on unseen.
        confirm: sightings before a track counts; 2 leaves out what flickers up once.
        margin: 0.25 is 25 % better.
        interval: seconds.
        repeat: seconds; None for never.
        most: tracks at a time. Of more faces the best are kept; of more tracks those unseen
            longest are forgotten.
    """

    overlap: float = 0.3
    reach: float = 0.75
    patience: float = 1.0
    confirm: int = 1
    margin: float = 0.25
    interval: float = 2.0
    repeat: float | None = None
    most: int = 256

    def __post_init__(self) -> None:
        fits = (
            0.0 < self.overlap < 1.0
            and 0.0 <= self.reach <= 4.0
            and 0.0 < self.patience <= 60.0
            and 1 <= self.confirm <= 100
            and self.margin > 0.0
            and self.interval >= 0.0
            and (self.repeat is None or self.repeat > 0.0)
            and 1 <= self.most <= 4096
        )
        if not fits:
            raise UsageError("This tracking policy is out of range; see the documentation of its values.")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One face of one frame, and whose it is.

    Attributes:
        track: counts the tracks from 0; one person's, as far as places can tell.
        quality: as `quality`.
        send: why this face should be sent; None where it should not.
    """

    track: int
    face: Face
    quality: float
    send: Reason | None


def quality(face: Face, width: int, height: int) -> float:
    """How much an embedder can make of a face, 0 to 1.

    The product of its size (side over 160 pixels, at most 1), the part of it inside the frame
    of ``width`` × ``height`` pixels, and, with landmarks, how nearly it looks into the camera:
    1 where the nose is midway between the eyes, 0 where it is half their distance aside.
    """
    box = face.box
    inside_x = max(0, min(box.right, width) - max(box.left, 0)) / box.width
    inside_y = max(0, min(box.bottom, height) - max(box.top, 0)) / box.height
    size = min(1.0, min(box.width, box.height) / _FULL_SIDE)
    return size * inside_x * inside_y * _frontal(face)


def _frontal(face: Face) -> float:
    if face.landmarks is None:
        return 1.0
    left, right, nose = ((float(point[0]), float(point[1])) for point in face.landmarks.five()[:3])
    across = (right[0] - left[0], right[1] - left[1])
    distance2 = across[0] ** 2 + across[1] ** 2
    if distance2 == 0.0:
        return 0.0
    along = ((nose[0] - left[0]) * across[0] + (nose[1] - left[1]) * across[1]) / distance2
    return max(0.0, 1.0 - 2.0 * abs(along - 0.5))


class Tracker:
    """The tracks of one source; begin another when its frames change their size."""

    def __init__(self, width: int, height: int, policy: TrackingPolicy | None = None) -> None:
        if width < 1 or height < 1:
            raise UsageError("A tracker needs the width and height of the frames.")
        self._width, self._height = width, height
        self._policy = policy or TrackingPolicy()
        self._numbers = itertools.count()
        self._tracks: list[_Track] = []
        self._time = -math.inf

    def __len__(self) -> int:
        """Tracks alive."""
        return len(self._tracks)

    def step(self, time: float, faces: Sequence[Face]) -> list[Sighting]:
        """What is seen in the next frame, in the order of ``faces``.

        Args:
            time: of the frame in seconds, not before the last one's.
            faces: the detector's.

        Raises:
            UsageError: a time that is not a number, or goes back.
        """
        if not (math.isfinite(time) and time >= self._time):
            raise UsageError("The frames' times go forward; begin another tracker for another video.")
        self._time = time
        policy = self._policy
        self._tracks = [track for track in self._tracks if time - track.seen <= policy.patience]
        for track in self._tracks:
            track.predict(time)
        judged = [(face, quality(face, self._width, self._height)) for face in faces]
        chosen = sorted(range(len(judged)), key=lambda place: (-judged[place][1], place))[: policy.most]
        pairs = _paired(self._tracks, {place: faces[place].box for place in chosen}, policy)
        sightings = []
        for place in sorted(chosen):
            face, value = judged[place]
            if place in pairs:
                track = pairs[place]
                track.correct(face.box, time)
            else:
                track = _Track(next(self._numbers), face.box, time)
                self._tracks.append(track)
            sightings.append(Sighting(track.number, face, value, track.decide(time, value, policy)))
        self._forget(policy.most)
        return sightings

    def _forget(self, most: int) -> None:
        """Keep the tracks seen last; of those seen together, the oldest."""
        if len(self._tracks) > most:
            kept = sorted(self._tracks, key=lambda track: (-track.seen, track.number))[:most]
            self._tracks = sorted(kept, key=lambda track: track.number)


class _Track:
    """Where one person's face is, how fast, and what was sent of it."""

    __slots__ = (
        "_at",
        "_size",
        "_speed",
        "_spread",
        "hits",
        "number",
        "predicted",
        "seen",
        "sent",
        "sent_at",
    )

    def __init__(self, number: int, box: FaceBox, time: float) -> None:
        self.number, self.seen, self.hits = number, time, 1
        self.sent: float | None = None
        self.sent_at = 0.0
        self._at, self._size = _centre(box), (float(box.width), float(box.height))
        self._speed = (0.0, 0.0)
        # Variance of place, covariance, variance of speed; in sides, alike in both directions.
        self._spread = (_OFF**2, 0.0, _SPEED**2)
        self.predicted = _edges(self._at, self._size)

    def predict(self, time: float) -> None:
        """Set ``predicted`` to the box (left, top, right, bottom) expected at ``time``."""
        self.predicted = _edges(self._moved(time), self._size)

    def correct(self, box: FaceBox, time: float) -> None:
        """One step of the filter: the state moves on to ``time`` and meets what is seen."""
        passed = time - self.seen
        place, both, speed = self._spread
        place += passed * (2.0 * both + passed * speed) + _CHANGE**2 * passed**4 / 4.0
        both += passed * speed + _CHANGE**2 * passed**3 / 2.0
        speed += _CHANGE**2 * passed**2
        at_gain, speed_gain = place / (place + _OFF**2), both / (place + _OFF**2)
        self._spread = (place * (1.0 - at_gain), both * (1.0 - at_gain), speed - speed_gain * both)
        expected, found = self._moved(time), _centre(box)
        surprise = (found[0] - expected[0], found[1] - expected[1])
        self._at = (expected[0] + at_gain * surprise[0], expected[1] + at_gain * surprise[1])
        self._speed = (
            self._speed[0] + speed_gain * surprise[0],
            self._speed[1] + speed_gain * surprise[1],
        )
        width, height = self._size
        self._size = (
            width + _SIZE_GAIN * (box.width - width),
            height + _SIZE_GAIN * (box.height - height),
        )
        self.seen = time
        self.hits += 1

    def decide(self, time: float, value: float, policy: TrackingPolicy) -> Reason | None:
        """Whether to send the face seen now, and note it."""
        reason: Reason | None = None
        if self.sent is None:
            reason = "new" if self.hits >= policy.confirm else None
        elif time - self.sent_at >= policy.interval:
            if value > self.sent * (1.0 + policy.margin):
                reason = "better"
            elif policy.repeat is not None and time - self.sent_at >= policy.repeat:
                reason = "again"
        if reason is not None:
            self.sent, self.sent_at = value, time
        return reason

    def _moved(self, time: float) -> tuple[float, float]:
        passed = time - self.seen
        return self._at[0] + passed * self._speed[0], self._at[1] + passed * self._speed[1]


_Edges = tuple[float, float, float, float]


def _centre(box: FaceBox) -> tuple[float, float]:
    return (box.left + box.right) / 2.0, (box.top + box.bottom) / 2.0


def _edges(centre: tuple[float, float], size: tuple[float, float]) -> _Edges:
    return (
        centre[0] - size[0] / 2.0,
        centre[1] - size[1] / 2.0,
        centre[0] + size[0] / 2.0,
        centre[1] + size[1] / 2.0,
    )


def _paired(tracks: list[_Track], boxes: dict[int, FaceBox], policy: TrackingPolicy) -> dict[int, _Track]:
    """Detections' places to tracks.

    The pair that overlaps most first, then of what is left, and those that are only near last;
    equals in the order of tracks. Then two pairs exchange partners as long as that makes the
    sum of squared distances smaller: where people cross, the closest single pair is often wrong.
    """
    edges = {place: _edges_of(box) for place, box in boxes.items()}
    ranks: dict[tuple[int, int], tuple[int, float]] = {}
    for row, track in enumerate(tracks):
        for place, box in edges.items():
            shared = _overlap(track.predicted, box)
            if shared >= policy.overlap:
                ranks[row, place] = (0, -shared)
            elif (distance := _distance(track.predicted, box)) <= policy.reach:
                ranks[row, place] = (1, distance)
    pairs: dict[int, int] = {}  # row to place
    taken: set[int] = set()
    for row, place in sorted(ranks, key=lambda pair: (ranks[pair], pair)):
        if row not in pairs and place not in taken:
            pairs[row] = place
            taken.add(place)

    def off(row: int, place: int) -> float:
        return _apart(tracks[row].predicted, edges[place])

    exchanged = True
    while exchanged:  # each exchange makes a finite sum smaller
        exchanged = False
        for one, other in itertools.combinations(sorted(pairs), 2):
            here, there = pairs[one], pairs[other]
            if (
                (one, there) in ranks
                and (other, here) in ranks
                and off(one, there) + off(other, here) < off(one, here) + off(other, there) - 1e-9
            ):
                pairs[one], pairs[other], exchanged = there, here, True
    return {place: tracks[row] for row, place in pairs.items()}


def _edges_of(box: FaceBox) -> _Edges:
    return float(box.left), float(box.top), float(box.right), float(box.bottom)


def _apart(one: _Edges, other: _Edges) -> float:
    """Squared distance of the centres, in pixels."""
    return ((one[0] + one[2] - other[0] - other[2]) ** 2 + (one[1] + one[3] - other[1] - other[3]) ** 2) / 4.0


def _overlap(one: _Edges, other: _Edges) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    return width * height / (_area(one) + _area(other) - width * height)


def _distance(one: _Edges, other: _Edges) -> float:
    """Of the centres, in sides of the smaller; infinite where one is twice as large."""
    sides = [math.sqrt(_area(one)), math.sqrt(_area(other))]
    if max(sides) > 2.0 * min(sides):
        return math.inf
    return math.sqrt(_apart(one, other)) / min(sides)


def _area(box: _Edges) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
