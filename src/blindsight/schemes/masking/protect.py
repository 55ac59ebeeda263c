"""A user's half: five steps, each of which refuses what a lying aggregator would ask."""

from __future__ import annotations

import os
from collections.abc import Callable

import msgpack
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blindsight.core.errors import (
    MalformedError,
    RefusedError,
    RoundError,
    TamperedError,
    TooFewError,
    UsageError,
    VaultError,
)
from blindsight.core.secrets import ExportToken
from blindsight.core.summing import (
    AGGREGATOR,
    Kind,
    Once,
    RoundId,
    checked_values,
    parse_users,
    users_bytes,
)
from blindsight.core.types import I64, AnyArray
from blindsight.kernels.masks import add_mask
from blindsight.schemes.masking import shamir
from blindsight.schemes.masking.agreement import (
    agreed,
    commitment,
    derived,
    pair_seed,
    private,
    public_of,
    self_seed,
)
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
from blindsight.schemes.masking.secret import Identity

_NONCE = bytes(12)
"""Each key encrypts one message: it is bound to the round and the direction."""


class MaskingUser:
    """One user of a federation, over its rounds; ``last`` is the last one it took part in."""

    def __init__(self, group: Group, identity: Identity, *, last: int = 0) -> None:
        self._group = group
        self._identity = identity
        self._once = Once(last)

    def round(self, number: int, values: AnyArray) -> MaskingRound:
        """Take part in a round with these integers; `RoundError` for a round that is past."""
        checked = checked_values(self._group.params, values)
        self._once.use(number)
        return MaskingRound(self._group, self._identity, self._group.round_id(number), checked)

    def resume(self, kept: bytes) -> MaskingRound:
        """A round that `MaskingRound.export` put aside between two steps.

        Raises `VaultError` where these bytes are not that. Keep them where nobody can bring back an
        older copy: a step that is taken twice can give away both shares of a neighbour.
        """
        try:
            fields = msgpack.unpackb(kept, strict_map_key=False, max_bin_len=len(kept))
            number, values = fields["number"], np.frombuffer(fields["values"], "<i8")
            begun = MaskingRound(self._group, self._identity, self._group.round_id(number), values)
            begun._mask, begun._own, begun._channel = (bytes(fields[k]) for k in ("mask", "own", "channel"))
            begun._mask_key, begun._channel_key = private(begun._mask), private(begun._channel)
            begun._neighbours = {user: Advert.decode(data) for user, data in fields["neighbours"].items()}
            begun._held = dict(fields["held"])
            begun._started, begun._survived = tuple(fields["started"]), tuple(fields["survived"])
            begun._step = begun._steps()[fields["step"]]
        except (KeyError, IndexError, TypeError, ValueError, MalformedError) as error:
            raise VaultError("The state of a round of masking is damaged; sit this round out.") from error
        return begun


