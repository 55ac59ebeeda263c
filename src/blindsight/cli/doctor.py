"""``blindsight doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import json
import os
import platform
import shutil
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.text import Text

from blindsight.cli.opening import Keys, token
from blindsight.cli.options import CaFile, Json, Server, TokenFile, VaultPath
from blindsight.cli.output import Output, clean, size, table
from blindsight.core.errors import BlindsightError

_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red"}
_FULL = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ``ok``, ``warn`` or ``fail``."""

    check: str
    status: str
    detail: str


def doctor(
    server: Server = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    vault: VaultPath = None,
    as_json: Json = False,
) -> None:
    """Check this installation: versions, processor, models, a self-test; and a server, if one is named.

    Exit code 2 if anything failed.
    """
    output = Output(as_json)
    checks: list[Callable[[], Iterator[Finding]]] = [
        _versions,
        _packages,
        _processor,
        _models,
        lambda: _disk(Keys(vault, None, None).path),
        _tls,
        _key_exchange,
        _self_test,
    ]
    if server is not None:
        checks.append(lambda: _server(server, token_file, ca_file))
    found = [finding for check in checks for finding in check()]
    failed = [one for one in found if one.status == "fail"]
    output.document({"ok": not failed, "checks": [asdict(one) for one in found]})
    shown = table("", "", "")
    shown.show_header = False
    for one in found:
        shown.add_row(Text(one.status, _STYLE[one.status]), one.check, clean(one.detail))
    output.show(shown)
    if failed:
        raise typer.Exit(2)


def _versions() -> Iterator[Finding]:
    from importlib.metadata import version

    python = platform.python_version()
    yield Finding(
        "python", "ok" if sys.version_info >= (3, 11) else "fail", f"{python}, {platform.machine()}"
    )
    yield Finding("blindsight", "ok", version("blindsight"))


def _packages() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    needed = {"numpy": "", "numba": "", "cryptography": ""}
    extras = {
        "dlib-bin": "face",
        "pillow": "face",
        "onnxruntime": "onnx",
        "onnx": "mtcnn",
        "av": "video",
        "uvicorn": "server",
        "fastapi": "server",
    }
    for package, extra in (needed | extras).items():
        try:
            yield Finding(package, "ok", version(package))
        except PackageNotFoundError:
            if package == "dlib-bin" and (built := _own_dlib()):
                yield Finding("dlib", "ok", built)
            elif extra:
                yield Finding(package, "warn", f'not installed: pip install "blindsight[{extra}]"')
            else:
                yield Finding(package, "fail", "not installed: pip install blindsight")


