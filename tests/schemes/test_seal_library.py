"""SEAL's objects from residues and back, and what keeps hostile bytes away from SEAL."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from blindsight.core.errors import InsecureParametersError, MalformedError, ModelError, ProtocolError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.encoding import Encoding
from blindsight.schemes.bfv.params import Params
from blindsight.schemes.bfv.reveal import BfvKeyHolder
from blindsight.schemes.seal import library
from blindsight.schemes.seal.params import primes_below

PRIMES = (*primes_below(2**31, 4096, 1), *primes_below(2**30, 4096, 1))
SPECIAL = primes_below(2**31, 4096, 2)[1]


@pytest.fixture(scope="module", params=["bfv", "ckks"])
def context(request):
    return library.context(request.param, 4096, PRIMES, SPECIAL, 65537 if request.param == "bfv" else 0)


def test_a_secret_is_transformed_as_it_is(context):
    """Evaluated at every odd power of a 2n-th root of unity, by Horner's rule: the same values."""
    ternary = np.random.default_rng(1).integers(-1, 2, 4096).astype(np.int8)
    found = context.transformed_secret(ternary)
    for k, prime in enumerate(context.moduli):
        root = next(r for g in range(2, 99) if pow(r := pow(g, (prime - 1) // 8192, prime), 4096, prime) != 1)
        points = np.array([pow(root, 2 * j + 1, prime) for j in range(4096)], np.int64)
        values = np.zeros(4096, np.int64)
        for coefficient in ternary[::-1].tolist():
            values = (values * points + coefficient) % prime
        assert sorted(values.tolist()) == sorted(found[k].tolist())


def test_ciphertexts_survive_the_way(context):
    api = library.sealapi()
    secret = context.secret_key(np.random.default_rng(2).integers(-1, 2, 4096).astype(np.int8))
    encryptor, decryptor = api.Encryptor(context.seal, secret), api.Decryptor(context.seal, secret)
    plain, found = api.Plaintext(), api.Plaintext()
    if context.transformed:
        context.encoder.encode([1.5, -2.5], 2.0**30, plain)
    else:
        context.encoder.encode([3, 65536], plain)
    body, seed = context.seeded(encryptor.encrypt_symmetric(plain), 2)
    assert body.shape == (2, 4096)
    assert len(set(seed)) > 30
    one = context.ciphertext(body[np.newaxis], 2.0**30 if context.transformed else 1.0, seed)
    both = context.residues(one, 2, 2)
    np.testing.assert_array_equal(both[0], body)
    again = context.ciphertext(both, one.scale)
    decryptor.decrypt(again, found)
    if context.transformed:
        np.testing.assert_allclose(context.encoder.decode_double(found)[:2], [1.5, -2.5], atol=1e-5)
    else:
        assert context.encoder.decode_uint64(found)[:3] == [3, 65536, 0]
    with pytest.raises(MalformedError):
        context.residues(one, 2, 1)


@pytest.mark.parametrize("bad", [PRIMES[0], 2**63, 2**64 - 1])
def test_residues_out_of_range_are_refused_by_seal_too(context, bad):
    residues = np.ones((2, 2, 4096), np.uint64)
    residues[1, 0, 7] = bad
    with pytest.raises(MalformedError):
        context.ciphertext(residues)


def test_transparent_and_misshapen_ciphertexts_are_refused(context):
    with pytest.raises(MalformedError):
        context.ciphertext(np.zeros((2, 2, 4096), np.uint64))
    with pytest.raises(MalformedError):
        context.ciphertext(np.ones((1, 2, 4096), np.uint64))
    with pytest.raises(MalformedError):
        context.ciphertext(np.ones((17, 2, 4096), np.uint64))


def test_what_seal_throws_is_ours():
    for thrown in (RuntimeError, ValueError, IndexError):
        with pytest.raises(ProtocolError, match="One sentence"), library.guarded("One sentence."):
            raise thrown("std::logic_error")


def test_a_product_of_different_levels_is_an_error_of_ours(context):
    one = context.ciphertext(np.ones((2, 2, 4096), np.uint64))
    other = context.ciphertext(np.ones((2, 1, 4096), np.uint64))
    with pytest.raises(MalformedError), library.guarded("They do not fit."):
        context.evaluator.add_inplace(one, other)


def test_seal_checks_the_table_too():
    wide = primes_below(2**32, 4096, 4)
    with pytest.raises(InsecureParametersError):
        library.context("ckks", 4096, wide[:3], wide[3])


def test_keys_of_damaged_bytes(context):
    bodies = np.ones((1, 2, 3, 4096), np.uint64)
    seeds = np.zeros((1, 2, 64), np.uint8)
    assert context.switching_keys(bodies, seeds).has_key(2)
    assert context.switching_keys(bodies, seeds, [3]).has_key(3)
    bodies[0, 1, 2, 5] = SPECIAL
    with pytest.raises(MalformedError):
        context.switching_keys(bodies, seeds)


def test_a_key_shows_nothing_and_stays():
    e = Encoding.integers(16, "cosine")
    params = Params.integers(
        16, template_norm=e.template_norm, probe_norm=e.probe_norm, score_bound=e.score_bound
    )
    holder = BfvKeyHolder(params, Secret(bytes(32)))
    key = holder._key
    assert "redacted" in repr(key)
    for take in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            take(key)
    assert holder.export(ExportToken()) == bytes(32)
    again = BfvKeyHolder(params, Secret(bytes(32)))
    assert again.key_id == holder.key_id
    templates = e.templates(np.eye(16)).values
    np.testing.assert_array_equal(again.open_block(*holder.protect_block(templates))[:16], templates)


_WITHOUT = """
import sys
sys.modules["tenseal"] = None
from blindsight.blind.engines import ENGINES
from blindsight.blind.matcher import LocalMatcher
from blindsight import EncryptedIndex
from blindsight.core.errors import ModelError
import numpy as np
ENGINES["lattice"].warm()
for scheme, precision in (("bfv", "exact"), ("ckks", "approximate")):
    try:
        EncryptedIndex(16, scheme=scheme, precision=precision)
    except ModelError as error:
        assert 'pip install "blindsight[seal]"' in error.message
    else:
        raise SystemExit("no error")
"""


def test_without_tenseal_everything_else_works():
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_another_system_is_told(monkeypatch):
    library.sealapi.cache_clear()
    monkeypatch.delattr("os.memfd_create")
    with pytest.raises(ModelError, match="Linux"):
        library.sealapi()
    library.sealapi.cache_clear()
