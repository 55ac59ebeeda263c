"""The command line run in this process and in others, and what it needs around it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blindsight.cli.app import main
from blindsight.core.types import Embedding
from blindsight.trusted.gallery import Gallery
from blindsight.trusted.sealing import Unlock, make_key_file
from blindsight.trusted.vault import Vault

BLINDSIGHT = [sys.executable, "-m", "blindsight"]

SMALL_BATCHES = """
import sys
import blindsight.cli.enroll
from blindsight.cli.app import main
blindsight.cli.enroll._BATCH_PHOTOS = 3
main(sys.argv[1:])
"""


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output; fails where there is anything else."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Home:
    """A vault with a key file in a folder of its own, and the command line used on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key"
        self.path = folder / "vault"

    @property
    def options(self) -> list[str]:
        return ["--vault", str(self.path), "--key-file", str(self.key)]

    def run(self, *arguments: object) -> Result:
        """A command with this vault, in this process."""
        return run(*arguments, *self.options)

    def vault(self) -> Vault:
        return Vault.open(self.path, Unlock(key_file=self.key))

    @contextlib.contextmanager
    def gallery(self, name: str = "people") -> Iterator[Gallery]:
        vault = self.vault()
        gallery = Gallery.open(vault, name)
        try:
            yield gallery
        finally:
            gallery.close()
            vault.close()


def run(*arguments: object) -> Result:
    """A command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return Result(left.value.code, out.getvalue(), err.getvalue())


def run_apart(*arguments: object, **environment: str) -> Result:
    """A command in a process of its own."""
    done = subprocess.run(
        [*BLINDSIGHT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=90,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@dataclass
class Served:
    """A matcher that was started by ``blindsight serve matcher``."""

    process: subprocess.Popen[str]
    url: str
    token_file: Path


@contextlib.contextmanager
def served(data: Path, *options: str) -> Iterator[Served]:
    command = [*BLINDSIGHT, "serve", "matcher", "--data", str(data), "--port", "0", "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = json.loads(process.stdout.readline())
        yield Served(process, said["url"], Path(said["token_file"]))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def stranger(like: Gallery, seed: int) -> Embedding:
    """An embedding that is nobody's."""
    vector = np.random.default_rng(seed).standard_normal(128)
    return Embedding((1.4 * vector / np.linalg.norm(vector)).astype(np.float32), like.model_id)


def new_home(folder: Path) -> Home:
    """A vault, and nothing in it."""
    folder.mkdir(exist_ok=True)
    home = Home(folder)
    make_key_file(home.key)
    Vault.create(home.path, Unlock(key_file=home.key)).close()
    return home
