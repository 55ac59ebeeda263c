"""The learner: what it keeps, what it refuses, what a crash leaves, and how it answers over HTTP."""

from __future__ import annotations

import threading
from dataclasses import replace

import httpx
import msgpack
import numpy as np
import pytest

from blindsight.blind.learner import LearnerLimits, LocalLearner
from blindsight.core.errors import (
    DuplicateError,
    KeyMismatchError,
    MalformedError,
    NotFoundError,
    ParamsMismatchError,
    RefusedError,
    TamperedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UsageError,
)
from blindsight.core.learning import ModelSpec
from blindsight.schemes.etc_image import codec
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.protect import protect
from blindsight.schemes.etc_image.secret import SecretKey
from blindsight.wire import learning
from blindsight.wire.learner_client import RemoteLearner
from faces import people
from servers import _line, spawn

KEY = SecretKey.load(bytes(32))
OTHER = SecretKey.load(bytes(31) + b"\1")
IMAGES, OWNERS = people(3, 6, 32, 24)
SPEC = ModelSpec("people", "etc-grey-8", 32, 24, "common", 3, (KEY.key_id,), b"sealed")

SERVE = """
from blindsight.blind.learner_service import serve_learner
def ready(url):
    print("listening on " + url, flush=True)
serve_learner({folder!r}, port=0, max_body={limit}, ready=ready)
"""


def file(pixels, key=KEY, params=None, **options):
    return codec.to_png(protect(key, params or Params.grey(), pixels, **options))


FILES = [file(image) for image in IMAGES]


@pytest.fixture
def learner(tmp_path):
    made = LocalLearner(tmp_path / "data")
    yield made
    made.close()


def filled(learner, **changes):
    info = learner.create(replace(SPEC, **changes))
    return learner.add(info.model_id, OWNERS.tolist(), FILES)


# -- what it does --------------------------------------------------------------------------------------


def test_train_and_judge(learner):
    info = filled(learner)
    assert (info.images, info.versions) == (18, 0)
    assert learner.models() == [learner.info(info.model_id)]
    with pytest.raises(NotFoundError, match="not trained"):
        learner.predict(info.model_id, FILES[:1])
    for number, classifier in enumerate(("svm-linear", "svm-rbf", "knn", "forest"), start=1):
        assert learner.train(info.model_id, classifier, 4).versions == number
        found = learner.predict(info.model_id, FILES)
        assert found.version == number
        assert (found.scores.argmax(axis=1) == OWNERS).all()
    assert learner.predict(info.model_id, FILES[:2], 1).version == 1
    with pytest.raises(NotFoundError, match="no version 9"):
        learner.predict(info.model_id, FILES[:1], 9)
    learner.delete(info.model_id)
    assert learner.models() == []
    with pytest.raises(NotFoundError):
        learner.info(info.model_id)


def test_jpeg_is_taken_as_well(learner):
    info = learner.create(SPEC)
    data = [codec.to_jpeg(protect(KEY, Params.grey(), image), 90) for image in IMAGES]
    learner.add(info.model_id, OWNERS.tolist(), data)
    learner.train(info.model_id, "svm-linear", 4)
    assert (learner.predict(info.model_id, data).scores.argmax(axis=1) == OWNERS).mean() > 0.9


def test_everything_is_there_after_a_restart(tmp_path):
    first = LocalLearner(tmp_path)
    info = filled(first)
    info = first.train(info.model_id, "svm-rbf", 4)
    before = first.predict(info.model_id, FILES).scores
    first.close()
    with pytest.raises(UnavailableError):
        first.models()
    again = LocalLearner(tmp_path)
    assert again.info(info.model_id) == info
    assert again.predict(info.model_id, FILES).scores.tobytes() == before.tobytes()
    with pytest.raises(UsageError):
        LocalLearner(tmp_path)
    again.close()


def test_what_a_crash_leaves_is_cleared_away(tmp_path):
    first = LocalLearner(tmp_path)
    info = filled(first)
    first.close()
    place = tmp_path / info.model_id
    (place / "new-model-00000001").write_bytes(b"half a mod")
    (tmp_path / f"doomed-{'0' * 32}").mkdir()
    (tmp_path / ("1" * 32)).mkdir()
    again = LocalLearner(tmp_path)
    assert again.models() == [info]
    assert not (place / "new-model-00000001").exists()
    assert not (tmp_path / f"doomed-{'0' * 32}").exists()
    assert not (tmp_path / ("1" * 32)).exists()
    again.close()


