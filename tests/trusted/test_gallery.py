"""People in a gallery: enrolled, recognised, erased, carried elsewhere; and what never shows."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from datetime import UTC, datetime

import numpy as np
import pytest

from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import (
    BlindsightError,
    CorruptVaultError,
    DimensionError,
    DuplicateError,
    ModelMismatchError,
    NotFoundError,
    RefusedError,
    StorageFullError,
    TamperedError,
    UnavailableError,
    UsageError,
    VectorError,
    WrongPassphraseError,
)
from blindsight.core.secrets import ExportToken
from blindsight.core.types import Embedding
from blindsight.trusted import gallery as module
from blindsight.trusted.certificate import check_certificate
from blindsight.trusted.deciding import Policy
from blindsight.trusted.gallery import Gallery
from blindsight.trusted.index import EncryptedIndex
from blindsight.trusted.sealing import Unlock
from blindsight.trusted.vault import Vault
from lying import Between
from servers import server

D = 16
MODEL = {"model_id": "model", "dimension": D, "metric": "cosine", "threshold": 0.9}


def vectors(count, seed=0):
    made = np.random.default_rng(seed).normal(size=(count, D))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


DATA = vectors(400)


def face(vector, model="model"):
    return Embedding(np.asarray(vector, np.float32), model)


def photo(number):
    return int(number).to_bytes(32, "big")


def near(vector, cosine):
    """A unit vector with that cosine to ``vector``."""
    other = np.random.default_rng(1).normal(size=D)
    other -= (other @ vector) * vector
    return cosine * vector + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)


@pytest.fixture
def gallery(vault, matcher):
    return Gallery.create(vault, "people", **MODEL, matcher=matcher)


def who(gallery, rows):
    return [d.subject for d in gallery.identify([face(v) for v in np.atleast_2d(rows)])]


# -- enrolling and recognising ---------------------------------------------------------------------


def test_the_best_subjects_are_distinct_and_in_order(gallery):
    """A hundred photos of one person take one place in the list, the best of them."""
    random = np.random.default_rng(2)
    base = DATA[0]
    entries = [("many", face(near(base, c)), photo(i)) for i, c in enumerate(random.uniform(0.8, 0.99, 100))]
    entries += [("twin", face(near(base, 0.7)), photo(200)), ("far", face(-base), photo(201))]
    entries += [("some", face(near(base, c)), photo(300 + i)) for i, c in enumerate((0.2, 0.5))]
    gallery.enroll([entries[i] for i in random.permutation(len(entries))])
    best = max(float(np.dot(e.vector, base)) for name, e, _ in entries if name == "many")
    (decision,) = gallery.identify([face(base)], k=3)
    assert [(c.subject, c.rank) for c in decision.candidates] == [("many", 1), ("twin", 2), ("some", 3)]
    assert np.allclose([c.score for c in decision.candidates], [best, 0.7, 0.5], atol=0.01)
    assert (decision.match, decision.subject, decision.rank) == (True, "many", 1)
    assert decision.score == decision.candidates[0].score
    (decision,) = gallery.identify([face(base)], k=50)
    assert [c.subject for c in decision.candidates] == ["many", "twin", "some", "far"]
    assert decision.scheme == "lattice"
    assert decision.at.tzinfo is not None
    assert set(decision.traffic) == {"up", "down"}


@pytest.mark.parametrize(
    ("metric", "enrolled", "probe", "score"),
    [("cosine", DATA[0], near(DATA[0], 0.6), 0.6), ("inner_product", DATA[0], 0.6 * DATA[0], 0.6),
     ("euclidean", DATA[0], near(DATA[0], 0.68), 0.8)],
)  # fmt: skip
@pytest.mark.parametrize("precision", ["approximate", "exact"])
def test_the_threshold_divides_known_from_unknown(vault, matcher, metric, enrolled, probe, score, precision):
    gallery = Gallery.create(
        vault, "g", **(MODEL | {"metric": metric}), radius=1.5, matcher=matcher, precision=precision
    )
    gallery.enroll([("a", face(enrolled), photo(0))])
    closer = -1 if metric == "euclidean" else 1
    for offset, match in ((-0.05, True), (0.05, False)):
        (decision,) = gallery.identify([face(probe)], threshold=score + closer * offset)
        assert decision.match is match
        assert decision.subject == ("a" if match else None)
        assert decision.rank == (1 if match else None)
        assert [c.subject for c in decision.candidates] == ["a"]
        assert abs(decision.score - score) < 0.03
        assert decision.threshold == score + closer * offset
        assert gallery.verify(face(probe), "a", threshold=score + closer * offset).match is match
    (decision,) = gallery.identify([face(probe)])
    exactly = decision.score
    if precision == "exact":  # no noise, so a second probe scores the same: the edge belongs to the match
        assert gallery.identify([face(probe)], threshold=exactly)[0].match
        beyond = float(np.nextafter(np.float32(exactly), np.float32(closer * 9)))
        assert not gallery.identify([face(probe)], threshold=beyond)[0].match


def test_nobody_is_known_in_an_empty_gallery(gallery):
    (decision,) = gallery.identify([face(DATA[0])], threshold=-1.0)
    assert (decision.match, decision.subject, decision.rank, decision.score) == (False, None, None, None)
    assert decision.candidates == ()
    assert gallery.identify([]) == []
    assert gallery.subjects() == []
    with pytest.raises(UsageError):
        gallery.identify([face(DATA[0])], k=0)
    gallery.enroll([])
    assert len(gallery) == 0


def test_verifying_looks_at_the_claimed_subject_alone(gallery):
    gallery.enroll(
        [("a", face(DATA[0]), photo(0)), ("b", face(DATA[1]), photo(1)), ("a", face(DATA[2]), photo(2))]
    )
    assert gallery.verify(face(DATA[0]), "a").match
    assert gallery.verify(face(DATA[2]), "a").subject == "a"
    decision = gallery.verify(face(DATA[0]), "b")
    assert (decision.match, decision.subject) == (False, None)
    assert [c.subject for c in decision.candidates] == ["b"]
    assert decision.score < 0.9
    with pytest.raises(NotFoundError, match="nobody"):
        gallery.verify(face(DATA[0]), "nobody")
    between = Between(gallery.session.matcher)
    gallery.session.matcher = between
    gallery.verify(face(DATA[0]), "a")
    gallery.identify([face(DATA[0])])
    assert between.calls == ["search", "search"]  # the server cannot tell one from the other


def test_other_embedders_are_refused_before_anything_happens(gallery):
    gallery.enroll([("a", face(DATA[0]), photo(0))])
    between = Between(gallery.session.matcher)
    gallery.session.matcher = between
    other = face(DATA[1], "another model")
    for attempt in (
        lambda: gallery.enroll([("b", face(DATA[2]), photo(1)), ("c", other, photo(2))]),
        lambda: gallery.identify([face(DATA[0]), other]), lambda: gallery.verify(other, "a"),
    ):  # fmt: skip
        with pytest.raises(ModelMismatchError):
            attempt()
    for attempt in (
        lambda: gallery.enroll([("b", face(DATA[2]), photo(1)), ("c", face(np.ones(D + 1)), photo(2))]),
        lambda: gallery.identify([face(np.ones(D - 1))]),
    ):
        with pytest.raises(DimensionError):
            attempt()
    assert between.calls == []
    assert len(gallery) == 1


def test_a_vector_over_the_radius_stops_the_whole_enrolment(vault, matcher, monkeypatch):
    monkeypatch.setattr("blindsight.trusted.session._BATCH_BLOCKS", 1)
    gallery = Gallery.create(vault, "g", **(MODEL | {"metric": "euclidean"}), radius=2.0, matcher=matcher)
    entries = [(f"s{i}", face(DATA[i]), photo(i)) for i in range(300)]
    with pytest.raises(VectorError, match="299"):
        gallery.enroll([*entries[:299], ("far", face(3 * DATA[0]), photo(0))])
    assert len(gallery) == 0
    told = []
    gallery.enroll(entries, progress=lambda done, of: told.append((done, of)))
    assert told == [(256, 300), (300, 300)]
    assert [e["templates"] for e in vault.audit() if e["action"] == "enroll"] == [256, 44]


GOOD = [
    "a",
    "Zoë Müller-Lüdenscheidt",
    "李小龍",
    "name with spaces",
    "x" * 128,
    "é" * 64,
    "🙂",
    "a/b\\c'\"; DROP",
    "0",
]
BAD = [
    "", " ", "   ", "x" * 129, "é" * 65, "tab\there", "line\nbreak", "nul\0", "\x1b[31m", "\ud800",
    "\u202eabc", "\u200b", "\u00a0",
]  # fmt: skip


def test_names_are_kept_as_they_are(gallery, vault, matcher):
    gallery.enroll([(name, face(DATA[i]), photo(i)) for i, name in enumerate(GOOD)])
    assert [s.name for s in gallery.subjects()] == sorted(GOOD)
    assert who(gallery, DATA[: len(GOOD)]) == GOOD
    assert [s.name for s in Gallery.open(vault, "people", matcher=matcher).subjects()] == sorted(GOOD)


@pytest.mark.parametrize("name", BAD)
def test_other_names_are_refused(gallery, name):
    with pytest.raises(UsageError):
        gallery.enroll([("fine", face(DATA[0]), photo(0)), (name, face(DATA[1]), photo(1))])
    assert len(gallery) == 0


@pytest.mark.parametrize(
    "hash_of_photo", [b"", bytes(31), bytes(33), "0" * 32, "00" * 32, None, bytearray(32)]
)
def test_a_photo_is_named_by_its_hash(gallery, vault, matcher, hash_of_photo):
    with pytest.raises(UsageError):
        gallery.enroll([("a", face(DATA[0]), hash_of_photo)])
    assert len(Gallery.open(vault, "people", matcher=matcher)) == 0


def test_a_full_block_of_the_longest_names_fits(gallery):
    names = [f"{i:03}".ljust(128, "x") for i in range(256)]
    gallery.enroll([(name, face(DATA[i]), photo(i)) for i, name in enumerate(names)])
    assert [s.name for s in gallery.subjects()] == names


def test_subjects_and_photos_are_listed(gallery):
    before = datetime.now(UTC).isoformat(timespec="seconds")
    given = [("b", 9), ("a", 1), ("b", 3), ("b", 3)]
    gallery.enroll([(name, face(DATA[i]), photo(of)) for i, (name, of) in enumerate(given)])
    a, b = gallery.subjects()
    assert (a.name, a.templates, a.photos) == ("a", 1, (photo(1),))
    assert (b.name, b.templates, b.photos) == ("b", 3, (photo(3), photo(9)))
    assert before <= b.enrolled <= datetime.now(UTC).isoformat(timespec="seconds")
    assert gallery.subject("b") == b
    with pytest.raises(NotFoundError):
        gallery.subject("c")
    assert gallery.photos() == {photo(1), photo(3), photo(9)}
    assert len(gallery) == 4
    info = gallery.info()
    assert (info.name, info.blocks, info.revision, info.key_id) == ("people", 1, 1, gallery.session.key_id)
    assert (gallery.name, gallery.model_id, gallery.embedder) == ("people", "model", "")


# -- policy ------------------------------------------------------------------------------------------


def numbers(value):
    """Every float that can be reached from a value."""
    if isinstance(value, float):
        yield value
    elif dataclasses.is_dataclass(value):
        for entry in dataclasses.fields(value):
            yield from numbers(getattr(value, entry.name))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield from numbers(inner)


@pytest.mark.parametrize("known", [True, False])
def test_hidden_scores_are_nowhere_in_a_decision(gallery, vault, known):
    gallery.enroll([("a", face(DATA[0]), photo(0)), ("b", face(DATA[1]), photo(1))])
    probe = face(near(DATA[0], 0.95 if known else 0.5))
    (shown,) = gallery.identify([probe])
    assert any(abs(n - shown.score) < 0.01 for n in numbers(shown))
    gallery.set_policy(Policy(0.9, show_scores=False))
    decisions = [*gallery.identify([probe]), gallery.verify(probe, "a")]
    for decision in decisions:
        assert decision.match is known
        assert decision.score is None
        assert all(c.score is None for c in decision.candidates)
        left = list(numbers(dataclasses.replace(decision, timings={})))
        assert left == [0.9]
    logged = repr(list(vault.audit()))
    assert str(shown.score)[:6] not in logged


def test_a_budget_is_spent_by_probes_and_not_by_calls(gallery, monkeypatch):
    gallery.enroll([("a", face(DATA[0]), photo(0))])
    gallery.set_policy(Policy(0.9, daily_probes=6))
    probe = face(DATA[0])
    between = Between(gallery.session.matcher)
    gallery.session.matcher = between
    with pytest.raises(RefusedError, match="6 probes a day"):
        gallery.identify([probe] * 7)
    assert len(gallery.identify([probe] * 4)) == 4
    with pytest.raises(RefusedError):
        gallery.identify([probe] * 3)
    assert gallery.verify(probe, "a").match
    assert len(gallery.identify([probe])) == 1
    asked = between.calls.count("search")
    for attempt in (lambda: gallery.identify([probe]), lambda: gallery.verify(probe, "a")):
        with pytest.raises(RefusedError):
            attempt()
    assert between.calls.count("search") == asked == 3
    assert gallery.identify([]) == []

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2999, 1, 1, tzinfo=tz)

    monkeypatch.setattr(module, "datetime", Tomorrow)
    assert len(gallery.identify([probe] * 6)) == 6
    with pytest.raises(RefusedError):
        gallery.identify([probe])


def test_a_probe_that_got_no_answer_is_spent(gallery):
    """Whoever breaks the connection after the answer must not get another one for nothing."""
    gallery.enroll([("a", face(DATA[0]), photo(0))])
    gallery.set_policy(Policy(0.9, daily_probes=1))
    between = Between(gallery.session.matcher)
    gallery.session.matcher = between

    def gone(method, when):
        if when == "after":
            raise UnavailableError("Gone.")

    between.fails = gone
    with pytest.raises(UnavailableError):
        gallery.identify([face(DATA[0])])
    between.fails = lambda method, when: None
    with pytest.raises(RefusedError):
        gallery.identify([face(DATA[0])])


def test_the_policy_is_kept(gallery, vault, matcher):
    policy = Policy(0.5, show_scores=False, daily_probes=9)
    gallery.set_policy(policy)
    assert gallery.policy == Gallery.open(vault, "people", matcher=matcher).policy == policy


def test_what_was_done_is_in_the_audit_log(gallery, vault, tmp_path, unlock):
    gallery.enroll([("a", face(DATA[0]), photo(0))])
    who(gallery, DATA[:2])
    gallery.verify(face(DATA[0]), "a")
    gallery.set_policy(Policy(0.9))
    gallery.export(tmp_path / "file", unlock)
    gallery.erase("a")
    gallery.rotate()
    gallery.delete()
    entries = list(vault.audit())
    assert [e["action"] for e in entries] == [
        "create", "enroll", "identify", "verify", "policy", "export", "erase", "rotate", "delete"
    ]  # fmt: skip
    assert entries[2] | {"at": ""} == {
        "at": "",
        "action": "identify",
        "gallery": "people",
        "probes": 2,
        "matches": 1,
    }
    assert all(e["gallery"] == "people" for e in entries)


# -- erasing -----------------------------------------------------------------------------------------


def everything(*folders):
    """All bytes of all files, at this moment."""
    return b"\n".join(p.read_bytes() for folder in folders for p in sorted(folder.rglob("*")) if p.is_file())


@pytest.mark.parametrize("scheme", ["clear", "lattice"])
def test_an_erased_template_is_in_no_file(tmp_path, unlock, scheme):
    """Under the scheme clear the template's own bytes can be looked for."""
    data, kept = tmp_path / "data", tmp_path / "kept"
    data.mkdir()
    vault = Vault.create(data / "vault", unlock)
    gallery = Gallery.create(
        vault, "people", **MODEL, matcher=data / "matcher", precision="exact", scheme=scheme,
        insecure_clear=scheme == "clear",
    )  # fmt: skip
    name, hashes = "Erika Mustermann", [os.urandom(32) for _ in range(3)]
    others = [(f"other {i}", face(DATA[i + 10]), os.urandom(32)) for i in range(300)]
    gallery.enroll([*others[:150], *((name, face(DATA[i]), hashes[i]) for i in range(3)), *others[150:]])
    encoding = gallery.session.identity.encoding
    needles = [encoding.templates(DATA[i]).values.astype("<i4").tobytes() for i in range(3)]
    before = everything(data)
    assert [needle in before for needle in needles] == [scheme == "clear"] * 3
    gallery.export(kept, unlock)
    blocks = [b"".join((b.head, b.body.tobytes())) for b in gallery.session.matcher.fetch(
        gallery.session.identity.gallery_id, [0])]  # fmt: skip
    certificate = gallery.erase(name)
    after = everything(data)
    if scheme == "lattice":  # a block that was replaced has nothing in common with the one before
        needles += [blocks[0][:64], blocks[0][-64:]]
    for needle in needles:
        assert needle not in after
    for secret in (name.encode(), *hashes, *(h.hex().encode() for h in hashes), b"other 7"):
        assert secret not in before + after + kept.read_bytes()
    assert who(gallery, DATA[:3]) == [None] * 3
    assert who(gallery, DATA[10:12]) == ["other 0", "other 1"]
    check_certificate(certificate)
    assert certificate["public_key"] == gallery.certificate_key()
    assert (certificate["subject"], certificate["templates"], certificate["gallery"]) == (name, 3, "people")
    assert [b["block"] for b in certificate["blocks"]] == [0]
    (changed,) = certificate["blocks"]
    (info,) = [
        i for i in gallery.session.matcher.changes(gallery.info().gallery_id, 0).blocks if not i.block_id
    ]
    assert changed["by"] == info.digest.hex() != changed["replaced"]
    with pytest.raises(NotFoundError):
        gallery.erase(name)
    gallery.close()
    assert not any(needle in everything(data) for needle in needles)


