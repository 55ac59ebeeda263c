"""The trust boundaries hold, and what checks them notices when they do not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sightless

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = {contract["name"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]}

# For each contract, files that break it and the line that does.
VIOLATIONS = {
    "core and kernels import nothing of ours": [
        ("core/planted.py", "from blindsight.wire import messages"),
        ("kernels/planted.py", "def later():\n    import blindsight.schemes.clear.params"),
    ],
    "core and kernels do not know each other": [
        ("core/planted.py", "import blindsight.kernels"),
        ("kernels/planted.py", "from blindsight.core import errors"),
    ],
    "blind sees no secret, no plaintext and no pixel": [
        ("blind/planted.py", "from blindsight.schemes.clear import secret"),
        ("blind/planted.py", "def later():\n    from blindsight.schemes.lattice.reveal import anything"),
        ("blind/planted.py", "from blindsight.schemes.spdz2k import deal"),
        ("blind/planted.py", "def later():\n    from blindsight.schemes.spdz2k.share import Sharer"),
        ("blind/planted.py", "import blindsight.trusted"),
        ("blind/planted.py", "from blindsight.provider.dealing import Dealing"),
        ("blind/planted.py", "from ..vision import anything"),
        ("schemes/clear/compute.py", "from blindsight.schemes.clear import protect"),
        ("wire/planted.py", "import blindsight.encoding\n#blind/planted.py:import blindsight.wire.planted"),
    ],
    "the keyless half of a scheme does not know the other half": [
        ("schemes/clear/compute.py", "import blindsight.schemes.clear.secret"),
        ("schemes/lattice/params.py", "from blindsight.schemes.lattice import reveal"),
        ("schemes/spdz2k/compute.py", "from blindsight.schemes.spdz2k.deal import Dealer"),
    ],
    "schemes, vision, encoding and wire do no service work": [
        ("schemes/clear/planted.py", "import blindsight.blind.store"),
        ("vision/planted.py", "import blindsight.trusted"),
        ("encoding/planted.py", "import blindsight.evaluation"),
        ("wire/planted.py", "from blindsight.blind.matcher import LocalMatcher"),
    ],
    "the provider deals, and has no way to a face, an input or a result": [
        ("provider/planted.py", "from blindsight.vision import anything"),
        ("provider/planted.py", "def later():\n    from blindsight.schemes.spdz2k import share"),
        ("provider/planted.py", "from blindsight.blind.party_intake import Intake"),
        ("provider/dealing.py", "import blindsight.trusted.camera_link"),
    ],
    "schemes know no sockets, no files and no pixels": [
        ("schemes/clear/planted.py", "import httpx"),
        ("schemes/clear/planted.py", "import sqlite3"),
        ("schemes/lattice/planted.py", "from blindsight.wire import framing"),
        ("schemes/clear/planted.py", "import blindsight.vision"),
    ],
}

BANNED = [
    "import importlib\n\nFOUND = importlib.import_module('os')",
    "from importlib import import_module\n\nFOUND = import_module('os')",
    "import pickle\n\nFOUND = pickle",
    "from pickle import loads\n\nFOUND = loads",
    "import random\n\nFOUND = random.random()",
    "from random import choice\n\nFOUND = choice",
    *(
        f"import numpy as np\n\nFOUND = np.random.{name}"
        for name in ("seed", "rand", "randn", "normal", "uniform", "randint")
    ),
    "from numpy.random import rand\n\nFOUND = rand",
]


def missing_modules():
    """Modules that a contract names and that are not written yet."""
    named = {
        name
        for contract in CONTRACTS.values()
        for key in ("source_modules", "forbidden_modules", "modules")
        for name in contract.get(key, ())
        if name.startswith("blindsight.")
    }
    paths = {name: ROOT / "src" / name.replace(".", "/") for name in named}
    return sorted(
        name for name, path in paths.items() if not path.is_dir() and not path.with_suffix(".py").is_file()
    )


@pytest.fixture
def tree(tmp_path):
    """A copy of the source, with empty files where a contract names a module that does not exist yet."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in missing_modules():
        path = (tmp_path / "src" / name.replace(".", "/")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.touch()
    return tmp_path


def plant(tree, file, code):
    """Add code to a file; a last line ``#file:code`` adds code to another one."""
    code, _, more = code.partition("\n#")
    path = tree / "src/blindsight" / file
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    with path.open("a") as out:
        out.write("\n" + code + "\n")
    if more:
        plant(tree, *more.split(":", 1))


def lint_imports(root):
    return subprocess.run(
        [BIN / "lint-imports", "--no-cache", "--config", root / "pyproject.toml"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


def broken(output):
    return {name for name in CONTRACTS if f"{name} BROKEN" in output}


# -- import contracts ----------------------------------------------------------------------


def test_the_contracts_hold():
    assert not missing_modules()
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_the_contracts_hold_of_a_copy(tree):
    done = lint_imports(tree)
    assert done.returncode == 0, done.stdout
    assert not broken(done.stdout)


def test_every_contract_is_tried():
    assert set(VIOLATIONS) == set(CONTRACTS)


@pytest.mark.parametrize(("contract", "file", "code"), [(c, *v) for c, vs in VIOLATIONS.items() for v in vs])
def test_a_broken_contract_is_named(tree, contract, file, code):
    plant(tree, file, code)
    done = lint_imports(tree)
    assert done.returncode != 0
    assert contract in broken(done.stdout), done.stdout + done.stderr


def test_every_scheme_is_in_the_contracts():
    for folder in (ROOT / "src/blindsight/schemes").iterdir():
        for half in ("secret", "protect", "reveal", "deal", "share"):
            if (folder / f"{half}.py").exists():
                name = f"blindsight.schemes.{folder.name}.{half}"
                assert (
                    name in CONTRACTS["blind sees no secret, no plaintext and no pixel"]["forbidden_modules"]
                )


# -- what importing the blind side brings --------------------------------------------------


def test_the_blind_side_is_blind():
    assert sightless.loaded(ROOT / "src") == []
    assert sightless.hidden(ROOT / "src") == []
    assert "blindsight.blind.store" in sightless.modules(ROOT / "src")


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("blind/planted.py", "import blindsight.schemes.clear.secret"),
        ("blind/planted.py", "__import__('blindsight.schemes.clear.' + 'sec' + 'ret')"),
        ("core/errors.py", "exec('import blindsight' + '.trusted')"),
        (
            "kernels/innocuous.py",
            "from blindsight import vision\n#blind/planted.py:import blindsight.kernels.innocuous",
        ),
        (
            "wire/fields.py",
            "__import__(str(bytes.fromhex('626c696e6473696768742e656e636f64696e67'), 'ascii'))",
        ),
    ],
)
def test_a_secret_that_is_loaded_is_found(tree, file, code):
    plant(tree, file, code)
    assert sightless.loaded(tree / "src")


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("blind/matcher.py", "def later():\n    return __import__('blindsight.schemes.clear.secret')"),
        ("blind/planted.py", "def later():\n    from blindsight.schemes.clear import secret"),
        ("blind/planted.py", "def later():\n    from ..schemes.clear.reveal import scores"),
        ("core/types.py", "def later():\n    import blindsight.trusted"),
        (
            "wire/fields.py",
            "def later(name):\n    import importlib\n    return importlib.import_module(name)",
        ),
        ("wire/fields.py", "def later():\n    from importlib import import_module"),
        ("schemes/clear/compute.py", "def later(text):\n    exec(text)"),
        ("blind/store.py", "def later():\n    import sys\n    return sys.modules"),
        ("blind/planted.py", "def later():\n    import runpy"),
        ("blind/planted.py", "NAME = 'blindsight.schemes.clear.secret'"),
        ("blind/store.py", "def later():\n    from blindsight import Vault"),
        ("blind/store.py", "def later():\n    import blindsight\n    return blindsight.Vault"),
        ("__init__.py", "def later():\n    from blindsight.trusted import vault"),
    ],
)
def test_a_secret_that_could_be_loaded_later_is_found(tree, file, code):
    plant(tree, file, code)
    found = sightless.hidden(tree / "src")
    assert found
    assert all(place.startswith(f"blindsight/{file}:") for place in found)


# -- what the linter bans ------------------------------------------------------------------


def ruff(root, *files):
    return subprocess.run(
        [BIN / "ruff", "check", "--no-cache", "--output-format", "concise", *files],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_linter_is_content_with_the_source():
    done = ruff(ROOT, "src")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("code", BANNED)
@pytest.mark.parametrize("room", ["blind", "trusted"])
def test_a_banned_call_is_found(tmp_path, room, code):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / "src/blindsight" / room / "planted.py"
    file.parent.mkdir(parents=True)
    file.write_text(code + "\n")
    done = ruff(tmp_path, file)
    assert done.returncode != 0
    assert "TID251" in done.stdout


def test_every_ban_is_tried():
    banned = PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    tried = " ".join(BANNED)
    assert all(name.rpartition(".")[2] in tried for name in banned)
