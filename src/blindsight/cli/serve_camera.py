"""``blindsight serve camera``: sees faces, has two parties compare them, and keeps nothing."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.options import Json, address
from blindsight.cli.output import Output, clean, fields, plural
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.trusted.camera import Camera
    from blindsight.trusted.recording import Recording

_FACES = "The faces"
_PARTIES = "The parties"
_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 10.0


class Footage(StrEnum):
    """What is kept at the parties."""

    none = "none"
    stills = "stills"
    segments = "segments"


def camera(
    source: Annotated[
        str, typer.Option(metavar="SOURCE", help="A video file, a folder of pictures, rtsp://…, or a device.")
    ],
    identity: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Its identity, of `blindsight keys new`.", rich_help_panel=_PARTIES),
    ],
    party0: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where party 0 listens.", rich_help_panel=_PARTIES)
    ],
    party1: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where party 1 listens.", rich_help_panel=_PARTIES)
    ],
    provider: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Who deals in its place.", rich_help_panel=_PARTIES),
    ] = None,
    embedder: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="dlib or onnx:<path>; the parties' list says which.", rich_help_panel=_FACES
        ),
    ] = "dlib",
    detector: Annotated[
        str, typer.Option(metavar="NAME", help="dlib or mtcnn:<folder>.", rich_help_panel=_FACES)
    ] = "dlib",
    min_face: Annotated[
        int, typer.Option(min=1, help="Smallest face to look at, in pixels.", rich_help_panel=_FACES)
    ] = 32,
    repeat: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Send a person who stays again after so long.", rich_help_panel=_FACES
        ),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Most frames a second to look at.", show_default="all")
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Show a file no faster than it was filmed.")
    ] = False,
    dummies: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="Q",
            help="Send at least so many inputs a tick; see plan-obfuscation.",
            rich_help_panel=_PARTIES,
        ),
    ] = 0,
    tick: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long a tick is.", rich_help_panel=_PARTIES)
    ] = 1.0,
    buffer: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Faces that may wait for the parties.", rich_help_panel=_PARTIES
        ),
    ] = 64,
    footage: Annotated[
        Footage,
        typer.Option(
            help="What the parties keep, each half of it: nothing, a picture now and then, or the video.",
            rich_help_panel=_PARTIES,
        ),
    ] = Footage.none,
    footage_every: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="From still to still, or in a segment.", rich_help_panel=_PARTIES
        ),
    ] = 2.0,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.", show_default="never")] = None,
    every: Annotated[float, typer.Option(help="Seconds between counts with --json.")] = 5.0,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Loopback port for Prometheus; 0 takes a free one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch a video and have two parties compare the faces in it with their list.

    Runs until the file ends, or SIGTERM or Ctrl-C. No picture, face, embedding or share is kept. With
    --json it prints an event a line: started, waiting (with the reason), open, counts, over.
    """  # fmt: skip
    import signal

    output = Output(as_json)
    if (seconds is not None and not seconds > 0) or not every > 0:
        raise UsageError("--seconds and --every are above 0.")
    parties = address(party0), address(party1)
    recording = _recording(identity, parties, footage, footage_every)
    made = _made(
        source, identity, parties, embedder, detector, min_face, repeat, fps, realtime, dummies, tick,
        buffer, None if provider is None else address(provider), recording,
    )  # fmt: skip
    port = None
    if metrics_port is not None:
        try:
            from blindsight.trusted.camera_metrics import serve_metrics
        except ImportError as error:
            raise UsageError(f'Metrics need {error.name}: pip install "blindsight[server]".') from error
        port = serve_metrics(made, metrics_port)
    asked: list[int] = []
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda number, _: asked.append(number))
    said = _Said(output, made)
    said.started(port)
    ends = math.inf if seconds is None else time.monotonic() + seconds
    reason = "failed"
    with recording or contextlib.nullcontext(), made:
        try:
            while not made.wait(_LOOK_SECONDS):
                said.look(every)
                if asked or time.monotonic() >= ends:
                    made.stop()
            reason = "stopped" if made.stopping else "ended"
        finally:
            if recording is not None and not recording.finish():
                output.note("Footage that the parties did not take in time is lost.", "yellow")
            said.over(reason, recording)


def _made(
    source: str,
    identity: Path,
    parties: tuple[tuple[str, int], tuple[str, int]],
    embedder: str,
    detector: str,
    min_face: int,
    repeat: float | None,
    fps: float | None,
    realtime: bool,
    dummies: int,
    tick: float,
    buffer: int,
    provider: tuple[str, int] | None,
    recording: Recording | None,
) -> Camera:
    from blindsight.trusted.camera import Camera, Settings, require_valid
    from blindsight.trusted.camera_clock import StageClock
    from blindsight.trusted.camera_link import CameraLink
    from blindsight.vision import Source, TrackingPolicy, open_embedder
    from blindsight.wire.tls import Identity

    own = Identity(identity)
    require_valid(own)
    settings = Settings(
        fps=fps, realtime=realtime, dummies=dummies, tick=tick, tracking=TrackingPolicy(repeat=repeat)
    )
    if buffer < dummies:
        raise UsageError("--buffer has to hold a tick: make it at least as large as --dummies.")
    parsed = Source.parse(source)
    if parsed.kind == "file" and not Path(parsed.address).exists():
        raise UsageError(f"{parsed.name} does not exist; check the path.")
    pipeline = open_embedder(embedder, detector=detector, min_face=min_face)
    clock = StageClock()
    link = CameraLink(own, parties, buffer=buffer, ahead=dummies, clock=clock, provider=provider)
    tap, look = (None, None) if recording is None else (recording.tap, recording.look)
    return Camera(parsed, pipeline, link, settings, tap=tap, look=look, clock=clock)