def test_a_damaged_disk_is_noticed(tmp_path, learner):
    info = learner.train(filled(learner).model_id, "svm-linear", 4)
    place = tmp_path / "data" / info.model_id

    def damage(name):
        path = next(place.glob(name))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    damage("model-*")
    with pytest.raises(TamperedError):
        learner.predict(info.model_id, FILES[:1])
    damage("images-*")
    with pytest.raises(TamperedError):
        learner.train(info.model_id, "svm-linear", 4)
    (place / "about").write_bytes(b"x")
    with pytest.raises(TamperedError):
        learner.info(info.model_id)


# -- what it refuses -----------------------------------------------------------------------------------


def test_images_that_do_not_belong(learner):
    info = learner.train(filled(learner).model_id, "svm-linear", 4)
    for wrong, error, words in (
        (file(IMAGES[0][:24]), ParamsMismatchError, "24 × 32"),
        (file(IMAGES[0], params=Params.grey(4)), ParamsMismatchError, "etc-grey-8"),
        (file(IMAGES[0], key=OTHER), KeyMismatchError, "one common key"),
        (file(IMAGES[0], own_key=True), KeyMismatchError, "key of its own"),
        (FILES[0][:200], MalformedError, "damaged"),
        (b"no image", MalformedError, "neither a PNG nor a JPEG"),
        (file(people(1, 1, 400, 400)[0][0]), Exception, "."),
    ):
        with pytest.raises(error, match=words):
            learner.predict(info.model_id, [wrong])
        with pytest.raises(error, match="Image 2 of 2"):
            learner.add(info.model_id, [0, 1], [FILES[0], wrong])
    assert learner.info(info.model_id).images == 18, "of a batch with a bad image nothing is kept"


def test_labels(learner):
    info = learner.create(SPEC)
    for labels in ([3], [-1], [0, 1], []):
        with pytest.raises(UsageError):
            learner.add(info.model_id, labels, FILES[:1])


def test_one_class(learner):
    info = learner.create(SPEC)
    with pytest.raises(UsageError, match="only one class"):
        learner.train(info.model_id, "svm-linear", 4)
    learner.add(info.model_id, [0, 0], FILES[:2])
    with pytest.raises(UsageError, match="only one class"):
        learner.train(info.model_id, "svm-linear", 4)
    learner.add(info.model_id, [2, 2], FILES[:2])
    with pytest.raises(UsageError, match="Class 1 has no image"):
        learner.train(info.model_id, "svm-linear", 4)
    with pytest.raises(UsageError, match="no classifier"):
        learner.train(info.model_id, "oracle", 4)


def test_a_key_for_each(learner):
    keys = [KEY.for_client(name) for name in "abc"]
    spec = replace(SPEC, condition="each", key_ids=tuple(key.key_id for key in keys))
    info = learner.create(spec)
    files = [file(image, key=keys[owner]) for image, owner in zip(IMAGES, OWNERS, strict=True)]
    learner.add(info.model_id, OWNERS.tolist(), files)
    with pytest.raises(KeyMismatchError, match="its class's"):
        learner.add(info.model_id, [1], files[:1])
    learner.train(info.model_id, "svm-linear", 4)
    assert (learner.predict(info.model_id, files).scores.argmax(axis=1) == OWNERS).all()
    with pytest.raises(KeyMismatchError, match="each client's own"):
        learner.predict(info.model_id, FILES[:1])
    with pytest.raises(UsageError, match="same key"):
        learner.create(replace(spec, name="x", key_ids=(keys[0].key_id,) * 3))


def test_descriptions(learner):
    filled(learner)
    with pytest.raises(DuplicateError):
        learner.create(SPEC)
    for wrong in (
        {"name": "../x"},
        {"name": ""},
        {"condition": "none"},
        {"classes": 1},
        {"key_ids": ()},
        {"key_ids": ("x",)},
        {"height": 0},
        {"params_id": "etc-grey-9"},
        {"sealed": bytes(2 << 20)},
        {"condition": "each"},
    ):
        with pytest.raises(MalformedError):
            learner.create(replace(SPEC, **({"name": "new"} | wrong)))
    with pytest.raises(Exception, match="smaller than one block"):
        learner.create(replace(SPEC, name="new", height=4))
    with pytest.raises(TooLargeError):
        learner.create(replace(SPEC, name="new", height=9000, width=9000))
    for model_id in ("", "0" * 32, "../data", "A" * 32):
        with pytest.raises(NotFoundError):
            learner.info(model_id)


