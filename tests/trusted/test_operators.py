"""What only the one who runs the vault may decide: an older server, a threshold, an address."""

import shutil

import numpy as np
import pytest

from blindsight import Gallery, Policy, Vault
from blindsight.core.errors import RefusedError, RollbackError, UsageError
from blindsight.core.types import Embedding

D = 16
PEOPLE = np.eye(4, D, dtype=np.float32)


def person(number):
    return Embedding(PEOPLE[number], "m")


@pytest.fixture
def made(tmp_path, unlock):
    vault = Vault.create(tmp_path / "vault", unlock)
    gallery = Gallery.create(
        vault,
        "staff",
        model_id="m",
        dimension=D,
        metric="cosine",
        threshold=0.5,
        matcher=tmp_path / "matcher",
    )
    gallery.enroll([(f"person {n}", person(n), bytes(31) + bytes([n])) for n in range(2)])
    yield vault, gallery
    gallery.close()
    vault.close()


def test_an_older_server_is_accepted_only_when_asked_to(made, tmp_path):
    vault, gallery = made
    gallery.close()
    shutil.copytree(tmp_path / "matcher", tmp_path / "backup")
    gallery = Gallery.open(vault, "staff")
    gallery.enroll([("person 2", person(2), bytes(31) + b"\2")])
    gallery.close()
    shutil.rmtree(tmp_path / "matcher")
    shutil.copytree(tmp_path / "backup", tmp_path / "matcher")
    gallery = Gallery.open(vault, "staff")
    for attempt in (gallery.sync, gallery.rebuild, lambda: gallery.identify([person(0)])):
        with pytest.raises(RollbackError):
            attempt()
    gallery.rebuild(accept_older=True)
    assert [subject.name for subject in gallery.subjects()] == ["person 0", "person 1"]
    gallery.close()
    gallery = Gallery.open(vault, "staff")
    assert gallery.identify([person(1)])[0].subject == "person 1"
    assert gallery.identify([person(2)])[0].subject is None
    gallery.enroll([("person 3", person(3), bytes(31) + b"\3")])
    assert gallery.identify([person(3)])[0].subject == "person 3"
    gallery.close()


def test_hidden_scores_cannot_be_bisected_by_thresholds(made):
    _, gallery = made
    gallery.set_policy(Policy(threshold=0.5, show_scores=False))
    with pytest.raises(RefusedError, match="hides its scores"):
        gallery.identify([person(0)], threshold=0.9)
    with pytest.raises(RefusedError, match="hides its scores"):
        gallery.verify(person(0), "person 0", threshold=0.1)
    decision = gallery.identify([person(0)], threshold=0.5)[0]
    assert decision.subject == "person 0"
    assert decision.score is None


def test_a_token_is_not_shown_to_another_address(tmp_path, unlock, monkeypatch):
    vault = Vault.create(tmp_path / "vault2", unlock)
    Gallery.create(
        vault, "staff", model_id="m", dimension=D, metric="cosine", threshold=0.5, matcher=tmp_path / "m2"
    ).close()
    place, _ = vault.find("staff")
    vault.amend(place, matcher="http://127.0.0.1:1", token="the-token-of-the-first")
    shown = []
    monkeypatch.setattr(
        "blindsight.trusted.gallery.connect", lambda where, **given: shown.append(given) or 1 / 0
    )
    for matcher, expected in ((None, "the-token-of-the-first"), ("http://127.0.0.1:2", None)):
        with pytest.raises(ZeroDivisionError):
            Gallery.open(vault, "staff", matcher=matcher)
        assert shown.pop()["token"] == expected
    monkeypatch.undo()
    with pytest.raises(UsageError, match="token"):
        Gallery.open(vault, "staff", matcher="http://127.0.0.1:2")
    vault.close()


def test_certificates_outlive_the_key(made):
    _, gallery = made
    before = gallery.certificate_key()
    gallery.rotate()
    assert gallery.certificate_key() == before == gallery.erase("person 0")["public_key"]
