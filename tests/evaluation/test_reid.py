"""The re-identification experiment on generated people, its tests of significance, its report."""

import csv
import io
import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
from scipy import stats

from blindsight.core.errors import UsageError
from blindsight.evaluation import reid as module
from blindsight.evaluation.reid import Rates, Settings, corrected_t_test, difference, evaluate_reid
from blindsight.evaluation.reid_report import as_fields, matching_rates, rates_by_bits, report_of
from blindsight.vision.attribute_table import AttributeTable, read_attribute_table
from blindsight.vision.people import PersonImage, list_people
from blindsight.vision.people_features import features_of
from generated_people import COLUMNS, draw, values
from real_data import DATA, needs

N = 16
PEOPLE = tuple(range(44))
CAMERAS = (1, 2, 3)
SMALL = Settings(splits=2, bits=(1, 5), dimension=N, least_people=2, scheme="bfv", seed=3)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    pairs = [(person, camera) for person in PEOPLE for camera in CAMERAS]
    images = tuple(PersonImage(f"{p:04d}", str(c), folder / f"{p}_{c}.png") for p, c in pairs)
    table = AttributeTable(COLUMNS, {f"{person:04d}": values(person) for person in PEOPLE})
    return images, features_of(draw(*pair) for pair in pairs), table


@pytest.fixture(scope="module")
def found(crowd):
    return evaluate_reid(*crowd, SMALL)


def test_encrypted_rates_are_the_plaintexts(found):
    assert (found.people, found.crops, found.single, found.gallery) == (44, 132, 0, 22)
    assert found.probes == (44, 44)
    for g in (1, 5):
        one = found.encrypted[g]
        assert one.equal
        assert (one.distances, one.unequal) == (2 * 44 * 22, 0)
        np.testing.assert_array_equal(one.rates.cmc, found.quantised[g].cmc)
        np.testing.assert_array_equal(one.plain.cmc, one.rates.cmc)
        assert one.up > one.down > 1e3
        assert "16 probes a message" in found.parameters[g]
    assert found.real.mean(1) > 5 / 22
    assert found.real.cmc[:, -1].tolist() == [1.0, 1.0]
    assert abs(found.differences[5].mean) < 0.15
    for rates in (found.real, *found.quantised.values(), *found.widest.values()):
        assert rates.cmc.shape == (2, 22)
        for split in range(2):
            assert rates.cmc[split, 0] == pytest.approx(rates.hits[split].mean())


def test_one_wrong_distance_is_found(crowd, monkeypatch):
    honest = module._encrypted

    def lying(*arguments):
        distances, *rest = honest(*arguments)
        distances = distances.copy()
        distances[0, 0] += 1
        return distances, *rest

    monkeypatch.setattr(module, "_encrypted", lying)
    found = evaluate_reid(*crowd, replace(SMALL, bits=(4,), scheme="lattice", encrypted_probes=5))
    assert found.encrypted[4].unequal == 2
    assert found.encrypted[4].distances == 2 * 5 * 22
    assert not found.encrypted[4].equal
    assert "DIFFERS" in report_of(found, "figures").summary
    assert "encrypted" not in rates_by_bits(found).csv  # five probes' rates beside 44 probes' would mislead
    rows = report_of(found, "figures").sections[0].tables[0].rows
    assert [row[0] for row in rows if "probes" in str(row[0])] == [
        "g = 4, encrypted (5 probes a split)",
        "g = 4, of the same probes in the clear",
    ]


def test_lattice_gives_the_same_and_the_seed_repeats(crowd, found):
    steps = []
    other = evaluate_reid(
        *crowd, replace(SMALL, bits=(5,), scheme="lattice"), lambda *step: steps.append(step)
    )
    np.testing.assert_array_equal(other.encrypted[5].rates.cmc, found.encrypted[5].rates.cmc)
    np.testing.assert_array_equal(other.real.cmc, found.real.cmc)
    assert steps == [(n, 4) for n in range(1, 5)]
    plain = evaluate_reid(*crowd, replace(SMALL, bits=(5,), scheme=None, seed=4))
    assert plain.encrypted == {}
    assert not np.array_equal(plain.real.cmc, found.real.cmc)


def test_who_cannot_be_evaluated(crowd):
    images, features, table = crowd
    alone = [at for at, image in enumerate(images) if image.camera == "1"]
    few = [at for at, image in enumerate(images) if image.person < "0003" or image.camera == "1"]
    for chosen, said in ((alone, "Nobody here was seen by two cameras"), (few, "Fewer than four people")):
        with pytest.raises(UsageError, match=said):
            evaluate_reid([images[at] for at in chosen], features[chosen], table, SMALL)
    rows = {person: row for person, row in table.rows.items() if person != "0007"}
    with pytest.raises(UsageError, match="no row for person 0007"):
        evaluate_reid(images, features, AttributeTable(COLUMNS, rows), SMALL)
    with pytest.raises(UsageError, match="needs 20 people"):
        evaluate_reid(images[:90], features[:90], table, SMALL)


