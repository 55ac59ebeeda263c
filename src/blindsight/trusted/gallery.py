"""`Gallery`: people by their photos, on a matcher that sees neither."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.core.errors import (
    BlindsightError,
    DuplicateError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from blindsight.core.matching import GalleryInfo, Matcher
from blindsight.core.secrets import ExportToken, Secret
from blindsight.core.types import I64, Decision, Embedding
from blindsight.encoding import Metric, Quantiser
from blindsight.trusted.archive import Archive, write_archive
from blindsight.trusted.certificate import certify_erasure, public_key
from blindsight.trusted.connect import connect
from blindsight.trusted.deciding import Policy, decision, ranked
from blindsight.trusted.identity import Identity
from blindsight.trusted.ledger import MemoryLedger, VaultLedger
from blindsight.trusted.records import Label
from blindsight.trusted.schemes import Precision
from blindsight.trusted.sealing import Unlock
from blindsight.trusted.session import Progress, Session
from blindsight.trusted.vault import Vault

_NAME_BYTES = 128


@dataclass(frozen=True, slots=True)
class Subject:
    """One enrolled person."""

    name: str
    templates: int
    enrolled: str
    photos: tuple[bytes, ...]


class Gallery:
    """Enrolled people, encrypted on a matcher; the keys and the names in a vault.

    One photo, or many, go in as `Embedding` values; `blindsight.vision` makes them. Make one
    with `create`, come back to it with `open`.
    """

    def __init__(self, vault: Vault, place: str, matcher: Matcher, *, owned: bool) -> None:
        self._vault = vault
        self._place = place
        self._owned = owned
        self._session = Session(Identity.load(vault.gallery(place)), matcher, VaultLedger(vault, place))
        self._named: tuple[I64, list[str]] | None = None

    @classmethod
    def create(
        cls,
        vault: Vault,
        name: str,
        *,
        model_id: str,
        dimension: int,
        metric: Metric,
        threshold: float,
        radius: float = 1.0,
        embedder: str = "",
        precision: Precision = "approximate",
        matcher: str | os.PathLike[str] | Matcher,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        scheme: str = "lattice",
        insecure_clear: bool = False,
        canaries: int = 0,
        show_scores: bool = True,
        daily_probes: int = 0,
        quantiser: Quantiser | None = None,
        batch: int = 1,
    ) -> Gallery:
        """Make an empty gallery on a matcher, and its key in the vault.

        Args:
            vault: keeps the key.
            name: in the vault and on the matcher; a-z, 0-9, dot, underscore, hyphen.
            model_id: of the embedder; photos embedded by another are refused.
            dimension: of its embeddings.
            metric: of its embeddings.
            threshold: see `Policy`.
            radius: bound on the embeddings' norm; not used by the cosine.
            embedder: how to open the embedder again, as a user types it.
            precision: see `EncryptedIndex`.
            matcher: an address, or a folder.
            token: of the address.
            ca_file: certificate authority of the address.
            scheme: see `EncryptedIndex`.
            insecure_clear: says that no protection is wanted.
            canaries: see `EncryptedIndex`.
            show_scores: see `Policy`.
            daily_probes: see `Policy`.
            quantiser: see `EncryptedIndex`.
            batch: see `EncryptedIndex`.

        """
        if any(fields["name"] == name for fields in vault.galleries().values()):
            raise DuplicateError(f"This vault has a gallery named {name} already.")
        draft = Identity.draft(
            name,
            dimension,
            metric,
            radius=1.0 if metric == "cosine" else radius,
            precision=precision,
            scheme=scheme,
            insecure_clear=insecure_clear,
            model_id=model_id,
            canaries=canaries,
            quantiser=quantiser,
            batch=batch,
        )
        served = connect(matcher, token=token, ca_file=ca_file, insecure_clear=insecure_clear)
        own = {
            "matcher": os.fspath(matcher) if isinstance(matcher, (str, os.PathLike)) else "",
            "token": token or "",
            "ca_file": os.fspath(ca_file) if ca_file else "",
            "embedder": embedder,
            "precision": precision,
            "policy": {"threshold": threshold, "show_scores": show_scores, "daily_probes": daily_probes},
            "certifier": Secret.fresh().export(ExportToken()),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "staged": None,
        }
        with _let_go(served, owned=served is not matcher):
            session = Session.create(served, draft, MemoryLedger())
            with _undone(session):
                place = vault.add_gallery(session.identity.fields() | own)
            vault.record("create", gallery=name, scheme=scheme)
            return cls(vault, place, served, owned=served is not matcher)

    @classmethod
    def open(
        cls,
        vault: Vault,
        name: str,
        *,
        matcher: str | os.PathLike[str] | Matcher | None = None,
        token: str | None = None,
    ) -> Gallery:
        """Open a gallery that this vault has the key of.

        ``matcher`` and ``token`` take the place of those that the vault remembers.
        """
        place, fields = vault.find(name)
        where = matcher if matcher is not None else fields["matcher"]
        if not where:
            raise UsageError(f"The vault does not know where the gallery {name} lies; name its matcher.")
        served = connect(
            where,
            # A token belongs to an address: it is not shown to another one.
            token=token or (fields["token"] if where == fields["matcher"] else None),
            ca_file=fields["ca_file"] or None,
            insecure_clear=fields["scheme"] == "clear",
        )
        with _let_go(served, owned=served is not where):
            gallery = cls(vault, place, served, owned=served is not where)
            gallery._finish_rotation(fields)
            return gallery

    def close(self) -> None:
        """Let go of the matcher."""
        if self._owned:
            self._session.matcher.close()

    # -- what it is ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._session.identity.name

    @property
    def model_id(self) -> str:
        """The embedder whose templates it holds."""
        return self._session.identity.model_id

    @property
    def embedder(self) -> str:
        """How its embedder is opened, as a user types it; empty where nobody said."""
        return str(self._vault.gallery(self._place)["embedder"])

    @property
    def policy(self) -> Policy:
        return Policy(**self._vault.gallery(self._place)["policy"])

    def set_policy(self, policy: Policy) -> None:
        """Change the threshold, the budget or whether scores are shown."""
        wanted = {
            "threshold": policy.threshold,
            "show_scores": policy.show_scores,
            "daily_probes": policy.daily_probes,
        }
        with self._vault.transaction():
            fields = self._vault.gallery(self._place)
            self._vault.update(self._place, fields | {"policy": wanted}, {})
        self._vault.record("policy", gallery=self.name)

    @property
    def session(self) -> Session:
        """The session below: raw scores, blocks, keys' names."""
        return self._session

    def __len__(self) -> int:
        return len(self._session)

    def info(self) -> GalleryInfo:
        """What the matcher says of this gallery."""
        return self._session.matcher.info(self._session.identity.gallery_id)

    def certificate_key(self) -> str:
        """The public key, in hex, that this gallery's certificates are signed with."""
        return public_key(self._certifier())

    def _certifier(self) -> Secret:
        """What certificates are signed with; it outlives the gallery's keys."""
        return Secret(self._vault.gallery(self._place)["certifier"])

    def sync(self, progress: Progress | None = None) -> int:
        """Read what other clients changed; how many blocks."""
        return self._session.sync(progress)

    def rebuild(self, progress: Progress | None = None, *, accept_older: bool = False) -> int:
        """Make all hints and the subject list anew from the matcher and the key.

        ``accept_older`` takes the matcher's state also where it is behind what it has
        acknowledged: for one that was restored from a backup. Only its administrator can tell
        that from an attack.
        """
        return self._session.rebuild(progress, accept_older=accept_older)

    # -- subjects ----------------------------------------------------------------------------------

    def subjects(self) -> list[Subject]:
        """Everybody who is enrolled, by name."""
        labels: dict[str, list[Label]] = {}
        for state in self._session.states.values():
            for label in state.labels.values():
                labels.setdefault(label.subject, []).append(label)
        return [
            Subject(
                name,
                len(of),
                min(label.enrolled for label in of),
                tuple(sorted({label.photo for label in of})),
            )
            for name, of in sorted(labels.items())
        ]

    def subject(self, name: str) -> Subject:
        """One of them; `NotFoundError` where nobody has this name."""
        for subject in self.subjects():
            if subject.name == name:
                return subject
        raise NotFoundError(f"Nobody named {name} is enrolled in {self.name}.")

    def _knows(self, name: str) -> bool:
        return any(
            label.subject == name
            for state in self._session.states.values()
            for label in state.labels.values()
        )

    def photos(self) -> set[bytes]:
        """SHA-256 of every enrolled photo."""
        return {label.photo for state in self._session.states.values() for label in state.labels.values()}

    def enroll(
        self, entries: Sequence[tuple[str, Embedding, bytes]], progress: Progress | None = None
    ) -> None:
        """Enroll templates: subject, embedding and the SHA-256 of the photo, for each.

        Raises:
            ModelMismatchError: an embedding of another model; nothing was enrolled then.
            UsageError: a subject without a name, or with one over 128 bytes.

        """
        if not entries:
            return
        encoding = self._session.identity.encoding
        for number, (subject, embedding, photo) in enumerate(entries):
            embedding.require_model(self.model_id)
            require_subject_name(subject)
            if not isinstance(photo, bytes) or len(photo) != 32:
                raise UsageError("A photo is named by its SHA-256, 32 bytes.")
            encoding.check(embedding.vector, first=number)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        piece = self._session.batch * self._session.rows
        for at in range(0, len(entries), piece):
            part = entries[at : at + piece]
            templates = encoding.templates(np.stack([embedding.vector for _, embedding, _ in part]))
            labels = [Label(subject, photo, now) for subject, _, photo in part]
            ids = np.frombuffer(os.urandom(8 * len(part)), np.uint64) >> np.uint64(1)
            self._session.add(ids.astype(np.int64), templates, labels)
            self._vault.record("enroll", gallery=self.name, templates=len(part))
            if progress:
                progress(at + len(part), len(entries))

    def erase(self, name: str) -> dict[str, Any]:
        """Erase a subject: the blocks are encrypted anew without it, the old bytes overwritten.

        Returns the signed certificate.
        """
        self._session.sync()
        self.subject(name)
        erased, blocks = 0, []
        while ids := [  # again, where another client enrolled more of the same subject meanwhile
            int(state.ids[row])
            for state in self._session.states.values()
            for row, label in state.labels.items()
            if label.subject == name
        ]:
            blocks += self._session.remove(ids)
            erased += len(ids)
        self._vault.record("erase", gallery=self.name, templates=erased)
        identity = self._session.identity
        return certify_erasure(self._certifier(), identity.name, self._session.key_id, name, erased, blocks)

    # -- recognising ---------------------------------------------------------------------------------

    def identify(
        self, embeddings: Sequence[Embedding], *, k: int = 5, threshold: float | None = None
    ) -> list[Decision]:
        """Who is on each photo: a subject within the threshold, or explicitly nobody known.

        All probes go to the matcher together.
        """
        return self._decide(embeddings, None, k, threshold)

    def verify(self, embedding: Embedding, subject: str, *, threshold: float | None = None) -> Decision:
        """Whether a photo shows the claimed subject.

        The matcher compares with everybody, so that it does not learn who was claimed.
        """
        if not self._knows(subject):
            self._session.sync()
        if not self._knows(subject):
            raise NotFoundError(f"Nobody named {subject} is enrolled in {self.name}.")
        return self._decide([embedding], subject, 1, threshold)[0]

    def _decide(
        self, embeddings: Sequence[Embedding], claimed: str | None, k: int, threshold: float | None
    ) -> list[Decision]:
        if k < 1:
            raise UsageError("At least one candidate is to be asked for.")
        if not embeddings:
            return []
        for embedding in embeddings:
            embedding.require_model(self.model_id)
        policy = self.policy
        limit = policy.threshold if threshold is None else threshold
        if limit != policy.threshold and not policy.show_scores:
            raise RefusedError(
                f"The gallery {self.name} hides its scores, which another threshold would help to guess; "
                "change its policy instead."
            )
        identity = self._session.identity
        encoding = identity.encoding
        self.charge(len(embeddings))
        decisions = []
        at_once = self._session.probes_at_once
        for at in range(0, len(embeddings), at_once):
            part = embeddings[at : at + at_once]
            started = time.perf_counter()
            probes = encoding.probes(np.stack([e.vector for e in part]))
            scored = self._session.scores(probes)
            names = self.names(scored.ids)
            best = []
            for raw in scored.raw:
                rows = ranked(raw, scored.ids, names, claimed, k)
                best.append((rows, raw[[row for row, _ in rows]]))
            timings = scored.timings | {"total": (time.perf_counter() - started) * 1e3}
            for q, (rows, raw) in enumerate(best):
                values = encoding.scores(raw[np.newaxis], probes[q : q + 1])[0]
                decisions.append(decision(rows, values, limit, policy, identity, timings, scored.traffic))
        action = "verify" if claimed else "identify"
        self._vault.record(
            action, gallery=self.name, probes=len(embeddings), matches=sum(d.match for d in decisions)
        )
        return decisions

    def names(self, ids: I64) -> list[str]:
        """The subject of every row, in the order of scores; empty where there is none."""
        if self._named is None or self._named[0] is not ids:
            rows = self._session.rows
            names = [""] * len(ids)
            for position, number in enumerate(sorted(self._session.states)):
                for row, label in self._session.states[number].labels.items():
                    names[position * rows + row] = label.subject
            self._named = ids, names
        return self._named[1]

    def record(self, action: str, **details: int | str) -> None:
        """Write an entry about this gallery into the vault's audit log."""
        self._vault.record(action, gallery=self.name, **details)

    def charge(self, probes: int) -> None:
        """Take probes off the day's budget; `RefusedError` where they are used up."""
        policy = self.policy
        if not policy.daily_probes:
            return
        today = datetime.now(UTC).date().isoformat()
        with self._vault.transaction():
            fields = self._vault.gallery(self._place)
            day, spent = fields.get("spent") or ["", 0]
            spent = probes + (spent if day == today else 0)
            if spent > policy.daily_probes:
                raise RefusedError(
                    f"The gallery {self.name} answers {policy.daily_probes} probes a day, "
                    "and they are used up."
                )
            self._vault.update(self._place, fields | {"spent": [today, spent]}, {})

    # -- keys and copies -------------------------------------------------------------------------------

    def rotate(self, progress: Progress | None = None) -> None:
        """Encrypt everything under a new key, and destroy the old one."""
        self._session.rotate(progress)
        self._vault.record("rotate", gallery=self.name)

    def _finish_rotation(self, fields: Mapping[str, Any]) -> None:
        """After a rotation that was cut off: complete it if the server had, else clear it away."""
        if fields.get("staged") and self._session.resume(Identity.load(fields["staged"])):
            self._vault.record("rotate", gallery=self.name)

    def export(
        self,
        path: str | os.PathLike[str],
        unlock: Unlock,
        *,
        keys_only: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Write key, names and, unless ``keys_only``, the encrypted templates to one encrypted file."""
        self._session.sync()
        fields = self._vault.gallery(self._place) | {"staged": None, "whole": not keys_only}
        states = ((None, state) for _, state in sorted(self._session.states.items()))
        write_archive(Path(path), unlock, fields, states if keys_only else self._session.blocks(progress))
        self._vault.record("export", gallery=self.name, whole=not keys_only)

    @classmethod
    def restore(
        cls,
        vault: Vault,
        path: str | os.PathLike[str],
        unlock: Unlock,
        *,
        name: str | None = None,
        matcher: str | os.PathLike[str] | Matcher | None = None,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> Gallery:
        """Bring an exported gallery into this vault.

        With ``matcher``, its encrypted templates are put there as a new gallery; without, it
        is found where it was when it was exported.
        """
        with Archive(Path(path), unlock) as archive:
            fields = dict(archive.about)
            if "policy" not in fields:
                raise UsageError(f"{path} holds an index and not a gallery; use EncryptedIndex.load.")
            identity = replace(Identity.load(fields), name=name or fields["name"])
            if any(other["name"] == identity.name for other in vault.galleries().values()):
                raise DuplicateError(
                    f"This vault has a gallery named {identity.name} already; give it another name."
                )
            if matcher is not None and not fields["whole"]:
                raise UsageError("This file has the keys only; its templates are still on their matcher.")
            where = matcher if matcher is not None else fields["matcher"]
            if not where:
                raise UsageError("The file does not say where its gallery lies; name a matcher.")
            served = connect(
                where, token=token or fields["token"], ca_file=ca_file or fields["ca_file"] or None,
                insecure_clear=identity.scheme == "clear",
            )  # fmt: skip
            own = {name: fields[name] for name in ("embedder", "precision", "policy", "certifier", "created")}
            own |= {
                "matcher": os.fspath(where) if isinstance(where, (str, os.PathLike)) else "",
                "token": token or fields["token"],
                "ca_file": os.fspath(ca_file) if ca_file else fields["ca_file"],
                "staged": None,
            }

            def keep(session: Session) -> str:
                stored = {number: state.stored() for number, state in session.states.items()}
                return vault.add_gallery(session.identity.fields() | own, stored)

            with _let_go(served, owned=served is not where):
                if matcher is None:
                    session = Session(identity, served, MemoryLedger())
                    session.restore(dict(enumerate(state for _, state in archive.blocks())))
                    session.sync()
                    place = keep(session)
                else:
                    session = Session.create(served, identity, MemoryLedger())
                    with _undone(session):
                        session.fill(
                            ((state.head, body), state)
                            for body, state in archive.blocks()
                            if body is not None
                        )
                        place = keep(session)
                vault.record("import", gallery=identity.name)
                return cls(vault, place, served, owned=served is not where)

    def delete(self) -> None:
        """Drop the gallery on the matcher, and its key in the vault. There is no way back.

        Raises:
            NotFoundError: the matcher does not have it; the key is kept. Where an earlier call was
                cut off, that is as it should be, and this one completes it.

        """
        begun = self._vault.gallery(self._place).get("deleting", False)
        self._vault.amend(self._place, deleting=True)
        try:
            self._session.matcher.delete(self._session.identity.gallery_id)
        except NotFoundError:
            if not begun:
                self._vault.amend(self._place, deleting=False)
                raise
        self._vault.drop_gallery(self._place)
        self._vault.record("delete", gallery=self.name)


@contextmanager
def _let_go(matcher: Matcher, *, owned: bool) -> Iterator[None]:
    """Close a matcher that was opened here, where what it was opened for fails."""
    try:
        yield
    except BaseException:
        if owned:
            matcher.close()
        raise


@contextmanager
def _undone(session: Session) -> Iterator[None]:
    """Delete a new gallery from its matcher again, where the rest of its making fails."""
    try:
        yield
    except BaseException:
        with suppress(BlindsightError):
            session.matcher.delete(session.identity.gallery_id)
        raise


def require_subject_name(subject: str) -> None:
    """Raise `UsageError` unless somebody can be enrolled under this name."""
    # In this order: what is not printable may not be encodable either.
    if not subject.strip() or not subject.isprintable() or len(subject.encode()) > _NAME_BYTES:
        raise UsageError(f"A subject has a printable name of 1 to {_NAME_BYTES} bytes.")
