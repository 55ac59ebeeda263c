"""A matcher on another machine: `blindsight.core.matching.Matcher` over HTTP."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from blindsight.core.errors import MalformedError, NotFoundError, RefusedError, UnavailableError, UsageError
from blindsight.core.matching import Answer, Block, Changes, GalleryInfo, GallerySpec, Wire
from blindsight.core.types import U8
from blindsight.wire import framing, messages, problem
from blindsight.wire.hosts import is_loopback

_RETRIES: Final = (0.1, 0.4)
"""Seconds before each further try of a request that is safe to repeat."""

_FETCH_AT_ONCE: Final = 1024
_MAX_MESSAGE: Final = 64 << 20
_MAX_ANSWER: Final = 2 << 30


class RemoteMatcher:
    """Talks to the server at ``url`` with a bearer token. Safe to call from several threads.

    Args:
        url: ``https://host:port``; plain http only to this machine, or where
            ``allow_insecure_http`` says that the token may be read on the way.
        token: as the server's token file has it.
        ca_file: the certificates to trust (PEM) instead of the system's.
        timeout: seconds without a byte after which the server counts as gone.

    ``sent_bytes`` and ``received_bytes`` count the bodies that went over the wire.

    Proxies and credentials of the environment are not used, and redirects not followed.
    Requests that are safe to repeat are tried three times where the connection fails.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ca_file: str | Path | None = None,
        timeout: float = 60.0,
        allow_insecure_http: bool = False,
    ) -> None:
        base = _checked_url(url, allow_insecure_http)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise UsageError(
                "The token is a line of visible characters; copy it from the server's token file."
            )
        self._http = httpx.Client(
            base_url=base,
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            verify=_trust(ca_file) if base.scheme == "https" else True,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=5.0),
            follow_redirects=False,
            trust_env=False,
        )
        self.url = str(base)
        self.sent_bytes = 0
        self.received_bytes = 0

    def __repr__(self) -> str:
        return f"RemoteMatcher({self.url!r})"

    def close(self) -> None:
        self._http.close()

    def health(self) -> str:
        """The server's version; raises where it does not answer."""
        with self._sent("GET", "/health", safe=True) as response:
            body = _whole(response, "application/json")
        return body.decode("utf-8", "replace")[:200]

    # -- galleries -------------------------------------------------------------------------

    def create(self, spec: GallerySpec) -> GalleryInfo:
        return messages.decode_info(
            self.call("POST", "/v1/galleries", messages.encode_spec(spec), safe=False)
        )

    def galleries(self) -> list[GalleryInfo]:
        return messages.decode_infos(self.call("GET", "/v1/galleries"))

    def info(self, gallery_id: str) -> GalleryInfo:
        return messages.decode_info(self.call("GET", _path(gallery_id)))

    def delete(self, gallery_id: str) -> None:
        with self._sent("DELETE", _path(gallery_id), safe=False):
            pass

    def activate(self, gallery_id: str, replacing: str, revision: int) -> GalleryInfo:
        body = messages.encode_activate(replacing, revision)
        return messages.decode_info(self.call("POST", _path(gallery_id) + "/activate", body, safe=False))

    # -- blocks ----------------------------------------------------------------------------

    def commit(self, gallery_id: str, blocks: Sequence[Block]) -> int:
        """One request, as large as the blocks are; the server says how large it may be."""
        body = messages.encode_commit(blocks)
        return messages.decode_revision(self.call("POST", _path(gallery_id) + "/blocks", body))

    def changes(self, gallery_id: str, since: int) -> Changes:
        return messages.decode_changes(self.call("GET", f"{_path(gallery_id)}/changes?since={int(since)}"))

    def fetch(self, gallery_id: str, block_ids: Iterable[int]) -> Iterator[Block]:
        """Blocks as they arrive. An iterator that is left early closes its connection."""
        wanted = [int(block_id) for block_id in block_ids]
        path = _path(gallery_id) + "/fetch"
        for first in range(0, len(wanted), _FETCH_AT_ONCE):
            part = wanted[first : first + _FETCH_AT_ONCE]
            with self._sent("POST", path, messages.encode_fetch(part), safe=True) as response:
                expected = iter(part)
                for payload in _payloads(response):
                    block = messages.decode_block(payload)
                    if block.block_id != next(expected, None):
                        raise MalformedError("The server sent another block than the one asked for.")
                    yield block
                if next(expected, None) is not None:
                    raise MalformedError("The server sent fewer blocks than were asked for.")

    def search(self, gallery_id: str, key_id: str, params_id: str, probes: U8) -> Answer:
        body = messages.encode_search(key_id, params_id, probes)
        with self._sent("POST", _path(gallery_id) + "/search", body, safe=True) as response:
            payloads = _payloads(response)
            header = messages.decode_header(next(payloads, b""))
            if header.count != len(probes) or header.data_bytes > _MAX_ANSWER:
                raise MalformedError("The server's answer announces an absurd size.")
            data, filled = np.empty(header.data_bytes, dtype=np.uint8), 0
            for payload in payloads:
                if filled + len(payload) > len(data):
                    raise MalformedError("The server's answer is longer than it announced.")
                data[filled : filled + len(payload)] = np.frombuffer(payload, dtype=np.uint8)
                filled += len(payload)
            if filled < len(data):
                raise MalformedError("The server's answer is shorter than it announced.")
        ids, scores = messages.split_answer(header, data)
        return Answer(header.revision, ids, scores, header.server_ms)

    def compare(self, params: Wire, one: bytes, other: bytes) -> bytes:
        """The protected distance of two protected vectors; see `blindsight.trusted.pairs`."""
        return messages.decode_compared(
            self.call("POST", "/v1/compare", messages.encode_pair(params, one, other))
        )

    # -- plumbing --------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: bytes | None = None, *, safe: bool = True, answers: bool = True
    ) -> bytes:
        """One request and its whole answer, where it ``answers`` with one; ``safe`` to repeat or not."""
        if not answers:
            with self._sent(method, path, body, safe=safe):
                return b""
        with self._sent(method, path, body, safe=safe) as response:
            return _whole(response, messages.MEDIA_TYPE)

    @contextmanager
    def _sent(
        self, method: str, path: str, body: bytes | None = None, *, safe: bool
    ) -> Iterator[httpx.Response]:
        """A successful response whose body has not been read; ``safe`` to repeat or not."""
        headers = {"Content-Type": messages.MEDIA_TYPE} if body is not None else {}
        request = self._http.build_request(method, path, content=body, headers=headers)
        response = self._answered(request, _RETRIES if safe else ())
        try:
            if not response.is_success:
                media_type, told = _media_type(response), bytearray()
                for chunk in _chunks(response):
                    told += chunk
                    if len(told) > problem.MAX_BYTES:
                        break
                raise problem.decode(response.status_code, media_type, bytes(told))
            yield response
        finally:
            response.close()
            self.sent_bytes += len(body or b"")
            self.received_bytes += response.num_bytes_downloaded

    def _answered(self, request: httpx.Request, pauses: Sequence[float]) -> httpx.Response:
        for pause in (*pauses, None):
            try:
                return self._http.send(request, stream=True)
            except httpx.TimeoutException:
                raise UnavailableError(f"The server at {self.url} does not answer in time.") from None
            except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
                if (reason := _tls_reason(error)) is not None:
                    raise UnavailableError(f"No secure connection to {self.url}: {reason}.") from None
                if pause is None:
                    raise UnavailableError(
                        f"The server at {self.url} cannot be reached or went away; is it running?"
                    ) from None
                time.sleep(pause)
            except httpx.HTTPError:
                raise UnavailableError(f"The request to {self.url} failed.") from None
        raise AssertionError("the last try returns or raises")


