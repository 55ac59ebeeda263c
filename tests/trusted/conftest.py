"""Vaults and matchers that cost little, and keys that are made once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from blindsight.blind.matcher import LocalMatcher
from blindsight.trusted.sealing import Unlock, make_key_file
from blindsight.trusted.vault import Vault


@pytest.fixture(scope="session")
def unlock(tmp_path_factory):
    """A key file: what opens every vault and file here, at no cost."""
    path = tmp_path_factory.mktemp("key") / "key"
    make_key_file(path)
    return Unlock(key_file=path)


@pytest.fixture
def vault(quick_path, unlock):
    made = Vault.create(quick_path / "vault", unlock)
    yield made
    made.close()


@pytest.fixture
def quick_path(tmp_path):
    """A folder in memory where there is one, for tests that wait for disks and learn nothing from it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def matcher(quick_path):
    """A matcher over ``quick_path / "matcher"`` that takes the scheme clear too."""
    made = LocalMatcher(quick_path / "matcher", allow_insecure_clear=True)
    yield made
    made.close()
