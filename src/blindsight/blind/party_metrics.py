"""What a party counts: no camera, no face and no entry by name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 10)


class Metrics:
    """Counts and durations, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.faces = Counter("blindsight_party_faces", "Faces compared.", registry=registry)
        self.matches = Counter(
            "blindsight_party_matches", "Matches of a face and an entry.", registry=registry
        )
        self.alerts = Counter(
            "blindsight_party_alerts",
            "Results with a match, by what became of them.",
            ["end"],
            registry=registry,
        )
        self.aborts = Counter("blindsight_party_aborts", "Aborts.", ["reason"], registry=registry)
        self.refused = Counter(
            "blindsight_party_refused", "Connections and sessions refused.", ["reason"], registry=registry
        )
        self.dropped = Gauge("blindsight_party_dropped", "Faces that only one party had.", registry=registry)
        self.waiting = Gauge("blindsight_party_waiting", "Faces that wait.", registry=registry)
        self.cameras = Gauge("blindsight_party_cameras", "Cameras connected.", registry=registry)
        self.agreed = Gauge("blindsight_party_agreed", "Whether faces are compared now.", registry=registry)
        self.footage = Counter(
            "blindsight_party_footage",
            "Shares of footage, by what became of them.",
            ["end"],
            registry=registry,
        )
        self.footage_dropped = Counter(
            "blindsight_party_footage_dropped", "Shares of footage let go of.", ["reason"], registry=registry
        )
        self.footage_bytes = Gauge("blindsight_party_footage_bytes", "Footage on disk.", registry=registry)
        self.run = Histogram(
            "blindsight_party_run_seconds", "A run, from taking it up to its result.",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.round = Histogram(
            "blindsight_party_round_seconds", "A round of a run: sending, waiting and reading.",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip

    def serve(self, port: int) -> int:
        """Answer on a loopback port, 0 for a free one; the port. Runs until the process ends."""
        server, _ = start_http_server(port, "127.0.0.1", self.registry)
        return int(server.server_port)
