"""Learning with several users in one process: every role with its own file, round by round.

What is on disk after any interruption is a whole state: the model of the last finished round, and
for each role the last number that it used. The next attempt takes the next number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from blindsight.blind.aggregator import Aggregator
from blindsight.core.errors import BlindsightError, MalformedError, UsageError
from blindsight.core.summing import run_stages
from blindsight.core.types import I64
from blindsight.learning.descent import F64, Descent
from blindsight.learning.fixed_point import FixedPoint
from blindsight.learning.rounds import Model, Task, combined, first_model, updated
from blindsight.trusted.contributor import Contributor
from blindsight.trusted.federation import found, user_file
from blindsight.trusted.keyholder import KEYS, KeyHolder
from blindsight.trusted.locking import is_locked
from blindsight.trusted.sealing import Unlock
from blindsight.vision.folder import list_photos
from blindsight.vision.image_features import FeatureCache, ImageFeatures, open_features
from blindsight.wire.state import read_state, write_state

_TASK_KEYS: Final = frozenset(
    {"version", "classes", "dimension", "features", "model_id", "alpha", "l1", "rate", "epochs", "batch",
     "bits", "fraction", "folders"}
)  # fmt: skip
_MODEL_KEYS: Final = frozenset({"number", "weights"})
_VERSION: Final = 1
_LINE: Final = re.compile(r".{1,4096}")


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to: the attempt's number, users in the sum, and whose updates were not."""

    number: int
    attempt: int
    users: tuple[int, ...]
    missing: tuple[int, ...]


