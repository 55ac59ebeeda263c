"""What a camera counts, for Prometheus: of no person, no face and no moment."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from blindsight.trusted.camera import Camera

_COUNTS = {
    "frames": "Frames looked at.",
    "missed": "Frames of a live source left out for newer ones.",
    "found": "Faces in all frames.",
    "tracks": "People, as far as places can tell.",
    "chosen": "Faces that were to be sent.",
    "refused": "Faces that the model or the parameters could not take.",
    "ticks": "Ticks sent.",
    "over": "Ticks with more faces than dummies hide.",
}
_LINK = {
    "sent": "Faces sent to both parties.",
    "answered": "Faces that both parties took.",
    "lost": "Faces sent and not answered.",
    "dropped": "Faces dropped because the parties were too slow or away.",
    "dummies": "Dummies sent.",
    "sessions": "Sessions opened.",
}


class CameraMetrics(Collector):
    """Reads the camera whenever it is asked; nothing is counted twice."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    def collect(self) -> Iterable[Metric]:
        progress, counts = self._camera.progress, self._camera.link.counts
        for name, text in _COUNTS.items():
            yield CounterMetricFamily(f"blindsight_camera_{name}", text, value=getattr(progress, name))
        for name, text in _LINK.items():
            yield CounterMetricFamily(f"blindsight_camera_{name}", text, value=getattr(counts, name))
        stages = CounterMetricFamily(
            "blindsight_camera_stage_seconds", "Time spent, by stage.", labels=["stage"]
        )
        for stage, seconds in self._camera.clock.seconds.items():
            stages.add_metric([stage], seconds)
        yield stages
        is_open = float(self._camera.link.state is not None)
        yield GaugeMetricFamily("blindsight_camera_open", "Whether faces are compared now.", value=is_open)
        waiting = float(self._camera.link.waiting)
        yield GaugeMetricFamily("blindsight_camera_waiting", "Inputs that wait to be sent.", value=waiting)


def serve_metrics(camera: Camera, port: int) -> int:
    """Answer on a loopback port, 0 for a free one; the port. Runs until the process ends."""
    registry = CollectorRegistry()
    registry.register(CameraMetrics(camera))
    server, _ = start_http_server(port, "127.0.0.1", registry)
    return int(server.server_port)
