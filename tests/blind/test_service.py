"""The HTTP service: who gets in, what it says, what it survives."""

from __future__ import annotations

import random
import re
import signal
import socket
import stat
import threading
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest

from blindsight.core.errors import TooLargeError, UsageError
from blindsight.core.matching import Block
from blindsight.schemes.clear.params import Params
from blindsight.wire import messages, problem
from servers import KEY_ID, PARAMS, block, server, serving_code, spawn, spec, unit_probe

LIMIT = 300_000

ROUTES = {
    ("/health", "get"),
    ("/metrics", "get"),
    ("/v1/galleries", "get"),
    ("/v1/galleries", "post"),
    ("/v1/galleries/{gallery_id}", "get"),
    ("/v1/galleries/{gallery_id}", "delete"),
    ("/v1/galleries/{gallery_id}/activate", "post"),
    ("/v1/galleries/{gallery_id}/blocks", "post"),
    ("/v1/galleries/{gallery_id}/changes", "get"),
    ("/v1/galleries/{gallery_id}/fetch", "post"),
    ("/v1/galleries/{gallery_id}/search", "post"),
    ("/v1/compare", "post"),
}

# Runs in the server's process: every search takes a while.
SLOW = """
import time
from blindsight.schemes.clear.compute import ClearEngine
quick = ClearEngine.match
def match(*args):
    time.sleep(1.5)
    return quick(*args)
ClearEngine.match = match
"""

# Runs in the server's process: something fails in a way that nobody thought of.
BUG = """
from blindsight.schemes.clear.compute import ClearEngine
def match(*args):
    raise ZeroDivisionError("a secret")
ClearEngine.match = match
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with server(tmp_path_factory.mktemp("service") / "data", max_body=LIMIT) as found:
        yield found


@pytest.fixture(scope="module")
def raw(running):
    headers = {"Authorization": f"Bearer {running.token}", "Content-Type": messages.MEDIA_TYPE}
    with httpx.Client(base_url=running.url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def gallery_id(running):
    client = running.client()
    made = client.create(spec()).gallery_id
    client.commit(made, [block(0), block(1)])
    client.close()
    return made


def told(response, status, code):
    """Check a problem document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == problem.MEDIA_TYPE
    found = response.json()
    assert set(found) == {"type", "title", "status", "detail"}
    assert (found["type"], found["status"]) == (f"urn:blindsight:error:{code}", status)
    assert found["detail"].endswith(".")
    return found["detail"]


def test_only_health_is_open_and_says_only_its_version(running):
    answer = httpx.get(running.url + "/health")
    assert answer.status_code == 200
    assert set(answer.json()) == {"version"}
    assert "server" not in answer.headers
    for path, method in [
        *sorted(ROUTES - {("/health", "get")}),
        ("/v1/openapi.json", "get"),
        ("/nothing", "get"),
    ]:
        for authorization in (
            None,
            "",
            "Bearer",
            "Bearer x",
            f"Basic {running.token}",
            f"Bearer {running.token}x",
        ):
            headers = {} if authorization is None else {"Authorization": authorization}
            refused = httpx.request(method, running.url + path, headers=headers)
            told(refused, 401, "unauthorized")
            assert refused.headers["www-authenticate"] == "Bearer"
    twice = [("Authorization", f"Bearer {running.token}"), ("Authorization", "Bearer x")]
    told(httpx.get(running.url + "/v1/galleries", headers=twice), 401, "unauthorized")
    assert httpx.get(running.url + "/v1/galleries", headers=twice[:1]).status_code == 200


def test_openapi_lists_every_route(raw):
    document = raw.get("/v1/openapi.json").json()
    found = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert found == ROUTES


def test_metrics_name_no_gallery(raw, gallery_id):
    raw.get(f"/v1/galleries/{gallery_id}")
    text = raw.get("/metrics").text
    assert 'blindsight_galleries{state="active"} 1.0' in text
    assert 'route="/v1/galleries/{gallery_id}"' in text
    assert gallery_id not in text
    assert "people" not in text


