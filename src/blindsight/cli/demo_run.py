"""The demo's work: enroll and identify under encryption, the same in the clear, and measure both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.cli.demo_matcher import Look, RecordingMatcher, Running, look, running_matcher, stored_numbers
from blindsight.cli.demo_people import Crowd, Enrolled, People, Probe, eileen, from_folder
from blindsight.cli.output import Output
from blindsight.core.types import F32, Decision

GALLERY = "demo"
_CANDIDATES = 5
_PIECE = 1 << 14
_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """One probe, recognised under encryption and in the clear."""

    probe: Probe
    decision: Decision
    plain: tuple[tuple[str, float], ...]

    @property
    def same_best(self) -> bool:
        return self.decision.candidates[0].subject == self.plain[0][0]

    @property
    def same_decision(self) -> bool:
        return self.decision.match == (self.plain[0][1] <= self.decision.threshold)

    @property
    def right(self) -> bool:
        return self.decision.subject == self.probe.truth

    def content(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "probe": self.probe.label,
            "truth": self.probe.truth,
            "match": self.decision.match,
            "subject": self.decision.subject,
            "candidates": [[one.subject, one.score] for one in self.decision.candidates],
            "in_the_clear": [[subject, distance] for subject, distance in self.plain],
            "same_best": self.same_best,
            "same_decision": self.same_decision,
        }


@dataclass(slots=True)
class Story:
    """All that happened, for the printing."""

    people: People
    generated: int
    matcher: Running
    threshold: float
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)
    repeated: int = 0
    noise: float = 0.0

    @property
    def templates(self) -> int:
        return self.generated + len(self.people.enrolled)

    def content(self) -> dict[str, Any]:
        """For JSON."""
        known = [one for one in self.outcomes if one.probe.truth is not None]
        return {
            "photos": self.people.source,
            "subjects_with_photos": len({one.subject for one in self.people.enrolled}),
            "generated_templates": self.generated,
            "templates": self.templates,
            "threshold": self.threshold,
            "noise_of_a_squared_distance": self.noise,
            "rejected": [
                {"photo": str(one.photo.path), "reason": one.reason, "message": one.sentence}
                for one in self.people.rejections
            ],
            "probes": [one.content() for one in self.outcomes],
            "summary": {
                "probes": len(self.outcomes),
                "recognised": sum(one.right for one in known),
                "of": len(known),
                "same_best_as_in_the_clear": sum(one.same_best for one in self.outcomes),
                "same_decision_as_in_the_clear": sum(one.same_decision for one in self.outcomes),
            },
            "matcher_saw": {
                "bytes": self.sizes,
                "second_byte": {name: asdict(found) for name, found in self.looks.items()},
                "equal_numbers_in_the_same_probe_sent_twice": self.repeated,
            },
            "timings_s": {stage: round(value, 4) for stage, value in self.seconds.items()},
            "search_ms": {stage: round(value, 4) for stage, value in self.milliseconds.items()},
        }


def run(output: Output, folder: Path, photos: Path | None, generated: int) -> Story:
    """Everything, in a folder; the matcher has stopped when this returns."""
    from blindsight.trusted.gallery import Gallery
    from blindsight.trusted.sealing import Unlock, make_key_file
    from blindsight.trusted.vault import Vault
    from blindsight.vision import open_embedder

    seconds: dict[str, float] = {}
    with _timed(seconds, "find and embed faces"):
        pipeline = open_embedder("dlib")
        if photos is not None:
            people = from_folder(pipeline, photos, output)
        else:
            with output.progress("photos"):
                people = eileen(pipeline)
    with _started(seconds, folder) as running:
        model = pipeline.embedder
        key_file = folder / "key"
        make_key_file(key_file)
        with _timed(seconds, "make vault and gallery"):
            vault = Vault.create(folder / "vault", Unlock(key_file=key_file))
            Gallery.create(
                vault,
                GALLERY,
                model_id=model.model_id,
                dimension=model.dimension,
                metric=model.metric,
                threshold=model.threshold,
                radius=model.radius,
                embedder="dlib",
                matcher=running.url,
                token=running.token,
            ).close()
        story = Story(people, generated, running, model.threshold, seconds=seconds)
        recorder = RecordingMatcher(running)
        try:
            gallery = Gallery.open(vault, GALLERY, matcher=recorder)
            _fill_and_search(output, story, gallery, recorder)
        finally:
            recorder.close()
            vault.close()
    return story


def _fill_and_search(output: Output, story: Story, gallery: Any, recorder: RecordingMatcher) -> None:
    crowd = Crowd(story.people)
    entries = [*crowd.enrolled(story.generated), *story.people.enrolled]
    with _timed(story.seconds, "encrypt and enroll"), output.progress("templates", len(entries)) as advance:
        for at in range(0, len(entries), _PIECE):
            part = entries[at : at + _PIECE]
            gallery.enroll([(one.subject, one.embedding, one.photo) for one in part])
            advance(at + len(part), len(entries))
    probes = [*story.people.probes, crowd.stranger()]
    with _timed(story.seconds, "first search, compiled code loaded"):
        gallery.identify([probes[0].embedding], k=_CANDIDATES)
    plain = PlainSearch(entries)
    for probe in probes:
        decision = gallery.identify([probe.embedding], k=_CANDIDATES)[0]
        story.outcomes.append(Outcome(probe, decision, plain.identify(probe.embedding.vector)))
    _measure(story, plain, entries, gallery, recorder)


def _measure(
    story: Story, plain: PlainSearch, entries: Sequence[Enrolled], gallery: Any, recorder: RecordingMatcher
) -> None:
    from blindsight.blind.engines import ENGINES

    timings = [one.decision.timings for one in story.outcomes]
    median = {stage: statistics.median(of[stage] for of in timings) for stage in timings[0]}
    story.milliseconds = {
        "encrypt the probe": median["protect"],
        "matcher computes": median["server"],
        "there and back": median["round_trip"] - median["server"],
        "decrypt the scores": median["reveal"],
        "all": median["total"],
        "NumPy in the clear": plain.milliseconds(story.outcomes[0].probe.embedding.vector),
    }
    identity, info = gallery.session.identity, gallery.info()
    params = ENGINES[identity.scheme].params(identity.params)
    encoding = identity.encoding
    story.noise = getattr(params, "noise", 0.0) * encoding.score_unit
    stored = stored_numbers(story.matcher.data, params.body_bytes)
    vectors = np.stack([one.embedding.vector for one in entries])
    first = story.outcomes[0].probe.embedding.vector
    sent, again = (np.asarray(one.view("<i4")) for one in recorder.probes)
    story.sizes = {
        "stored": info.stored_bytes,
        "stored_a_template": round(info.stored_bytes / len(entries)),
        "plain_a_template": vectors.itemsize * vectors.shape[1],
        "probe": params.probe_bytes,
        "answer": params.answer_bytes * info.blocks,
    }
    story.looks = {
        "stored templates": look(stored),
        "plain templates": look(encoding.templates(vectors).values),
        "a probe": look(sent),
        "plain probe": look(encoding.probes(first).values),
        "an answer": look(np.asarray(recorder.answers[1].view("<i2"))),
    }
    story.repeated = int((sent == again).sum())


class PlainSearch:
    """The same gallery in the clear: NumPy, float32, Euclidean distance."""

    def __init__(self, entries: Sequence[Enrolled]) -> None:
        self._vectors = np.stack([one.embedding.vector for one in entries])
        self._squares = np.einsum("ij,ij->i", self._vectors, self._vectors)
        self._subjects = [one.subject for one in entries]

    def _distances(self, vector: F32) -> F32:
        squared = self._squares - 2 * (self._vectors @ vector) + vector @ vector
        return np.asarray(np.sqrt(np.maximum(squared, 0)), dtype=np.float32)

    def identify(self, vector: F32) -> tuple[tuple[str, float], ...]:
        """The best subjects with their distances, best first."""
        distances = self._distances(vector)
        best: dict[str, float] = {}
        for row in np.argsort(distances, kind="stable"):
            best.setdefault(self._subjects[row], float(distances[row]))
            if len(best) == _CANDIDATES:
                break
        return tuple(best.items())

    def milliseconds(self, vector: F32) -> float:
        """Of one search: distances to all, and the best few; the median of some."""
        taken = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            distances = self._distances(vector)
            np.argpartition(distances, min(_CANDIDATES, len(distances) - 1))
            taken.append((time.perf_counter() - started) * 1e3)
        return statistics.median(taken)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started


@contextmanager
def _started(seconds: dict[str, float], folder: Path) -> Iterator[Running]:
    started = time.perf_counter()
    with running_matcher(folder) as running:
        seconds["start the matcher"] = time.perf_counter() - started
        yield running
