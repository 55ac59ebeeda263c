"""The public names: few, listed here a second time, and each of them there."""

import subprocess
import sys

import blindsight

PUBLIC = [
    "Candidate",
    "CrowdMatch",
    "Decision",
    "Embedding",
    "EncryptedIndex",
    "Gallery",
    "Policy",
    "SearchResult",
    "Unlock",
    "Vault",
    "__version__",
    "match_crowds",
    "open_embedder",
    "read_image",
]


def test_the_public_names_are_these():
    assert blindsight.__all__ == PUBLIC == dir(blindsight)


def test_every_public_name_is_there():
    for name in PUBLIC:
        assert getattr(blindsight, name) is not None
    assert not hasattr(blindsight, "Matcher")


def test_importing_the_package_loads_nothing_else():
    code = "import sys, blindsight; print([n for n in sys.modules if n.startswith('blindsight.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