def _path(gallery_id: str) -> str:
    if not messages.GALLERY_ID.fullmatch(gallery_id):
        raise NotFoundError("The server has no such gallery.")
    return f"/v1/galleries/{gallery_id}"


def _media_type(response: httpx.Response) -> str:
    value: str = response.headers.get("content-type", "")
    return value.partition(";")[0].strip().lower()


def _expect(response: httpx.Response, media_type: str) -> None:
    if _media_type(response) != media_type or "content-encoding" in response.headers:
        raise MalformedError("The server's answer has the wrong content type; is it a Blindsight server?")


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_raw()
    except httpx.TimeoutException:
        raise UnavailableError("The server's answer stopped in the middle and nothing more came.") from None
    except httpx.HTTPError:
        raise UnavailableError("The server's answer stopped in the middle; try again.") from None


def _whole(response: httpx.Response, media_type: str) -> bytes:
    _expect(response, media_type)
    body = bytearray()
    for chunk in _chunks(response):
        body += chunk
        if len(body) > _MAX_MESSAGE:
            raise MalformedError("The server's answer is absurdly long.")
    return bytes(body)


def _payloads(response: httpx.Response) -> Iterator[bytes]:
    _expect(response, framing.MEDIA_TYPE)
    return framing.payloads(_chunks(response), _MAX_MESSAGE)


def _checked_url(url: str, allow_insecure_http: bool) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise UsageError("That is not a URL; it looks like https://host:port.") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo or parsed.query:
        raise UsageError("A server's URL looks like https://host:port, with nothing more.")
    if parsed.scheme == "http" and not is_loopback(parsed.host) and not allow_insecure_http:
        raise RefusedError(
            "Over plain http everybody on the way can read the token; use https, or allow_insecure_http."
        )
    return parsed


def _trust(ca_file: str | Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=os.fspath(ca_file))
    except (OSError, ssl.SSLError):
        raise UsageError(f"{ca_file} is not a readable file of PEM certificates.") from None


def _tls_reason(error: BaseException | None) -> str | None:
    """Why the TLS handshake failed, or None where it was something else."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({error.verify_message})"
        if isinstance(error, ssl.SSLError):
            return "the TLS handshake failed; does this port speak https?"
        error = error.__cause__ or error.__context__
    return None
