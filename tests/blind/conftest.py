"""Two parties that hold footage, for all tests that only look at it."""

from __future__ import annotations

import pytest

from blindsight.trusted.footage_link import FootageCounts
from recording import STILLS, Studio, still, video


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    """Two parties that hold a clip in pieces, and stills from an hour later on."""
    made = Studio(tmp_path_factory.mktemp("studio"), cameras=("gate", "hall", "roof"))
    made.clip, made.pieces = video(made.folder)
    made.start()
    with made.link() as link:
        recorder = made.recorder(link)
        for piece in made.pieces:
            recorder.segment(piece)
        for n in range(STILLS):
            recorder.still(still(10 * n), at=3600.0 + n)
        assert link.wait_kept(20)
        assert link.counts == FootageCounts(offered=len(made.pieces) + STILLS, kept=len(made.pieces) + STILLS)
    yield made
    made.close()


@pytest.fixture
def town(tmp_path):
    """Parties of this test alone, not yet started."""
    made = Studio(tmp_path)
    yield made
    made.close()