def test_a_subject_of_many_blocks_is_erased_whole(gallery, monkeypatch):
    monkeypatch.setattr("blindsight.trusted.session._BATCH_BLOCKS", 2)
    random = np.random.default_rng(3)
    rows = vectors(1500, 3)
    names = ["him" if random.random() < 0.1 else f"s{i}" for i in range(1500)]
    gallery.enroll([(n, face(v), photo(i)) for i, (n, v) in enumerate(zip(names, rows, strict=True))])
    certificate = gallery.erase("him")
    assert certificate["templates"] == names.count("him")
    assert [b["block"] for b in certificate["blocks"]] == list(range(6))
    assert "him" not in {s.name for s in gallery.subjects()}
    assert who(gallery, rows[::100]) == [None if n == "him" else n for n in names[::100]]


def test_what_another_client_enrols_while_a_subject_is_erased_is_erased_too(gallery, vault, matcher):
    gallery.enroll([("a", face(DATA[0]), photo(0)), ("b", face(DATA[1]), photo(1))])
    other = Gallery.open(vault, "people", matcher=matcher)
    between = Between(matcher)
    gallery.session.matcher = between

    def meanwhile(method, when):
        if (method, when) == ("commit", "before"):
            between.fails = lambda method, when: None
            other.enroll([("a", face(DATA[2]), photo(2))])

    between.fails = meanwhile
    certificate = gallery.erase("a")
    assert certificate["templates"] == 2
    assert [s.name for s in gallery.subjects()] == ["b"]
    assert who(other, DATA[:3]) == [None, "b", None]
    check_certificate(certificate)