def test_limits(tmp_path):
    learner = LocalLearner(tmp_path, limits=LearnerLimits(models=1, images=20, batch=18, versions=1))
    info = filled(learner)
    with pytest.raises(RefusedError):
        learner.create(replace(SPEC, name="second"))
    with pytest.raises(TooLargeError):
        learner.add(info.model_id, [0] * 3, FILES[:3])
    learner.train(info.model_id, "knn", 4)
    with pytest.raises(TooLargeError):
        learner.predict(info.model_id, [*FILES, FILES[0]])
    with pytest.raises(RefusedError):
        learner.train(info.model_id, "knn", 4)
    learner.close()


# -- over HTTP -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learner") / "data"
    process = spawn(SERVE.format(folder=str(folder), limit=300_000))
    try:
        url = _line(process, 60).removeprefix("listening on ").strip()
        yield url, (folder / "token").read_text().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def remote(served):
    client = RemoteLearner(*served)
    yield client
    client.close()


def test_the_same_over_http(remote):
    info = filled(remote, name="remote")
    assert info == remote.info(info.model_id)
    assert remote.train(info.model_id, "svm-linear", 4).versions == 1
    found = remote.predict(info.model_id, FILES)
    assert (found.scores.argmax(axis=1) == OWNERS).all()
    assert [one.spec.name for one in remote.models()] == ["remote"]
    with pytest.raises(KeyMismatchError, match="one common key"):
        remote.predict(info.model_id, [file(IMAGES[0], key=OTHER)])
    with pytest.raises(MalformedError, match="neither a PNG nor a JPEG"):
        remote.predict(info.model_id, [b"no image"])
    with pytest.raises(UsageError, match="no classifier"):
        remote.train(info.model_id, "oracle", 4)
    with pytest.raises(TooLargeError):
        remote.predict(info.model_id, [bytes(400_000)])
    remote.delete(info.model_id)
    with pytest.raises(NotFoundError):
        remote.info(info.model_id)


def test_who_gets_in_and_how_it_says_no(served):
    url, word = served
    assert set(httpx.get(url + "/health").json()) == {"version"}
    for path in ("/v1/models", "/metrics", "/v1/openapi.json"):
        refused = httpx.get(url + path)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
    with pytest.raises(UnauthorizedError):
        RemoteLearner(url, word + "x").models()
    headers = {"Authorization": f"Bearer {word}"}
    assert httpx.get(url + "/metrics", headers=headers).status_code == 200
    wrong_type = httpx.post(url + "/v1/models", headers=headers, content=b"{}")
    assert (wrong_type.status_code, wrong_type.json()["type"]) == (415, "urn:blindsight:error:malformed")
    headers["Content-Type"] = "application/msgpack"
    for path, body in (
        ("/v1/models", b"\xc1"),
        ("/v1/models", msgpack.packb({"name": "x"})),
        (f"/v1/models/{'0' * 32}/train", msgpack.packb({"classifier": "knn", "ratio": 0})),
        (f"/v1/models/{'0' * 32}/images", msgpack.packb({"labels": [0], "images": []})),
        (f"/v1/models/{'0' * 32}/predict", msgpack.packb({"version": -1, "images": [b"x"]})),
    ):
        answer = httpx.post(url + path, headers=headers, content=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["type"] == "urn:blindsight:error:malformed"
    assert httpx.get(url + "/v1/models/nothing", headers=headers).status_code == 404
    assert httpx.delete(url + "/v1/models", headers=headers).status_code == 405


def test_several_clients_at_once(remote):
    info = filled(remote, name="many")
    remote.train(info.model_id, "svm-linear", 4)
    wrong = []

    def ask():
        try:
            if not (remote.predict(info.model_id, FILES[:3]).scores.argmax(axis=1) == OWNERS[:3]).all():
                wrong.append("scores")
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_a_learner_that_went_away():
    with pytest.raises(UnavailableError):
        RemoteLearner("http://127.0.0.1:1", "0123456789abcdef").models()


# -- messages ------------------------------------------------------------------------------------------


def test_predictions_that_lie():
    good = learning.encode_prediction(type("P", (), {"version": 1, "scores": np.zeros((2, 3))})())
    assert learning.decode_prediction(good, 2, 3).scores.shape == (2, 3)
    fields = msgpack.unpackb(good)
    for wrong in (
        {"classes": 2},
        {"version": 0},
        {"scores": fields["scores"][:-8]},
        {"scores": np.full(6, np.nan).tobytes()},
        {"more": 1},
    ):
        with pytest.raises(MalformedError):
            learning.decode_prediction(msgpack.packb(fields | wrong), 2, 3)
    with pytest.raises(MalformedError):
        learning.decode_infos(msgpack.packb({"models": [{}]}))
