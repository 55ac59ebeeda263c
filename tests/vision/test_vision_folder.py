from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from blindsight.core.errors import ModelError, UsageError, VectorError
from blindsight.core.types import Embedding
from blindsight.vision import (
    DlibDetector,
    DlibEmbedder,
    EmbeddedPhoto,
    Face,
    FaceBox,
    FacePipeline,
    Image,
    Photo,
    Rejection,
    RejectionReport,
    embed_folder,
    list_photos,
)


def write(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


class TestListing:
    def test_order_subjects_and_what_is_passed_over(self, tmp_path: Path) -> None:
        kept = [write(tmp_path / name) for name in ("ann/1.jpg", "ann/2.PNG", "ann/old/0.jpeg", "bob/x.heic")]
        write(tmp_path / "ann/notes.txt")
        write(tmp_path / "ann/.hidden.jpg")
        write(tmp_path / ".git/a.jpg")
        write(tmp_path / "README.md")
        stray = write(tmp_path / "stray.jpg")
        (tmp_path / "empty").mkdir()
        listing = list_photos(tmp_path)
        assert [photo.path for photo in listing.photos] == kept
        assert [photo.subject for photo in listing.photos] == ["ann", "ann", "ann", "bob"]
        assert listing.ignored == 4
        (rejection,) = listing.rejections
        assert (rejection.reason, rejection.photo) == ("no-subject", Photo("", stray))

    def test_link_circles_end(self, tmp_path: Path) -> None:
        photo = write(tmp_path / "ann/1.jpg")
        (tmp_path / "ann/loop").symlink_to(tmp_path / "ann", target_is_directory=True)
        (tmp_path / "ann/up").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / "self").symlink_to(tmp_path / "self")
        (tmp_path / "alias").symlink_to(tmp_path / "ann", target_is_directory=True)
        listing = list_photos(tmp_path)
        assert listing.photos == (Photo("alias", tmp_path / "alias/1.jpg"), Photo("ann", photo))

    def test_names_are_composed_unicode(self, tmp_path: Path) -> None:
        write(tmp_path / unicodedata.normalize("NFD", "José") / "1.jpg")
        write(tmp_path / "bad\udcff" / "1.jpg")
        listing = list_photos(tmp_path)
        assert [photo.subject for photo in listing.photos] == ["José"]
        assert [rejection.reason for rejection in listing.rejections] == ["folder-name"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
    def test_a_closed_folder_is_reported(self, tmp_path: Path) -> None:
        write(tmp_path / "ann/1.jpg")
        (tmp_path / "ann").chmod(0)
        try:
            assert [r.reason for r in list_photos(tmp_path).rejections] == ["folder-unreadable"]
        finally:
            (tmp_path / "ann").chmod(0o700)

    def test_a_root_that_is_none(self, tmp_path: Path) -> None:
        for root in (tmp_path / "missing", write(tmp_path / "file")):
            with pytest.raises(UsageError, match="not a folder"):
                list_photos(root)


class _Whole:
    """A detector that takes any image as one face; or as none where it is narrow."""

    def detect(self, image: Image) -> list[Face]:
        return [Face(FaceBox(0, 0, image.width, image.height))] if image.width >= 8 else []


class _Mean:
    """An embedder of the mean colour, that fails on black as a real one may."""

    model_id, dimension, metric, threshold, radius = "mean", 3, "euclidean", 10.0, 500.0

    def embed(self, image: Image, face: Face) -> Embedding:
        return Embedding(image.pixels.mean(axis=(0, 1)), self.model_id)


SIMPLE = FacePipeline(_Whole(), _Mean(), 1)


def ppm(width: int, value: int) -> bytes:
    return f"P6 {width} 8 255\n".encode() + bytes([value]) * (width * 8 * 3)


class TestEmbedding:
    @pytest.mark.parametrize("workers", [1, 3])
    def test_one_bad_photo_stops_nothing(
        self, tmp_path: Path, pipeline: FacePipeline, portrait: bytes, crowd: Image, workers: int
    ) -> None:
        import PIL.Image

        write(tmp_path / "ann/1.jpg", portrait)
        write(tmp_path / "ann/2.jpg", portrait[: len(portrait) // 2])
        write(tmp_path / "ann/3.jpg", b"not an image")
        PIL.Image.fromarray(crowd.pixels).save(tmp_path / "ann/4.png")
        PIL.Image.new("RGB", (300, 300), "grey").save(tmp_path / "ann/5.png")
        (tmp_path / "ann/6.jpg").symlink_to(tmp_path / "nowhere")
        write(tmp_path / "bob/1.jpg", portrait)
        photos = list_photos(tmp_path).photos
        outcomes = list(embed_folder(pipeline, photos, workers=workers))
        codes = [o.reason if isinstance(o, Rejection) else "ok" for o in outcomes]
        assert codes == ["ok", "image-unreadable", "image-unreadable", "several-faces", "no-face",
                         "image-unreadable", "ok"]  # fmt: skip
        first, last = outcomes[0], outcomes[-1]
        assert isinstance(first, EmbeddedPhoto)
        assert isinstance(last, EmbeddedPhoto)
        assert first.sha256 == hashlib.sha256(portrait).digest()
        np.testing.assert_array_equal(first.embedding.vector, last.embedding.vector)
        assert last.photo.subject == "bob"

        report = RejectionReport(tuple(o for o in outcomes if isinstance(o, Rejection)))
        assert report.counts == {"image-unreadable": 3, "no-face": 1, "several-faces": 1}
        assert report.lines()[0] == "image-unreadable: 3"
        assert report.lines()[3].startswith("  ann/2.jpg: 2.jpg is damaged")
        assert len(report.lines()) == 3 + 5

    def test_the_largest_of_several(self, tmp_path: Path, pipeline: FacePipeline, crowd: Image) -> None:
        import PIL.Image

        (tmp_path / "ann").mkdir()
        PIL.Image.fromarray(crowd.pixels).save(tmp_path / "ann/1.png")
        (outcome,) = embed_folder(pipeline, list_photos(tmp_path).photos, largest=True)
        assert isinstance(outcome, EmbeddedPhoto)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_known_photos_are_skipped_and_progress_counts_all(self, tmp_path: Path, workers: int) -> None:
        for n in range(20):
            write(tmp_path / f"s/{n:02d}.ppm", ppm(4 if n == 7 else 8, n))
        photos = list_photos(tmp_path).photos
        known = {hashlib.sha256(ppm(8, n)).digest() for n in range(3, 12)}
        seen: list[Photo] = []
        outcomes = list(embed_folder(SIMPLE, photos, known=known, workers=workers, on_photo=seen.append))
        assert seen == list(photos)
        named = [(o.photo.path.stem, isinstance(o, EmbeddedPhoto)) for o in outcomes]
        # 00 is black, which embeds to zero; 07 is too narrow to have a face.
        expected = [("00", False), ("01", True), ("02", True), ("07", False)]
        assert named == expected + [(f"{n:02d}", True) for n in range(12, 20)]
        assert outcomes[0].reason == VectorError.code

    def test_known_may_grow_while_it_runs(self, tmp_path: Path) -> None:
        for name in ("1", "2", "3"):
            write(tmp_path / f"s/{name}.ppm", ppm(8, 9))
        known: set[bytes] = set()
        stems = []
        for outcome in embed_folder(SIMPLE, list_photos(tmp_path).photos, known=known):
            assert isinstance(outcome, EmbeddedPhoto)
            known.add(outcome.sha256)
            stems.append(outcome.photo.path.stem)
        assert stems == ["1"]

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_missing_model_stops_all(self, tmp_path: Path, portrait: bytes, workers: int) -> None:
        write(tmp_path / "ann/1.jpg", portrait)
        pipeline = FacePipeline(DlibDetector(), DlibEmbedder(models=tmp_path))
        with pytest.raises(ModelError):
            list(embed_folder(pipeline, list_photos(tmp_path).photos, workers=workers))

    def test_leaving_early_ends_the_threads(self, tmp_path: Path) -> None:
        for n in range(1, 30):
            write(tmp_path / f"s/{n:02d}.ppm", ppm(8, n))
        drawn: list[Photo] = []
        photos = list_photos(tmp_path).photos
        running = embed_folder(SIMPLE, (drawn.append(p) or p for p in photos), workers=2)
        next(running)
        running.close()
        assert len(drawn) < 10

    def test_no_workers(self) -> None:
        with pytest.raises(UsageError):
            embed_folder(SIMPLE, [], workers=0)
