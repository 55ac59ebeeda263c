"""A user's signing identity."""

from __future__ import annotations

from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.core.secrets import ExportToken, Secret


class Identity:
    """An Ed25519 key that outlives rounds; its public half is in the `Group`."""

    __slots__ = ("_key", "_seed", "public", "user")

    def __init__(self, user: int, seed: Secret) -> None:
        self.user = user
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed.derive("masking identity"))
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, user: int) -> Identity:
        """A new one from the operating system's generator."""
        return cls(user, Secret.fresh())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message)

    def export(self, token: ExportToken) -> bytes:
        """The 32 bytes that it grows from."""
        return self._seed.export(token)

    def __repr__(self) -> str:
        return f"Identity({self.user}, <redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret key is neither copied nor pickled")
