"""The Flower strategy and mod: over a grid in memory, and for real with a SuperLink and SuperNodes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr", reason="the extra flower is not installed")

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict

import blindsight
from blindsight.core.errors import BlindsightError, MalformedError, UnavailableError, UsageError
from blindsight.flower.client import private_sum
from blindsight.flower.records import RECORD, record
from blindsight.flower.strategy import PrivateSum
from blindsight.trusted.contributor import Contributor
from blindsight.trusted.federation import SCHEMES, found, user_file
from blindsight.trusted.sealing import Unlock, make_key_file

APP = Path(__file__).parent / "app"
USERS = 4
START = (np.zeros((5, 2)), np.zeros(2, np.float32))
OPTIONS = {"paillier": {"modulus_bits": 2048}, "dphe": {"modulus_bits": 2048}}


def train(message, context):
    """Add this user's number to the first array; the second becomes it."""
    weights, bias = message.content["arrays"].to_numpy_ndarrays()
    own = float(context.node_config["own"])
    arrays = ArrayRecord([weights + own * np.arange(10).reshape(5, 2) / 4, np.full_like(bias, own)])
    metrics = MetricRecord({"num-examples": 1, "secret-loss": own})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


class Grid:
    """Nodes in this process; ``dead`` ones do not answer."""

    def __init__(self, folder, scheme):
        self.nodes = {}
        for user in range(USERS):
            self.add(100 + user, {"blindsight-state": str(user_file(folder, user)), "own": user + 1.0})
        if scheme != "masking":
            self.add(200, {"blindsight-keyholder": str(folder / "keyholder" / "keyholder.state")})
        self.dead = set()
        self.dies = lambda node, message: False
        self.seen = []
        self.answers = {}
        self.alter = lambda reply: reply

    def add(self, node, config):
        self.nodes[node] = Context(
            run_id=1, node_id=node, node_config=config, state=RecordDict(), run_config={}
        )

    def get_node_ids(self):
        return [node for node in self.nodes if node not in self.dead]

    def send_and_receive(self, messages, *, timeout=None):
        return self.pull_messages(self.push_messages(messages))

    def push_messages(self, messages):
        messages = list(messages)
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"{len(self.answers)}"
            self.answers[message.metadata.message_id] = self.answer(message)
        return [message.metadata.message_id for message in messages]

    def pull_messages(self, message_ids):
        return [self.answers.pop(one) for one in list(message_ids) if self.answers.get(one)]

    def answer(self, message):
        """The node's reply; none of one that is dead."""
        node = message.metadata.dst_node_id
        if self.dies(node, message):
            self.dead.add(node)
        if node in self.dead:
            return None
        try:
            reply = private_sum()(message, self.nodes[node], train)
        except BlindsightError as error:
            reply = Message(Error(code=0, reason=error.message), reply_to=message)
        self.seen.append(reply)
        return self.alter(reply)


@pytest.fixture(autouse=True)
def _a_task(monkeypatch):
    """Flower's processes know which task they are; this one is all of them."""
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@pytest.fixture(params=SCHEMES)
def scheme(request):
    return request.param


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """A new federation, its keys made once for all tests."""
    folder = tmp_path_factory.mktemp("founded")
    for name in SCHEMES:
        found(folder / name, name, 12, USERS, 20, **OPTIONS.get(name, {}))
    return folder


@pytest.fixture
def set_up(tmp_path, founded, scheme):
    shutil.copytree(founded / scheme, tmp_path / "f")
    strategy = PrivateSum(
        tmp_path / "f/aggregator/aggregator.state",
        fraction_evaluate=0.0,
        min_available_nodes=3,
        step_timeout=0.3,
    )
    return strategy, Grid(tmp_path / "f", scheme)


def run(strategy, grid, rounds=2):
    models = []
    strategy.start(
        grid,
        ArrayRecord(list(START)),
        num_rounds=rounds,
        evaluate_fn=lambda number, arrays: models.append(arrays.to_numpy_ndarrays()),
    )
    return models


def flat(model):
    return np.concatenate([part.reshape(-1) for part in model])


def test_the_mean_of_all_users_comes_out(set_up, scheme):
    models = run(*set_up)
    for number in (1, 2):
        wanted = np.concatenate([2.5 * number * np.arange(10) / 4, [2.5, 2.5]])
        got = flat(models[number])
        np.testing.assert_allclose(np.sort(got) if scheme == "dphe" else got,
                                   np.sort(wanted) if scheme == "dphe" else wanted)  # fmt: skip
        assert [part.dtype for part in models[number]] == [np.float64, np.float32]


def test_locked_files_open_with_the_nodes_key_file(tmp_path):
    key = tmp_path / "key"
    make_key_file(key)
    found(tmp_path / "f", "bfv", 12, USERS, 20, unlock=Unlock(key_file=key))
    grid = Grid(tmp_path / "f", "bfv")
    strategy = PrivateSum(tmp_path / "f/aggregator/aggregator.state", fraction_evaluate=0.0, step_timeout=0.3)
    with pytest.raises(UnavailableError):  # no node can say who it is
        strategy.configure_train(1, ArrayRecord(list(START)), ConfigRecord({}), grid)
    for context in grid.nodes.values():
        context.node_config["blindsight-key-file"] = str(key)
    assert flat(run(strategy, grid, rounds=1)[1])[-1] == 2.5


def test_nothing_of_one_user_reaches_the_server(set_up):
    strategy, grid = set_up
    run(strategy, grid, rounds=1)
    for reply in grid.seen:
        assert not reply.content.array_records
        assert not reply.content.metric_records


