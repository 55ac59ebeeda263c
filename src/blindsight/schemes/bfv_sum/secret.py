"""The key holder's secret: one seed for the ring's key, one for everybody's tags."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from blindsight.core.errors import VaultError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.schemes.bfv_sum.params import Params
from blindsight.schemes.bfv_sum.public import PublicKey, ring
from blindsight.schemes.seal.library import sealapi
from blindsight.schemes.seal.secret import RingKey
from blindsight.schemes.tags.secret import Registrar


class SecretKey:
    """The ring's secret key and its public one. Not pickled, not copied, not shown."""

    __slots__ = ("_master", "_public", "_ring", "public")

    def __init__(self, params: Params, master: Secret, public: PublicKey | None = None) -> None:
        self._master = master
        context = ring(params)
        self._ring = RingKey("bfv sum", context, Secret(master.derive("bfv sum ring")))
        if public is None:  # SEAL draws its errors itself, so a new one each time
            made = sealapi().PublicKey()
            self._ring.key_generator().create_public_key(made)
            words = context.residues(made, 2, len(context.moduli))
            public = PublicKey(np.ascontiguousarray(words, "<u4").tobytes())
        public.residues(params)
        self.public = public

    @classmethod
    def generate(cls, params: Params) -> SecretKey:
        """A new key from the operating system's generator."""
        return cls(params, Secret.fresh())

    @property
    def registrar(self) -> Registrar:
        """Gives out what users need for their tags."""
        return Registrar(self._master)

    @property
    def decryptor(self) -> Any:
        """SEAL's."""
        return self._ring.decryptor

    def export(self, token: ExportToken) -> bytes:
        """The 32 bytes that the secret grows from, and the public key."""
        return self._master.export(token) + self.public.data

    @classmethod
    def load(cls, params: Params, data: bytes) -> SecretKey:
        """The key that `export` gave out."""
        if len(data) != 32 + params.key_bytes:
            raise VaultError("The stored BFV key is damaged; restore it from a backup.")
        return cls(params, Secret(data[:32]), PublicKey(data[32:]))

    def __repr__(self) -> str:
        return f"SecretKey({self.public.key_id.hex()}, <redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret key is neither copied nor pickled")
