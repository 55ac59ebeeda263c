"""Tracks on generated movements: crossings, gaps, births, deaths; and what is sent of them."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import real_data
from blindsight.core.errors import UsageError
from blindsight.vision import Face, FaceBox, Landmarks, MtcnnDetector, Tracker, TrackingPolicy, frames
from blindsight.vision.tracking import Sighting, quality

SIZE = (640, 480)


@dataclass(frozen=True)
class Person:
    """A face of ``side`` pixels that walks from ``start`` at ``speed`` (pixels a second)."""

    start: tuple[float, float]
    speed: tuple[float, float]
    side: float = 60.0
    growth: float = 0.0  # pixels a second
    begin: float = 0.0
    end: float = math.inf
    unseen: tuple[float, float] = (math.inf, math.inf)

    def face(self, time: float, noise: np.ndarray) -> Face | None:
        if not self.begin <= time < self.end or self.unseen[0] <= time < self.unseen[1]:
            return None
        passed = time - self.begin
        side = self.side + self.growth * passed
        x = self.start[0] + self.speed[0] * passed + noise[0]
        y = self.start[1] + self.speed[1] * passed + noise[1]
        return Face(
            FaceBox(round(x - side / 2), round(y - side / 2), round(x + side / 2), round(y + side / 2))
        )


def walk(
    people: list[Person],
    seconds: float,
    *,
    rate: float = 10.0,
    policy: TrackingPolicy | None = None,
    noise: float = 1.5,
    hide: float | None = 0.5,
    seed: int = 0,
) -> tuple[dict[int, list[int]], list[tuple[float, int, Sighting]]]:
    """The track numbers of each person in turn, and all sightings with time and person.

    Of two faces that overlap by more than ``hide`` of one, the detector sees the first only.
    """  # fmt: skip
    rng = np.random.default_rng(seed)
    tracker = Tracker(*SIZE, policy)
    numbers: dict[int, list[int]] = defaultdict(list)
    everything = []
    for step in range(int(seconds * rate)):
        time = step / rate
        seen: list[tuple[int, Face]] = []
        for name, person in enumerate(people):
            face = person.face(time, rng.normal(0, noise, 2))
            if face is not None and not any(_hidden(face.box, other.box, hide) for _, other in seen):
                seen.append((name, face))
        order = rng.permutation(len(seen))  # a detector's order means nothing
        found = tracker.step(time, [seen[place][1] for place in order])
        assert [sighting.face for sighting in found] == [seen[place][1] for place in order]
        for place, sighting in zip(order, found, strict=True):
            name = seen[place][0]
            numbers[name].append(sighting.track)
            everything.append((time, name, sighting))
    return numbers, everything


def _hidden(one: FaceBox, other: FaceBox, part: float | None) -> bool:
    if part is None:
        return False
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return width > 0 and height > 0 and width * height > part * one.width * one.height


def distinct(tracks: list[int]) -> list[int]:
    return list(dict.fromkeys(tracks))


class TestTracks:
    @pytest.mark.parametrize("rate", [5.0, 10.0, 25.0])
    @pytest.mark.parametrize("speed", [0.0, 60.0, 150.0])
    def test_one_person_is_one_track(self, rate: float, speed: float) -> None:
        numbers, _ = walk([Person((40, 200), (speed, 10))], 4.0, rate=rate)
        assert distinct(numbers[0]) == [0]

    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize("rate", [8.0, 25.0])
    def test_a_crossing_with_one_hidden_behind_the_other(self, seed: int, rate: float) -> None:
        people = [Person((80, 200), (90, 0)), Person((560, 206), (-90, 0))]
        numbers, _ = walk(people, 5.0, rate=rate, seed=seed)
        assert distinct(numbers[0]) != distinct(numbers[1])
        assert [len(distinct(numbers[name])) for name in (0, 1)] == [1, 1]

    @pytest.mark.parametrize("seed", range(4))
    def test_a_crossing_at_an_angle_with_both_seen(self, seed: int) -> None:
        people = [Person((100, 80), (100, 70)), Person((100, 400), (100, -60)), Person((560, 240), (-80, 0))]
        numbers, _ = walk(people, 4.0, hide=None, seed=seed)
        assert [len(distinct(numbers[name])) for name in range(3)] == [1, 1, 1]
        assert len({numbers[name][0] for name in range(3)}) == 3

    def test_a_short_gap_keeps_the_track_and_a_long_one_does_not(self) -> None:
        for unseen, tracks in (((1.0, 1.8), 1), ((1.0, 2.6), 2)):
            numbers, everything = walk([Person((60, 200), (80, 0), unseen=unseen)], 4.0)
            assert len(distinct(numbers[0])) == tracks
            assert [s.send for _, _, s in everything if s.send].count("new") == tracks

    def test_births_and_deaths(self) -> None:
        people = [
            Person((80, 100), (20, 0), end=2.0),
            Person((320, 300), (0, 0), begin=1.0),
            Person((560, 100), (-20, 0), begin=2.5, end=4.0),
        ]
        numbers, _ = walk(people, 6.0)
        assert [distinct(numbers[name]) for name in range(3)] == [[0], [1], [2]]
        tracker = Tracker(*SIZE)
        tracker.step(0.0, [Face(FaceBox(0, 0, 50, 50))])
        assert len(tracker) == 1
        tracker.step(1.0, [])
        assert len(tracker) == 1
        tracker.step(1.01, [])
        assert len(tracker) == 0

    def test_a_person_who_takes_anothers_place_is_another(self) -> None:
        """The predicted walker has gone on; who stands where it was is new."""
        people = [Person((60, 200), (160, 0), end=2.0), Person((370, 380), (0, -60), begin=2.0)]
        numbers, _ = walk(people, 4.0)
        assert not set(numbers[0]) & set(numbers[1])

    def test_a_face_of_another_size_is_another_person(self) -> None:
        tracker = Tracker(*SIZE)
        (first,) = tracker.step(0.0, [Face(FaceBox(100, 100, 140, 140))])
        (second,) = tracker.step(0.1, [Face(FaceBox(60, 60, 180, 180))])
        assert first.track != second.track


class TestSending:
    def test_of_a_still_person_one_face_is_sent(self) -> None:
        _, everything = walk([Person((300, 200), (0, 0))], 60.0)
        assert len(everything) == 600
        assert [s.send for _, _, s in everything if s.send] == ["new"]

    def test_a_better_face_is_sent_and_never_too_soon(self) -> None:
        """Quality grows from 40/160 to 1: by at least a quarter each time, not within two seconds."""
        policy = TrackingPolicy(margin=0.25, interval=2.0)
        _, everything = walk([Person((300, 200), (0, 0), 40, growth=12)], 12.0, policy=policy, noise=0)
        sent = [(time, s.quality, s.send) for time, _, s in everything if s.send]
        assert [why for _, _, why in sent] == ["new"] + ["better"] * (len(sent) - 1)
        assert 4 <= len(sent) <= 1 + math.log(4.0, 1.25)
        for (time, value, _), (later, better, _) in itertools.pairwise(sent):
            assert later - time >= 2.0
            assert better > 1.25 * value

    def test_what_was_missed_in_the_quiet_time_is_made_up_for(self) -> None:
        tracker = Tracker(*SIZE, TrackingPolicy(interval=1.0))
        small, large = Face(FaceBox(300, 200, 380, 280)), Face(FaceBox(290, 190, 400, 300))
        sent = [tracker.step(t / 10, [small if t == 0 else large])[0].send for t in range(15)]
        assert sent == ["new"] + [None] * 9 + ["better"] + [None] * 4

    def test_repeating(self) -> None:
        policy = TrackingPolicy(repeat=5.0)
        _, everything = walk([Person((300, 200), (0, 0))], 16.0, policy=policy, noise=0)
        assert [(time, s.send) for time, _, s in everything if s.send] == [
            (0.0, "new"), (5.0, "again"), (10.0, "again"), (15.0, "again"),
        ]  # fmt: skip

    def test_a_flicker_is_not_sent_where_two_sightings_are_asked_for(self) -> None:
        tracker = Tracker(*SIZE, TrackingPolicy(confirm=2))
        person, flicker = Face(FaceBox(100, 100, 160, 160)), Face(FaceBox(400, 300, 450, 350))
        sent = []
        for step in range(10):
            faces = [person, flicker] if step == 4 else [person]
            sent += [s.face for s in tracker.step(step / 10, faces) if s.send]
        assert sent == [person]


class TestQuality:
    def test_size_place_and_pose(self) -> None:
        def of(box: tuple[int, int, int, int], nose: float | None = None) -> float:
            points = None
            if nose is not None:
                points = Landmarks(np.array([(10, 10), (30, 10), (nose, 20), (12, 30), (28, 30)], np.float32))
            return quality(Face(FaceBox(*box), 1.0, points), *SIZE)

        assert of((0, 0, 160, 160)) == of((0, 0, 300, 300)) == 1.0
        assert of((0, 0, 80, 90)) == 0.5
        assert of((-80, 0, 80, 160)) == 0.5
        assert of((560, 400, 720, 560)) == 0.25
        assert of((900, 0, 1000, 100)) == 0.0
        assert of((0, 0, 160, 160), nose=20) == 1.0
        assert of((0, 0, 160, 160), nose=25) == pytest.approx(0.5)
        assert of((0, 0, 160, 160), nose=35) == 0.0

    def test_points_that_coincide(self) -> None:
        face = Face(FaceBox(0, 0, 160, 160), 1.0, Landmarks(np.zeros((5, 2), np.float32)))
        assert quality(face, *SIZE) == 0.0


boxes = st.builds(
    lambda x, y, w, h: Face(FaceBox(x, y, x + w, y + h)),
    st.integers(-100, 700), st.integers(-100, 500), st.integers(1, 300), st.integers(1, 300),
)  # fmt: skip
films = st.lists(st.tuples(st.floats(0.0, 2.0), st.lists(boxes, max_size=8)), max_size=25)


class TestAnyFilm:
    @settings(max_examples=80, deadline=None)
    @given(films, st.integers(1, 6), st.integers(1, 3))
    def test_what_always_holds(self, film: list[tuple[float, list[Face]]], most: int, confirm: int) -> None:
        policy = TrackingPolicy(most=most, confirm=confirm, repeat=3.0)
        runs = []
        for _ in range(2):
            tracker, time, sightings = Tracker(*SIZE, policy), 0.0, []
            for passed, faces in film:
                time += passed
                found = tracker.step(time, faces)
                assert len(tracker) <= most
                assert len(found) == min(most, len(faces))
                assert len({sighting.track for sighting in found}) == len(found)
                sightings += [(time, sighting) for sighting in found]
            runs.append(sightings)
        assert runs[0] == runs[1]
        last: dict[int, tuple[float, float]] = {}
        seen: Counter[int] = Counter()
        for time, sighting in runs[0]:
            seen[sighting.track] += 1
            if sighting.track not in last:
                assert (sighting.send == "new") == (seen[sighting.track] == confirm)
            if sighting.send is not None:
                if sighting.track in last:
                    before, value = last[sighting.track]
                    assert time - before >= policy.interval
                    if sighting.send == "better":
                        assert sighting.quality > 1.25 * value
                last[sighting.track] = (time, sighting.quality)

    def test_state_is_bounded_over_a_long_time(self) -> None:
        tracker, rng = Tracker(*SIZE, TrackingPolicy(most=20)), np.random.default_rng(0)
        for step in range(150):
            corners = rng.integers(0, 400, (40, 2))
            tracker.step(
                step / 10, [Face(FaceBox(int(x), int(y), int(x) + 30, int(y) + 30)) for x, y in corners]
            )
            assert len(tracker) <= 20


class TestBadInput:
    def test_time_goes_forward(self) -> None:
        tracker = Tracker(*SIZE)
        tracker.step(1.0, [])
        tracker.step(1.0, [])
        for wrong in (0.9, math.nan, math.inf):
            with pytest.raises(UsageError):
                tracker.step(wrong, [])

    @pytest.mark.parametrize(
        "wrong",
        [{"overlap": 0.0}, {"overlap": 1.0}, {"reach": -1.0}, {"patience": 0.0}, {"confirm": 0},
         {"margin": 0.0}, {"interval": -1.0}, {"repeat": 0.0}, {"most": 0}, {"margin": math.nan}],
    )  # fmt: skip
    def test_policies(self, wrong: dict[str, float]) -> None:
        with pytest.raises(UsageError):
            TrackingPolicy(**wrong)

    def test_frames_have_a_size(self) -> None:
        with pytest.raises(UsageError):
            Tracker(0, 480)


@pytest.mark.data
@real_data.needs("video", "face-demographics-walking_preview.gif")
@real_data.needs("models", "mtcnn", "det1.caffemodel")
def test_real_walkers(capsys: pytest.CaptureFixture[str]) -> None:
    """People who walk past: few faces are sent of those that are seen."""
    detector = MtcnnDetector.load(real_data.DATA / "models" / "mtcnn", min_face=20)
    tracker, seen, sent = None, 0, 0
    for frame in frames(str(real_data.DATA / "video" / "face-demographics-walking_preview.gif")):
        tracker = tracker or Tracker(frame.pixels.shape[1], frame.pixels.shape[0])
        found = tracker.step(frame.time, detector.detect(frame.image()))
        seen += len(found)
        sent += sum(sighting.send is not None for sighting in found)
    with capsys.disabled():
        print(f" [{seen} faces seen, {sent} sent]", end="")
    assert seen >= 30
    assert sent <= seen / 4