def altered(value):
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    if isinstance(value, int):
        return value + 1
    return [*value, value[0]] if len(value) == 1 else value[1:]


def test_every_field_of_a_certificate_is_signed(gallery):
    gallery.enroll([("a", face(DATA[0]), photo(0))])
    certificate = gallery.erase("a")
    check_certificate(certificate)
    for name in certificate:
        for changed in (certificate | {name: altered(certificate[name])},
                        {k: v for k, v in certificate.items() if k != name},
                        certificate | {name: None}):  # fmt: skip
            with pytest.raises(TamperedError):
                check_certificate(changed)
    for name in certificate["blocks"][0]:
        block = certificate["blocks"][0] | {name: altered(certificate["blocks"][0][name])}
        with pytest.raises(TamperedError):
            check_certificate(certificate | {"blocks": [block]})
    with pytest.raises(TamperedError):
        check_certificate(certificate | {"more": 1})
    with pytest.raises(TamperedError):
        check_certificate({})


# -- making, deleting --------------------------------------------------------------------------------


def test_a_gallery_that_cannot_be_kept_is_not_left_on_the_matcher(vault, matcher, monkeypatch):
    def full(*_):
        raise StorageFullError("full")

    monkeypatch.setattr(vault, "add_gallery", full)
    with pytest.raises(StorageFullError):
        Gallery.create(vault, "people", **MODEL, matcher=matcher)
    assert matcher.totals() == (0, 0, 0, 0)
    monkeypatch.undo()
    Gallery.create(vault, "people", **MODEL, matcher=matcher)
    with pytest.raises(DuplicateError):
        Gallery.create(vault, "people", **MODEL, matcher=matcher)
    assert matcher.totals()[0] == 1


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "a/b", "x" * 65, "é"])
def test_a_name_the_matcher_refuses_leaves_nothing(vault, tmp_path, name):
    with pytest.raises(UsageError):
        Gallery.create(vault, name, **MODEL, matcher=tmp_path / "m")
    assert vault.galleries() == {}
    Gallery.create(vault, "fine", **MODEL, matcher=tmp_path / "m").close()  # the folder is not held
    opened = Gallery.open(vault, "fine")
    with pytest.raises(UsageError, match="Another process"):
        Gallery.open(vault, "fine")
    opened.close()


