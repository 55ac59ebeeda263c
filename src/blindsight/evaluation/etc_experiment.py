"""The experiment of Kawamura et al. (section 4): who is it, judged from scrambled images.

One SVM a person; a query's decision value for its own person is a genuine score, for every other
person an impostor score, and one threshold holds for all. Plain and scrambled images take the same way
through the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from blindsight.core.types import I64, U8
from blindsight.evaluation.people_images import PeopleImages
from blindsight.evaluation.scores import F64, Comparisons
from blindsight.evaluation.verification import Verification
from blindsight.learning.etc_model import Classifier, Condition, Images, Model
from blindsight.learning.etc_svm import KernelSvm
from blindsight.learning.etc_training import pipeline, train
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.protect import protect_batch
from blindsight.schemes.etc_image.secret import SecretKey

RATIOS = (20, 40, 60, 80)
QUALITIES = (95, 80, 60)
KERNELS = (Classifier.SVM_LINEAR, Classifier.SVM_RBF)

PAPER = {
    Classifier.SVM_LINEAR: {
        20: (0.0223, 0.000744),
        40: (0.0247, 0.000835),
        60: (0.0271, 0.000777),
        80: (0.0296, 0.000779),
    },
    Classifier.SVM_RBF: {
        20: (0.0504, 0.000448),
        40: (0.0644, 0.00112),
        60: (0.0732, 0.00779),
        80: (0.0863, 0.00855),
    },
}
"""Tables 1 and 2: the EER of plain images, and of scrambled ones under a key for each client."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """All queries' scores of one model: float64 (queries, people), and whose the queries are."""

    scores: F64
    people: I64

    def comparisons(self) -> Comparisons:
        """Genuine and impostor scores, with the people they are of."""
        own = np.zeros(self.scores.shape, bool)
        own[np.arange(len(self.people)), self.people] = True
        query, claimed = np.nonzero(~own)
        pairs = np.stack([self.people[query], claimed], axis=1)
        return Comparisons(self.scores[own], self.scores[~own], True, self.people, pairs)

    @property
    def eer(self) -> float:
        return Verification(self.comparisons()).eer().rate

    @property
    def accuracy(self) -> float:
        """Share of queries whose best score is their own person's."""
        return float((self.scores.argmax(axis=1) == self.people).mean())


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two models' judgements of the same queries differ.

    Attributes:
        changed: share of queries that get another person.
        relative: largest difference of a decision value, over the largest decision value there is.
        median: median difference, over the median absolute decision value.
    """

    changed: float
    relative: float
    median: float

    @classmethod
    def of(cls, one: Judged, two: Judged) -> Agreement:
        apart, size = np.abs(one.scores - two.scores), np.abs(one.scores)
        tiny = np.finfo(np.float64).tiny  # scores that are mostly zero have a median of zero
        return cls(
            float((one.scores.argmax(axis=1) != two.scores.argmax(axis=1)).mean()),
            float(apart.max() / max(size.max(), tiny)),
            float(np.median(apart) / max(np.median(size), tiny)),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One classifier at one ratio of reduction.

    ``plain`` and ``common`` under key condition 1; ``each`` under condition 2, impostors with their own
    keys; ``stolen`` as ``each``, impostors with the key of whom they claim to be; ``jpeg`` by quality, and
    ``jpeg_same_pixels`` with the pixels that were chosen without JPEG.
    """

    classifier: Classifier
    ratio: int
    plain: Judged
    common: Judged
    each: Judged | None
    stolen: Judged | None
    jpeg: dict[int, Judged]
    jpeg_same_pixels: dict[int, Judged]


