"""The client of a learner: names stay with the key, and a learner that lies is noticed where it can be."""

from __future__ import annotations

import stat
from dataclasses import replace

import numpy as np
import pytest

from blindsight.blind.learner import LocalLearner
from blindsight.core.errors import (
    KeyFileError,
    KeyMismatchError,
    MalformedError,
    NotFoundError,
    ParamsMismatchError,
    UsageError,
)
from blindsight.core.learning import Prediction
from blindsight.core.secrets import ExportToken
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.secret import SecretKey
from blindsight.trusted.etc_client import ImageClient
from blindsight.trusted.etc_keys import make_key, read_key
from faces import people

IMAGES, OWNERS = people(3, 6, 32, 24)
NAMES = ["Ada", "Bob", "Eve"]


@pytest.fixture
def learner(tmp_path):
    made = LocalLearner(tmp_path / "learner")
    yield made
    made.close()


def trained(learner, key, name="people", **options):
    client = ImageClient(learner, key)
    info = client.create(name, Params.grey(), (32, 24), NAMES, **options)
    info = client.send(info, list(zip(OWNERS.tolist(), IMAGES, strict=True)))
    return client, client.train(info, "svm-linear", 4)


@pytest.mark.parametrize("own_keys", [False, True])
def test_names_come_back_and_the_learner_has_none(learner, tmp_path, own_keys):
    client, info = trained(learner, SecretKey.generate(), own_keys=own_keys)
    for owner, image in zip(OWNERS, IMAGES, strict=True):
        claim = NAMES[owner] if own_keys else None
        version, verdict = client.predict(info, image, claim=claim)
        assert version == 1
        assert verdict.name == NAMES[owner]
        assert verdict.claimed == (verdict.score if own_keys else None)
    everything = b"".join(path.read_bytes() for path in (tmp_path / "learner").rglob("*") if path.is_file())
    assert not any(name.encode() in everything for name in NAMES)
    assert client.people(client.find("people")) == NAMES


def test_another_key_opens_nothing(learner):
    _, info = trained(learner, SecretKey.generate())
    stranger = ImageClient(learner, SecretKey.generate())
    with pytest.raises(KeyMismatchError, match="made with another key"):
        stranger.predict(info, IMAGES[0])


def test_key_conditions_do_not_mix(learner):
    client, info = trained(learner, SecretKey.generate(), own_keys=True)
    with pytest.raises(KeyMismatchError, match="say who asks"):
        client.predict(info, IMAGES[0])
    with pytest.raises(UsageError, match="no class of the claimed name"):
        client.predict(info, IMAGES[0], claim="Mallory")
    common = replace(info, spec=replace(info.spec, condition="common"))
    with pytest.raises(KeyMismatchError, match="each client's own"):
        client.predict(common, IMAGES[0])


def test_another_size(learner):
    client, info = trained(learner, SecretKey.generate())
    with pytest.raises(ParamsMismatchError, match="24 × 32 pixels, not 24 × 24"):
        client.predict(info, IMAGES[0][:24])
    with pytest.raises(ParamsMismatchError):
        client.send(info, [(0, IMAGES[0][:, :16])])


def test_one_person(learner):
    client = ImageClient(learner, SecretKey.generate())
    with pytest.raises(UsageError, match="only one class"):
        client.create("x", Params.grey(), (32, 24), ["Ada"])
    with pytest.raises(UsageError, match="twice"):
        client.create("x", Params.grey(), (32, 24), ["Ada", "Ada"])
    with pytest.raises(NotFoundError):
        client.find("x")
    info = client.create("x", Params.grey(), (32, 24), NAMES)
    client.drop_empty(info)
    assert learner.models() == []


def test_a_learner_that_lies(learner):
    client, info = trained(learner, SecretKey.generate())

    class Liar:
        def __init__(self, scores):
            self.scores = scores

        def predict(self, model_id, images, version=0):
            return Prediction(1, self.scores)

    client._learner = Liar(np.zeros((1, 7)))
    with pytest.raises(MalformedError, match="one score for each class"):
        client.predict(info, IMAGES[0])
    sealed = bytearray(info.spec.sealed)
    sealed[20] ^= 1
    with pytest.raises(KeyMismatchError):
        client.people(replace(info, spec=replace(info.spec, sealed=bytes(sealed))))
    with pytest.raises(KeyMismatchError):
        client.people(replace(info, spec=replace(info.spec, name="other")))


# -- key files -----------------------------------------------------------------------------------------


def test_key_files(tmp_path):
    made = make_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert read_key(tmp_path / "key").key_id == made.key_id
    with pytest.raises(UsageError, match="never overwritten"):
        make_key(tmp_path / "key")
    with pytest.raises(UsageError):
        make_key(tmp_path / "none" / "key")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line.replace("key-1:", "key-2:"), "of version 2"),
        (lambda line: line.replace("key-1:", "key-:"), "no key file"),
        (lambda line: line[:-3] + "00\n", "damaged"),
        (lambda line: line[:40] + ("0" if line[40] != "0" else "1") + line[41:], "damaged"),
        (lambda line: line[:30] + line[32:], "damaged"),
        (lambda line: "blindsight-etc-key-1::e3b0c442\n", "damaged"),
        (lambda line: line + "more", "no key file"),
        (lambda line: "", "no key file"),
        (lambda line: "\x00\xff", "no key file"),
    ],
)
def test_key_files_that_are_refused(tmp_path, change, words):
    path = tmp_path / "key"
    key = make_key(path)
    line = path.read_text()
    path.write_text(change(line))
    with pytest.raises(KeyFileError, match=words) as told:
        read_key(path)
    assert key.export(ExportToken()).hex()[:16] not in told.value.message


def test_a_key_file_that_others_can_read(tmp_path):
    make_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key(tmp_path / "key")
    with pytest.raises(KeyFileError, match="cannot be read"):
        read_key(tmp_path / "none")