def test_a_failed_opening_lets_go_of_the_folder(vault, tmp_path, monkeypatch):
    Gallery.create(vault, "people", **MODEL, matcher=tmp_path / "m").close()

    def fail(*_):
        raise UnavailableError("x")

    monkeypatch.setattr(Gallery, "_finish_rotation", fail)
    with pytest.raises(UnavailableError):
        Gallery.open(vault, "people")
    monkeypatch.undo()
    Gallery.open(vault, "people").close()


def test_a_deleted_gallery_is_gone_from_both_sides(gallery, vault, matcher, quick_path):
    gallery.enroll([("a", face(DATA[0]), photo(0))])
    secret = gallery.session.identity.secret.export(ExportToken())
    between = Between(matcher)
    gallery.session.matcher = between

    def cut(method, when):
        if when == "after":
            raise UnavailableError("Cut off.")

    between.fails = cut
    with pytest.raises(UnavailableError):
        gallery.delete()
    assert matcher.totals()[0] == 0
    Gallery.open(vault, "people", matcher=matcher).delete()  # the server has nothing any more
    with pytest.raises(NotFoundError):
        Gallery.open(vault, "people", matcher=matcher)
    assert vault.galleries() == {}
    assert secret not in everything(quick_path)


def test_galleries_show_nothing_secret(gallery, vault):
    gallery.enroll([("Alice", face(DATA[0]), photo(0))])
    token = "a-very-secret-token"
    other = Gallery.create(vault, "other", **MODEL, matcher=gallery.session.matcher, token=token)
    secret = gallery.session.identity.secret.export(ExportToken())
    for value in (gallery, other, vault, gallery.session, gallery.session._ledger):
        shown = repr(value) + str(value)
        assert token not in shown
        assert "Alice" not in shown
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


