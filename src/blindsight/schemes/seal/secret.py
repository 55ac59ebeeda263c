"""The secret key of a SEAL scheme, grown from 32 bytes."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any, NoReturn

import numpy as np

from blindsight.core.secrets import ExportToken, Secret
from blindsight.core.types import U8
from blindsight.kernels.prg import Stream
from blindsight.kernels.sampling import ternary
from blindsight.schemes.seal.library import Context, sealapi
from blindsight.schemes.seal.params import TAG_BYTES, SealParams
from blindsight.schemes.seal.public import written


class RingKey:
    """A ternary secret, and SEAL's objects that use it. Encryption is symmetric.

    SEAL's errors come from its own generator, seeded by the operating system; only the secret
    is a function of the 32 bytes. ``name`` separates keys of different schemes.
    """

    def __init__(self, name: str, context: Context, seed: Secret) -> None:
        self.context = context
        self._seed = seed
        self.key_id = seed.derive(f"{name} key id").hex()[:32]
        api = sealapi()
        self._secret = context.secret_key(ternary(Stream(seed.derive(f"{name} secret")), context.degree))
        self.encryptor = api.Encryptor(context.seal, self._secret)
        self.decryptor = api.Decryptor(context.seal, self._secret)

    def export(self, token: ExportToken) -> bytes:
        """The 32 bytes that the key grows from."""
        return self._seed.export(token)

    def key_generator(self) -> Any:
        """SEAL's maker of evaluation keys for this secret."""
        return sealapi().KeyGenerator(self.context.seal, self._secret)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_id}, <redacted>)"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret key is neither copied nor pickled")


class SecretKey(RingKey):
    """The key of a gallery, which also authenticates its blocks."""

    def __init__(self, params: SealParams, context: Context, seed: Secret) -> None:
        super().__init__(params.scheme, context, seed)
        self.params = params

    def tag(self, nonce: bytes, body: U8) -> bytes:
        """Authenticates a block, so that it opens as it was made or not at all."""
        digest = sha256(np.ascontiguousarray(body).data).digest()
        return self._seed.derive("seal block tag", nonce + digest)[:TAG_BYTES]

    def tagged(self, nonce: bytes, body: U8, tag: bytes) -> bool:
        return hmac.compare_digest(self.tag(nonce, body), tag)

    def hint(self, nonce: bytes) -> bytes:
        """32 secret bytes that the check rows of a block are drawn from."""
        return self._seed.derive("seal block checks", nonce)

    def relin(self) -> U8:
        """A fresh relinearisation key as it travels."""
        keys = self.key_generator().create_relin_keys()
        return written(*self.context.switching_residues(keys, 1))
