"""Drawings are well formed, carry their numbers, and a report escapes what it is given."""

import csv
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation import plots
from blindsight.evaluation.agreement import agreement, error_rates
from blindsight.evaluation.evidence import Interval
from blindsight.evaluation.figures import COLOURS, INK, Plot, csv_text
from blindsight.evaluation.identification import Identification
from blindsight.evaluation.report import (
    Report,
    Section,
    Table,
    beside_paper,
    identification_table,
    verification_table,
)
from blindsight.evaluation.scores import Comparisons, Searches
from blindsight.evaluation.verification import Estimate, Verification

pytest.importorskip("matplotlib")
NASTY = "_<script>alert(1)</script> & $x_1$ \"'"


def comparisons(seed=1, size=3000):
    generator = np.random.default_rng(seed)
    return Comparisons(generator.normal(2.5, 1, size), generator.normal(0, 1, size), True)


def identification():
    generator = np.random.default_rng(1)
    names = tuple(f"p{n}" for n in range(30))
    scores = generator.normal(0, 1, (120, 30))
    scores[np.arange(60), np.arange(60) % 30] += 3
    return Identification(Searches(scores, names, tuple(names * 2) + (None,) * 60, True))


SCHEMES = {"clear": Verification(comparisons()), NASTY: Verification(comparisons(2))}
DRAW = {
    "det": lambda **more: plots.det(SCHEMES, **more),
    "roc": lambda **more: plots.roc(SCHEMES, **more),
    "cmc": lambda **more: plots.cmc({"clear": identification(), NASTY: identification().cmc()}, **more),
    "bands": lambda **more: plots.cmc({"clear": identification().cmc(intervals=True, replicates=50)}, **more),
    "errors": lambda **more: error_rates(
        {NASTY: agreement([0.1, 0.2, 0.3, -0.4] * 5, [0.1, 0.2001, 0.3, -0.4002] * 5)}, **more
    ),
    "open": lambda **more: plots.open_set_det({NASTY: identification()}, **more),
    "scores": lambda **more: plots.histogram(
        {key: value.comparisons for key, value in SCHEMES.items()}, unit="cosine", threshold=1.0, **more
    ),
}


@pytest.fixture(scope="module")
def drawn():
    return {name: draw(name=name) for name, draw in DRAW.items()}


@pytest.mark.parametrize("name", DRAW)
def test_a_plot(name, drawn):
    plot = drawn[name]
    assert plot.png.startswith(b"\x89PNG")
    ET.fromstring(plot.svg)
    ET.fromstring(plot.inline())
    assert "<script" not in plot.svg
    assert INK not in plot.inline()
    assert COLOURS[0] in plot.svg
    rows = list(csv.reader(io.StringIO(plot.csv)))
    assert len(rows) > 10
    assert {len(row) for row in rows} == {len(rows[0])}


@pytest.mark.parametrize("name", ["det", "scores"])
def test_files_are_written_and_the_same_each_time(name, tmp_path, drawn):
    again = DRAW[name](name=name, folder=tmp_path / "new")
    assert again.svg == drawn[name].svg
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        f"{name}.csv",
        f"{name}.png",
        f"{name}.svg",
    ]
    assert (tmp_path / "new" / f"{name}.csv").read_bytes().decode() == again.csv


def test_axes_have_names_and_units(drawn):
    text = {name: " ".join(re.findall(r">([^<>]+)</text>", plot.svg)) for name, plot in drawn.items()}
    assert "False match rate, FMR (%" in text["det"]
    assert "False non-match rate, FNMR (%" in text["det"]
    assert "log scale" in text["roc"]
    assert "Rank n" in text["cmc"]
    assert "(cosine)" in text["scores"]
    assert "alert(1)" in text["roc"]


def test_the_numbers_behind_a_curve_are_its_own(drawn):
    rows = [row for row in csv.DictReader(io.StringIO(drawn["det"].csv)) if row["scheme"] == "clear"]
    v = SCHEMES["clear"]
    for row in rows[::50]:
        assert float(v.fmr(float(row["threshold"]))) == float(row["FMR"])
        assert float(v.fnmr(float(row["threshold"]))) == float(row["FNMR"])


@pytest.mark.parametrize(
    ("genuine", "impostor"), [([1.0], [0.0]), ([0.0], [0.0]), ([0.0], [1.0]), ([5.0, 6.0], [1.0, 2.0, 1.0])]
)
def test_small_and_perfect_samples_are_drawn(genuine, impostor):
    c = Comparisons(genuine, impostor, True)
    plots.det({"a": Verification(c)})
    plots.roc({"a": Verification(c)})
    plots.histogram({"a": c}, unit="x")
    i = Identification(Searches([[1.0], [0.0]], ("a",), ("a", None), True))
    plots.open_set_det({"a": i})
    plots.cmc({"a": i}, ranks=1)