class Learner:
    """A federation in a folder; make one by `create`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = read_state(folder / "task.state", _TASK_KEYS)
        if kept.integer("version", 0, 255) != _VERSION:
            raise MalformedError("This federation was founded by another version; use that one.")
        self.features_name, self.model_id = kept.text("features", _LINE), kept.text("model_id", _LINE)
        self.folders = tuple(Path(name) for name in kept.texts("folders", 2, 10_000))
        self.task = Task(
            kept.texts("classes", 2, 10_000),
            kept.integer("dimension", 1, 1 << 20),
            Descent(
                kept.number("alpha"),
                kept.number("l1"),
                kept.number("rate"),
                kept.integer("epochs", 1, 10_000),
                kept.integer("batch", 1, 1 << 20),
            ),
            FixedPoint(kept.integer("bits", 2, 32), kept.integer("fraction", 0, 31)),
        )
        self.model = self._read_model()
        self._data: dict[int, tuple[F64, I64]] = {}

    @classmethod
    def create(
        cls,
        folder: Path,
        folders: Sequence[Path],
        *,
        scheme: str,
        features: str = "gradients",
        descent: Descent = Descent(alpha=3e-5, l1=0.9, rate=30.0, epochs=5),  # noqa: B008
        unlock: Unlock | None = None,
        **options: Any,
    ) -> Learner:
        """Found a federation of one user a folder of images, ``<folder>/<class>/<image>``.

        ``unlock`` will open the files of users and key holder; ``options`` are further ones of the
        scheme's ``Params.of``.
        """
        opened = open_features(features)
        classes = sorted({photo.subject for one in folders for photo in list_photos(one).photos})
        if len(classes) < 2 or len(folders) < 2:
            raise UsageError("Learning takes at least two users' folders with images of two classes in all.")
        fixed = FixedPoint()
        task = Task(tuple(classes), opened.dimension, descent, fixed)
        found(folder, scheme, task.weights, len(folders), fixed.bits, unlock=unlock, **options)
        write_state(
            folder / "task.state",
            {
                "version": _VERSION,
                "classes": classes,
                "dimension": task.dimension,
                "features": features,
                "model_id": opened.model_id,
                "alpha": float(descent.alpha),
                "l1": float(descent.l1),
                "rate": float(descent.rate),
                "epochs": descent.epochs,
                "batch": descent.batch,
                "bits": fixed.bits,
                "fraction": fixed.fraction,
                "folders": [str(one.resolve()) for one in folders],
            },
        )
        return cls(folder)

    # -- what is on disk ---------------------------------------------------------------------------

    def _read_model(self) -> Model:
        path = self.folder / "model.state"
        if not path.exists():
            return first_model(self.task)
        fields = read_state(path, _MODEL_KEYS)
        size = 8 * self.task.weights
        weights = np.frombuffer(fields.blob("weights", size, size), "<f8")
        if not np.isfinite(weights).all():
            raise MalformedError("The stored model is damaged; delete model.state to begin again.")
        shape = (self.task.dimension, len(self.task.classes))
        return Model(weights.reshape(shape), fields.integer("number", 1))

    def aggregator(self) -> Aggregator:
        return Aggregator(self.folder / "aggregator" / "aggregator.state")

    def features(self) -> ImageFeatures:
        """The features that all users agreed on; `UsageError` where the model is another one by now."""
        opened = open_features(self.features_name)
        if opened.model_id != self.model_id:
            raise UsageError(
                "The features are not those this federation was founded with; use the same model."
            )
        return opened

    def data(self, user: int, cache: FeatureCache) -> tuple[F64, I64]:
        """One user's features and labels, read once."""
        if user not in self._data:
            place = {name: k for k, name in enumerate(self.task.classes)}
            photos = [p for p in list_photos(self.folders[user]).photos if p.subject in place]
            if not photos:
                raise UsageError(
                    f"{self.folders[user]} holds no images any more; user {user} cannot take part."
                )
            features = cache.all([photo.path for photo in photos]).astype(np.float64)
            self._data[user] = features, np.array([place[photo.subject] for photo in photos], np.int64)
        return self._data[user]

    # -- learning ------------------------------------------------------------------------------------

    @property
    def locked(self) -> bool:
        """Whether `rounds` needs what was given when the federation was founded."""
        return is_locked(self._keyholder_file, KEYS)

    @property
    def _keyholder_file(self) -> Path:
        return self.folder / "keyholder" / "keyholder.state"

    def rounds(
        self, told: Callable[[int], None] = lambda user: None, *, unlock: Unlock | None = None
    ) -> Callable[[], Round]:
        """A function that carries out one round each time.

        Args:
            told: whose images are read.
            unlock: what opens the files of users and key holder, where they are locked.
        """
        holder = KeyHolder(self._keyholder_file, unlock)
        features, users = self.features(), range(len(self.folders))
        for user in users:
            told(user)
            with_cache = FeatureCache(features, self.folder / f"user-{user}" / "features")
            self.data(user, with_cache)
        people = {user: Contributor(user_file(self.folder, user), unlock) for user in users}
        aggregator = self.aggregator()

        def one() -> Round:
            number, server = aggregator.begin(users)
            taking = {}
            for user, person in people.items():
                try:
                    values = updated(self.task, self.model, *self._data[user], user)
                    taking[user] = person.round(number, values)
                except BlindsightError:
                    continue  # a user whose update may not leave is one that is missing
            opened = holder.open(number, run_stages(server, taking))
            values = people[0].restore(number, opened.values)
            model = combined(self.task, self.model, self.model.number + 1, values, len(opened.users))
            weights = np.ascontiguousarray(model.weights, "<f8").tobytes()
            write_state(self.folder / "model.state", {"number": model.number, "weights": weights})
            self.model = model
            missing = tuple(user for user in users if user not in opened.users)
            return Round(model.number, number, opened.users, missing)

        return one

    def accuracy(self) -> float:
        """Percent of the users' own images whose class is found; after `rounds` was entered."""
        right = [self.model.predict(x) == y for x, y in self._data.values()]
        return 100.0 * float(np.concatenate(right).mean())

    def predict(self, paths: Sequence[Path]) -> list[tuple[str, float]]:
        """The best class of each image, and by how much its score leads."""
        if not self.model.number:
            raise UsageError("Nothing was learned yet; run `blindsight learn run` first.")
        scores = self.model.scores(FeatureCache(self.features(), None).all(paths).astype(np.float64))
        order = np.sort(scores, axis=1)
        best = scores.argmax(axis=1)
        leads = order[:, -1] - order[:, -2]
        return [(self.task.classes[k], float(lead)) for k, lead in zip(best.tolist(), leads, strict=True)]
