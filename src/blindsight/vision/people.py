"""People's crops on disk: whose they are and which camera took them.

Two layouts. Market-1501's: one folder of ``PPPP_cCsS_frame_NN.jpg``, person PPPP, camera C,
sequence S. And a folder for each person, in which every file's name holds its camera:
``cam3_0001.jpg``, ``0001-c2.png``, ``camera_2.jpg``.

Names are parsed strictly: a file that cannot be placed stops the reading with a sentence, since
a person silently missing would change every rate that is measured.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blindsight.core.errors import UsageError
from blindsight.vision.folder import EXTENSIONS
from blindsight.vision.images import Image, read_image, shown

Layout = Literal["market1501", "folders"]

_MARKET = re.compile(r"(-1|\d{4,8})_c(\d{1,3})s(\d{1,3})_(\d+)_(\d+)", re.ASCII)
_CAMERA = re.compile(r"(?<![a-z])c(?:am(?:era)?)?[-_ ]?(\d{1,4})(?!\d)", re.ASCII | re.IGNORECASE)
_NOBODY = ("-1", "0000")
"""Market-1501's junk boxes and distractors: nobody to be recognised."""


@dataclass(frozen=True, slots=True, order=True)
class PersonImage:
    """A crop of one person, upright and whole, as a pedestrian detector gives it.

    Attributes:
        person: whose, as the layout names them.
        camera: which camera, a number without leading zeros, as text.
        path: where it lies.

    """

    person: str
    camera: str
    path: Path

    def read(self) -> Image:
        """Its pixels; raises `ImageError` with a sentence where they cannot be read."""
        return read_image(self.path)


@dataclass(frozen=True, slots=True)
class PeopleFolder:
    """What a folder holds.

    Attributes:
        images: sorted by person, camera, path.
        ignored: files passed over: hidden, no pictures, or Market-1501's junk and distractors.

    """

    images: tuple[PersonImage, ...]
    ignored: int

    @property
    def people(self) -> tuple[str, ...]:
        """Each person once, sorted."""
        return tuple(sorted({image.person for image in self.images}))

    @property
    def cameras(self) -> tuple[str, ...]:
        """Each camera once, in the order of their numbers."""
        return tuple(sorted({image.camera for image in self.images}, key=int))


def list_people(root: str | os.PathLike[str], layout: Layout | None = None) -> PeopleFolder:
    """List the crops under a folder; the same folder gives the same list everywhere.

    Args:
        root: the folder.
        layout: which of the two; None to see: ``folders`` where there is a subfolder, else
            ``market1501``.

    Raises:
        UsageError: not a folder that can be opened, another layout, a picture's name that does
            not say person and camera, or no picture at all.

    """
    root = Path(root)
    if layout not in (None, "market1501", "folders"):
        raise UsageError(f"There is no layout {layout!r}; use market1501 or folders.")
    entries = _entries(root)
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    chosen = layout or ("folders" if folders else "market1501")
    found: list[PersonImage] = []
    ignored = 0
    if chosen == "market1501":
        ignored = _collect(entries, _market_image, found)
    else:
        for entry in entries:
            if entry not in folders:
                if entry.suffix.lower() in EXTENSIONS and not entry.name.startswith("."):
                    raise UsageError(f"{shown(entry)} lies in no person's folder; move it into one.")
                ignored += 1
                continue
            ignored += _collect(_entries(entry), _folder_image, found)
    if not found:
        raise UsageError(f"{shown(root)} holds no picture of a person in the layout {chosen}.")
    return PeopleFolder(tuple(sorted(found)), ignored)


def parse_market_name(name: str) -> tuple[str, str]:
    """Person and camera from ``PPPP_cCsS_frame_NN.jpg``; raises `UsageError`."""
    match = _MARKET.fullmatch(Path(name).stem)
    if match is None:
        raise UsageError(
            f"{shown(name)} is not named like Market-1501's files, PPPP_cCsS_frame_NN.jpg; rename it."
        )
    return match[1], str(int(match[2]))


def parse_camera(name: str) -> str:
    """The camera that a file's name holds, ``cam3`` or ``c3``; raises `UsageError`."""
    cameras = {str(int(number)) for number in _CAMERA.findall(Path(name).stem)}
    if len(cameras) != 1:
        said = "no camera" if not cameras else "several cameras"
        raise UsageError(f"{shown(name)} names {said}; write exactly one as in cam3_0001.jpg.")
    return cameras.pop()


def _market_image(path: Path) -> PersonImage | None:
    person, camera = parse_market_name(path.name)
    return None if person in _NOBODY else PersonImage(person, camera, path)


def _folder_image(path: Path) -> PersonImage:
    person = unicodedata.normalize("NFC", path.parent.name)
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in person):
        raise UsageError(f"The folder {shown(person)} has control characters in its name; rename it.")
    return PersonImage(person, parse_camera(path.name), path)


def _collect(
    entries: Sequence[Path], parse: Callable[[Path], PersonImage | None], found: list[PersonImage]
) -> int:
    """Add the pictures among the entries to ``found``; how many entries were passed over."""
    ignored = 0
    for entry in entries:
        picture = entry.suffix.lower() in EXTENSIONS and not entry.name.startswith(".")
        image = parse(entry) if picture and not entry.is_dir() else None
        if image is None:
            ignored += 1
        else:
            found.append(image)
    return ignored


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError:
        raise UsageError(f"{shown(folder)} is not a folder that can be opened; check the path.") from None
