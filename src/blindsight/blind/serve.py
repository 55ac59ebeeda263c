"""A server as a process: checks its arguments, binds, serves, stops in order."""

from __future__ import annotations

import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from blindsight.blind import service, token
from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import RefusedError, UsageError
from blindsight.wire.hosts import is_loopback
from blindsight.wire.listener import bound

_GRACE_SECONDS: Final = 20


def _announce(url: str) -> None:
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()


def serve(
    folder: str | Path,
    host: str = "127.0.0.1",
    port: int = 8420,
    *,
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
    token_file: str | Path | None = None,
    max_body: int = service.DEFAULT_MAX_BODY,
    allow_insecure_clear: bool = False,
    allow_insecure_http: bool = False,
    ready: Callable[[str], None] = _announce,
) -> None:
    """Serve the galleries in ``folder`` until SIGTERM or SIGINT, then finish what is under way.

    Args:
        host: an address of this machine. Any but a loopback one needs TLS, or
            ``allow_insecure_http``.
        port: 0 takes a free one.
        tls_cert: PEM, the chain. tls_key: PEM, its key, without passphrase.
        token_file: ``folder/token`` where not given; made where there is none.
        max_body: largest request in bytes.
        ready: called with the URL once connections are accepted; the default prints
            ``listening on <url>``.

    Raises `UsageError` for a port in use, a folder in use and files that cannot be used,
    `RefusedError` for an address that would be unprotected.
    """
    require_protected(host, tls_cert, tls_key, allow_insecure_http)
    matcher = LocalMatcher(folder, allow_insecure_clear=allow_insecure_clear)
    try:
        check = token.load_or_make(Path(token_file) if token_file else Path(folder) / "token")
        threading.Thread(target=matcher.warm, name="warm", daemon=True).start()
        run(service.create_app(matcher, check, max_body), host, port, tls_cert, tls_key, ready)
    finally:
        matcher.close()


def require_protected(
    host: str, tls_cert: str | Path | None, tls_key: str | Path | None, allow_insecure_http: bool
) -> None:
    """Raise `RefusedError` for an address that would be unprotected, `UsageError` for bad TLS files."""
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("TLS needs both a certificate and its key.")
    if tls_cert is None and not allow_insecure_http and not is_loopback(host):
        raise RefusedError(
            f"On {host} without TLS everybody on the way can read the token; give certificate and key, or "
            "allow_insecure_http."
        )
    if tls_cert is not None and tls_key is not None:
        _check_pair(Path(tls_cert), Path(tls_key))


def run(
    app: FastAPI,
    host: str,
    port: int,
    tls_cert: str | Path | None,
    tls_key: str | Path | None,
    ready: Callable[[str], None],
) -> None:
    """Serve an application until SIGTERM or SIGINT, then finish what is under way."""
    with _bound(host, port) as listener:
        scheme = "https" if tls_cert else "http"
        shown = f"[{host}]" if ":" in host else host
        url = f"{scheme}://{shown}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_certfile=tls_cert,
            ssl_keyfile=None if tls_key is None else str(tls_key),
        )
        _outlive_signals()
        _Server(config, lambda: ready(url)).run([listener])


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _outlive_signals() -> None:
    """Have uvicorn, which sends itself the signal again after stopping, come back to us."""

    def stopped(signum: int, frame: FrameType | None) -> None:
        pass

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stopped)
        signal.signal(signal.SIGINT, stopped)


def _bound(host: str, port: int) -> socket.socket:
    listener = bound(host, port)
    # Handed on to every connection; without it each answer in two writes waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _check_pair(cert: Path, key: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError):
        raise UsageError(
            f"{cert} and {key} are not a PEM certificate and its key without passphrase."
        ) from None
