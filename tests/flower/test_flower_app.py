"""The Flower strategy and mod: over a grid in memory, and for real with a SuperLink and SuperNodes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr", reason="the extra flower is not installed")

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict

import blindsight
from blindsight.core.errors import BlindsightError, MalformedError, UsageError
from blindsight.flower.client import private_sum
from blindsight.flower.records import RECORD, record
from blindsight.flower.strategy import PrivateSum
from blindsight.trusted.federation import SCHEMES, found, user_file

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
        self.alter = lambda reply: reply

    def add(self, node, config):
        self.nodes[node] = Context(
            run_id=1, node_id=node, node_config=config, state=RecordDict(), run_config={}
        )

    def get_node_ids(self):
        return [node for node in self.nodes if node not in self.dead]

    def send_and_receive(self, messages, *, timeout=None):
        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            if self.dies(node, message):
                self.dead.add(node)
            if node in self.dead:
                continue
            message.metadata.__dict__["_message_id"] = "x"
            try:
                reply = private_sum()(message, self.nodes[node], train)
            except BlindsightError as error:
                reply = Message(Error(code=0, reason=error.message), reply_to=message)
            self.seen.append(reply)
            replies.append(self.alter(reply))
        return replies


@pytest.fixture(autouse=True)
def _a_task(monkeypatch):
    """Flower's processes know which task they are; this one is all of them."""
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@pytest.fixture(params=SCHEMES)
def scheme(request):
    return request.param


@pytest.fixture
def set_up(tmp_path, scheme):
    found(tmp_path / "f", scheme, 12, USERS, 20, **OPTIONS.get(scheme, {}))
    strategy = PrivateSum(
        tmp_path / "f/aggregator/aggregator.state",
        fraction_evaluate=0.0,
        min_available_nodes=3,
        step_timeout=2,
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


def test_nothing_of_one_user_reaches_the_server(set_up):
    strategy, grid = set_up
    run(strategy, grid)
    for reply in grid.seen:
        assert not reply.content.array_records
        assert not reply.content.metric_records


@pytest.mark.parametrize("when", range(7))
def test_a_user_that_dies_costs_its_own_update_at_most(set_up, scheme, when):
    strategy, grid = set_up
    calls = 0

    def dies(node, message):
        nonlocal calls
        calls += node == 103
        return node == 103 and calls == when + 1

    grid.dies = dies
    models = run(strategy, grid, rounds=3)
    last = flat(models[-1])
    assert last[-1] in (2.0, 2.5) or scheme == "dphe"
    if 103 in grid.dead:
        assert len(models) == 4
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
@pytest.mark.skipif(not os.environ.get("BLINDSIGHT_FLOWER"), reason="minutes; BLINDSIGHT_FLOWER=1 runs it")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_superlink_and_supernodes_and_one_of_them_dies(tmp_path, scheme):
    """Processes on loopback; user 3's SuperNode is killed after the first round."""
    binaries = Path(sys.executable).parent
    state = tmp_path / "f"
    found(state, scheme, 12, USERS, 20, **OPTIONS.get(scheme, {}))
    shutil.copytree(APP, tmp_path / "app")
    port, home, out = free_port(), tmp_path / "home", tmp_path / "out.json"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "local"\n[superlink.local]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    environment = os.environ | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",  # Flower starts further programs by name
        "PYTHONPATH": str(Path(blindsight.__file__).parents[1]),
    }
    started = {}

    def start(name, *command):
        with (tmp_path / f"{name}.log").open("w") as log:
            started[name] = subprocess.Popen(
                [binaries / command[0], "--insecure", *map(str, command[1:])],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=tmp_path,
                start_new_session=True,
            )

    def node(name, config):
        link = ("--superlink", f"127.0.0.1:{port}", "--port", free_port())
        start(name, "flower-supernode", *link, "--node-config", config)

    try:
        start("link", "flower-superlink", "--port", port, "--disable-runtime-dependency-installation")
        until(lambda: reachable(port), 120)
        for user in range(USERS):
            node(f"node{user}", f'blindsight-state="{user_file(state, user)}" own={user + 1}.0')
        if scheme != "masking":
            node("holder", f'blindsight-keyholder="{state}/keyholder/keyholder.state"')
        config = f'state="{state}/aggregator/aggregator.state" out="{out}" rounds=3 timeout=60.0'
        subprocess.run(
            [binaries / "flwr", "run", tmp_path / "app", "local", "-c", config],
            env=environment,
            check=True,
            timeout=60,
            cwd=tmp_path,
        )
        until(lambda: len(models(out)) >= 2, 240)
        os.killpg(started["node3"].pid, signal.SIGKILL)
        until(out.with_suffix(".done").exists, 400)
        first, last = models(out)[1], models(out)[-1]
        assert max(first[0] + first[1]) == pytest.approx(2.5)
        if scheme != "dphe":
            assert last[1] == [2.0, 2.0]
        metrics = json.loads(out.with_suffix(".done").read_text())
        assert "secret-loss" not in str(metrics)
    finally:
        for process in started.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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
        time.sleep(0.5)