def _own_dlib() -> str:
    """The version of a dlib that was built from source, under its own name."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dlib")
    except PackageNotFoundError:
        return ""


def _processor() -> Iterator[Finding]:
    from llvmlite import binding

    from blindsight.kernels.threads import cores

    features = binding.get_host_cpu_features()
    vectors = [name for name in ("avx512f", "avx512vnni", "avx2", "neon", "sse4.2") if features.get(name)]
    detail = f"{binding.get_host_cpu_name()}, {', '.join(vectors) or 'no vector instructions'}"
    fast = any(name in vectors for name in ("avx512f", "avx2", "neon"))
    yield Finding("processor", "ok" if fast else "warn", detail + ("" if fast else "; searches will be slow"))
    asked = os.environ.get("BLINDSIGHT_THREADS")
    why = f"BLINDSIGHT_THREADS={asked}" if asked else "BLINDSIGHT_THREADS changes it"
    yield Finding("threads", "ok", f"{cores()} of {os.cpu_count()} cores ({why})")


def _models() -> Iterator[Finding]:
    from blindsight.vision.dlib_faces import PREDICTORS, RESNET, find_weights

    for name in (RESNET, *PREDICTORS.values()):
        try:
            path = find_weights(name)
            yield Finding("face model", "ok", f"{name} ({size(path.stat().st_size)})")
        except BlindsightError as error:
            yield Finding("face model", "warn", error.message)


def _disk(vault: Path) -> Iterator[Finding]:
    there = next(path for path in (vault, *vault.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    known = "" if vault.exists() else " (no vault yet: blindsight init)"
    status = "ok" if free > _FULL else "warn"
    yield Finding("vault", status, f"{vault}{known}, {size(free)} free on its disk")
    if vault.exists() and vault.stat().st_mode & 0o077:
        yield Finding("vault", "warn", f"others can read the file; chmod 600 {vault}")


def _tls() -> Iterator[Finding]:
    status = "ok" if ssl.HAS_TLSv1_3 else "warn"
    yield Finding("tls", status, f"{ssl.OPENSSL_VERSION}, TLS 1.3 {'yes' if ssl.HAS_TLSv1_3 else 'no'}")
    from cryptography.hazmat.backends.openssl.backend import backend

    yield Finding("cryptography", "ok", f"AES-GCM and Argon2id by {backend.openssl_version_text()}")


def _key_exchange() -> Iterator[Finding]:
    """Whether what is recorded on the links of parties today can be read by a quantum computer later."""
    from blindsight.wire.key_exchange import HYBRID, name_of, negotiated

    try:
        group = negotiated()
    except (BlindsightError, OSError) as error:
        said = error.message if isinstance(error, BlindsightError) else type(error).__name__
        yield Finding("post-quantum", "fail", f"links between parties: no handshake: {said}")
        return
    if group in HYBRID:
        yield Finding(
            "post-quantum", "ok", f"links between parties: yes, hybrid key exchange {name_of(group)}"
        )
        return
    why = (
        f"this Python's {ssl.OPENSSL_VERSION} has none, 3.5 has"
        if ssl.OPENSSL_VERSION_INFO < (3, 5)
        else f"the configuration of {ssl.OPENSSL_VERSION} leaves X25519MLKEM768 out"
    )
    yield Finding("post-quantum", "warn", f"links between parties: no, key exchange {name_of(group)}; {why}")


def _self_test() -> Iterator[Finding]:
    """Protect, match and reveal 1,000 random templates, beside the exact answer."""
    import numpy as np

    from blindsight.blind.engines import ENGINES
    from blindsight.core.secrets import Secret
    from blindsight.trusted.schemes import encoding_for, key_holder, params_for

    started = time.perf_counter()
    try:
        generator = np.random.default_rng()
        vectors = generator.standard_normal((1000, 128))
        wanted = generator.integers(0, 1000, 8)
        encoding = encoding_for(128, "cosine", 1.0, "approximate")
        templates = encoding.templates(vectors).values
        probes = encoding.probes(vectors[wanted] + 0.3 * generator.standard_normal((8, 128))).values
        wire = params_for("lattice", encoding, "approximate").wire()
        key = key_holder("lattice", wire, Secret.fresh())
        engine = ENGINES["lattice"]
        params = engine.params(wire)
        heads, bodies = key.protect_blocks(templates)
        sent, kept = key.protect_probes(probes)
        answer = engine.match(params, bodies, np.arange(len(heads)), sent)
        scores = key.reveal(kept, key.prepare(heads, key.hints(heads, bodies)), answer)[:, :1000]
        exact = probes.astype(np.int64) @ templates.astype(np.int64).T
        error = float((scores - exact).std()) * encoding.score_unit
        agree = int((scores.argmax(axis=1) == exact.argmax(axis=1)).sum())
        opened = np.array_equal(key.open_block(heads[0], bodies[0]), templates[:256])
        predicted = getattr(params, "noise", 0.0) * encoding.score_unit
        good = agree == len(wanted) and opened and error < 2 * predicted
        detail = (
            f"1,000 templates, {agree} of {len(wanted)} best matches as in the clear, noise {error:.1e} "
            f"({predicted:.1e} predicted), {time.perf_counter() - started:.1f} s"
        )
        yield Finding("lattice self-test", "ok" if good else "fail", detail)
    except Exception as error:  # Whatever breaks here is the finding.
        said = error.message if isinstance(error, BlindsightError) else type(error).__name__
        yield Finding("lattice self-test", "fail", said)


def _version(health: str) -> str:
    try:
        return str(json.loads(health)["version"])
    except (ValueError, KeyError, TypeError):
        return "unknown"


def _server(url: str, token_file: Path | None, ca_file: Path | None) -> Iterator[Finding]:
    from blindsight.wire.client import RemoteMatcher

    try:
        secret = token(token_file)
        client = RemoteMatcher(url, secret or "none", ca_file=ca_file, timeout=10.0)
        try:
            started = time.perf_counter()
            said = client.health()
            trip = (time.perf_counter() - started) * 1e3
            yield Finding("server", "ok", f"{url} answers in {trip:.0f} ms, version {_version(said)}")
            if secret is None:
                yield Finding("token", "warn", "not tried; give --token-file or BLINDSIGHT_TOKEN")
            else:
                yield Finding("token", "ok", f"accepted; galleries there: {len(client.galleries())}")
        finally:
            client.close()
    except BlindsightError as error:
        yield Finding("token" if error.code == "unauthorized" else "server", "fail", error.message)