def test_the_frameworks_own_errors_are_problems_too(raw, gallery_id):
    told(raw.get("/nothing"), 404, "not-found")
    told(raw.put("/v1/galleries"), 405, "usage")
    told(raw.get(f"/v1/galleries/{gallery_id}/changes?since=x"), 422, "malformed")
    told(raw.get(f"/v1/galleries/{gallery_id}/changes?since=-1"), 422, "malformed")
    told(raw.get(f"/v1/galleries/{gallery_id}/changes?since={1 << 63}"), 422, "malformed")
    told(
        raw.post("/v1/galleries", content=b"{}", headers={"Content-Type": "application/json"}),
        415,
        "malformed",
    )
    told(raw.post("/v1/galleries", content=messages.encode_spec(spec())), 409, "duplicate")


@pytest.mark.parametrize(
    "gallery_id",
    [
        "..",
        "../..",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "x" * 5000,
        "0" * 32,
        "%00",
        "catalog.sqlite",
        "'; DROP TABLE galleries",
    ],
)
def test_no_gallery_id_reaches_a_file(raw, gallery_id):
    for path in (f"/v1/galleries/{gallery_id}", f"/v1/galleries/{gallery_id}/changes"):
        answer = raw.get(path)
        assert answer.status_code in {401, 404}
        assert answer.headers["content-type"] == problem.MEDIA_TYPE
    assert raw.delete(f"/v1/galleries/{gallery_id}").status_code in {404, 405}
    assert raw.get("/v1/galleries").status_code == 200


def test_names_are_no_paths(raw):
    for name in ("../evil", "a/b", "/etc/passwd", "a\x00b", "A", "", "x" * 65):
        told(raw.post("/v1/galleries", content=messages.encode_spec(spec(name))), 400, "malformed")


