"""Where a session writes down what the matcher has acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from blindsight.core.errors import ConflictError
from blindsight.trusted.identity import Identity
from blindsight.trusted.sealing import unpack
from blindsight.trusted.vault import Vault


class Ledger(Protocol):
    """Where a session writes down what it knows; each call is one transaction."""

    def blocks(self) -> Iterator[tuple[int, bytes]]: ...

    def write(self, identity: Identity, blocks: Mapping[int, bytes]) -> None: ...

    def replace(self, identity: Identity, blocks: Mapping[int, bytes]) -> None:
        """Write, and forget every other block and the identity before."""
        ...

    def reset(self, identity: Identity) -> None:
        """Forget every block, and write an identity with whatever revision it has."""
        ...

    def stage(self, identity: Identity) -> None:
        """Remember the identity that a rotation is preparing; `ConflictError` where another is."""
        ...

    def unstage(self, identity: Identity) -> None:
        """Forget it again, if it is this one that is remembered."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Inside, nobody else changes this ledger, and what is written is one transaction."""
        ...


class MemoryLedger:
    """Keeps nothing: the session itself is all there is."""

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        return iter(())

    def write(self, identity: Identity, blocks: Mapping[int, bytes]) -> None:
        pass

    def replace(self, identity: Identity, blocks: Mapping[int, bytes]) -> None:
        pass

    def reset(self, identity: Identity) -> None:
        pass

    def stage(self, identity: Identity) -> None:
        pass

    def unstage(self, identity: Identity) -> None:
        pass

    def alone(self) -> AbstractContextManager[None]:
        return nullcontext()


class VaultLedger:
    """A session's ledger in a vault, beside the fields that are the gallery's own."""

    def __init__(self, vault: Vault, place: str) -> None:
        self.vault = vault
        self.place = place

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        return self.vault.blocks(self.place)

    def write(self, identity: Identity, blocks: Mapping[int, bytes]) -> None:
        """Other processes may have written since, and know more: nothing goes back behind them."""
        with self.vault.transaction():
            fields = self.vault.gallery(self.place)
            if fields["gallery_id"] != identity.gallery_id:
                raise ConflictError("This gallery was given a new key by another process; open it again.")
            newer = {
                number: data
                for number, data in blocks.items()
                if (known := self.vault.block(self.place, number)) is None
                or unpack(known)["version"] <= unpack(data)["version"]
            }
            revision = max(fields["revision"], identity.revision)
            self.vault.update(self.place, fields | identity.fields() | {"revision": revision}, newer)

    def replace(self, identity: Identity, blocks: Mapping[int, bytes]) -> None:
        with self.vault.transaction():
            fields = self.vault.gallery(self.place)
            if fields["gallery_id"] == identity.gallery_id:
                self.write(identity, blocks)
            else:
                self.vault.update(self.place, fields | identity.fields(), blocks, replace_all=True)

    def reset(self, identity: Identity) -> None:
        with self.vault.transaction():
            fields = self.vault.gallery(self.place)
            if fields["gallery_id"] != identity.gallery_id:
                raise ConflictError("This gallery was given a new key by another process; open it again.")
            self.vault.update(self.place, fields | identity.fields(), {}, replace_all=True)

    def stage(self, identity: Identity) -> None:
        with self.vault.transaction():
            fields = self.vault.gallery(self.place)
            if fields["staged"] is not None:
                raise ConflictError("The key is being rotated by another process; open the gallery again.")
            self.vault.update(self.place, fields | {"staged": identity.fields()}, {})

    def unstage(self, identity: Identity) -> None:
        with self.vault.transaction():
            fields = self.vault.gallery(self.place)
            if fields["staged"] is not None and fields["staged"]["gallery_id"] == identity.gallery_id:
                self.vault.update(self.place, fields | {"staged": None}, {})

    def alone(self) -> AbstractContextManager[None]:
        return self.vault.transaction()
