"""A federation on disk: founded, run, interrupted at every write, gone on with, and damaged."""

from __future__ import annotations

import json
import shutil

import msgpack
import numpy as np
import pytest
from PIL import Image as Pillow

from blindsight.blind.aggregator import Aggregator
from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    RefusedError,
    RoundError,
    StorageFullError,
    TooFewError,
    UsageError,
    WrongPassphraseError,
)
from blindsight.core.secrets import ExportToken, Secret
from blindsight.core.summing import LAST_ROUND, run_stages
from blindsight.learning.descent import Descent
from blindsight.trusted import learner as module
from blindsight.trusted.contributor import PARAMS, Contributor
from blindsight.trusted.federation import SCHEMES, found, user_file
from blindsight.trusted.keyholder import KeyHolder
from blindsight.trusted.learner import Learner
from blindsight.trusted.sealing import Unlock, make_key_file
from blindsight.wire import state
from cli.running import run

SMALL = {"paillier": {"modulus_bits": 2048}, "dphe": {"modulus_bits": 2048}, "bfv": {}, "masking": {}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three users' pictures of stripes that lie or stand."""
    root = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(1)
    made = []
    for user in range(3):
        for name, axis in (("lying", 0), ("standing", 1)):
            for k in range(4):
                wave = np.sin(np.arange(64) * generator.uniform(0.5, 1.2) + 6 * generator.random())
                wave = wave * 90 + 128
                picture = np.repeat(np.expand_dims(wave, 1 - axis), 64, axis=1 - axis)
                picture = picture + generator.normal(0, 10, (64, 64))
                path = root / f"user{user}" / name / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Pillow.fromarray(picture.clip(0, 255).astype(np.uint8)).convert("RGB").save(path)
        made.append(root / f"user{user}")
    return made


class Flat:
    """Features of four numbers, so that Paillier has little to do."""

    model_id = "flat-1"
    dimension = 4

    def of(self, image):
        pixels = image.pixels.astype(np.float64).mean(axis=2)
        values = np.array([np.abs(np.diff(pixels, axis=a)).mean() for a in (0, 1)] * 2)
        values[2:] = 1
        return (values / np.linalg.norm(values)).astype(np.float32)


@pytest.fixture
def flat(monkeypatch):
    monkeypatch.setattr(module, "open_features", lambda name: Flat())


@pytest.fixture(params=SCHEMES)
def learner(request, tmp_path, folders, flat):
    how = Descent(alpha=1e-5, rate=5.0, epochs=3)
    return Learner.create(tmp_path / "f", folders, scheme=request.param, descent=how, **SMALL[request.param])


def test_rounds_are_learned_and_gone_on_with(learner):
    one = learner.rounds()
    first = one()
    assert (first.number, first.attempt, first.users, first.missing) == (1, 1, (0, 1, 2), ())
    again = Learner(learner.folder)
    assert again.model.number == 1
    assert np.array_equal(again.model.weights, learner.model.weights)
    more = again.rounds()
    for number in (2, 3, 4):
        assert more().number == number
    assert again.accuracy() == 100
    path = next(again.folders[0].glob("lying/*.png"))
    assert again.predict([path])[0][0] == "lying"


def test_all_schemes_learn_the_same_model(tmp_path, folders, flat):
    models = []
    for scheme in SCHEMES:
        made = Learner.create(tmp_path / scheme, folders, scheme=scheme, **SMALL[scheme])
        one = made.rounds()
        one()
        one()
        models.append(made.model.weights)
    assert all(np.array_equal(models[0], other) for other in models[1:])


class Died(BaseException):
    pass


def test_an_interruption_at_any_write_leaves_a_sound_state(tmp_path, folders, flat, monkeypatch):
    """The aggregator's, three users', the key holder's and the model's file: six writes a round."""
    made = Learner.create(tmp_path / "f", folders, scheme="bfv")
    made.rounds()()
    for death in range(6):
        for before in (True, False):
            copy = tmp_path / f"copy-{death}-{before}"
            shutil.copytree(made.folder, copy)
            count = 0

            def write(path, content, death=death, before=before):
                nonlocal count
                count += 1
                if count - 1 == death and before:
                    raise Died
                state.write_state(path, content)
                if count - 1 == death:
                    raise Died

            with monkeypatch.context() as patch:
                patch.setattr("blindsight.blind.aggregator.write_state", write)
                for name in ("locking", "learner"):
                    patch.setattr(f"blindsight.trusted.{name}.write_state", write)
                one = Learner(copy).rounds()
                with pytest.raises(Died):
                    one()
            after = Learner(copy)
            assert after.model.number == (2 if death == 5 and not before else 1)
            done = after.rounds()()
            assert done.number == after.model.number
            assert done.missing == ()
            assert done.attempt == (2 if death == 0 and before else 3)


def test_a_user_whose_update_may_not_leave_is_missing(learner, monkeypatch):
    one = learner.rounds()
    real = module.updated

    def updated(task, model, x, y, seed):
        return real(task, model, x, y, seed) if seed != 1 else np.full(task.weights, 1 << 30)

    monkeypatch.setattr(module, "updated", updated)
    if learner.aggregator().scheme == "masking":  # all others are needed of three
        with pytest.raises(TooFewError):
            one()
        return
    assert one().missing == (1,)


def test_numbers_are_used_once_also_after_a_restart(tmp_path):
    params = found(tmp_path / "f", "bfv", 10, 3, 20)
    values = np.arange(10)
    path = user_file(tmp_path / "f", 1)
    Contributor(path).round(5, values)
    for number in (5, 4):
        with pytest.raises(RoundError):
            Contributor(path).round(number, values)
    people = {u: Contributor(user_file(tmp_path / "f", u)) for u in range(3)}
    aggregator = Aggregator(tmp_path / "f" / "aggregator" / "aggregator.state")
    assert aggregator.params == params
    for _ in range(5):
        aggregator.begin(range(3))
    number, server = aggregator.begin(range(3))
    assert number == 6
    total = run_stages(server, {u: people[u].round(6, values) for u in people})
    keys = tmp_path / "f" / "keyholder" / "keyholder.state"
    assert np.array_equal(KeyHolder(keys).open(6, total).values, 3 * values)
    with pytest.raises(RoundError):
        KeyHolder(keys).open(6, total)
    aggregator.attempt = LAST_ROUND
    with pytest.raises(RefusedError):
        aggregator.begin(range(3))


def test_where_the_disk_is_full_nothing_leaves(tmp_path, monkeypatch):
    found(tmp_path / "f", "bfv", 10, 3, 20)
    person = Contributor(user_file(tmp_path / "f", 1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state.os, "fsync", full)
    with pytest.raises(StorageFullError, match="No space"):
        person.round(1, np.arange(10))


# -- damage and mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_damaged_files_are_refused(tmp_path, scheme):
    found(tmp_path / "f", scheme, 10, 3, 20, **SMALL[scheme])
    files = {
        tmp_path / "f/aggregator/aggregator.state": Aggregator,
        tmp_path / "f/keyholder/keyholder.state": KeyHolder,
        user_file(tmp_path / "f", 0): Contributor,
    }
    for path, role in files.items():
        whole = path.read_bytes()
        for bad in (b"", whole[:20], whole[:-1], whole + b"\0", b"\x80", whole.replace(b"scheme", b"schemf")):
            path.write_bytes(bad)
            with pytest.raises(BlindsightError):
                role(path)
        path.write_bytes(whole)
        path.chmod(0o644)
        with pytest.raises(UsageError, match="chmod 600"):
            role(path)
        path.chmod(0o600)
        role(path)
        assert whole not in repr(role(path)).encode()


@pytest.mark.parametrize("scheme", ["masking", "bfv", "dphe"])
def test_locked_files_open_with_what_locked_them(tmp_path, scheme):
    folder, key, other = tmp_path / "f", tmp_path / "key", tmp_path / "other"
    for one in (key, other):
        make_key_file(one)
    found(folder, scheme, 10, 3, 20, unlock=Unlock(key_file=key), **SMALL[scheme])
    with_key = Unlock(key_file=key)
    aggregator = Aggregator(folder / "aggregator/aggregator.state")
    keys = folder / "keyholder/keyholder.state"
    for _ in range(2):  # also after the files were written again
        people = {u: Contributor(user_file(folder, u), with_key) for u in range(3)}
        number, server = aggregator.begin(people)
        total = run_stages(server, {u: people[u].round(number, np.arange(10)) for u in people})
        opened = KeyHolder(keys, with_key).open(number, total)
        assert np.array_equal(people[0].restore(number, opened.values), 3 * np.arange(10))
    with pytest.raises(RoundError):
        Contributor(user_file(folder, 0), with_key).round(number, np.arange(10))
    for path, role in ((keys, KeyHolder), (user_file(folder, 1), Contributor)):
        with pytest.raises(UsageError, match="is locked"):
            role(path)
        for wrong in (Unlock(key_file=other), Unlock("a passphrase")):
            with pytest.raises(WrongPassphraseError, match="does not open"):
                role(path, wrong)


def test_a_passphrase_locks_and_no_secret_is_in_the_file(tmp_path):
    secret, unlock = Secret.fresh(), Unlock("correct horse")
    params = PARAMS["masking"].of(10, 3)
    path = tmp_path / "user.state"
    Contributor.create(path, params, bytes(96), 0, [secret], unlock)
    assert secret.export(ExportToken()) not in path.read_bytes()
    assert Contributor(path, Unlock("correct horse")).last == 0
    with pytest.raises(WrongPassphraseError):
        Contributor(path, Unlock("correct cow"))
    Contributor.create(path, params, bytes(96), 0, [secret])
    assert secret.export(ExportToken()) in path.read_bytes()
    with pytest.raises(UsageError, match="not locked"):  # somebody put another file there
        Contributor(path, unlock)


def test_locked_files_that_were_altered_do_not_open(tmp_path):
    """A public key of the attacker's in a user's file would have that user encrypt for the attacker."""
    folder, key = tmp_path / "f", tmp_path / "key"
    make_key_file(key)
    found(folder, "bfv", 10, 3, 20, unlock=Unlock(key_file=key))
    path, stranger = user_file(folder, 1), user_file(folder, 2)
    fields, others = (msgpack.unpackb(one.read_bytes()) for one in (path, stranger))
    public = bytearray(fields["public"])
    public[-1] ^= 1
    for change in (
        {"public": bytes(public)},
        {"user": 2},
        {"params": fields["params"] | {"minimum": 3}},
        {"secret": others["secret"], "lock": others["lock"]},
        {"secret": others["secret"]},
        {"secret": fields["secret"][:-1] + bytes([fields["secret"][-1] ^ 1])},
        {"lock": fields["lock"][:-1]},
        {"lock": fields["lock"][:-1] + bytes([fields["lock"][-1] ^ 1])},
        {"lock": b""},
        {"role": "key holder"},
    ):
        state.write_state(path, fields | change)
        with pytest.raises(BlindsightError):
            Contributor(path, Unlock(key_file=key))
    state.write_state(path, fields)
    Contributor(path, Unlock(key_file=key))


def test_a_scheme_that_is_not_one_is_refused(tmp_path):
    with pytest.raises(UsageError, match="rsa"):
        found(tmp_path / "f", "rsa", 10, 3, 20)
    found(tmp_path / "f", "bfv", 10, 3, 20)
    with pytest.raises(UsageError, match="there already"):
        found(tmp_path / "f", "bfv", 10, 3, 20)
    path = tmp_path / "f/aggregator/aggregator.state"
    path.write_bytes(path.read_bytes().replace(b"\xa3bfv", b"\xa3rsa"))
    with pytest.raises(MalformedError):
        Aggregator(path)


def test_a_folder_that_is_no_federation(tmp_path):
    with pytest.raises(UsageError, match="federation"):
        Learner(tmp_path)


def test_a_model_that_was_damaged(tmp_path, folders, flat):
    made = Learner.create(tmp_path / "f", folders, scheme="masking")
    with pytest.raises(UsageError, match="Nothing was learned"):
        made.predict([])
    for weights in (b"short", np.full(8, np.nan).tobytes()):
        state.write_state(tmp_path / "f/model.state", {"number": 1, "weights": weights})
        with pytest.raises(MalformedError):
            Learner(tmp_path / "f")


def test_other_features_than_founded_with(tmp_path, folders, flat, monkeypatch):
    made = Learner.create(tmp_path / "f", folders, scheme="masking")
    monkeypatch.setattr(Flat, "model_id", "flat-2")
    with pytest.raises(UsageError, match="same model"):
        made.rounds()


def test_too_little_to_learn_from(tmp_path, folders, flat):
    with pytest.raises(UsageError, match="at least two"):
        Learner.create(tmp_path / "f", folders[:1], scheme="masking")


# -- the commands ----------------------------------------------------------------------------------


def test_the_commands_learn(tmp_path, folders):
    place = tmp_path / "f"
    made = run("learn", "new", place, *folders, "--json").json
    assert (made["users"], made["classes"], made["scheme"]) == (3, 2, "masking")
    assert run("learn", "predict", place, next(folders[0].glob("*/*.png"))).code == 2
    ran = run("learn", "run", place, "--rounds", 2, "--json").json
    assert (ran["rounds"], ran["attempts"], ran["users"]) == (2, 2, [0, 1, 2])
    assert ran["training_accuracy"] > 90
    assert run("learn", "run", place, "--rounds", 1, "--json").json["rounds"] == 3
    told = run("learn", "status", place)
    assert "the sum of each round, in the clear" in told.out
    shown = json.loads(run("learn", "status", place, "--json").out)
    assert (shown["rounds"], shown["scheme"]) == (3, "masking")
    images = [next(folders[1].glob(f"{name}/*.png")) for name in ("lying", "standing")]
    answer = run("learn", "predict", place, *images, "--json").json
    assert [one["class"] for one in answer] == ["lying", "standing"]
    assert "standing" in run("learn", "predict", place, *images).out
    assert run("learn", "new", place, *folders).code == 2
    assert made["locked"] is False
    assert run("learn", "run", tmp_path / "none").code == 2


def test_the_commands_lock(tmp_path, folders):
    place, key = tmp_path / "f", tmp_path / "key"
    make_key_file(key)
    assert run("learn", "new", place, *folders, "--key-file", key, "--json").json["locked"] is True
    refused = run("learn", "run", place)
    assert refused.code == 2
    assert "passphrase" in refused.err
    assert run("learn", "run", place, "--rounds", 1, "--key-file", key, "--json").json["rounds"] == 1
    assert run("learn", "status", place, "--json").json["rounds"] == 1
