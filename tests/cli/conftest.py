from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest
import skimage.data

from cli.running import Home, new_home, stranger


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BLINDSIGHT_VAULT", "BLINDSIGHT_PASSPHRASE", "BLINDSIGHT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def _portrait() -> PIL.Image.Image:
    return PIL.Image.fromarray(skimage.data.astronaut()[:256, 96:352])


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos: a subject's folder under ``people``, probes beside it."""
    root = tmp_path_factory.mktemp("photos")
    folder = root / "people" / "Eileen Collins"
    folder.mkdir(parents=True)
    one = _portrait()
    one.save(folder / "portrait.jpg", quality=92)
    PIL.ImageEnhance.Brightness(one).enhance(0.6).save(folder / "dark.jpg", quality=92)
    PIL.ImageOps.mirror(one).save(root / "mirrored.jpg", quality=80)
    crowd = np.hstack([np.asarray(one), np.asarray(PIL.ImageOps.mirror(one))])
    PIL.Image.fromarray(crowd).save(root / "crowd.png")
    ramp = np.linspace(0, 255, 200, dtype=np.uint8)
    PIL.Image.fromarray(np.stack([np.tile(ramp, (200, 1))] * 3, axis=2)).save(root / "faceless.png")
    (root / "broken.jpg").write_bytes(b"this is not a photo")
    return root


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path / "home")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Home:
    """A gallery ``people`` in a folder, with a real face and a generated one; shared, not to be changed."""
    folder = tmp_path_factory.mktemp("people")
    home = new_home(folder / "home")
    assert home.run("gallery", "create", "people", "--folder", folder / "matcher").code == 0
    assert home.run("enroll", "people", photos / "people").code == 0
    with home.gallery() as gallery:
        gallery.enroll([("Ada Lovelace", stranger(gallery, 1), bytes(32))])
    return home


@pytest.fixture
def room(home: Home, tmp_path: Path) -> Home:
    """An empty gallery ``people`` in a folder."""
    assert home.run("gallery", "create", "people", "--folder", tmp_path / "matcher").code == 0
    return home
