"""Two parties, a camera that records, a revealer, and operators who sign."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.blind.footage_store import kept_at, listed
from blindsight.schemes.footage.params import Params
from blindsight.trusted.consent import sign_consent, sign_request
from blindsight.trusted.footage_link import FootageLink
from blindsight.trusted.footage_reveal import Revealed, reveal_footage
from blindsight.trusted.recorder import Recorder
from blindsight.vision.segments import segments
from blindsight.wire.consent import to_file
from blindsight.wire.dual_control import Signed
from blindsight.wire.tls import Identity
from clips import clip, picture
from surveillance import Town

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
STILLS = 5


class Studio(Town):
    """A town whose cameras record."""

    def __init__(self, folder: Path, cameras: tuple[str, ...] = ("gate",)) -> None:
        super().__init__(folder, entries=3, cameras=cameras)
        self.auditor = self.revealer("auditor")
        self.keys = []
        for party, operator in enumerate(self.operators):
            path = folder / f"operator{party}.key"
            path.touch(0o600)
            path.write_bytes(operator._key.private_bytes_raw())
            self.keys.append(path)

    def revealer(self, name: str) -> Identity:
        """A new revealer, known to both parties, who knows the cameras."""
        made = Identity.create(self.folder / name, "revealer", name)
        for party in self.identities[:2]:
            made.trust(party.folder / "certificate.pem")
            party.trust(made.folder / "certificate.pem")
        for camera in self.identities[2:]:
            made.trust(camera.folder / "certificate.pem")
        return made

    def start(self, *options: str, code: str | None = None) -> None:
        """Start both parties at once; ``options`` and ``code`` are party 0's."""
        other = threading.Thread(target=self.serve, args=(1,))
        other.start()
        self.serve(0, *options, code=code)
        other.join()

    @property
    def addresses(self) -> tuple[tuple[str, int], tuple[str, int]]:
        return ("127.0.0.1", self.ports[0]), ("127.0.0.1", self.ports[1])

    def link(self, which: int = 0, **options: Any) -> FootageLink:
        return FootageLink(self.identities[2 + which], self.addresses, **({"most_pause": 0.2} | options))

    def recorder(self, link: FootageLink, which: int = 0, began: datetime | None = BEGAN) -> Recorder:
        return Recorder(self.identities[2 + which], link, began=began, params=Params(16))

    def camera_key(self, which: int = 0) -> Ed25519PublicKey:
        return self.identities[2 + which].own.public_key

    def request(
        self, camera: str = "gate", *, by: int = 0, first: datetime = BEGAN, last: datetime | None = None,
        revealer: Identity | None = None, hours: float = 1.0, reason: str = "a theft",
    ) -> Signed:  # fmt: skip
        return sign_request(
            self.keys[by].read_bytes(), camera, first, last or first + HOUR,
            (revealer or self.auditor).own, reason, hours,
        )  # fmt: skip

    def consents(self, request: Signed, withhold: Any = ((), ())) -> list[Signed]:
        return [sign_consent(self.keys[party].read_bytes(), request, withhold[party]) for party in (0, 1)]

    def reveal(
        self, out: Path, request: Signed, consents: Any = None, who: Identity | None = None
    ) -> Revealed:
        consents = self.consents(request) if consents is None else consents
        return reveal_footage(
            who or self.auditor, request, consents, self.addresses, [self.camera_key()], out
        )

    def files(self, party: int, camera: str = "") -> list[Path]:
        """Of all shares that a party holds, or of one camera's."""
        folder = self.folder / f"data{party}" / "footage"
        if not camera:
            return [path for path in folder.glob("??/*") if path.is_file()]
        return [kept_at(folder, entry.digest) for entry in listed(folder) if entry.camera == camera]

    def write(self, name: str, kind: str, signed: Signed) -> Path:
        path = self.folder / name
        path.write_bytes(to_file(kind, signed))
        return path


def video(folder: Path, frames: int = 72, size: tuple[int, int] = (320, 240)) -> tuple[Path, list[Any]]:
    """A clip, and the pieces that it is cut into."""
    path = clip(folder / "clip.mp4", frames, size=size, gop=12)
    return path, list(segments(path, seconds=0.4))


def still(index: int) -> np.ndarray:
    """A frame of 120 x 90 pixels."""
    return np.ascontiguousarray(picture(index, (120, 90)))


def stills_request(studio: Studio, **options: Any) -> Signed:
    """For the stills of the studio that tests share, and not for its video."""
    return studio.request(first=BEGAN + HOUR, **options)
