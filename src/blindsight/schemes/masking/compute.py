"""The aggregator's half: hands messages on, adds masked updates, takes off what is left of masks."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import BlindsightError, MalformedError, RoundError, TamperedError, TooFewError
from blindsight.core.matching import Wire
from blindsight.core.summing import AGGREGATOR, Kind, Opened, pack_users, participants
from blindsight.kernels.masks import add_mask
from blindsight.schemes.masking import shamir
from blindsight.schemes.masking.agreement import commitment, pair_seed, private, public_of, self_seed
from blindsight.schemes.masking.params import Params
from blindsight.schemes.masking.public import (
    ADVERT_BYTES,
    ENTRY,
    SEALED_BYTES,
    SIGNATURE_BYTES,
    Advert,
    Group,
    advert_message,
    graph,
    survivors_message,
)

CLAIM = Claim.IND_CPA
"""Of updates, against an aggregator that also lies, while fewer than ``threshold`` of a user's
neighbours work with it."""

LEAKAGE = Leakage(
    learns=(
        (
            "aggregator",
            (
                "the sum of each round, in the clear",
                "who takes part in which round, when, and at which step somebody drops out",
                "the sizes of everything, which are fixed",
            ),
        ),
        ("users", ("who takes part in a round", "the new model, and so the sum of the others' updates")),
    ),
    not_claimed=(
        "secrecy of one update against everyone else in the sum together",
        "secrecy where as many of a user's neighbours as the threshold work with the aggregator",
        "that the aggregator adds up rightly: a wrong sum is not noticed",
        "that a user's update is honest: one user can spoil the model",
    ),
)

_Bodies = dict[int, bytes]


def parse_params(wire: Wire) -> Params:
    """See `Params.from_wire`."""
    return Params.from_wire(wire)


def read_sum(params: Params, users: tuple[int, ...], data: bytes) -> Opened:
    """A sum from its words modulo 2^32; `TamperedError` for one that cannot be."""
    values = np.frombuffer(data, "<i4").astype(np.int64)
    if np.abs(values).max() > len(users) * ((1 << (params.bits - 1)) - 1):
        raise TamperedError("A sum holds a weight that cannot be; masks were left in it, or it was altered.")
    return Opened(values, users)


class MaskingServer:
    """The aggregator of one round; see `blindsight.core.summing.SumServer`."""

    def __init__(self, group: Group, number: int, users: Iterable[int]) -> None:
        self._group = group
        self._round = group.round_id(number)
        self._expected = participants(group.params, users)
        self._stage = 0
        self._adverts: dict[int, Advert] = {}
        self._near: dict[int, tuple[int, ...]] = {}
        self._sealed: dict[int, dict[int, bytes]] = {}
        self._masked: dict[int, bytes] = {}
        self._signatures: _Bodies = {}
        self._shares: dict[int, dict[int, bytes]] = {}
        self._sum: bytes | None = None

    @property
    def finished(self) -> bool:
        return self._sum is not None

    @property
    def users(self) -> tuple[int, ...]:
        """Whose updates are in the sum."""
        return tuple(sorted(self._masked))

    def requests(self) -> dict[int, bytes]:
        asked = (
            self._ask_adverts,
            self._ask_shares,
            self._ask_masked,
            self._ask_signatures,
            self._ask_reveal,
        )
        return {} if self.finished else asked[self._stage]()

    def receive(self, replies: Mapping[int, bytes]) -> dict[int, BlindsightError]:
        if self.finished:
            raise RoundError("This round is over; a second update of the same user is refused.")
        kind, size, take = self._stages()[self._stage]
        taken, refused = 0, dict[int, BlindsightError]()
        for user in self.requests():
            if user not in replies:
                continue
            try:
                low, high = size(user)
                take(user, self._round.parse(replies[user], kind, user, low, high))
                taken += 1
            except BlindsightError as error:
                refused[user] = error
        p = self._group.params
        # Signatures and shares may be missing, as long as each user's neighbours give enough of them.
        if taken < (p.minimum if self._stage < 3 else p.threshold):
            raise TooFewError(f"{taken} users answered in time; the round is given up without a sum.")
        if self._stage == 0:
            self._near = graph(p, self._round, self._adverts)
        if self._stage == 4:
            self._sum = self._unmasked()
        self._stage += 1
        return refused

    def total(self) -> bytes:
        if self._sum is None:
            raise RoundError("This round has no sum yet.")
        return self._round.pack(Kind.TOTAL, AGGREGATOR, pack_users(self.users) + self._sum)

    def opened(self) -> Opened:
        """The sum itself, which the aggregator of this scheme knows; `TamperedError` where it cannot be."""
        if self._sum is None:
            raise RoundError("This round has no sum yet.")
        return read_sum(self._group.params, self.users, self._sum)

    def _stages(
        self,
    ) -> tuple[tuple[Kind, Callable[[int], tuple[int, int]], Callable[[int, bytes], None]], ...]:
        def fixed(size: int) -> Callable[[int], tuple[int, int]]:
            return lambda _: (size, size)

        def sealed(user: int) -> tuple[int, int]:
            return (len(self._near[user]) * SEALED_BYTES,) * 2

        def revealed(user: int) -> tuple[int, int]:
            return (len(self._inbox(user)) * (ENTRY.size + shamir.SHARE_BYTES),) * 2

        return (
            (Kind.ADVERT, fixed(ADVERT_BYTES), self._take_advert),
            (Kind.SHARES, sealed, self._take_shares),
            (Kind.MASKED, fixed(self._group.params.update_bytes), self._masked.__setitem__),
            (Kind.SIGNATURE, fixed(SIGNATURE_BYTES), self._take_signature),
            (Kind.REVEALED, revealed, self._take_revealed),
        )

    # -- what is asked, and what is taken, at each stage ---------------------------------------------

    def _ask_adverts(self) -> dict[int, bytes]:
        return dict.fromkeys(self._expected, self._round.pack(Kind.REQUEST, AGGREGATOR))

    def _take_advert(self, user: int, body: bytes) -> None:
        advert = Advert.decode(body)
        message = advert_message(self._round, user, advert.channel, advert.mask, advert.committed)
        self._group.verify(user, advert.signature, message)
        self._adverts[user] = advert

    def _ask_shares(self) -> dict[int, bytes]:
        listed = pack_users(sorted(self._adverts))
        return {
            user: self._round.pack(
                Kind.PEERS,
                AGGREGATOR,
                listed + b"".join(self._adverts[other].encode() for other in self._near[user]),
            )
            for user in self._adverts
        }

    def _take_shares(self, user: int, body: bytes) -> None:
        for k, other in enumerate(self._near[user]):
            self._sealed.setdefault(user, {})[other] = body[k * SEALED_BYTES : (k + 1) * SEALED_BYTES]

    def _inbox(self, user: int) -> list[int]:
        return [other for other in self._near[user] if other in self._sealed]

    def _ask_masked(self) -> dict[int, bytes]:
        return {
            user: self._round.pack(
                Kind.INBOX,
                AGGREGATOR,
                b"".join(ENTRY.pack(other) + self._sealed[other][user] for other in self._inbox(user)),
            )
            for user in self._sealed
        }

    def _ask_signatures(self) -> dict[int, bytes]:
        request = self._round.pack(Kind.SURVIVORS, AGGREGATOR, pack_users(self.users))
        return dict.fromkeys(self._masked, request)

    def _message(self) -> bytes:
        return survivors_message(self._round, sorted(self._adverts), self.users)

    def _take_signature(self, user: int, body: bytes) -> None:
        self._group.verify(user, body, self._message())
        self._signatures[user] = body

    def _ask_reveal(self) -> dict[int, bytes]:
        return {
            user: self._round.pack(
                Kind.WITNESSES,
                AGGREGATOR,
                b"".join(
                    ENTRY.pack(other) + self._signatures[other]
                    for other in self._near[user]
                    if other in self._signatures
                ),
            )
            for user in self._signatures
        }

    def _take_revealed(self, user: int, body: bytes) -> None:
        size = ENTRY.size + shamir.SHARE_BYTES
        entries = {
            ENTRY.unpack_from(body, at)[0]: body[at + ENTRY.size : at + size]
            for at in range(0, len(body), size)
        }
        if sorted(entries) != sorted(self._inbox(user)):
            raise MalformedError("A user revealed shares of others than its neighbours.")
        for other, part in entries.items():
            self._shares.setdefault(other, {})[user + 1] = part

    # -- the sum ----------------------------------------------------------------------------------------

    def _recovered(self, user: int) -> bytes:
        p = self._group.params
        shares = self._shares.get(user, {})
        if len(shares) < p.threshold:
            raise TooFewError(f"{len(shares)} shares of a user's secret are left; {p.threshold} are needed.")
        return shamir.recover(shares, p.threshold)

    def _unmasked(self) -> bytes:
        total = np.zeros(self._group.params.weights, np.uint32)
        wrong = "The shares of a secret do not fit what its user committed to; a user sent a wrong one."
        for user, body in self._masked.items():
            total += np.frombuffer(body, "<u4")
            own = self._recovered(user)
            if not hmac.compare_digest(commitment(own, self._round, user), self._adverts[user].committed):
                raise TamperedError(wrong)
            add_mask(total, self_seed(own, self._round, user), -1)
        for gone in sorted(set(self._sealed) - set(self._masked)):
            near = [user for user in self._near[gone] if user in self._masked]
            if not near:
                continue
            mask = private(self._recovered(gone))
            if not hmac.compare_digest(public_of(mask), self._adverts[gone].mask):
                raise TamperedError(wrong)
            for user in near:
                seed = pair_seed(mask, self._adverts[user].mask, self._round, gone, user)
                add_mask(total, seed, -1 if user < gone else 1)
        return total.astype("<u4").tobytes()
