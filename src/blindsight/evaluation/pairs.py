"""Which photos are compared: the usual lists and folders, read strictly.

Two layouts of photos: ``<root>/<Person_Name>/<Person_Name>_0001.jpg`` with a list of pairs (LFW
and its descendants), and any folder of people, one folder a person.

A list of pairs has one pair a line, fields apart by tabs, or by spaces where a line has no tab::

    10    300                          folds, and pairs of each kind in a fold (``pairs.txt``)
    Abel_Pacheco    1    4             a genuine pair: person, two photo numbers
    Abdel_Madi_Shabneh 1 Dean_Barker 1 an impostor pair: person, number, person, number

With a header, each fold is that many genuine pairs and then that many impostor pairs; one number
alone is the header of a single fold (``pairsDevTrain.txt``). Without a header the lines may come
in any order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import I64
from blindsight.vision.folder import EXTENSIONS, Photo, list_photos

LARGEST_FILE = 64 << 20
_NUMBER = re.compile(r"0{0,3}([1-9][0-9]{0,5})")
_HEADER = re.compile(r"[1-9][0-9]{0,6}")


class PairsFileError(UsageError):
    """A list of pairs that cannot be used.

    Attributes:
        path: of the list.
        line: the line that is wrong, from 1; 0 where it is the file as a whole.
    """

    code: ClassVar[str] = "pairs-file"

    def __init__(self, message: str, path: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos to compare. ``fold`` counts from 0; ``line`` is the list's, 0 without one."""

    first: Photo
    second: Photo
    fold: int = 0
    line: int = 0

    @property
    def genuine(self) -> bool:
        """Whether both show one person."""
        return self.first.subject == self.second.subject


@dataclass(frozen=True, slots=True)
class PairList:
    """Pairs in the order of their list, and how many folds they are in."""

    pairs: tuple[Pair, ...]
    folds: int = 1

    @property
    def photos(self) -> tuple[Photo, ...]:
        """Every photo once, sorted: what has to be embedded."""
        return tuple(sorted({photo for pair in self.pairs for photo in (pair.first, pair.second)}))

    @property
    def genuine(self) -> tuple[Pair, ...]:
        """The genuine pairs."""
        return tuple(pair for pair in self.pairs if pair.genuine)

    @property
    def impostor(self) -> tuple[Pair, ...]:
        """The impostor pairs."""
        return tuple(pair for pair in self.pairs if not pair.genuine)


@dataclass(frozen=True, slots=True)
class GallerySplit:
    """Photos to enroll, and photos to search with; strangers are probes of nobody enrolled."""

    gallery: tuple[Photo, ...]
    probes: tuple[Photo, ...]


