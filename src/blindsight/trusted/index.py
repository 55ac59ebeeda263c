"""`EncryptedIndex`: vector search in the shape that users of FAISS and usearch expect."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import BlindsightError, DimensionError, DuplicateError, UsageError, VectorError
from blindsight.core.matching import Matcher
from blindsight.core.types import F32, I64, AnyArray
from blindsight.encoding import GalleryEncoding, Metric, Quantiser
from blindsight.trusted.archive import Archive, write_archive
from blindsight.trusted.connect import connect
from blindsight.trusted.identity import Identity
from blindsight.trusted.ledger import MemoryLedger
from blindsight.trusted.records import EMPTY
from blindsight.trusted.schemes import Precision
from blindsight.trusted.sealing import Unlock
from blindsight.trusted.session import Progress, Session

_ANY_MODEL = "vectors"


class SearchResult(NamedTuple):
    """The best rows of each query, best first.

    Attributes:
        scores: float32 (queries, k): similarities, or distances under the Euclidean metric;
            NaN where there are fewer than k vectors.
        ids: int64 (queries, k); -1 there.

    """

    scores: F32
    ids: I64


class EncryptedIndex:
    """Nearest-neighbour search on a machine that sees neither vectors, nor queries, nor scores.

    The matcher is a server's address (``https://…``), a folder (the matcher then runs in this
    process), or nothing: a private folder that goes when the index does. `save` writes the
    key and all else that is needed to `load` the index again.

    Args:
        dimension: coordinates of a vector, 16 to 4096.
        metric: ``cosine``, ``inner_product`` or ``euclidean``.
        radius: bound on the norm of vectors, for the two metrics that do not normalise.
        precision: ``approximate`` (noise of standard deviation 1.4e-3 at norm 1, 4 bytes a
            coordinate) or ``exact`` (ten-bit integers, no noise, 8 bytes a coordinate).
        matcher: see above.
        token: of a remote matcher.
        ca_file: the certificate authority to trust, in place of the system's.
        name: of the gallery on the matcher; one is made up where none is given.
        canaries: rows of each block of 256 whose scores are known beforehand, so that a matcher
            that alters scores is caught; see specs/lattice.md, section 10.
        scheme: ``lattice``; ``bfv`` (with the precision exact) or ``ckks``, standard schemes on
            Microsoft SEAL, larger and slower; or ``clear``, which protects nothing, with
            ``insecure_clear``.
        insecure_clear: says that no protection is wanted.
        quantiser: makes vectors integers of g bits, whose squared distances are compared exactly
            (with ``euclidean`` and ``exact``); vectors outside its range are refused.
        batch: for ``bfv``, probes that one message carries, 1 to 16: of many probes each is as many
            times cheaper, of a gallery of fewer than 4094 / batch vectors at no other cost.

    """

    def __init__(
        self,
        dimension: int,
        *,
        metric: Metric = "cosine",
        radius: float = 1.0,
        precision: Precision = "approximate",
        matcher: str | os.PathLike[str] | Matcher | None = None,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        name: str | None = None,
        canaries: int = 0,
        scheme: str = "lattice",
        insecure_clear: bool = False,
        quantiser: Quantiser | None = None,
        batch: int = 1,
    ) -> None:
        draft = Identity.draft(
            name or _made_up(),
            dimension,
            metric,
            radius=radius,
            precision=precision,
            scheme=scheme,
            insecure_clear=insecure_clear,
            model_id=_ANY_MODEL,
            canaries=canaries,
            quantiser=quantiser,
            batch=batch,
        )
        self._open(matcher, token, ca_file, insecure_clear)
        try:
            self._session = Session.create(self._matcher, draft, MemoryLedger())
        except BaseException:
            self.close()
            raise

    def _open(
        self, matcher: str | os.PathLike[str] | Matcher | None, token: str | None,
        ca_file: str | os.PathLike[str] | None, insecure_clear: bool,
    ) -> None:  # fmt: skip
        self._private = tempfile.TemporaryDirectory(prefix="blindsight-") if matcher is None else None
        where = self._private.name if self._private else matcher
        assert where is not None
        self._matcher = connect(where, token=token, ca_file=ca_file, insecure_clear=insecure_clear)
        self._address = where if isinstance(where, str) and where.startswith("http") else None
        self._owned = self._matcher is not matcher

    # -- the vectors -----------------------------------------------------------------------------

    @property
    def dimension(self) -> int:
        """Coordinates of a vector."""
        return self._encoding.dimension

    @property
    def metric(self) -> Metric:
        """What scores mean."""
        return self._encoding.metric

    @property
    def _encoding(self) -> GalleryEncoding:
        return self._session.identity.encoding

    def __len__(self) -> int:
        return len(self._session)

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._session

    def add(self, ids: ArrayLike, vectors: ArrayLike, *, progress: Progress | None = None) -> None:
        """Encrypt vectors and store them.

        Args:
            ids: integers from 0 to 2^63 - 1, none twice; (m,) or one.
            vectors: (m, dimension) or (dimension,).
            progress: called with how many are stored, and of how many.

        Raises:
            DuplicateError: an identifier that is taken; remove it first.
            VectorError: NaN, infinity, zero under the cosine, or a norm over the radius; then
                nothing was stored.

        """
        rows = _matrix(vectors)
        numbers = _identifiers(ids)
        if numbers.shape != (len(rows),):
            raise UsageError("There is one integer identifier for each vector.")
        if len(np.unique(numbers)) != len(numbers):
            raise DuplicateError("An identifier comes twice.")
        if len(numbers) and int(numbers.min()) < 0:
            raise UsageError("Identifiers are integers from 0 to 2^63 - 1.")
        piece = self._session.batch * self._session.rows
        starts = range(0, len(rows), piece)
        if len(starts) > 1:  # one piece is checked as it is encoded
            for at in starts:
                self._encoding.check(rows[at : at + piece], first=at)
            self._session.sync()
            taken = [number for number in numbers.tolist() if number in self._session]
            if taken:
                raise DuplicateError(f"The identifier {taken[0]} is taken already.")
        for at in starts:
            templates = self._encoding.templates(rows[at : at + piece])
            self._session.add(numbers[at : at + piece], templates)
            if progress:
                progress(min(at + piece, len(rows)), len(rows))

    def search(self, queries: ArrayLike, k: int = 10) -> SearchResult:
        """The ``k`` nearest vectors of each query, (q, dimension) or (dimension,)."""
        if k < 1:
            raise UsageError("At least one neighbour is to be asked for.")
        probes = _matrix(queries)
        self._encoding.check(probes)
        found = SearchResult(
            np.full((len(probes), k), np.nan, np.float32), np.full((len(probes), k), EMPTY, np.int64)
        )
        at_once = self._session.probes_at_once
        for at in range(0, len(probes), at_once):
            part = self._encoding.probes(probes[at : at + at_once])
            scored = self._session.scores(part)
            for q, raw in enumerate(scored.raw):
                best = top(raw, scored.ids, k)
                values = self._encoding.scores(raw[np.newaxis, best], part[q : q + 1])[0]
                found.scores[at + q, : len(best)] = values
                found.ids[at + q, : len(best)] = scored.ids[best]
        return found

    def remove(self, ids: ArrayLike) -> None:
        """Erase vectors: their blocks are encrypted anew without them.

        Raises:
            NotFoundError: an identifier that is not there; nothing was erased then.

        """
        self._session.remove(_identifiers(ids).tolist())

    def rotate(self, *, progress: Progress | None = None) -> None:
        """Encrypt everything under a new key, and forget the old one."""
        self._session.rotate(progress)

    # -- keeping it --------------------------------------------------------------------------------

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        passphrase: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        include_blocks: bool | None = None,
    ) -> None:
        """Write key, identifiers and hints to one encrypted file.

        The encrypted vectors go in as well where the matcher is local, or if so asked; from a
        remote matcher they are otherwise found again at its address.
        """
        unlock = Unlock(passphrase, Path(key_file) if key_file is not None else None)
        whole = include_blocks if include_blocks is not None else self._address is None
        self._session.sync()
        about = self._session.identity.fields() | {"address": self._address or "", "whole": whole}
        states = ((None, state) for _, state in sorted(self._session.states.items()))
        write_archive(Path(path), unlock, about, self._session.blocks() if whole else states)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        passphrase: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        matcher: str | os.PathLike[str] | Matcher | None = None,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> EncryptedIndex:
        """Open what `save` wrote.

        A file with the vectors in it is put into ``matcher`` as a new gallery; one without
        finds its gallery at the address it was saved from, or at ``matcher``.
        """
        unlock = Unlock(passphrase, Path(key_file) if key_file is not None else None)
        with Archive(Path(path), unlock) as archive:
            if "address" not in archive.about:
                raise UsageError(f"{path} holds a gallery and not an index; use Gallery.restore.")
            identity = Identity.load(archive.about)
            whole, address = bool(archive.about["whole"]), str(archive.about["address"])
            where = matcher if matcher is not None or whole else address
            if where == "":
                raise UsageError("This index was saved without its vectors; say which matcher has them.")
            index = cls.__new__(cls)
            index._open(where, token, ca_file, identity.scheme == "clear")
            try:
                index._load(archive, identity, whole)
            except BaseException:
                index.close()
                raise
            return index

    def _load(self, archive: Archive, identity: Identity, whole: bool) -> None:
        if not whole:
            self._session = Session(identity, self._matcher, MemoryLedger())
            self._session.restore(dict(enumerate(state for _, state in archive.blocks())))
            self._session.sync()
            return
        draft = identity if self._private else replace(identity, name=_made_up())
        self._session = Session.create(self._matcher, draft, MemoryLedger())
        try:
            self._session.fill(
                ((state.head, body), state) for body, state in archive.blocks() if body is not None
            )
        except BaseException:
            with suppress(BlindsightError):
                self._matcher.delete(self._session.identity.gallery_id)
            raise

    def close(self) -> None:
        """Let go of the matcher; a private one is deleted."""
        if self._owned:
            self._matcher.close()
        if self._private:
            self._private.cleanup()

    def __enter__(self) -> EncryptedIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _made_up() -> str:
    return "index-" + os.urandom(8).hex()


def top(raw: AnyArray, ids: I64, k: int) -> I64:
    """Rows of the ``k`` largest scores among those that hold a template, largest first."""
    occupied = np.flatnonzero(ids >= 0)
    scores = raw[occupied] if len(occupied) < len(ids) else raw
    k = min(k, len(scores))
    best = np.argpartition(scores, len(scores) - k)[len(scores) - k :] if k else np.empty(0, np.int64)
    ordered = best[np.argsort(scores[best], kind="stable")[::-1]]
    return occupied[ordered]


def _matrix(vectors: ArrayLike) -> AnyArray:
    """Numbers as (m, dimension), not copied where they are an array already."""
    try:
        rows = np.asarray(vectors)
    except ValueError as error:
        raise DimensionError("The vectors are not all of one length.") from error
    if rows.dtype.kind not in "fiu":
        raise VectorError("Vectors are real numbers.")
    if rows.ndim not in (1, 2):
        raise DimensionError("Vectors are an array of shape (m, dimension), or one of them.")
    return rows[np.newaxis] if rows.ndim == 1 else rows


def _identifiers(ids: ArrayLike) -> I64:
    """Identifiers as int64 (m,), none of them rounded or wrapped to get there."""
    numbers = np.atleast_1d(np.asarray(ids))
    if not numbers.size:
        return np.empty(0, np.int64)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise UsageError("Identifiers are integers from 0 to 2^63 - 1.")
    if numbers.dtype == np.uint64 and int(numbers.max()) >= 2**63:
        raise UsageError("Identifiers are integers from 0 to 2^63 - 1.")
    return numbers.astype(np.int64)
