"""What people look like, in words: a CSV file of persons and attributes, and what it says.

The first column names the person (``identity``), every other column is an attribute, its value
a whole number from 0 to 99 that means what the table's owner says: in Market-1501's attributes
1 is no, male, short hair, and 2 is yes, female, long hair; age runs from 1 to 4.

An `Attribute` is a statement that can be true of a person: ``gender=2``, or of two columns at
once, ``gender=2 & backpack=2``: the co-occurring attributes of seed 000 [4].
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import UsageError
from blindsight.vision.images import shown

_VALUE = re.compile(r"\d{1,2}", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_MAX_BYTES = 64 * 2**20

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, order=True)
class Literal:
    """``column=value``: true of the persons with that value."""

    column: str
    value: int

    def __str__(self) -> str:
        return f"{self.column}={self.value}"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One literal, or two of different columns that are true together."""

    literals: tuple[Literal, ...]

    def __str__(self) -> str:
        return " & ".join(map(str, self.literals))

    @classmethod
    def parse(cls, text: str) -> Attribute:
        """What `str` gave; raises `UsageError`."""
        literals = []
        for part in text.split(" & "):
            column, _, value = part.partition("=")
            if not _NAME.fullmatch(column) or not _VALUE.fullmatch(value) or str(int(value)) != value:
                raise UsageError(f"{shown(text[:80])} is not an attribute such as gender=2 & hat=1.")
            literals.append(Literal(column, int(value)))
        if len({literal.column for literal in literals}) != len(literals) or len(literals) > 2:
            raise UsageError(f"{shown(text[:80])} is not one attribute or two of different columns.")
        return cls(tuple(literals))


@dataclass(frozen=True, slots=True, eq=False)
class AttributeTable:
    """A table as read.

    Attributes:
        columns: names of the attributes, in the file's order.
        rows: person to values, in the order of ``columns``.
        source: what to call it in a message.

    """

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[int, ...]]
    source: str = "the table"

    def values(self, persons: Sequence[str]) -> NDArray[np.int64]:
        """Values of each person, (persons, columns); raises `UsageError` for an unknown one."""
        for person in persons:
            if person not in self.rows:
                raise UsageError(f"{self.source} has no row for person {shown(person)}; add it.")
        return np.array([self.rows[person] for person in persons], dtype=np.int64).reshape(
            len(persons), len(self.columns)
        )

    def truth(self, attribute: Attribute, persons: Sequence[str]) -> Bools:
        """Whether the attribute is true of each person, (persons,); errors as `values`."""
        values = self.values(persons)
        true = np.ones(len(persons), dtype=np.bool_)
        for literal in attribute.literals:
            if literal.column not in self.columns:
                raise UsageError(f"{self.source} has no column {literal.column}; add it.")
            true &= values[:, self.columns.index(literal.column)] == literal.value
        return true


def read_attribute_table(
    path: str | os.PathLike[str], *, required: Sequence[str] = (), key: str = "identity"
) -> AttributeTable:
    """Read a CSV file: UTF-8, a header, the person in the column ``key``.

    Raises:
        UsageError: missing or unreadable, no such column or one of ``required`` missing, a
            column or a person twice, a value that is not a whole number from 0 to 99, or no row.

    """
    name = shown(path)
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError:
        raise UsageError(f"{name} cannot be read; check the path.") from None
    except ValueError:
        raise UsageError(f"{name} is not UTF-8 text; save it as CSV in UTF-8.") from None
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{name} is over the limit of {_MAX_BYTES:,} bytes; split it.")
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error:
        raise UsageError(f"{name} is not a CSV table; check its quotes.") from None
    if len(lines) < 2:
        raise UsageError(f"{name} has no rows; it needs a header and a row for each person.")
    header = [column.strip() for column in lines[0]]
    for column in header:
        if header.count(column) > 1 or not _NAME.fullmatch(column):
            raise UsageError(f"{name} has a column {shown(column)!r} that is no name or is there twice.")
    missing = [column for column in (key, *required) if column not in header]
    if missing or len(header) < 2:
        raise UsageError(f"{name} lacks the column {', '.join(missing) or 'of any attribute'}; add it.")
    at = header.index(key)
    columns = tuple(column for column in header if column != key)
    rows: dict[str, tuple[int, ...]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise UsageError(f"Row {number} of {name} has {len(line)} fields, not {len(header)}.")
        person = line[at].strip()
        if not person or person in rows:
            raise UsageError(f"Row {number} of {name} has no person, or one who has a row already.")
        values = [value.strip() for i, value in enumerate(line) if i != at]
        for column, value in zip(columns, values, strict=True):
            if not _VALUE.fullmatch(value):
                raise UsageError(
                    f"Row {number} of {name} has a value for {column} that is no whole number from 0 to 99."
                )
        rows[person] = tuple(map(int, values))
    return AttributeTable(columns, rows, name)
