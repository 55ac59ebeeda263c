from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import skimage.data

from blindsight.vision import FacePipeline, Image, open_embedder


@pytest.fixture(scope="session")
def astronaut() -> Image:
    """A public-domain portrait with one face: uint8 (512, 512, 3)."""
    return Image(skimage.data.astronaut(), "astronaut.png")


@pytest.fixture(scope="session")
def pipeline() -> FacePipeline:
    return open_embedder("dlib")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real photos; the test is skipped where there is none."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("BLINDSIGHT_DATA", root.parent / "shared" / "data"))
    if not (folder / "lfw").is_dir():
        pytest.skip("no real photos here")
    return folder


@pytest.fixture(scope="session")
def portrait() -> bytes:
    """A small JPEG of the astronaut's face."""
    return encoded(PIL.Image.fromarray(skimage.data.astronaut()[:256, 96:352]), "JPEG", quality=92)


@pytest.fixture(scope="session")
def crowd() -> Image:
    return Image(np.hstack([skimage.data.astronaut()] * 2), "crowd.png")


def encoded(image: PIL.Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