# -- carried elsewhere -------------------------------------------------------------------------------


@pytest.fixture
def stocked(tmp_path, unlock):
    """A gallery whose matcher is a folder, closed, with its vault."""
    vault = Vault.create(tmp_path / "vault", unlock)
    gallery = Gallery.create(
        vault, "people", **MODEL, matcher=tmp_path / "m", daily_probes=1000, embedder="dlib"
    )
    gallery.enroll([(f"s{i}", face(DATA[i]), photo(i)) for i in range(300)])
    gallery.export(tmp_path / "whole", unlock)
    gallery.export(tmp_path / "keys", Unlock(passphrase="pass"), keys_only=True)
    subjects = gallery.subjects()
    gallery.close()
    return vault, subjects


def test_keys_alone_find_the_gallery_where_it_was(stocked, tmp_path, unlock):
    _, subjects = stocked
    vault = Vault.create(tmp_path / "vault 2", unlock)
    with pytest.raises(WrongPassphraseError):
        Gallery.restore(vault, tmp_path / "keys", Unlock(passphrase="wrong"))
    with pytest.raises(UsageError, match="keys only"):
        Gallery.restore(vault, tmp_path / "keys", Unlock(passphrase="pass"), matcher=tmp_path / "n")
    assert not (tmp_path / "n").exists()
    assert vault.galleries() == {}
    restored = Gallery.restore(vault, tmp_path / "keys", Unlock(passphrase="pass"))
    assert restored.subjects() == subjects
    assert who(restored, DATA[:3]) == ["s0", "s1", "s2"]
    assert (restored.embedder, restored.policy.daily_probes) == ("dlib", 1000)
    restored.close()
    with pytest.raises(DuplicateError):
        Gallery.restore(vault, tmp_path / "keys", Unlock(passphrase="pass"))
    again = Gallery.open(vault, "people")
    assert who(again, DATA[:1]) == ["s0"]
    again.close()