@pytest.mark.parametrize(
    ("scheme", "when"),
    [
        *(("masking", when) for when in range(7)),
        *((name, when) for name in ("bfv", "dphe") for when in range(3)),
    ],
    indirect=["scheme"],
)
def test_a_user_that_dies_costs_its_own_update_at_most(set_up, scheme, when):
    strategy, grid = set_up
    calls = 0

    def dies(node, message):
        nonlocal calls
        calls += node == 103
        return node == 103 and calls == when + 1

    grid.dies = dies
    models = run(strategy, grid)
    last = flat(models[-1])
    assert 103 in grid.dead
    assert len(models) == 3
    assert scheme == "dphe" or last[-1] == 2.0


def test_altered_messages_are_not_summed(set_up, scheme):
    strategy, grid = set_up

    def alter(reply):
        content = None if reply.has_error() else reply.content.config_records.get(RECORD)
        if content and "body" in content and content["user"] == 1:
            content["body"] = content["body"][:-1]
        return reply

    grid.alter = alter
    models = run(strategy, grid, rounds=1)
    np.testing.assert_allclose(np.sort(flat(models[1]))[-1], 9 * 8 / 3 / 4, atol=1e-4)


def test_what_the_mod_refuses(set_up, tmp_path):
    _, grid = set_up
    context = grid.nodes[100]

    def ask(**fields):
        message = Message(record(**fields), dst_node_id=100, message_type="train")
        return private_sum()(message, context, train)

    for fields in ({}, {"kind": 5}, {"kind": "train"}):
        with pytest.raises(MalformedError):
            ask(**fields)
    with pytest.raises(UsageError, match="middle"):
        ask(kind="step")
    with pytest.raises(UsageError):
        ask(kind="other")
    with pytest.raises(UsageError, match="configuration"):
        ask(kind="open", round=1, total=b"")
    plain = Message(RecordDict({"c": ConfigRecord({})}), dst_node_id=100, message_type="train")
    assert private_sum()(plain, context, lambda m, c: "passed on") == "passed on"


# -- for real --------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.mark.slow
def test_superlink_and_supernodes_and_one_of_them_dies(tmp_path, founded):
    """Processes on loopback; two federations at once, as each waits most of the time."""
    with ThreadPoolExecutor() as pool:
        for running in [pool.submit(one_user_dies, founded, tmp_path, name) for name in ("masking", "bfv")]:
            running.result()


def one_user_dies(founded, folder, scheme):
    """User 3's SuperNode is killed in the middle of its first round.

    By then its ClientApp has trained and has put down that it answers this round. A sum comes out that is
    of the three others; not always in the first round, as on a busy machine others may be too slow.
    """
    folder = folder / scheme
    state, out = folder / "f", folder / "out.json"
    shutil.copytree(founded / scheme, state)
    shutil.copytree(APP, folder / "app")
    with Deployment(folder) as deployment:
        deployment.start_link()
        config = f'state="{state}/aggregator/aggregator.state" out="{out}" rounds=12 timeout=15.0'
        deployment.start("run", "flwr", "run", folder / "app", "local", "-c", config)
        for user in range(USERS):
            deployment.node(f"node{user}", f'blindsight-state="{user_file(state, user)}" own={2.0**user}')
        if scheme != "masking":
            deployment.node("holder", f'blindsight-keyholder="{state}/keyholder/keyholder.state"')
        until(lambda: Contributor(user_file(state, 3)).last == 1, 120)
        deployment.kill("node3")
        until(lambda: any(bias == pytest.approx([7 / 3] * 2) for _, bias in models(out)), 420)
    assert Contributor(user_file(state, 3)).last == 1


class Deployment:
    """A SuperLink and SuperNodes as processes, each with a log in the folder; all are killed at the end."""

    def __init__(self, folder):
        self.folder, self.binaries = folder, Path(sys.executable).parent
        self.port, self.started = free_port(), {}
        home = folder / "home"
        home.mkdir()
        (home / "config.toml").write_text(
            '[superlink]\ndefault = "local"\n[superlink.local]\n'
            f'address = "127.0.0.1:{self.port}"\ninsecure = true\n'
        )
        self.environment = os.environ | {
            "FLWR_HOME": str(home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            # Flower starts further programs by name.
            "PATH": f"{self.binaries}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(blindsight.__file__).parents[1]),
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name, process in self.started.items():
            self.kill(name)
            process.wait()
        for left in self.leftovers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)

    def leftovers(self):
        """What Flower started in sessions of its own, which outlives the link."""
        wanted = f"FLWR_HOME={self.environment['FLWR_HOME']}".encode()
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (place / "environ").read_bytes().split(b"\0"):
                    yield int(place.name)

    def start(self, name, *command):
        with (self.folder / f"{name}.log").open("w") as log:
            self.started[name] = subprocess.Popen(
                [self.binaries / command[0], *map(str, command[1:])],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )

    def start_link(self):
        without = "--disable-runtime-dependency-installation"
        self.start("link", "flower-superlink", "--insecure", "--port", self.port, without)
        until(lambda: reachable(self.port), 120)

    def node(self, name, config):
        link = ("--superlink", f"127.0.0.1:{self.port}", "--port", free_port(), "--node-config", config)
        self.start(name, "flower-supernode", "--insecure", *link)

    def kill(self, name):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.started[name].pid, signal.SIGKILL)


def models(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return []


def reachable(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