class MaskingRound:
    """See `blindsight.core.summing.SumUser`. After a refusal it answers nothing more."""

    def __init__(self, group: Group, identity: Identity, round_id: RoundId, values: I64) -> None:
        self._group = group
        self._identity = identity
        self._round = round_id
        self._user = identity.user
        self._values = values
        self._mask, self._own, self._channel = os.urandom(32), os.urandom(32), os.urandom(32)
        self._channel_key, self._mask_key = private(self._channel), private(self._mask)
        self._agreed: dict[int, bytes] = {}
        self._step: Callable[[bytes], bytes] | None = self._advertise
        self._started: tuple[int, ...] = ()
        self._neighbours: dict[int, Advert] = {}
        self._held: dict[int, bytes] = {}
        self._survived: tuple[int, ...] = ()

    def answer(self, request: bytes) -> bytes:
        if self._step is None:
            raise RoundError("This user is through with the round, or gave it up.")
        step, self._step = self._step, None
        return step(request)

    def _steps(self) -> tuple[Callable[[bytes], bytes], ...]:
        return (self._advertise, self._share, self._protect, self._sign, self._unmask)

    @property
    def further(self) -> bool:
        """Whether a step is left."""
        return self._step is not None

    def export(self, token: ExportToken) -> bytes:
        """All of it, secrets too, for `MaskingUser.resume`: between two steps, where a process ends.

        Raises `RoundError` for a round that is over for this user.
        """
        if not isinstance(token, ExportToken):
            raise UsageError("Taking a secret out of memory needs an export token.")
        if self._step is None:
            raise RoundError("This user is through with the round, or gave it up.")
        packed: bytes = msgpack.packb(
            {
                "number": self._round.number,
                "step": self._steps().index(self._step),
                "values": self._values.astype("<i8").tobytes(),
                "mask": self._mask,
                "own": self._own,
                "channel": self._channel,
                "neighbours": {user: advert.encode() for user, advert in self._neighbours.items()},
                "held": self._held,
                "started": self._started,
                "survived": self._survived,
            }
        )
        return packed

    def _parse(self, request: bytes, kind: Kind, low: int, high: int) -> bytes:
        return self._round.parse(request, kind, AGGREGATOR, low, high)

    # -- step 0: two public keys, and a commitment -----------------------------------------------

    def _advertise(self, request: bytes) -> bytes:
        self._parse(request, Kind.REQUEST, 0, 0)
        channel, mask = public_of(self._channel_key), public_of(self._mask_key)
        committed = commitment(self._own, self._round, self._user)
        signature = self._identity.sign(advert_message(self._round, self._user, channel, mask, committed))
        self._step = self._share
        advert = Advert(channel, mask, committed, signature)
        return self._round.pack(Kind.ADVERT, self._user, advert.encode())

    # -- step 1: shares of both secrets to each neighbour ------------------------------------------

    def _share(self, request: bytes) -> bytes:
        p = self._group.params
        most = users_bytes(p) + p.neighbours * ADVERT_BYTES
        self._started, rest = parse_users(p, self._parse(request, Kind.PEERS, 2, most))
        if self._user not in self._started:
            raise RefusedError("The aggregator's list of this round leaves this user out; it is refused.")
        near = graph(p, self._round, self._started)[self._user]
        if len(rest) != len(near) * ADVERT_BYTES:
            raise MalformedError("The aggregator did not send the advert of each neighbour.")
        if len(near) < p.threshold:
            raise TooFewError(f"Of this user's neighbours {len(near)} are there; {p.threshold} are needed.")
        for k, other in enumerate(near):
            advert = Advert.decode(rest[k * ADVERT_BYTES : (k + 1) * ADVERT_BYTES])
            signed = advert_message(self._round, other, advert.channel, advert.mask, advert.committed)
            self._group.verify(other, advert.signature, signed)
            self._neighbours[other] = advert
        points = [other + 1 for other in near]
        masks = shamir.share(self._mask, points, p.threshold)
        owns = shamir.share(self._own, points, p.threshold)
        sealed = b"".join(
            AESGCM(self._key(self._user, other)).encrypt(_NONCE, mask + own, None)
            for other, mask, own in zip(near, masks, owns, strict=True)
        )
        self._step = self._protect
        return self._round.pack(Kind.SHARES, self._user, sealed)

    def _key(self, sender: int, receiver: int) -> bytes:
        other = receiver if sender == self._user else sender
        if other not in self._agreed:
            self._agreed[other] = agreed(self._channel_key, self._neighbours[other].channel)
        return derived(self._agreed[other], self._round, "masking channel", sender, receiver, 32)

    # -- step 2: the masked update -------------------------------------------------------------------

    def _protect(self, request: bytes) -> bytes:
        p = self._group.params
        body = self._parse(request, Kind.INBOX, 0, p.neighbours * (ENTRY.size + SEALED_BYTES))
        count, rest = divmod(len(body), ENTRY.size + SEALED_BYTES)
        if rest:
            raise MalformedError("The aggregator's box of shares is cut off.")
        for k in range(count):
            entry = body[k * (ENTRY.size + SEALED_BYTES) : (k + 1) * (ENTRY.size + SEALED_BYTES)]
            (sender,) = ENTRY.unpack_from(entry)
            if sender not in self._neighbours or sender in self._held:
                raise RefusedError(
                    "The aggregator handed on shares of somebody who is no neighbour, or twice."
                )
            try:
                opened = AESGCM(self._key(sender, self._user)).decrypt(_NONCE, entry[ENTRY.size :], None)
            except InvalidTag as error:
                raise TamperedError(
                    "A neighbour's shares were altered on the way; the round is given up."
                ) from error
            self._held[sender] = opened
        if len(self._held) < p.threshold:
            raise TooFewError(
                f"Of this user's neighbours {len(self._held)} sent shares; {p.threshold} are needed."
            )
        total = self._values.astype(np.uint32)  # two's complement: modulo 2^32
        add_mask(total, self_seed(self._own, self._round, self._user), 1)
        for other in self._held:
            seed = pair_seed(self._mask_key, self._neighbours[other].mask, self._round, self._user, other)
            add_mask(total, seed, 1 if self._user < other else -1)
        self._step = self._sign
        return self._round.pack(Kind.MASKED, self._user, total.astype("<u4").tobytes())

    # -- step 3: a signature on who survived -----------------------------------------------------------

    def _sign(self, request: bytes) -> bytes:
        p = self._group.params
        body = self._parse(request, Kind.SURVIVORS, 2, users_bytes(p))
        survived, rest = parse_users(p, body)
        if rest or self._user not in survived or not set(survived) <= set(self._started):
            raise RefusedError("The aggregator's list of survivors cannot be; the round is given up.")
        near = [other for other in self._neighbours if other in survived]
        if any(other not in self._held for other in near):
            raise RefusedError("The aggregator calls somebody a survivor whose shares it never handed on.")
        if len(near) < p.threshold:
            raise TooFewError(f"Of this user's neighbours {len(near)} survived; {p.threshold} are needed.")
        self._survived = survived
        signature = self._identity.sign(survivors_message(self._round, self._started, survived))
        self._step = self._unmask
        return self._round.pack(Kind.SIGNATURE, self._user, signature)

    # -- step 4: for each neighbour one of its two shares, never both ------------------------------------

    def _unmask(self, request: bytes) -> bytes:
        p = self._group.params
        size = ENTRY.size + SIGNATURE_BYTES
        body = self._parse(request, Kind.WITNESSES, 0, p.neighbours * size)
        message = survivors_message(self._round, self._started, self._survived)
        witnesses = set()
        for at in range(0, len(body) - size + 1, size):
            (witness,) = ENTRY.unpack_from(body, at)
            if witness not in self._neighbours or witness not in self._survived or witness in witnesses:
                raise RefusedError("The aggregator names a witness who cannot be one; the round is given up.")
            self._group.verify(witness, body[at + ENTRY.size : at + size], message)
            witnesses.add(witness)
        if len(body) % size or len(witnesses) < p.threshold:
            raise RefusedError(
                f"{len(witnesses)} neighbours signed the same list of survivors; {p.threshold} must have. "
                "The aggregator may show others another list."
            )
        parts = []
        for other in sorted(self._held):
            mask, own = self._held[other][: shamir.SHARE_BYTES], self._held[other][shamir.SHARE_BYTES :]
            parts.append(ENTRY.pack(other) + (own if other in self._survived else mask))
        return self._round.pack(Kind.REVEALED, self._user, b"".join(parts))