def test_the_page_gives_its_own_colours(drawn):
    for plot in drawn.values():
        assert "#ffffff" in plot.svg
        assert "#ffffff" not in plot.inline()
        assert "currentColor" in plot.inline()


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"blindsight\[plot\]"):
        plots.det(SCHEMES)


def test_figures_and_reports_need_numpy_alone():
    names = ["verification", "identification", "calibration", "pairs", "report", "agreement", "plots"]
    code = "import sys\n" + "".join(f"import blindsight.evaluation.{name}\n" for name in names)
    code += "print({'matplotlib', 'sklearn', 'scipy', 'PIL', 'numba', 'dlib'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_nothing_to_draw():
    for draw in (plots.det, plots.roc, plots.cmc, plots.open_set_det, error_rates):
        with pytest.raises(UsageError, match="nothing to draw"):
            draw({})
    with pytest.raises(UsageError):
        plots.histogram({}, unit="x")
    with pytest.raises(UsageError):
        plots.histogram({"a": comparisons(size=5)}, unit="x", bins=0)
    with pytest.raises(UsageError):
        plots.cmc({"a": identification()}, ranks=0)
    with pytest.raises(UsageError, match="name"):
        plots.det(SCHEMES, name="../det")


class Page(HTMLParser):
    """What a browser would see: elements, ids, whether all is closed."""

    VOID = ("meta", "br", "img", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.text = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open[-1:]:
            self.text += data


@pytest.fixture(scope="module")
def report(drawn):
    summaries = {name: v.summary((0.1, 1e-2, 1e-6), replicates=30) for name, v in SCHEMES.items()}
    paper = beside_paper(
        "fig-4",
        "Fig. 4 <b>",
        [
            ("median error, %", 0.02, Estimate(0.001, Interval(0.0, 0.01)), NASTY),
            ("bytes", 56, 331_000, "=1+1"),
        ],
        paper="seed 001",
        note=NASTY,
    )
    ranks = identification_table({NASTY: identification().summary((1, 5))})
    section = Section(NASTY, (NASTY,), (verification_table(summaries), paper, ranks), tuple(drawn.values()))
    return Report(
        NASTY, NASTY, (section,), {NASTY: NASTY, "pairs": 6000, "exact": True},
        date=datetime(2025, 1, 31, 12, tzinfo=UTC),
    )  # fmt: skip


def test_a_report_is_one_page_and_a_folder_of_csv(report, tmp_path, drawn):
    path = report.write(tmp_path / "out")
    assert path.name == "report.html"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["csv", "report.html"]
    names = {p.stem for p in (tmp_path / "out" / "csv").iterdir()}
    assert names == {"verification", "fig-4", "ranks", *drawn}
    for file in (tmp_path / "out" / "csv").iterdir():
        rows = list(csv.reader(io.StringIO(file.read_bytes().decode())))
        assert {len(row) for row in rows} == {len(rows[0])}
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == len(drawn)
    assert "alert(1)</script>" in page.text
    for expected in ("2025-01-31 12:00 UTC", "331,000", "seed 001", "TAR at FAR 1e-06", "rule of 3", "yes"):
        assert expected in page.text
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_a_table_as_csv(report):
    rows = list(csv.reader(io.StringIO(report.sections[0].tables[1].csv())))
    assert rows[0] == ["figure", "seed 001", "here", "here low", "here high", "remark"]
    assert rows[1][1:5] == ["0.02", "0.001", "0.0", "0.01"]
    assert rows[2] == ["bytes", "56", "331000", "", "", "'=1+1"]


def test_csv_text():
    text = csv_text(("a", "b"), [("x,y", np.float64(0.1)), ("-1", -1), ('say "so"', None)])
    assert text == 'a,b\r\n"x,y",0.1\r\n\'-1,-1\r\n"say ""so""",\r\n'


def test_reports_that_will_not_do(tmp_path, drawn):
    table = Table("t", "T", ("a",), ((1,),))
    with pytest.raises(UsageError, match="same name"):
        Report("r", "", (Section("s", (), (table, table)),))
    with pytest.raises(UsageError, match="cells"):
        Table("t", "T", ("a", "b"), ((1,),))
    with pytest.raises(UsageError, match="name"):
        Table("../t", "T", ("a",), ())
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="written"):
        Report("r", "", (Section("s", (), (table,)),)).write(tmp_path / "file")
    assert isinstance(drawn["det"], Plot)
