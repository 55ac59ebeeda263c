"""The embeddings file: what is written comes back, and nothing else is taken for it."""

import io
import json
import stat
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blindsight.core.errors import UsageError
from blindsight.evaluation.embeddings import (
    EmbeddingsFileError,
    PhotoEmbeddings,
    load_embeddings,
    save_embeddings,
)
from blindsight.vision.folder import Photo, Rejection

MODEL = "a model/1"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Five photos, one of them without a face and one that is gone, and the file made of them."""
    root = tmp_path_factory.mktemp("kept")
    photos = []
    for number in range(5):
        path = root / f"{number}.jpg"
        path.write_bytes(b"photo %d" % number)
        photos.append(Photo(f"person {number}", path))
    generator = np.random.default_rng(3)
    vectors = {photo: generator.standard_normal(16).astype(np.float32) for photo in photos[:3]}
    rejections = (
        Rejection(photos[3], "no-face", "No face was found in 3.jpg; use another."),
        Rejection(photos[4], "image-unreadable", "4.jpg cannot be read."),
    )
    photos[4].path.unlink()
    found = PhotoEmbeddings(MODEL, vectors, rejections)
    save_embeddings(root / "file.npz", found)
    return root / "file.npz", photos, found


def load(path, photos, model_id=MODEL, dimension=16):
    return load_embeddings(path, photos, model_id=model_id, dimension=dimension)


def test_what_was_written_comes_back(kept):
    path, photos, found = kept
    read = load(path, photos)
    assert read.model_id == MODEL
    assert set(read.vectors) == set(found.vectors)
    for photo, vector in found.vectors.items():
        assert read.vectors[photo].dtype == np.float32
        assert np.array_equal(read.vectors[photo], vector)
    assert read.rejections[0] == found.rejections[0]
    assert read.rejections[1].photo == photos[4]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(path.parent.glob(".file*"))


def test_fewer_photos_than_there_are(kept):
    path, photos, _ = kept
    read = load(path, photos[1:2])
    assert list(read.vectors) == photos[1:2]
    assert read.rejections == ()


def test_nothing_but_rejections(tmp_path, kept):
    _, photos, found = kept
    save_embeddings(tmp_path / "f.npz", PhotoEmbeddings(MODEL, {}, found.rejections[:1]))
    assert load(tmp_path / "f.npz", photos[3:4]).rejections == found.rejections[:1]


def test_files_that_do_not_fit(kept, tmp_path):
    path, photos, _ = kept
    with pytest.raises(EmbeddingsFileError, match="another/model"):
        load(path, photos, model_id="another/model")
    with pytest.raises(EmbeddingsFileError, match="dimension"):
        load(path, photos, dimension=32)
    changed = tmp_path / "1.jpg"
    changed.write_bytes(b"photo 1 touched up")
    with pytest.raises(EmbeddingsFileError, match=r"somebody/1\.jpg"):
        load(path, [*photos, Photo("somebody", changed)])
    assert issubclass(EmbeddingsFileError, UsageError)


def test_files_that_are_not_there_or_cannot_be_made(kept, tmp_path):
    _, photos, found = kept
    with pytest.raises(EmbeddingsFileError, match="cannot be opened"):
        load(tmp_path / "none.npz", photos)
    with pytest.raises(EmbeddingsFileError, match="cannot be written"):
        save_embeddings(tmp_path / "no" / "folder.npz", found)


def rebuilt(path, compression=zipfile.ZIP_STORED, **members):
    """The file with some members replaced, or left out where None."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name, content in members.items():
        if isinstance(content, np.ndarray):
            stream = io.BytesIO()
            np.save(stream, content, allow_pickle=True)
            content = stream.getvalue()
        parts[f"{name}.npy"] = content
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in parts.items():
            if content is not None:
                archive.writestr(name, content)
    return out.getvalue()


def about(**changes):
    fields = {"format": "blindsight-embeddings", "version": 1, "model_id": MODEL, "reasons": [["a", "b"]]}
    return np.frombuffer(json.dumps(fields | changes).encode(), np.uint8)


def header(shape):
    """A ``.npy`` that is a header and nothing behind it."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize(
    "members",
    [
        {"vectors": None},
        {"more": np.zeros(3, np.uint8)},
        {"vectors": np.full((3, 16), np.nan, np.float32)},
        {"vectors": np.zeros((2, 16), np.float32)},
        {"vectors": np.zeros((3, 16), np.float64)},
        {"vectors": np.asfortranarray(np.zeros((3, 16), np.float32))},
        {"vectors": np.zeros(48, np.float32)},
        {"vectors": np.array([Trap()], dtype=object)},
        {"digests": np.zeros((3, 32), np.uint8)},
        {"digests": np.zeros((3, 31), np.uint8)},
        {"rejected": np.zeros((2, 32), np.uint8)},
        {"about": about(version=2)},
        {"about": about(version=True)},
        {"about": about(format="another")},
        {"about": about(model_id=7)},
        {"about": about(reasons=[])},
        {"about": about(reasons=[["a"]])},
        {"about": about(reasons=[["a", 1]])},
        {"about": about(more=1)},
        {"about": np.frombuffer(b"[" * 100_000, np.uint8)},
        {"about": np.frombuffer(b"\xff", np.uint8)},
        {"vectors": header((99_999_999, 16))},
        {"vectors": header((-3, 16))},
        {"vectors": header((3, 16))[:20]},
    ],
)
def test_files_that_are_damaged(kept, tmp_path, members):
    path, photos, _ = kept
    (tmp_path / "bad.npz").write_bytes(rebuilt(path, **members))
    with pytest.raises(EmbeddingsFileError, match="damaged"):
        load(tmp_path / "bad.npz", photos)


def test_compression_is_refused(kept, tmp_path):
    path, photos, _ = kept
    (tmp_path / "same.npz").write_bytes(rebuilt(path))
    assert load(tmp_path / "same.npz", photos).model_id == MODEL
    (tmp_path / "small.npz").write_bytes(rebuilt(path, zipfile.ZIP_DEFLATED))
    with pytest.raises(EmbeddingsFileError, match="damaged"):
        load(tmp_path / "small.npz", photos)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_a_sentence_or_harmless(kept, tmp_path, data):
    path, photos, found = kept
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "hurt.npz").write_bytes(content)
    try:
        read = load(tmp_path / "hurt.npz", photos)
    except EmbeddingsFileError:
        return
    for photo, vector in found.vectors.items():
        assert np.array_equal(read.vectors[photo], vector)


def test_every_flipped_bit_is_a_sentence_or_harmless(kept, tmp_path):
    path, photos, found = kept
    content = path.read_bytes()
    for bit in range(0, 8 * len(content), 3):  # and the flag that says a member is encrypted
        hurt = bytearray(content)
        hurt[bit // 8] ^= 1 << bit % 8
        (tmp_path / "hurt.npz").write_bytes(hurt)
        try:
            read = load(tmp_path / "hurt.npz", photos)
        except EmbeddingsFileError:
            continue
        assert all(np.array_equal(read.vectors[photo], v) for photo, v in found.vectors.items())
