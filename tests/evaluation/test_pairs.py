"""Lists of pairs and folders of people; every bad line is named."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blindsight.core.errors import UsageError
from blindsight.evaluation.pairs import PairsFileError, folder_pairs, read_pairs, split_folder
from real_data import DATA, needs

LIST = (
    "2\t2\nA_B\t1\t2\nA_B\t1\t3\nA_B\t1\tC\t1\nA_B\t2\tD é\t1\nC\t1\t2\nC\t1\t3\nC\t1\tA_B\t1\nC\t2\tD é\t1\n"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for name, count in (("A_B", 3), ("C", 3), ("D é", 1)):
        (root / name).mkdir()
        for number in range(1, count + 1):
            (root / name / f"{name}_{number:04d}.{'png' if number == 3 else 'jpg'}").touch()
    return root


@pytest.fixture
def read(images, tmp_path):
    def run(text):
        path = tmp_path / "pairs.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_pairs(path, images)

    return run


def test_the_official_layout(read, images):
    found = read(LIST)
    assert found.folds == 2
    assert [pair.genuine for pair in found.pairs] == [True, True, False, False] * 2
    assert [pair.fold for pair in found.pairs] == [0] * 4 + [1] * 4
    assert [pair.line for pair in found.pairs] == list(range(2, 10))
    assert found.pairs[1].second.path == images / "A_B" / "A_B_0003.png"
    assert found.pairs[3].second.subject == "D é"
    assert len(found.photos) == 7
    assert len(found.genuine) == len(found.impostor) == 4


@pytest.mark.parametrize(
    "text",
    [
        LIST.replace("\n", "\r\n"),
        "\ufeff" + LIST,
        LIST + "\n\n",
        LIST.rstrip(),
        LIST.replace("\t1", "\t0001"),
    ],
)
def test_the_same_said_otherwise(read, text):
    assert [(p.first, p.second) for p in read(text).pairs] == [(p.first, p.second) for p in read(LIST).pairs]


def test_other_layouts(read):
    assert len(read("1\nC 1 2\nC 1 A_B 2\n").pairs) == 2
    assert [p.genuine for p in read("C 1 A_B 2\nC 1 2\nC 2 3\n").pairs] == [False, True, True]


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("C 1 2\nC 1 4\n", 2, "no photo C/C_0004"),
        ("C 1 2\nNobody 1 C 1\n", 2, "no photo Nobody/Nobody_0001"),
        ("C 1 2\nC 1 D 1\n", 2, "no photo D/D_0001"),
        ("C 1 1\n", 1, "itself"),
        ("C 1 C 2\n", 1, "same person"),
        ("C 0 2\n", 1, "whole number"),
        ("C -1 2\n", 1, "whole number"),
        ("C 1 x\n", 1, "whole number"),
        ("C ١ 2\n", 1, "whole number"),
        ("C 1 99999999\n", 1, "whole number"),
        ("C 1 2\n\nC 1 3\n", 2, "person"),
        ("C 1 2 A_B 1\n", 1, "person"),
        ("../C\t1\t2\n", 1, "name of a folder"),
        ("C/../C\t1\t2\n", 1, "name of a folder"),
        ("\t1\t2\n", 1, "no photo"),
        ("C\x00\t1\t2\n", 1, "name of a folder"),
        ("x 3\nC 1 2\n", 1, "header"),
        ("\nC 1 2\n", 1, "header"),
        ("0 300\n", 1, "header"),
        ("2\t2\nA_B\t1\t2\n", 2, "ends after 1 of the 8"),
        (LIST + "C\t1\t2\n", 10, "more pairs"),
        ("1\nC 1 A_B 2\nC 1 2\n", 2, "genuine pairs come first"),
        ("9999999 9999999\nC 1 2\n", 2, "ends after"),
    ],
)
def test_bad_lines(read, text, line, word):
    with pytest.raises(PairsFileError, match=word) as caught:
        read(text)
    assert caught.value.line == line
    assert caught.value.path.endswith("pairs.txt")
    assert f"pairs.txt, line {line}: " in caught.value.message
    assert caught.value.code == "pairs-file"


def test_bad_files(read, images, tmp_path):
    for text, word in ((b"", "empty"), (b"\n\n", "empty"), (b"\xff\xfe", "UTF-8")):
        with pytest.raises(PairsFileError, match=word) as caught:
            read(text)
        assert caught.value.line == 0
    with pytest.raises(PairsFileError, match="opened"):
        read_pairs(tmp_path / "none.txt", images)
    with pytest.raises(PairsFileError, match="opened"):
        read_pairs(tmp_path, images)
    with pytest.raises(UsageError, match="not a folder"):
        read_pairs(tmp_path / "pairs.txt", tmp_path / "none")


line = st.lists(
    st.sampled_from(["A_B", "C", "D é", "1", "2", "3", "4", "0", "-1", "..", "300", "x", "\x00", "a/b", "€"]),
    max_size=6,
)
lines = st.lists(line.flatmap(lambda parts: st.sampled_from(["\t".join(parts), " ".join(parts)])), max_size=8)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(lines.map("\n".join), st.text(max_size=60)).map(str.encode) | st.binary(max_size=60))
def test_anything_is_pairs_or_a_typed_error(read, data):
    with contextlib.suppress(PairsFileError):
        found = read(data)
        assert found.pairs
        assert all(photo.path.exists() for photo in found.photos)
        assert all(pair.first != pair.second for pair in found.pairs)


def test_a_folder_of_people(images):
    found = folder_pairs(images)
    assert len(found.genuine) == 6
    assert len(found.impostor) == 3 * 3 + 3 + 3
    assert len({(p.first, p.second) for p in found.pairs}) == len(found.pairs)
    fewer = folder_pairs(images, impostors=4)
    assert len(fewer.impostor) == 4
    assert set(fewer.impostor) <= set(found.impostor)
    assert folder_pairs(images, impostors=4) == fewer


def test_a_gallery_and_probes(images):
    split = split_folder(images)
    assert [photo.path.name for photo in split.gallery] == ["A_B_0001.jpg", "C_0001.jpg", "D é_0001.jpg"]
    assert len(split.probes) == 4
    with_strangers = split_folder(images, strangers=1)
    assert {photo.subject for photo in with_strangers.gallery} == {"C", "D é"}
    assert len(with_strangers.probes) == 3 + 2


def test_folders_that_will_not_do(images, tmp_path):
    for make in (folder_pairs, split_folder):
        with pytest.raises(UsageError):
            make(tmp_path / "none")
        with pytest.raises(UsageError, match="no photo"):
            make(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "1.jpg").touch()
    with pytest.raises(UsageError, match="two photos"):
        folder_pairs(tmp_path)
    with pytest.raises(UsageError, match="more than 1"):
        split_folder(tmp_path)
    (tmp_path / "one" / "2.jpg").touch()
    with pytest.raises(UsageError, match="only one person"):
        folder_pairs(tmp_path)
    for wrong in ({"enroll": 0}, {"strangers": -1}, {"strangers": 3}):
        with pytest.raises(UsageError):
            split_folder(images, **wrong)
    with pytest.raises(UsageError):
        folder_pairs(images, impostors=0)


@pytest.mark.data
@needs("lfw", "pairs_fold01_02.txt")
def test_the_real_lists():
    root = DATA / "lfw"
    found = read_pairs(root / "pairs_fold01_02.txt", root / "images")
    assert (len(found.genuine), len(found.impostor), found.folds) == (600, 600, 2)
    with pytest.raises(PairsFileError, match="no photo") as caught:
        read_pairs(root / "pairs.txt", root / "images")
    assert caught.value.line > 1201


@pytest.mark.data
@needs("embeddings", "lfw_fold01-08_mobilefacenet128.npz")
def test_real_faces_are_told_apart():
    """The first two folds of LFW by a public network: the EER that its makers report, about."""
    from blindsight.evaluation.scores import Comparisons
    from blindsight.evaluation.verification import Verification

    root = DATA / "lfw"
    with np.load(DATA / "embeddings" / "lfw_fold01-08_mobilefacenet128.npz") as file:
        vectors = dict(zip([name[:-4] for name in file["names"].tolist()], file["emb"], strict=True))
    pairs = read_pairs(root / "pairs_fold01_02.txt", root / "images")

    def score(pair):
        one, two = (vectors[f"{p.subject}/{p.path.stem}"] for p in (pair.first, pair.second))
        return float(one @ two)

    v = Verification(Comparisons([score(p) for p in pairs.genuine], [score(p) for p in pairs.impostor], True))
    assert v.eer().rate < 0.015
    assert v.auc() > 0.995
