"""A watch list: what a client gets, what the owner and the wire see, sessions, and bad input."""

import io
from hashlib import sha256

import numpy as np
import pytest

from blindsight.core.errors import (
    ConflictError,
    DimensionError,
    MalformedError,
    ModelMismatchError,
    NotFoundError,
    ParameterError,
    ParamsMismatchError,
    UnauthorizedError,
)
from blindsight.core.types import Embedding
from blindsight.trusted.watch_client import WatchList
from blindsight.trusted.watch_owner import WatchListOwner, encoding_wire
from blindsight.wire import watchlist as wire
from blindsight.wire.watchlist import Description, RemoteWatchList
from servers import spawn

VECTORS = np.random.default_rng(1).standard_normal((50, 16)).astype(np.float32)
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)

SERVE = """
import numpy as np
from pathlib import Path
from blindsight.blind import serve, token
from blindsight.trusted.watch_owner import WatchListOwner
from blindsight.trusted.watch_service import create_app
vectors = np.load({vectors!r})
check = token.load_or_make(Path({token!r}))
ready = lambda url: print("listening on " + url, flush=True)
serve.run(create_app(WatchListOwner(vectors, model_id="m"), check), "127.0.0.1", 0, None, None, ready)
"""


@pytest.fixture(scope="module")
def owner():
    return WatchListOwner(VECTORS, model_id="m")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watchlist")
    np.save(folder / "vectors.npy", VECTORS)
    process = spawn(SERVE.format(vectors=str(folder / "vectors.npy"), token=str(folder / "token")))
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on "), process.communicate()[1]
        yield line.split()[-1], (folder / "token").read_text().strip()
    finally:
        process.terminate()
        process.communicate(timeout=30)


class Recorded:
    """An owner, and everything that was said to it."""

    def __init__(self, owner):
        self.owner, self.said, self.forgetful = owner, [], False

    def __getattr__(self, name):
        def call(*args):
            self.said.append((name, args))
            if name == "score" and self.forgetful:
                self.forgetful = False
                raise NotFoundError(
                    "The server does not have these evaluation keys (any more); send them first."
                )
            return getattr(self.owner, name)(*args)

        return call


def test_scores_are_those_of_the_plaintext(owner):
    with WatchList(owner) as asked:
        for query in (VECTORS[7], -VECTORS[7], np.ones(16)):
            direct = UNIT @ (query / np.linalg.norm(query))
            np.testing.assert_allclose(asked.scores(query), direct, atol=0.02)
        assert asked.count == 50
        assert asked.server_ms > 0
        found = asked.matches(VECTORS[7], 0.9)
        assert [match.row for match in found] == [7]
        assert found[0].score == pytest.approx(1, abs=0.02)


def test_euclidean_distances():
    vectors = 0.9 * UNIT * np.linspace(0.5, 1, 50)[:, np.newaxis]
    owner = WatchListOwner(vectors, model_id="m", metric="euclidean", radius=1.0)
    asked = WatchList(owner)
    direct = np.linalg.norm(vectors - vectors[3], axis=1)
    far = direct > 0.5
    np.testing.assert_allclose(asked.scores(vectors[3])[far], direct[far], atol=0.03)
    assert [match.row for match in asked.matches(vectors[3], 0.2)] == [3]


def test_keys_are_sent_once_and_again_when_they_are_gone(owner):
    server = Recorded(owner)
    asked = WatchList(server)
    for _ in range(3):
        asked.scores(VECTORS[0])
    names = [name for name, _ in server.said]
    assert names.count("score") == 3
    assert names.count("received") == 1
    sent = [args for name, args in server.said if name == "piece"]
    assert [len(args[2]) for args in sent][:-1] == [1 << 20] * (len(sent) - 1)
    assert sha256(b"".join(args[2] for args in sent)).hexdigest() == sent[0][0]
    server.forgetful = True
    np.testing.assert_allclose(asked.scores(VECTORS[0])[0], 1, atol=0.02)


def test_nothing_that_is_sent_depends_on_the_probe_in_size_or_repeats(owner):
    server = Recorded(owner)
    asked = WatchList(server)
    asked.scores(VECTORS[0])
    asked.scores(VECTORS[0])
    one, two = (args[1] for name, args in server.said if name == "score")
    assert len(one) == len(two)
    same = np.mean(np.frombuffer(one, np.uint8) == np.frombuffer(two, np.uint8))
    assert same < 0.01


