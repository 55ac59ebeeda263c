from __future__ import annotations

from pathlib import Path

import pytest

from blindsight.core.errors import UsageError
from blindsight.vision.attribute_table import Attribute, Literal, read_attribute_table
from real_data import DATA, needs


def write(path: Path, text: str | bytes) -> Path:
    path = path / "attributes.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reading(tmp_path: Path) -> None:
    table = read_attribute_table(write(tmp_path, "\ufeffhat, identity,age\r\n1,0002,3\r\n2,anna,1\r\n\r\n"))
    assert table.columns == ("hat", "age")
    assert dict(table.rows) == {"0002": (1, 3), "anna": (2, 1)}
    assert table.values(["anna", "0002", "anna"]).tolist() == [[2, 1], [1, 3], [2, 1]]
    assert table.values([]).shape == (0, 2)
    both = Attribute((Literal("hat", 2), Literal("age", 1)))
    assert table.truth(both, ["anna", "0002"]).tolist() == [True, False]
    assert Attribute.parse(str(both)) == both
    for wrong in ("a", "a=1 & a=2", "a=1 & b=1 & c=1", "a=01", "a=-1", "=1", "a=1&b=1", ""):
        with pytest.raises(UsageError):
            Attribute.parse(wrong)


def test_unknown_persons_and_columns(tmp_path: Path) -> None:
    table = read_attribute_table(write(tmp_path, "identity,hat\n1,1\n"))
    with pytest.raises(UsageError, match="no row for person 2"):
        table.values(["1", "2"])
    with pytest.raises(UsageError, match="no column gown"):
        table.truth(Attribute((Literal("gown", 1),)), ["1"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("identity,hat\n", "no rows"),
        ("person,hat\n1,1\n", "lacks the column identity"),
        ("identity\n1\n", "lacks the column"),
        ("identity,hat,hat\n1,1,1\n", "hat"),
        ("identity,hat\n1,1,1\n", "Row 2"),
        ("identity,hat\n1,1\n1,2\n", "Row 3"),
        ("identity,hat\n,2\n", "Row 2"),
        ("identity,hat\n1,yes\n", "hat"),
        ("identity,hat\n1,\n", "hat"),
        ("identity,hat\n1,-1\n", "hat"),
        ("identity,hat\n1,1.5\n", "hat"),
        ("identity,hat\n1,100\n", "hat"),
        ("identity,a b\n1,1\n", "no name"),
        ('identity,hat\n"1,1\n', "not a CSV"),
        (b"identity,hat\n\xff,1\n", "UTF-8"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_attribute_table(write(tmp_path, text))
    assert caught.value.message.count("\n") == 0


def test_required_columns_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lacks the column age, shoes"):
        read_attribute_table(write(tmp_path, "identity,hat\n1,1\n"), required=["hat", "age", "shoes"])
    with pytest.raises(UsageError, match="check the path"):
        read_attribute_table(tmp_path / "none.csv")


@pytest.mark.data
@needs("market1501", "attributes.csv")
def test_the_real_table() -> None:
    table = read_attribute_table(DATA / "market1501" / "attributes.csv", required=["gender", "upblack"])
    assert len(table.columns) == 27
    assert len(table.rows) == 600