def test_a_whole_gallery_moves_to_another_matcher(stocked, tmp_path, unlock):
    first, subjects = stocked
    restored = Gallery.restore(first, tmp_path / "whole", unlock, name="moved", matcher=tmp_path / "n")
    assert restored.subjects() == subjects
    assert who(restored, DATA[:300:50]) == [f"s{i}" for i in range(0, 300, 50)]
    restored.erase("s0")
    assert restored.info().name == "moved"
    restored.close()
    original = Gallery.open(first, "people")
    assert who(original, DATA[:1]) == ["s0"]
    original.close()
    moved = Gallery.open(first, "moved")
    assert who(moved, DATA[:2]) == [None, "s1"]
    moved.close()


def test_a_whole_gallery_goes_to_a_server_and_works_there(stocked, tmp_path, unlock):
    first, subjects = stocked
    with server(tmp_path / "served") as running:
        restored = Gallery.restore(
            first, tmp_path / "whole", unlock, name="moved", matcher=running.url, token=running.token
        )
        assert restored.subjects() == subjects
        restored.enroll([("new", face(DATA[350]), photo(350))])
        restored.rotate()
        check_certificate(restored.erase("s3"))
        assert who(restored, DATA[[0, 3, 350, 351]]) == ["s0", None, "new", None]
        restored.close()
        again = Gallery.open(first, "moved")
        assert who(again, DATA[[0, 3]]) == ["s0", None]
        running.kill()
        with pytest.raises(UnavailableError):
            who(again, DATA[:1])
        again.close()


