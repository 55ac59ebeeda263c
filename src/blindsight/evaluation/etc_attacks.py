"""The audit of scrambled images: each attack's success, by how much it is given, and against mitigations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np

from blindsight.core.types import I64, U8
from blindsight.evaluation.attacks import linking
from blindsight.evaluation.attacks.known_image import known_image
from blindsight.evaluation.attacks.puzzle import solve
from blindsight.evaluation.etc_experiment import Experiment, through_jpeg
from blindsight.evaluation.people_images import PeopleImages
from blindsight.kernels import colour
from blindsight.learning.etc_model import Classifier
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.protect import protect_batch
from blindsight.schemes.etc_image.secret import SecretKey, Tables

Progress = Callable[[str], None]
Pictures = list[list[tuple[str, U8]]]

PAIRS = (1, 2, 4, 8, 16)
TOGETHER = (1, 2, 4, 8, 16, 32, 64)
_TRIES = 3
_LINKED = 600
"""Images among which are linked."""


@dataclass(frozen=True, slots=True)
class KnownImage:
    """Known images at one quality (None: no JPEG) and number of pairs; means over tries.

    ``positions`` and ``whole`` are shares of blocks: position found; position, turn and negative found.
    ``error`` is the root mean square error, in grey levels, of other images that were opened with it.
    """

    quality: int | None
    pairs: int
    positions: float
    whole: float
    error: float


@dataclass(frozen=True, slots=True)
class Together:
    """Scrambled images alone: ``images`` of them under one key, in blocks of ``block``.

    ``neighbours`` is the share of neighbouring blocks that lie together again, ``pieces`` the share of
    all blocks that the largest group has in their place.
    """

    what: str
    block: int
    images: int
    neighbours: float
    pieces: float


@dataclass(frozen=True, slots=True)
class Linking:
    """What is linked, and how often the nearest is the right one; ``chance`` is what guessing gives."""

    what: str
    rate: float
    chance: float


@dataclass(frozen=True, slots=True)
class Mitigation:
    """What one change costs and what it buys.

    ``eer`` of the linear SVM at 1/20; ``bytes`` of a scrambled JPEG (quality 80) over the plain one;
    ``known`` positions that one known pair gives of *another* image; ``together`` neighbours that 16
    images give; ``alone`` neighbours that one gives; ``linked`` how often an image is found again when it
    is scrambled a second time. None where there is one image only.
    """

    what: str
    eer: float | None
    bytes: float
    known: float
    together: float | None
    alone: float
    linked: float | None


@dataclass(slots=True)
class Audit:
    """All that was found, and pictures of what came back: rows of (caption, pixels)."""

    known: list[KnownImage] = field(default_factory=list)
    together: list[Together] = field(default_factory=list)
    puzzles: list[Together] = field(default_factory=list)
    linking: list[Linking] = field(default_factory=list)
    distances_kept: bool = False
    ambiguous: int = 0
    blocks: int = 0
    mitigations: list[Mitigation] = field(default_factory=list)
    known_pictures: Pictures = field(default_factory=list)
    together_pictures: Pictures = field(default_factory=list)
    puzzle_pictures: Pictures = field(default_factory=list)


def audit(
    data: PeopleImages,
    photos: Sequence[tuple[str, U8]],
    *,
    seed: int = 0,
    pairs: Sequence[int] = PAIRS,
    together: Sequence[int] = TOGETHER,
    progress: Progress = lambda what: None,
) -> Audit:
    """Attack grey images of people under one key, and single photos in colour and grey.

    Args:
        data: grey images; enough for the largest number of images twice.
        photos: names and pixels, uint8 (height, width, 3), sides multiples of 64.
        seed: chooses images, not keys.
        pairs: numbers of known pairs.
        together: numbers of scrambled images under one key.
        progress: told what begins.

    """
    found = Audit()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.pixels))
    params = Params.grey()
    key = SecretKey.generate()
    hidden = protect_batch(key, params, data.pixels)
    tables = key.tables(params, *data.pixels.shape[1:3])
    found.blocks = len(tables.order)
    progress("known images")
    _known(found, data.pixels, hidden, tables, order, pairs)
    progress("many images under one key")
    _together(found, data.pixels, hidden, tables, order, together)
    for name, photo in photos:
        progress(f"puzzles of {name}")
        _puzzles(found, name, photo)
    progress("linkability")
    _linking(found, data, hidden, order[:_LINKED])
    progress("mitigations")
    _mitigations(found, data, photos, order)
    return found


def _known(found: Audit, plain: U8, hidden: U8, tables: Tables, order: I64, pairs: Sequence[int]) -> None:
    size, other = Params.grey().block, order[-20:]
    for quality in (None, 95, 80, 60):
        seen = hidden if quality is None else through_jpeg(hidden[order[: _TRIES * max(pairs)]], quality)
        for count in pairs:
            rates = []
            for number in range(_TRIES):
                chosen = order[number * max(pairs) :][:count]
                at = (
                    chosen if quality is None else np.arange(number * max(pairs), number * max(pairs) + count)
                )
                got = known_image(plain[chosen], seen[at], size)
                opened = got.open(hidden[other]).astype(float)
                error = np.sqrt(np.mean((opened - plain[other]) ** 2))
                rates.append(
                    (got.right(tables) / found.blocks, got.wholly_right(tables) / found.blocks, error)
                )
                if quality is None and count == min(pairs) and number == 0:
                    found.ambiguous = got.ambiguous
                    found.known_pictures = [
                        [("known original", plain[chosen[0]]), ("its scrambled image", hidden[chosen[0]])]
                    ]
                    for k in other[:2]:
                        row = [("original", plain[k]), ("scrambled", hidden[k])]
                        found.known_pictures.append([*row, ("opened without key", got.open(hidden[[k]])[0])])
            means = np.mean(rates, axis=0)
            found.known.append(KnownImage(quality, count, *(float(mean) for mean in means)))


def _together(found: Audit, plain: U8, hidden: U8, tables: Tables, order: I64, counts: Sequence[int]) -> None:
    size = Params.grey().block
    shown = max(order[-20:], key=lambda at: plain[at].mean())[np.newaxis]  # a bright one, to be looked at
    row = [("original, not used", plain[shown[0]]), ("scrambled", hidden[shown[0]])]
    for count in counts:
        rates = []
        for number in range(_TRIES):
            chosen = order[number * max(counts) :][:count]
            solution = solve(hidden[chosen], size)
            placed, right = solution.aligned(tables)
            rates.append((solution.neighbours(tables), right / found.blocks))
            if number == 0:
                row.append((f"key from {count}", solution.picture(placed, hidden[shown])[0]))
        means = np.mean(rates, axis=0)
        found.together.append(Together("faces, grey", size, count, *(float(mean) for mean in means)))
    half = (len(row) + 1) // 2
    found.together_pictures = [row[:half], row[half:]]


def _puzzles(found: Audit, name: str, photo: U8) -> None:
    grey = np.ascontiguousarray(photo[:, :, 1])
    for label, pixels, made in (
        ("colour", photo, [Params.colour(size) for size in (16, 32)]),
        ("grey", grey, [Params.grey(size) for size in (8, 16, 32)]),
        ("planes of YCbCr", photo, [Params.planes(8)]),
    ):
        row: list[tuple[str, U8]] = []
        for params in made:
            key = SecretKey.generate()
            hidden = protect_batch(key, params, pixels[np.newaxis])
            tables = key.tables(params, *pixels.shape[:2])
            solution = solve(hidden, params.block)
            placed, right = solution.aligned(tables)
            what = f"{name}, {label}"
            share = right / len(tables.order)
            rate = solution.neighbours(tables)
            found.puzzles.append(Together(what, params.block, 1, rate, share))
            if label != "planes of YCbCr":
                row += [
                    (f"{label}, blocks of {params.block}", hidden[0]),
                    (f"put together ({rate:.0%})", solution.picture(placed, hidden)[0]),
                ]
        if row and len(found.puzzle_pictures) < 4:
            found.puzzle_pictures.append(row)


def _linking(found: Audit, data: PeopleImages, hidden: U8, chosen: I64) -> None:
    size, count = Params.grey().block, len(chosen)
    plain, covering, people = data.pixels[chosen], hidden[chosen], data.people[chosen]
    found.distances_kept = linking.distances_kept(plain, covering)
    chance = float(np.mean([(np.sum(people == who) - 1) / (count - 1) for who in people]))
    rows, covered = (images.reshape(count, -1).astype(np.float32) for images in (plain, covering))
    own = np.stack([_own_key(image) for image in plain])
    again = np.stack([_own_key(image) for image in plain])
    one, two = linking.marks(own, size), linking.marks(again, size)
    lossy = linking.marks(through_jpeg(again, 80), size)
    found.linking = [
        Linking("same person, plain images", linking.same_person(rows, people), chance),
        Linking("same person, one key", linking.same_person(covered, people), chance),
        Linking("same person, a key for each image", linking.same_person(one, people), chance),
        Linking("same image twice, a key for each", linking.same_image(one, two), 1 / count),
        Linking("the same, the second as JPEG 80", linking.same_image(one, lossy), 1 / count),
    ]


def _own_key(image: U8, params: Params | None = None) -> U8:
    made = protect_batch(SecretKey.generate(), params or Params.grey(), image[np.newaxis])
    return np.asarray(made[0])


def _mitigations(found: Audit, data: PeopleImages, photos: Sequence[tuple[str, U8]], order: I64) -> None:
    linear = Classifier.SVM_LINEAR
    for what, params, own_keys in (
        ("none: one key, blocks of 8", Params.grey(), False),
        ("smaller blocks: 4", Params.grey(4), False),
        ("larger blocks: 16", Params.grey(16), False),
        ("a key for each image, blocks of 8", Params.grey(), True),
        ("a key for each image, blocks of 4", Params.grey(4), True),
    ):
        experiment = Experiment(data, params=params)
        judged = experiment.key_of_each_image(linear, 20) if own_keys else experiment.common(linear, 20)
        faces = data.pixels[order]
        found.mitigations.append(_measured(what, params, faces, own_keys, judged.eer))
    for name, photo in photos[:1]:
        for what, params in (
            (f"{name}: colour, blocks of 16", Params.colour()),
            (f"{name}: planes of YCbCr, blocks of 8", Params.planes()),
        ):
            found.mitigations.append(_measured(what, params, photo[np.newaxis], False, None))


def _measured(what: str, params: Params, images: U8, own_keys: bool, eer: float | None) -> Mitigation:
    """The attacks on images under these parameters: one key, or one for each."""
    height, width = images.shape[1:3]
    few = images[:16]
    keys = [SecretKey.generate() for _ in few] if own_keys else [SecretKey.generate()] * len(few)
    hidden = np.stack(
        [protect_batch(key, params, one[np.newaxis])[0] for key, one in zip(keys, few, strict=True)]
    )
    tables = [key.tables(params, height, width) for key in keys]
    before = colour.to_planes(few[:1], ycbcr=True) if params.stacked else few[:1]
    another = tables[min(1, len(few) - 1)]
    known = known_image(before, hidden[:1], params.block).right(another) / len(another.order)
    first = range(min(_TRIES if params.block >= 8 else 1, len(few)))  # small blocks are many, and slow
    alone = float(np.mean([solve(hidden[[k]], params.block).neighbours(tables[k]) for k in first]))
    together = linked = None
    if len(few) > 1:
        together = solve(hidden, params.block).neighbours(tables[0])
        many = images[:200]
        twice = [np.stack([_own_key(image, params) for image in many]) for _ in range(2)]
        linked = linking.same_image(*(linking.marks(once, params.block) for once in twice))
    return Mitigation(what, eer, _growth(few, hidden), known, together, alone, linked)


def _growth(plain: U8, hidden: U8) -> float:
    """Bytes of scrambled JPEGs over those of plain ones, quality 80."""
    import PIL.Image

    def size(images: U8) -> int:
        total = 0
        for image in images:
            stream = BytesIO()
            PIL.Image.fromarray(image).save(stream, "JPEG", quality=80)
            total += len(stream.getvalue())
        return total

    return size(hidden) / size(plain)
