"""What is made before a face is there (specification, section 11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from blindsight.core.errors import MalformedError, SessionOverError, UsageError
from blindsight.schemes.dealerless.compare import Comparisons, prepare_comparisons, prepare_covers
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.party import U64, whole
from blindsight.schemes.dealerless.products import Maker
from blindsight.schemes.dealerless.shared import Shared
from blindsight.schemes.spdz2k.talk import Talk

__all__ = ["Prepared", "prepare"]

_NAMES = ("probe", "mask", "bits", "factors", "products", "cover")


@dataclass(frozen=True, slots=True)
class Prepared:
    """One party's half of what probes of ``faces`` faces consume, to be used once. Secret.

    Attributes:
        sizes: of the rings.
        entries: N of the list.
        dimension: d of a vector.
        probe: (faces, 2 probers, d + 1) in A: u_1 … u_d, Σ u².
        comparisons: of shape (faces, N).
        cover: (faces, N) in B.
    """

    sizes: Sizes
    entries: int
    dimension: int
    probe: Shared = field(repr=False)
    comparisons: Comparisons = field(repr=False)
    cover: Shared = field(repr=False)
    _spent: list[bool] = field(default_factory=list, repr=False, compare=False)

    def __len__(self) -> int:
        """Faces."""
        return len(self.probe)

    def faces(self, start: int, stop: int) -> Prepared:
        """The part for some faces. The whole may then not be used itself."""
        rows = slice(start, stop)
        parts = self.probe[rows], self.comparisons[rows], self.cover[rows]
        return Prepared(self.sizes, self.entries, self.dimension, *parts)

    def spend(self) -> None:
        """Mark as used. `SessionOverError` where it was before."""
        if self._spent:
            raise SessionOverError("This was used for a face before; take what is prepared for the next.")
        self._spent.append(True)

    def wipe(self) -> None:
        """Overwrite it, once it is used."""
        for shared in self._fields().values():
            shared.share.fill(0)
            shared.tag.fill(0)

    # -- as it is stored ----------------------------------------------------------------------------

    def _fields(self) -> dict[str, Shared]:
        c = self.comparisons
        found = (self.probe, c.mask, c.bits, c.factors, c.products, self.cover)
        return dict(zip(_NAMES, found, strict=True))

    def arrays(self) -> dict[str, U64]:
        """As named arrays, uint64 (faces, …, 2, words): share and tag. A copy."""
        return {
            name: np.stack([s.share, s.tag], axis=-2)[..., : _words(s.bits)].copy()
            for name, s in self._fields().items()
        }

    @classmethod
    def shapes(cls, sizes: Sizes, entries: int, dimension: int) -> dict[str, tuple[int, ...]]:
        """Of the arrays of one face."""
        k, a, b = sizes.value_bits, _words(sizes.numbers), _words(sizes.truths)
        return {
            "probe": (2, dimension + 1, 2, a),
            "mask": (entries, 2, a),
            "bits": (entries, k, 2, b),
            "factors": (entries, k - 2, 2, b),
            "products": (entries, k - 2, 2, b),
            "cover": (entries, 2, b),
        }

    @classmethod
    def from_arrays(cls, sizes: Sizes, entries: int, dimension: int, arrays: Mapping[str, U64]) -> Prepared:
        """Undo `arrays`. `MalformedError` for other names, shapes or numbers above their ring."""
        shapes = cls.shapes(sizes, entries, dimension)
        if set(arrays) != set(shapes):
            raise MalformedError(f"What is prepared has the arrays {', '.join(_NAMES)}.")
        faces = {len(array) for array in arrays.values()}
        if len(faces) != 1 or any(arrays[n].shape[1:] != s for n, s in shapes.items()):
            raise MalformedError("What was prepared does not have the shape that its sizes say.")
        found = {}
        for name, array in arrays.items():
            bits = sizes.numbers if name in ("probe", "mask") else sizes.truths
            whole_words = np.zeros((*array.shape[:-1], 2), np.uint64)
            whole_words[..., : array.shape[-1]] = array
            shared = Shared(bits, whole_words[..., 0, :], whole_words[..., 1, :])
            if array.dtype != np.uint64 or any(
                not np.array_equal(s, r)
                for s, r in (
                    (shared.share, shared.reduced(bits).share),
                    (shared.tag, shared.reduced(bits).tag),
                )
            ):
                raise MalformedError("What was prepared has numbers above their ring.")
            found[name] = shared
        parts = Comparisons(found["mask"], found["bits"], found["factors"], found["products"])
        return cls(sizes, entries, dimension, found["probe"], parts, found["cover"])


def _words(bits: int) -> int:
    return 1 if bits <= 64 else 2


@whole
def prepare(party: Maker, entries: int, dimension: int, faces: int) -> Talk[Prepared]:
    """Make what ``faces`` probes against ``entries`` entries consume, and check it.

    Either party may be the prober of each. Memory is bounded but for the result, some 0.6 MB a face.
    """
    if min(entries, dimension, faces) < 1:
        raise UsageError("Prepare for at least one face, one entry and one coordinate.")
    own, theirs = yield from party.private_squares(faces * dimension, party.sizes.numbers)
    sides = []
    for u, w in (own, theirs)[:: 1 - 2 * party.number]:
        squared = w.reshape(faces, dimension).total().reshape(faces, 1, 1)
        vector = u.reshape(faces, 1, dimension)
        sides.append(_beside([vector, squared], 2))
    probe = _beside(sides, 1)
    made = yield from prepare_comparisons(party, faces * entries)
    cover = yield from prepare_covers(party, faces * entries)
    shape = (faces, entries)
    comparisons = Comparisons(
        made.mask.reshape(*shape),
        made.bits.reshape(*shape, -1),
        made.factors.reshape(*shape, party.sizes.value_bits - 2),
        made.products.reshape(*shape, party.sizes.value_bits - 2),
    )
    return Prepared(party.sizes, entries, dimension, probe, comparisons, cover.reshape(*shape))


def _beside(parts: list[Shared], axis: int) -> Shared:
    share = np.concatenate([p.share for p in parts], axis)
    return Shared(parts[0].bits, share, np.concatenate([p.tag for p in parts], axis))