def read_pairs(path: str | os.PathLike[str], images: str | os.PathLike[str]) -> PairList:
    """Read a list of pairs; every photo it names has to be there.

    Args:
        path: of the list; the module describes it.
        images: the folder with one folder a person.

    Raises:
        PairsFileError: a list that cannot be opened, a line that is malformed, a photo that is
            missing; says which file and which line.
        UsageError: ``images`` is not a folder.
    """
    path, images = Path(path), Path(images)
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder; name the one with a folder for each person.")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError:
        raise PairsFileError(f"{path} cannot be opened; check the path.", str(path)) from None
    if len(data) > LARGEST_FILE:
        raise PairsFileError(f"{path} is too large to be a list of pairs.", str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PairsFileError(f"{path} is not UTF-8 text.", str(path)) from None
    return _List(str(path), images).read(text)


@dataclass(slots=True)
class _List:
    """A list while it is read."""

    path: str
    images: Path
    known: dict[str, dict[int, Path]] = field(default_factory=dict)

    def error(self, line: int, sentence: str) -> PairsFileError:
        return PairsFileError(f"{self.path}, line {line}: {sentence}", self.path, line)

    def read(self, text: str) -> PairList:
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        while lines and not lines[-1].strip():
            lines.pop()
        if not lines:
            raise PairsFileError(f"{self.path} is empty; it should list pairs.", self.path)
        rows = [(at, _fields(line)) for at, line in enumerate(lines, start=1)]
        folds, each = 1, 0
        if len(rows[0][1]) <= 2:
            folds, each = self.header(rows[0][1])
            rows = rows[1:]
        if each and len(rows) < 2 * folds * each:
            raise self.error(
                len(lines), f"the list ends after {len(rows)} of the {2 * folds * each} pairs it announces."
            )
        pairs = []
        for count, (line, fields) in enumerate(rows):
            if each and count >= 2 * folds * each:
                raise self.error(line, "there are more pairs than the first line announces.")
            if each and len(fields) in (3, 4) and (len(fields) == 3) != (count // each % 2 == 0):
                raise self.error(line, "genuine pairs come first in each fold, then as many impostor pairs.")
            pairs.append(self.pair(line, fields, count // (2 * each) if each else 0))
        return PairList(tuple(pairs), folds)

    def header(self, fields: list[str]) -> tuple[int, int]:
        if not fields or any(not _HEADER.fullmatch(part) for part in fields):
            raise self.error(1, "neither a pair nor a header with the numbers of folds and pairs.")
        return (1, int(fields[0])) if len(fields) == 1 else (int(fields[0]), int(fields[1]))

    def pair(self, line: int, fields: list[str], fold: int) -> Pair:
        if len(fields) == 3:
            name, one, two = fields
            first, second = self.photo(line, name, one), self.photo(line, name, two)
            if first == second:
                raise self.error(line, "a photo is paired with itself.")
        elif len(fields) == 4:
            if fields[0] == fields[2]:
                raise self.error(line, "an impostor pair names the same person twice.")
            first, second = self.photo(line, *fields[:2]), self.photo(line, *fields[2:])
        else:
            raise self.error(line, "a pair is a person and two numbers, or twice a person and a number.")
        return Pair(first, second, fold, line)

    def photo(self, line: int, name: str, number: str) -> Photo:
        found = _NUMBER.fullmatch(number)
        if not found:
            raise self.error(line, "a photo's number is a whole number from 1.")
        if name.startswith(".") or any(c in "/\\:" or not c.isprintable() for c in name):
            raise self.error(line, "a person's name is the name of a folder.")
        if name not in self.known:
            self.known[name] = _numbered(self.images / name, name)
        path = self.known[name].get(int(found[1]))
        if path is None:
            wanted = f"{name}/{name}_{int(found[1]):04d}"
            raise self.error(line, f"there is no photo {wanted} in {self.images}.")
        return Photo(name, path)


def _fields(line: str) -> list[str]:
    parts = line.split("\t") if "\t" in line else line.split()
    return [part.strip() for part in parts]


def _numbered(folder: Path, name: str) -> dict[int, Path]:
    """A person's photos by number; the first by name where a number is there twice."""
    found: dict[int, Path] = {}
    try:
        entries = sorted(folder.iterdir(), reverse=True)
    except (OSError, ValueError):
        return found
    for entry in entries:
        number = re.fullmatch(r"0{0,3}([1-9][0-9]{0,5})", entry.stem.removeprefix(f"{name}_"))
        if number and entry.suffix.lower() in EXTENSIONS and entry.stem.startswith(f"{name}_"):
            found[int(number[1])] = entry
    return found


def folder_pairs(root: str | os.PathLike[str], *, impostors: int = 100_000) -> PairList:
    """Pairs from a folder of people: all genuine ones, and impostor pairs evenly spread.

    The same folder gives the same pairs. Where there are more than ``impostors`` pairs of
    different people, so many are taken at even steps through all of them.

    Raises:
        UsageError: not a folder, fewer than two people, or nobody with two photos.
    """
    photos = _people(root)
    if impostors < 1:
        raise UsageError("At least one impostor pair is needed.")
    ends = _ends(photos)
    genuine = [Pair(photos[a], photos[b]) for a in range(len(photos)) for b in range(a + 1, int(ends[a]))]
    if not genuine:
        raise UsageError(f"Nobody in {root} has two photos; there is no genuine pair.")
    later = len(photos) - ends
    before = np.concatenate([[0], np.cumsum(later)])
    total = int(before[-1])
    if not total:
        raise UsageError(f"There is only one person in {root}; there is no impostor pair.")
    wanted = min(total, impostors)
    impostor = []
    for step in range(wanted):
        at = step * total // wanted
        a = int(np.searchsorted(before, at, "right")) - 1
        impostor.append(Pair(photos[a], photos[int(ends[a]) + at - int(before[a])]))
    return PairList((*genuine, *impostor))


def split_folder(root: str | os.PathLike[str], *, enroll: int = 1, strangers: int = 0) -> GallerySplit:
    """A gallery and probes from a folder of people: the first photos are enrolled, the rest search.

    Args:
        root: one folder a person.
        enroll: photos to enroll of each person, in the order of their names.
        strangers: so many people, evenly spread, are not enrolled at all; all their photos search.

    Raises:
        UsageError: not a folder, nobody left to enroll, or no probe.
    """
    if enroll < 1 or strangers < 0:
        raise UsageError("At least one photo is enrolled, and not fewer than no strangers.")
    photos = _people(root)
    people = sorted({photo.subject for photo in photos})
    if strangers >= len(people):
        raise UsageError(f"There are {len(people)} people in {root}; not all can be strangers.")
    unknown = {people[step * len(people) // strangers] for step in range(strangers)}
    gallery: list[Photo] = []
    probes: list[Photo] = []
    for subject, group in _groups(photos):
        enrolled = 0 if subject in unknown else enroll
        gallery += group[:enrolled]
        probes += group[enrolled:]
    if not probes:
        raise UsageError(f"Nobody in {root} has more than {enroll} photos; there is nothing to search with.")
    return GallerySplit(tuple(gallery), tuple(probes))


def _people(root: str | os.PathLike[str]) -> tuple[Photo, ...]:
    photos = list_photos(root).photos
    if not photos:
        raise UsageError(f"There is no photo in any person's folder in {root}.")
    return photos


def _groups(photos: tuple[Photo, ...]) -> Iterator[tuple[str, tuple[Photo, ...]]]:
    start = 0
    for end in sorted({int(end) for end in _ends(photos)}):
        yield photos[start].subject, photos[start:end]
        start = end


def _ends(photos: tuple[Photo, ...]) -> I64:
    """For each photo, sorted by subject, where its subject's photos end."""
    subjects = [photo.subject for photo in photos]
    last = {subject: at + 1 for at, subject in enumerate(subjects)}
    return np.array([last[subject] for subject in subjects], np.int64)
