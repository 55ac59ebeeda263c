"""The schemes on SEAL behind the public index: in this process, and over HTTP."""

import numpy as np
import pytest

from blindsight import EncryptedIndex
from blindsight.core.errors import KeyMismatchError, MalformedError, TooLargeError, UsageError
from servers import server

PRECISION = {"bfv": "exact", "ckks": "approximate"}


@pytest.fixture(params=PRECISION)
def scheme(request):
    return request.param


def filled(scheme, count=4200, **options):
    vectors = np.random.default_rng(1).normal(size=(count, 16))
    index = EncryptedIndex(16, scheme=scheme, precision=PRECISION[scheme], **options)
    index.add(np.arange(count), vectors)
    return index, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_search_change_save_and_load(scheme, tmp_path):
    index, vectors = filled(scheme, canaries=3)
    found = index.search(vectors[[7, 4199]], 3)
    assert found.ids[:, 0].tolist() == [7, 4199]
    direct = np.sort(vectors[[7, 4199]] @ vectors.T, axis=1)[:, :-4:-1]
    np.testing.assert_allclose(found.scores, direct, atol=4e-3 if scheme == "bfv" else 5e-4)
    index.remove([7])
    assert index.search(vectors[7], 1).ids[0, 0] != 7
    index.add([7], vectors[7])
    index.save(tmp_path / "saved", passphrase="a passphrase for tests")
    index.close()
    with EncryptedIndex.load(tmp_path / "saved", passphrase="a passphrase for tests") as again:
        assert again.search(vectors[7], 1).ids[0, 0] == 7
        again.rotate()
        assert again.search(vectors[7], 1).ids[0, 0] == 7


def test_over_http(scheme, tmp_path, monkeypatch):
    """More probes and blocks than one message takes, and a damaged upload."""
    monkeypatch.setattr("blindsight.trusted.session._BATCH_BYTES", 2 << 20)
    with server(tmp_path / "matcher") as running:
        client = running.client()
        index, vectors = filled(scheme, matcher=client, name="people")
        session = index._session
        assert (session.probes_at_once, session.batch) in {(3, 3), (2, 3)}
        assert index.search(vectors[:5], 1).ids.ravel().tolist() == [0, 1, 2, 3, 4]
        key, gallery = session._key, session.identity.gallery_id
        sent, _ = key.protect_probes(index._encoding.probes(vectors[0]).values)
        damaged = sent.copy()
        damaged[0, 3::4] = 255
        names = (key.key_id, key.params.params_id)
        with pytest.raises(MalformedError):
            client.search(gallery, *names, damaged)
        with pytest.raises(MalformedError):
            client.search(gallery, *names, np.ascontiguousarray(sent[:, :-4]))
        with pytest.raises(KeyMismatchError):
            client.search(gallery, "another", key.params.params_id, sent)
        assert client.search(gallery, *names, sent).scores.shape == (1, 2, key.params.answer_bytes)
        index.close()
        client.close()


def test_precisions_that_a_scheme_does_not_have():
    for scheme, other in (("bfv", "approximate"), ("ckks", "exact")):
        with pytest.raises(UsageError, match=scheme):
            EncryptedIndex(16, scheme=scheme, precision=other)


def test_blocks_over_the_limit_of_a_matcher():
    with pytest.raises(TooLargeError):
        EncryptedIndex(2048, scheme="ckks")