@pytest.mark.parametrize(
    "change",
    [{"splits": 1}, {"bits": ()}, {"bits": (0,)}, {"bits": (9,)}, {"bits": (4, 4)}, {"scheme": "ckks"},
     {"encrypted_probes": -1}],
)  # fmt: skip
def test_settings_that_make_no_sense(change):
    with pytest.raises(UsageError):
        replace(SMALL, **change)


# -- significance --------------------------------------------------------------------------------


def test_the_corrected_t_test():
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 1.0, 10)
    plain = stats.ttest_1samp(values, 0.0)
    shrunk = plain.statistic * math.sqrt((1 / 10) / (1 / 10 + 1))
    assert corrected_t_test(values) == pytest.approx(2 * stats.t.sf(abs(shrunk), 9))
    assert corrected_t_test(values) > plain.pvalue
    assert corrected_t_test(-values) == pytest.approx(corrected_t_test(values))
    assert corrected_t_test(np.zeros(5)) == 1.0
    assert corrected_t_test(np.full(5, 0.25)) == 0.0


def rates(hits):
    return Rates(np.array([[one.mean(), 1.0] for one in hits]), tuple(hits))


def test_differences_are_paired_and_people_are_what_is_drawn():
    rng = np.random.default_rng(1)
    owners = [tuple(f"p{at % 40}" for at in range(160)) for _ in range(6)]
    base = [(rng.random(160) < 0.4).astype(float) for _ in range(6)]
    worse = [np.where(rng.random(160) < 0.3, 0.0, one) for one in base]
    found = difference(rates(worse), rates(base), owners)
    assert found.mean == pytest.approx(
        np.mean([w.mean() - b.mean() for w, b in zip(worse, base, strict=True)])
    )
    assert found.interval.high < 0
    assert found.mean in found.interval
    assert found.significant
    same = difference(rates(base), rates(base), owners)
    assert (same.mean, same.p_splits, same.significant) == (0.0, 1.0, False)
    # All probes of one person moving together are one observation and not 24.
    one_person = [np.where(np.arange(160) % 40 == 0, 1.0, one * 0) for one in base]
    none = [one * 0 for one in base]
    alone = difference(rates(one_person), rates(none), owners)
    assert alone.interval.low == 0.0
    assert alone.interval.high == pytest.approx(3 / 40, abs=0.02)


# -- the report ------------------------------------------------------------------------------------


def test_the_report_has_every_number(found, tmp_path):
    page = report_of(found, "<generated> & drawn").write_page(tmp_path / "reid.html")
    text = page.read_text()
    assert "&lt;generated&gt; &amp; drawn" in text
    assert text.count("<svg") == 2
    assert "distance for distance" in text
    names = {path.stem for path in (tmp_path / "reid-csv").iterdir()}
    assert names == {
        "matching-rates", "rates-by-bits", "matching-rates-table", "encrypted", "differences", "paper",
    }  # fmt: skip
    rows = list(csv.reader(io.StringIO((tmp_path / "reid-csv" / "matching-rates.csv").read_text())))
    assert rows[0] == ["features", "rank", "mean, %", "standard deviation, %"]
    assert len(rows) == 1 + 3 * 20
    assert float(rows[1][2]) == pytest.approx(100 * found.real.mean(1))
    with pytest.raises(UsageError, match="cannot be written"):
        report_of(found, "x").write_page(tmp_path / "reid.html" / "below.html")


def test_the_plots_are_drawn(found):
    for plot in (matching_rates(found), rates_by_bits(found)):
        ET.fromstring(plot.svg)
        assert plot.png.startswith(b"\x89PNG")
    encrypted = [row for row in csv.reader(io.StringIO(rates_by_bits(found).csv)) if "encrypted" in row[0]]
    assert [float(row[2]) for row in encrypted] == pytest.approx(
        [100 * found.quantised[g].mean(1) for g in (1, 5)]
    )


def test_fields_for_json(found):
    fields = as_fields(found)
    assert [one["bits"] for one in fields["by_bits"]] == [1, 5]
    one = fields["by_bits"][1]
    assert one["cmc_equal"] is True
    assert one["encrypted"] == one["quantised"]
    assert one["quantised"]["rank_1"]["mean"] == found.quantised[5].mean(1)


@pytest.mark.data
@needs("market1501", "images")
def test_real_people_as_the_issue_asks():
    """45 + 45 people of Market-1501, two splits: exact under bfv, and four bits are enough."""
    listed = list_people(DATA / "market1501" / "images")
    table = read_attribute_table(DATA / "market1501" / "attributes.csv")
    wanted = set(listed.people[:90])
    images = [image for image in listed.images if image.person in wanted]
    features = features_of(image.read() for image in images)
    settings = Settings(splits=2, bits=(1, 4), least_people=3, encrypted_probes=16)
    found = evaluate_reid(images, features, table, settings)
    assert all(one.equal for one in found.encrypted.values())
    assert found.real.mean(1) > 0.25
    assert 0.0 in found.differences[4].interval
    assert found.differences[1].mean < found.differences[4].mean
