"""Where the real photos are: ``../shared/data`` beside the project, or ``BLINDSIGHT_DATA``."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("BLINDSIGHT_DATA") or ROOT.parent / "shared" / "data")


def needs(*parts: str) -> pytest.MarkDecorator:
    """Mark a test that needs a file of the real data, and skip it where that is not there."""
    path = DATA.joinpath(*parts)
    return pytest.mark.skipif(not path.exists(), reason=f"no real data at {path}")
