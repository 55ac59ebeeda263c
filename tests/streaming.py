"""Cameras on the loopback: MPEG-TS over HTTP, and over RTSP with RTP in the same connection."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

Send = Callable[[bytes], None]
Play = Callable[[int, Send], None]
"""What a camera does on its n-th connection: send pieces of MPEG-TS, wait, return to hang up."""


@contextmanager
def listening(serve: Callable[[socket.socket, int], None]) -> Iterator[tuple[int, list[float]]]:
    """A server on a free port; yields it and the times at which connections came."""
    came: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    came.append(time.monotonic())
                    threading.Thread(target=attend, args=(peer, len(came) - 1), daemon=True).start()

        def attend(peer: socket.socket, number: int) -> None:
            with peer, suppress(OSError):
                serve(peer, number)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came


def request(peer: socket.socket) -> str:
    """One HTTP or RTSP request's head."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = peer.recv(1)
        if not piece:
            raise OSError
        data += piece
    return data.decode()


@contextmanager
def http_camera(play: Play, status: str = "200 OK") -> Iterator[tuple[str, list[float]]]:
    def serve(peer: socket.socket, number: int) -> None:
        request(peer)
        peer.sendall(f"HTTP/1.1 {status}\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n".encode())
        if status.startswith("200"):
            play(number, peer.sendall)

    with listening(serve) as (port, came):
        yield f"http://127.0.0.1:{port}/live.ts", came


@contextmanager
def rtsp_camera(play: Play) -> Iterator[tuple[str, list[float]]]:
    """As RFC 2326 and, for MPEG-TS in RTP, RFC 2250 have it."""

    def serve(peer: socket.socket, number: int) -> None:
        while True:
            head = request(peer)
            method = head.split(" ", 1)[0]
            sequence = next(line for line in head.split("\r\n") if line.lower().startswith("cseq"))
            extra, body = "Session: 1\r\n", ""
            if method == "OPTIONS":
                extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n"
                extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                extra += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            peer.sendall(f"RTSP/1.0 200 OK\r\n{sequence}\r\n{extra}\r\n{body}".encode())
            if method == "PLAY":
                play(number, rtp(peer))
                return

    with listening(serve) as (port, came):
        yield f"rtsp://127.0.0.1:{port}/live", came


def rtp(peer: socket.socket) -> Send:
    """Packs MPEG-TS, seven packets of 188 bytes at a time."""
    count = 0

    def send(data: bytes) -> None:
        nonlocal count
        for at in range(0, len(data), 7 * 188):
            stamp = int(time.monotonic() * 90_000) & 0xFFFFFFFF
            packet = struct.pack(">BBHII", 0x80, 33, count & 0xFFFF, stamp, 1) + data[at : at + 7 * 188]
            peer.sendall(struct.pack(">BBH", 0x24, 0, len(packet)) + packet)
            count += 1

    return send


def paced(data: bytes, seconds: float, pieces: int = 40) -> Iterable[bytes]:
    """MPEG-TS in pieces of whole packets, spread over a time."""
    packets = len(data) // 188
    start = time.monotonic()
    for number in range(pieces):
        first, last = (188 * (packets * n // pieces) for n in (number, number + 1))
        yield data[first:last]
        time.sleep(max(0.0, start + seconds * (number + 1) / pieces - time.monotonic()))
