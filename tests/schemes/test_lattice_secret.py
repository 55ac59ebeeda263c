"""What a lattice key lets out, and what it does not."""

import copy
import pickle

import numpy as np
import pytest

from blindsight.core.errors import UsageError, VaultError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.kernels import prg
from blindsight.schemes.lattice.params import Params
from blindsight.schemes.lattice.reveal import LatticeKeyHolder
from blindsight.schemes.lattice.secret import SecretKey

SEED = bytes(range(100, 132))
PARAMS = Params.approximate(16, template_norm=4099, probe_norm=65539, score_bound=2**28, noise_limit=1e6)


@pytest.fixture(scope="module")
def key():
    return SecretKey.load(PARAMS, SEED)


ARRAYS = ("gallery_by_coordinate", "gallery_by_element", "probe_by_coordinate", "probe_by_element")


def test_the_representation_is_redacted(key):
    shown = repr(key) + str(key) + f"{key}" + repr(LatticeKeyHolder(key)) + repr(key._seed)
    assert "redacted" in repr(key)
    assert SEED.hex() not in shown
    assert repr(SEED) not in shown
    assert "array" not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle(key, protocol):
    for thing in (key, LatticeKeyHolder(key), key._seed):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(thing, protocol)


def test_no_copy(key):
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="copied"):
            duplicate(key)
    with pytest.raises(TypeError, match="copied"):
        copy.deepcopy(LatticeKeyHolder(key))


@pytest.mark.parametrize("token", [None, True, "please", object(), ExportToken])
def test_export_needs_a_token(key, token):
    for thing in (key, LatticeKeyHolder(key)):
        with pytest.raises(UsageError, match="token"):
            thing.export(token)


def test_an_exported_key_loads_as_the_same_key():
    fresh = SecretKey.generate(PARAMS)
    again = SecretKey.load(PARAMS, LatticeKeyHolder(fresh).export(ExportToken()))
    assert again.key_id == fresh.key_id
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(fresh, name))
    assert again.noise(SEED).read(100).tobytes() == fresh.noise(SEED).read(100).tobytes()
    templates = np.arange(32, dtype=np.int32).reshape(2, 16)
    head, body = LatticeKeyHolder(fresh).protect_block(templates)
    np.testing.assert_array_equal(LatticeKeyHolder(again).open_block(head, body)[:2], templates)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_damaged_export(size):
    with pytest.raises(VaultError):
        SecretKey.load(PARAMS, bytes(size))


def test_all_parts_of_a_key_are_independent(key):
    """The two families, the name and two blocks' noise share no bytes; so do two keys."""
    other = SecretKey.load(PARAMS, SEED[::-1])
    assert key.key_id != other.key_id
    assert (key.gallery_by_coordinate != key.probe_by_coordinate).mean() > 0.99
    assert (key.gallery_by_coordinate != other.gallery_by_coordinate).mean() > 0.99
    streams = [key.noise(SEED), key.noise(SEED[::-1]), other.noise(SEED), prg.Stream(SEED)]
    assert len({stream.read(32).tobytes() for stream in streams}) == len(streams)


def test_both_orders_hold_the_same_secrets(key):
    for kind in ("gallery", "probe"):
        by_coordinate = getattr(key, f"{kind}_by_coordinate")
        by_element = getattr(key, f"{kind}_by_element")
        assert by_coordinate.shape == (16, 1, 4, 5, 64)
        np.testing.assert_array_equal(by_element, by_coordinate.transpose(3, 1, 2, 0, 4))


def test_the_arrays_are_read_only(key):
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(key, name)[:] = 0


def test_what_is_kept_for_reveal_is_not_printed(key):
    holder = LatticeKeyHolder(key)
    heads, bodies = holder.protect_blocks(np.ones((1, 16), np.int32))
    _, kept = holder.protect_probes(np.ones((1, 16), np.int32))
    prepared = holder.prepare(heads, holder.hints(heads, bodies))
    with np.printoptions(threshold=10**9):
        shown = repr(kept) + repr(prepared)
    assert str(int(kept.vectors.flat[0])) not in shown
    assert str(int(prepared.rows.flat[-1])) not in shown


def test_secret_seed_is_a_secret(key):
    assert isinstance(key._seed, Secret)