def _recording(
    identity: Path, parties: tuple[tuple[str, int], tuple[str, int]], footage: Footage, every: float
) -> Recording | None:
    if footage is Footage.none:
        return None
    from blindsight.trusted.recording import Kind, Recording
    from blindsight.wire.tls import Identity

    kind: Kind = "stills" if footage is Footage.stills else "segments"
    return Recording(Identity(identity), parties, kind, every)


class _Said:
    """What is told while it runs: events, or a line that changes."""

    def __init__(self, output: Output, camera: Camera) -> None:
        self._output, self._camera = output, camera
        self._began = self._counted = time.monotonic()
        self._opened: float | None = None
        self._trouble = ""
        self._drawn = False

    def started(self, port: int | None) -> None:
        camera = self._camera
        model, name = camera.pipeline.embedder.model_id, camera.link.name
        self._output.line(
            {"event": "started", "camera": name, "source": camera.source.name, "model_id": model,
             "dummies": camera.settings.dummies, "metrics_port": port}
        )  # fmt: skip
        self._output.show(f"camera {name}, watching {clean(camera.source.name)}", "bold")
        dummies = camera.settings.dummies
        self._output.show(
            fields(
                model=model,
                ticks=f"{plural(dummies, 'input')} every {camera.settings.tick:g} s" if dummies else "none",
                metrics_port="none" if port is None else port,
            )
        )

    def look(self, every: float) -> None:
        """Say what changed, and every so often how far it is."""
        link, now = self._camera.link, time.monotonic()
        trouble = link.trouble
        if trouble and self._opened is None and not (link.tried or now - self._began > _PATIENCE_SECONDS):
            return  # loading and connecting take a moment
        if trouble and trouble != self._trouble:
            self._output.line({"event": "waiting", "reason": trouble})
            self._say(f"waiting for the parties; {clean(trouble)}")
        elif not trouble and (self._trouble or self._opened is None):
            state = link.state
            if state is None:
                return  # it has changed since
            entries = plural(state.entries, "person")
            self._output.line({"event": "open", "entries": state.entries, "digest": state.digest.hex()})
            self._say(f"the parties compare with {entries} on their list")
            self._opened = self._opened or now
        self._trouble = trouble
        if now - self._counted >= every:
            self._counted = now
            self._output.line({"event": "counts"} | self._counts())
        if self._output.interactive and not self._output.json and self._opened is not None:
            self._draw()

    def over(self, reason: str, recording: Recording | None) -> None:
        """Say how it came out: reason is ended, stopped or failed."""
        self._clear()
        counts = self._counts()
        seconds = self._camera.clock.seconds
        share = self._camera.clock.protection_share
        self._output.line(
            {"event": "over", "reason": reason} | counts
            | {"stage_seconds": {stage: round(took, 6) for stage, took in seconds.items()},
               "protection_share": round(share, 6),
               "footage": None if recording is None else asdict(recording.counts)}
        )  # fmt: skip
        rate = counts["frames"] / max(counts["seconds"], 0.001)
        frames = f"{counts['frames']:,}, {rate:.1f} a second"
        if counts["missed"]:
            frames += f", {counts['missed']:,} left out for newer ones"
        faces = f"{counts['found']:,} found, {plural(counts['tracks'], 'person')} followed"
        sent = f"{plural(counts['sent'], 'face')}, {counts['answered']:,} answered"
        sent += "".join(f", {counts[n]:,} {n}" for n in ("refused", "dropped", "lost") if counts[n])
        shown = {"frames": frames, "faces": faces, "sent": sent}
        if counts["ticks"]:
            shown["ticks"] = f"{counts['ticks']:,} with {plural(counts['dummies'], 'dummy')}"
            if counts["over"]:
                shown["ticks"] += f"; {counts['over']:,} had more faces than dummies hide"
        if recording is not None:
            kept = recording.counts
            shown["footage"] = f"{plural(kept.offered, recording.kind[:-1])}, {kept.kept:,} kept by both"
        took = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in seconds.items() if spent >= 0.005)
        self._output.show(fields(**shown, time=took or "none", protection=f"{100 * share:.2f} % of the time"))
        self._output.note({"ended": "the video is over", "stopped": "stopped"}.get(reason, ""))

    def _counts(self) -> dict[str, Any]:
        began = self._opened or time.monotonic()
        ended = time.monotonic()
        return (
            {"seconds": round(ended - began, 3)}
            | asdict(self._camera.progress)
            | {name: n for name, n in asdict(self._camera.link.counts).items() if name != "offered"}
            | {"waiting": self._camera.link.waiting}
        )

    def _say(self, text: str) -> None:
        self._clear()
        self._output.show(text)

    def _draw(self) -> None:
        counts = self._counts()
        rate = counts["frames"] / max(counts["seconds"], 0.001)
        parts = [f"{rate:.1f} frames a second"]
        parts += [f"{name} {counts[name]:,}" for name in ("found", "sent", "answered")]
        parts += [f"{name} {counts[name]:,}" for name in ("refused", "dropped", "lost") if counts[name]]
        self._output.redraw(", ".join(parts))
        self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            self._output.redraw("")
            self._drawn = False