def test_an_index_is_not_a_gallery(stocked, tmp_path, unlock):
    vault, _ = stocked
    with EncryptedIndex(D) as index:
        index.add([1], DATA[0])
        index.save(tmp_path / "index", key_file=unlock.key_file)
    with pytest.raises(UsageError, match="index"):
        Gallery.restore(vault, tmp_path / "index", unlock, matcher=tmp_path / "n")
    with pytest.raises(UsageError, match="gallery"):
        EncryptedIndex.load(tmp_path / "whole", key_file=unlock.key_file)


def test_a_gallery_of_a_matcher_in_this_process_says_where_it_lies_no_more(
    gallery, tmp_path, unlock, monkeypatch
):
    gallery.enroll([("a", face(DATA[0]), photo(0))])
    gallery.export(tmp_path / "whole", unlock)
    vault = Vault.create(tmp_path / "vault 2", unlock)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UsageError, match="name a matcher"):
        Gallery.restore(vault, tmp_path / "whole", unlock)
    with pytest.raises(UsageError, match="name its matcher"):
        Gallery.open(gallery._vault, "people")
    assert list((tmp_path / "empty").iterdir()) == []


def frames(data):
    """Where the frames of an archive begin, and what is in them."""
    at, found = data.index(b"\n") + 1, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at : at + 4 + size])
        at += 4 + size
    return data[: data.index(b"\n") + 1], found


def refused(path, data, unlock, tmp_path, matcher):
    path.write_bytes(data)
    name = f"vault {os.urandom(4).hex()}"
    vault = Vault.create(tmp_path / name, unlock)
    with pytest.raises(BlindsightError) as caught:
        Gallery.restore(vault, path, unlock, matcher=matcher)
    assert vault.galleries() == {}
    assert matcher.totals() == (0, 0, 0, 0)
    vault.close()
    return type(caught.value)