class Experiment:
    """Images in two halves, and keys; scrambled once, judged as often as wanted."""

    def __init__(self, data: PeopleImages, *, seed: int = 0, params: Params | None = None) -> None:
        self.data = data
        colour = data.pixels.ndim == 4
        self.params = params or (Params.colour() if colour else Params.grey())
        self._train, self._query = data.halves(seed)
        self.key = SecretKey.generate()
        self._keys = [SecretKey.generate() for _ in data.names]
        self._common = protect_batch(self.key, self.params, data.pixels)
        self._lossy: dict[int, U8] = {}
        self._each = np.empty_like(self._common)
        for person, key in enumerate(self._keys):
            own = data.people == person
            self._each[own] = protect_batch(key, self.params, data.pixels[own])

    @property
    def queries(self) -> int:
        return int(self._query.sum())

    @property
    def trained(self) -> int:
        return int(self._train.sum())

    # -- conditions ------------------------------------------------------------------------------

    def plain(self, classifier: Classifier, ratio: int) -> Judged:
        """Not scrambled at all."""
        return self._judged(self.data.pixels, classifier, ratio)

    def common(self, classifier: Classifier, ratio: int) -> Judged:
        """Key condition 1."""
        return self._judged(self._common, classifier, ratio)

    def jpeg(self, classifier: Classifier, ratio: int, quality: int) -> Judged:
        """Key condition 1, and every scrambled image as JPEG in between."""
        return self._judged(self._jpegs(quality), classifier, ratio)

    def jpeg_same_pixels(self, classifier: Classifier, ratio: int, quality: int) -> Judged:
        """As `jpeg`, looking at the pixels that are chosen where there is no JPEG."""
        steps = pipeline(classifier, ratio)
        reducer = steps[0].fit(_rows(self._common[self._train]))
        rows = reducer.transform(_rows(self._jpegs(quality)))
        judge = steps[1:].fit(rows[self._train], self.data.people[self._train])
        return Judged(judge.decision_function(rows[self._query]), self.data.people[self._query])

    def each(self, classifier: Classifier, ratio: int) -> tuple[Judged, Judged]:
        """Key condition 2: with everybody's own key, and with the stolen key of the claimed person."""
        model = self._trained(self._each, classifier, ratio, Condition.EACH)
        queries = self.data.pixels[self._query]
        own = Judged(model.scores(_rows(self._each[self._query])), self.data.people[self._query])
        stolen = np.empty_like(own.scores)
        for person, key in enumerate(self._keys):
            stolen[:, person] = model.score(_rows(protect_batch(key, self.params, queries)), person)
        return own, Judged(stolen, own.people)

    def key_of_each_image(self, classifier: Classifier, ratio: int) -> Judged:
        """The mitigation that ends known-image attacks: no two images under one key."""
        images = self.data.pixels
        scrambled = [
            protect_batch(self.key.for_image()[0], self.params, one[np.newaxis])[0] for one in images
        ]
        return self._judged(np.stack(scrambled), classifier, ratio)

    def by_position(self, kernel: str, ratio: int) -> Agreement:
        """The paper's own claim without `EtcReducer`: pixels at chance positions, the same ones in both.

        Only who has the key can say which scrambled pixels those are. What differs is the order of
        summation, and through it where the SVM's solver stops.
        """
        wide = self._common[0].size
        rng = np.random.default_rng(0)
        chosen = rng.choice(wide, wide // ratio, replace=False)
        number = np.arange(wide, dtype=np.int64).reshape(self._common.shape[1:])
        nothing = np.zeros((1, *number.shape), np.uint8)
        signs = protect_batch(self.key, self.params, nothing).reshape(-1)
        seen = np.zeros(wide, np.int64)
        for shift in (0, 8, 16):  # scramble the pixels' numbers, a byte at a time
            part = (number >> shift & 255).astype(np.uint8)[np.newaxis]
            byte = protect_batch(self.key, self.params, part).reshape(-1) ^ signs
            seen |= byte.astype(np.int64) << shift
        at = np.empty(wide, np.int64)
        at[seen] = np.arange(wide)
        judged = []
        for images, columns in ((self.data.pixels, chosen), (self._common, np.sort(at[chosen]))):
            rows = _rows(images)[:, columns].astype(np.float64)
            mean, spread = rows[self._train].mean(axis=0), rows[self._train].std(axis=0)
            z = (rows - mean) / np.where(spread > 0, spread, 1.0)
            machine = KernelSvm(kernel).fit(z[self._train], self.data.people[self._train])
            judged.append(Judged(machine.decision_function(z[self._query]), self.data.people[self._query]))
        return Agreement.of(*judged)

    # -- plumbing ----------------------------------------------------------------------------------

    def _jpegs(self, quality: int) -> U8:
        if quality not in self._lossy:
            self._lossy[quality] = through_jpeg(self._common, quality)
        return self._lossy[quality]

    def _judged(self, images: U8, classifier: Classifier, ratio: int) -> Judged:
        model = self._trained(images, classifier, ratio, Condition.COMMON)
        return Judged(model.scores(_rows(images[self._query])), self.data.people[self._query])

    def _trained(self, images: U8, classifier: Classifier, ratio: int, condition: Condition) -> Model:
        height, width = self.data.pixels.shape[1:3]
        keys = [self.key] if condition is Condition.COMMON else self._keys
        about = Images(self.params.params_id, height, width, condition, tuple(key.key_id for key in keys))
        return train(_rows(images[self._train]), self.data.people[self._train], about, classifier, ratio)


def run(
    experiment: Experiment,
    *,
    ratios: Sequence[int] = RATIOS,
    qualities: Sequence[int] = QUALITIES,
    classifiers: Sequence[Classifier] = tuple(Classifier),
    progress: Progress = lambda what: None,
) -> list[Row]:
    """Every classifier at every ratio. Conditions 2 and JPEG are judged for the paper's SVMs."""
    rows = []
    for classifier in classifiers:
        for ratio in ratios:
            progress(f"{classifier.value} at 1/{ratio}")
            each = stolen = None
            jpeg: dict[int, Judged] = {}
            same: dict[int, Judged] = {}
            if classifier in KERNELS:
                each, stolen = experiment.each(classifier, ratio)
                jpeg = {quality: experiment.jpeg(classifier, ratio, quality) for quality in qualities}
                same = {
                    quality: experiment.jpeg_same_pixels(classifier, ratio, quality) for quality in qualities
                }
            plain, common = experiment.plain(classifier, ratio), experiment.common(classifier, ratio)
            rows.append(Row(classifier, ratio, plain, common, each, stolen, jpeg, same))
    return rows


def through_jpeg(images: U8, quality: int) -> U8:
    """Encode and decode each image, as a server would get it."""
    import PIL.Image

    out = np.empty_like(images)
    for number, image in enumerate(images):
        stream = BytesIO()
        PIL.Image.fromarray(image).save(stream, "JPEG", quality=quality)
        out[number] = np.asarray(PIL.Image.open(stream))
    return out


def _rows(images: U8) -> U8:
    return images.reshape(len(images), -1)