def test_bodies_over_the_limit(raw, running, gallery_id):
    path = f"/v1/galleries/{gallery_id}/blocks"
    detail = told(raw.post(path, content=bytes(LIMIT + 1)), 413, "too-large")
    assert str(LIMIT) in detail

    def endless():
        for _ in range(40):
            yield bytes(LIMIT // 20)

    told(raw.post(path, content=endless()), 413, "too-large")
    told(raw.post(path, content=bytes(LIMIT)), 400, "malformed")
    client = running.client()
    with pytest.raises(TooLargeError):
        client.commit(gallery_id, [Block(9, 1, b"", np.zeros(LIMIT, np.uint8), b"")])
    assert client.info(gallery_id).revision == 1
    client.close()


def test_a_lie_about_the_length_is_not_waited_for(running):
    address = httpx.URL(running.url)
    request = (
        f"POST /v1/galleries HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.token}\r\n"
        f"Content-Type: {messages.MEDIA_TYPE}\r\nContent-Length: "
    )
    for length in ("-1", "1e3", "9" * 30, "x"):
        with socket.create_connection((address.host, address.port), timeout=20) as connection:
            connection.sendall(request.encode() + length.encode() + b"\r\n\r\n")
            assert re.match(rb"HTTP/1.1 4\d\d ", connection.recv(100))


def test_malformed_requests_are_never_a_server_error(raw, gallery_id):
    dice = random.Random(1)
    base = f"/v1/galleries/{gallery_id}"
    valid = {
        "/v1/galleries": messages.encode_spec(spec("another")),
        base + "/activate": messages.encode_activate("0" * 32, 0),
        base + "/blocks": messages.encode_commit([block(0)]),
        base + "/fetch": messages.encode_fetch([0, 1]),
        base + "/search": messages.encode_search(KEY_ID, PARAMS.params_id, unit_probe()),
    }
    statuses = set()
    for _ in range(600):
        path, data = dice.choice(list(valid.items()))
        bad = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            kind, at = dice.randrange(4), dice.randrange(min(len(bad), 150) or 1)
            if kind == 0:
                bad[at : at + 1] = bytes([dice.randrange(256)])
            elif kind == 1:
                del bad[at:]
            elif kind == 2:
                bad[at:at] = dice.randbytes(dice.randint(1, 9))
            else:
                bad = bytearray(dice.randbytes(dice.randint(0, 60)))
        answer = raw.post(path, content=bytes(bad))
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (path, bytes(bad)[:200])
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == problem.MEDIA_TYPE
    assert 400 in statuses
    assert raw.get("/health").status_code == 200


def test_a_bug_is_a_problem_without_its_secrets(tmp_path):
    with server(tmp_path, before=BUG) as running:
        client = running.client()
        gallery_id = client.create(spec()).gallery_id
        client.commit(gallery_id, [block(0)])
        client.close()
        asked = messages.encode_search(KEY_ID, PARAMS.params_id, unit_probe())
        headers = {"Authorization": f"Bearer {running.token}", "Content-Type": messages.MEDIA_TYPE}
        answer = httpx.post(f"{running.url}/v1/galleries/{gallery_id}/search", content=asked, headers=headers)
        told(answer, 500, "protocol")
        assert "secret" not in answer.text
        assert "Zero" not in answer.text
        assert running.stop() == 0
        said = running.process.stdout.read() + running.process.stderr.read()
    assert "ZeroDivisionError" in said
    for hidden in ("a secret", running.token, gallery_id, "Traceback"):
        assert hidden not in said


def test_health_answers_during_searches_and_stopping_waits_for_them(tmp_path):
    with server(tmp_path, before=SLOW) as running:
        client = running.client()
        gallery_id = client.create(spec()).gallery_id
        client.commit(gallery_id, [block(0)])
        answers = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(
                    client.search(gallery_id, KEY_ID, PARAMS.params_id, unit_probe())
                )
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        started = time.monotonic()
        assert client.health()
        assert client.changes(gallery_id, 0).revision == 1
        assert time.monotonic() - started < 0.8
        assert not answers
        assert running.stop() == 0
        for thread in threads:
            thread.join()
        assert len(answers) == 2
        client.close()


# -- starting ------------------------------------------------------------------------------


def refused(folder, **options):
    """What a server says that does not start."""
    process = spawn(serving_code(folder, **options))
    said, complaint = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Traceback" not in complaint
    assert "listening" not in said
    return complaint


def test_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused(tmp_path, port=port).startswith(
            f"usage: Cannot listen on 127.0.0.1, port {port}: Address"
        )
    assert refused(tmp_path, port=70000).startswith("usage: A port")


def test_an_open_address_needs_tls(tmp_path):
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        assert refused(tmp_path, host=host).startswith("refused: On")
    assert "TLS needs both" in refused(tmp_path, tls_cert="x")
    assert "not a PEM certificate" in refused(tmp_path, tls_cert="x", tls_key="y")
    with server(tmp_path, host="0.0.0.0", allow_insecure_http=True) as running:
        assert httpx.get(running.url.replace("0.0.0.0", "127.0.0.1") + "/health").status_code == 200


def test_a_second_server_on_the_same_folder(tmp_path):
    with server(tmp_path):
        assert refused(tmp_path).startswith("usage: Another process")


def test_the_token_is_made_once_and_is_nobody_elses(tmp_path):
    folder = tmp_path / "data"
    with server(folder) as running:
        first = running.token
        assert len(first) >= 40
        assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(20) == 0
    with server(folder) as running:
        assert running.token == first
    (folder / "token").chmod(0o644)
    assert "chmod 600" in refused(folder)
    (folder / "token").chmod(0o600)
    (folder / "token").write_text("short\n")
    assert "16 or more" in refused(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("a token that has blanks in it\n")
    elsewhere.chmod(0o600)
    assert "16 or more" in refused(folder, token_file=str(elsewhere))
    elsewhere.write_text("chosen-by-the-administrator\n")
    with server(folder, token_file=str(elsewhere)) as running:
        client = running.client()
        assert client.galleries() == []
        client.close()


def test_the_server_refuses_clear_unless_told(tmp_path):
    with server(tmp_path, allow_insecure_clear=False) as running:
        headers = {"Authorization": f"Bearer {running.token}", "Content-Type": messages.MEDIA_TYPE}
        answer = httpx.post(
            f"{running.url}/v1/galleries", content=messages.encode_spec(spec()), headers=headers
        )
        assert "insecure" in told(answer, 403, "refused")
        answer = httpx.post(
            f"{running.url}/v1/galleries", content=messages.encode_spec(spec(scheme="rot13")), headers=headers
        )
        told(answer, 400, "usage")


def test_bad_parameters_are_the_clients_fault(raw, running):
    client = running.client()
    with pytest.raises(UsageError):
        client.create(replace(spec("wide"), params={"width": 3, "rows": 1}))
    with pytest.raises(TooLargeError):
        client.create(spec("wide", Params(4100, 4096)))
    client.close()