def test_another_model(owner):
    asked = WatchList(owner)
    assert asked.scores(Embedding(VECTORS[0], "m"))[0] == pytest.approx(1, abs=0.02)
    with pytest.raises(ModelMismatchError):
        asked.scores(Embedding(VECTORS[0], "other"))


def test_bad_lists():
    for wrong in (VECTORS[:0], VECTORS[0], np.zeros((2, 3, 16))):
        with pytest.raises(DimensionError):
            WatchListOwner(wrong, model_id="m")
    with pytest.raises(ParameterError):
        WatchListOwner(VECTORS, model_id="")
    with pytest.raises(ParameterError):
        WatchListOwner(VECTORS, model_id="m", flood_bits=39)


@pytest.mark.parametrize("change", ["scale", "flood", "radius", "fields"])
def test_a_server_that_announces_what_must_not_be(owner, change):
    found = owner.describe()
    params, encoding = dict(found.params), dict(found.encoding)
    if change == "scale":
        encoding["probe_scale"] = 512
    if change == "flood":
        params["flood_bits"] = 10
    if change == "radius":
        encoding["radius"] = "far"
    if change == "fields":
        encoding["more"] = 1
    server = Recorded(owner)
    server.describe = lambda: Description(params, encoding, "m", 50)
    with pytest.raises((ParamsMismatchError, ParameterError, MalformedError)):
        WatchList(server)
    assert not server.said  # no key left


def test_a_server_that_never_has_enough(owner):
    server = Recorded(owner)
    server.piece = lambda digest, at, data: at
    with pytest.raises(MalformedError):
        WatchList(server).scores(VECTORS[0])


def test_over_http(service):
    remote = RemoteWatchList(*service)
    with WatchList(remote) as asked:
        direct = UNIT @ UNIT[9]
        np.testing.assert_allclose(asked.scores(VECTORS[9]), direct, atol=0.02)
        first = remote.traffic["sent"]
        asked.scores(VECTORS[9])
        assert first > 1_000_000
        assert remote.traffic["sent"] - first < 110_000


def test_http_refuses(service):
    url, token = service
    with pytest.raises(UnauthorizedError):
        WatchList(RemoteWatchList(url, token[:-1] + ("a" if token[-1] != "a" else "b")))
    remote = RemoteWatchList(url, token)
    count = 1_376_640
    digest = sha256(b"never").hexdigest()
    assert remote.received(digest) == 0
    with pytest.raises(NotFoundError):
        remote.score(digest, bytes(106_560))
    with pytest.raises(ConflictError):
        remote.piece(digest, 5, b"x")
    assert remote.piece(digest, 0, bytes(1 << 20)) == 1 << 20
    with pytest.raises(MalformedError, match="damaged"):
        remote.piece(digest, 1 << 20, bytes(_key_bytes(remote) - (1 << 20)))
    assert remote.received(digest) == 0
    with pytest.raises(MalformedError):
        remote.piece(digest, 0, b"")
    with pytest.raises(MalformedError):
        remote.piece("no digest", 0, b"x")
    assert _key_bytes(remote) <= count
    remote.close()


def _key_bytes(remote):
    from blindsight.schemes.bfv.watch_params import WatchParams

    return WatchParams.from_wire(remote.describe().params).key_bytes


def test_messages_survive_and_nothing_else_is_taken(owner):
    found = owner.describe()
    data = wire.encode_description(found)
    assert wire.decode_description(data) == found
    assert wire.decode_piece(wire.encode_piece(3, b"xy")) == (3, b"xy")
    assert wire.decode_received(wire.encode_received(7)) == 7
    assert wire.decode_question(wire.encode_question("a" * 64, b"p")) == ("a" * 64, b"p")
    assert wire.decode_answer(wire.encode_answer(b"a", 1.5)) == (b"a", 1.5)
    for decode, good in (
        (wire.decode_description, data),
        (wire.decode_piece, wire.encode_piece(3, b"xy")),
        (wire.decode_question, wire.encode_question("a" * 64, b"p")),
        (wire.decode_answer, wire.encode_answer(b"a", 1.5)),
    ):
        for wrong in (good[:-1], good + b"\x00", b"", b"\x80", b"\xc1", io.BytesIO(good).read(2)):
            with pytest.raises(MalformedError):
                decode(wrong)
    for wrong in (wire.encode_piece(-1, b"x"), wire.encode_piece(0, bytes((1 << 20) + 1))):
        with pytest.raises(MalformedError):
            wire.decode_piece(wrong)
    with pytest.raises(MalformedError):
        wire.decode_question(wire.encode_question("A" * 64, b"p"))
    assert encoding_wire(WatchList(owner)._encoding) == found.encoding