def test_archives_that_were_cut_altered_or_shuffled(stocked, quick_path, tmp_path, unlock, matcher):
    data, path = (tmp_path / "whole").read_bytes(), quick_path / "copy"
    head, parts = frames(data)
    assert len(parts) == 5  # lock, identity, two blocks, end
    ends = np.cumsum([len(head), *map(len, parts)]).tolist()
    cuts = {0, 1, len(head) - 1, len(data) - 1, *(e + d for e in ends[:-1] for d in (-1, 0, 1, 3, 4, 9))}
    bad = [data[:cut] for cut in sorted(cuts)]
    for at in [
        len(head),
        *(s + d for s in ends[:-1] for d in (0, 3, 4, 20, 200) if s + d < len(data)),
        *range(2000, len(data), 7001),
    ]:
        flipped = bytearray(data)
        flipped[at] ^= 4
        bad.append(bytes(flipped))
    lock, about, one, two, end = parts
    orders = [
        [lock, about, two, one, end], [lock, about, one, end], [lock, about, one, one, end],
        [lock, about, one, two], [lock, one, two, end], [lock, about, end], [about, lock, one, two, end],
        [lock, about, one, two, two, end], [lock, about, one, two, end, end],
        [lock, about, end, one, two, end],
    ]  # fmt: skip
    bad += [head + b"".join(order) for order in orders]
    bad.append(data + b"x")
    _, other = frames((tmp_path / "keys").read_bytes())
    bad.append(head + b"".join([lock, about, other[2], two, end]))
    kinds = {refused(path, wrong, unlock, quick_path, matcher) for wrong in bad}
    assert kinds <= {CorruptVaultError, WrongPassphraseError, UsageError}
    assert CorruptVaultError in kinds
    path.write_bytes(data)
    vault = Vault.create(quick_path / "good", unlock)
    assert len(Gallery.restore(vault, path, unlock, matcher=matcher)) == 300


def test_an_export_is_whole_or_not_there(gallery, tmp_path, unlock, matcher):
    gallery.enroll([(f"s{i}", face(DATA[i]), photo(i)) for i in range(300)])
    folder = tmp_path / "exports"
    folder.mkdir()
    between = Between(matcher)
    gallery.session.matcher = between
    between.lies["fetch"] = lambda blocks, *_: blocks[:1]
    with pytest.raises(BlindsightError):
        gallery.export(folder / "file", unlock)
    assert list(folder.iterdir()) == []
    between.lies.clear()
    gallery.export(folder / "file", unlock)
    good = (folder / "file").read_bytes()
    between.lies["fetch"] = lambda blocks, *_: blocks[:1]
    with pytest.raises(BlindsightError):
        gallery.export(folder / "file", unlock)
    between.lies["fetch"] = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        gallery.export(folder / "file", unlock)
    between.lies.clear()
    for place in (folder, folder / "file" / "below", tmp_path / "no folder" / "file"):
        with pytest.raises(BlindsightError):
            gallery.export(place, unlock)
    assert (folder / "file").read_bytes() == good
    assert [p.name for p in folder.iterdir()] == ["file"]
    assert not list(tmp_path.glob("*.partial"))
    assert (folder / "file").stat().st_mode & 0o777 == 0o600


def test_two_exports_at_once_do_not_mix(gallery, tmp_path, unlock, matcher):
    gallery.enroll([(f"s{i}", face(DATA[i]), photo(i)) for i in range(300)])
    other = Gallery.open(gallery._vault, "people", matcher=matcher)
    between = Between(matcher)
    gallery.session.matcher = between

    def meanwhile(method, when):
        if method == "fetch" and when == "after":
            between.fails = lambda method, when: None
            other.export(tmp_path / "file", unlock, keys_only=True)

    between.fails = meanwhile
    gallery.export(tmp_path / "file", unlock)
    vault = Vault.create(tmp_path / "vault 2", unlock)
    with contextlib.closing(LocalMatcher(tmp_path / "n")) as served:
        assert len(Gallery.restore(vault, tmp_path / "file", unlock, matcher=served)) == 300
    assert [p.name for p in tmp_path.glob("file*")] == ["file"]
