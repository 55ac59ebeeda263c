"""Founding a federation: keys and secrets for every role, each in a file of its own.

The folder that this writes is to be taken apart: each file goes to its role and to nobody else.
Left together on one computer, as in a study, they protect nobody from that computer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from blindsight.blind.aggregator import Aggregator
from blindsight.core.errors import UsageError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.core.summing import SumParams
from blindsight.trusted.contributor import PARAMS, Contributor
from blindsight.trusted.keyholder import KeyHolder
from blindsight.trusted.sealing import Unlock

SCHEMES: Final = ("paillier", "dphe", "bfv", "masking")


def user_file(folder: Path, user: int) -> Path:
    """Where a user's state is."""
    return folder / f"user-{user}" / "user.state"


def found(
    folder: Path,
    scheme: str,
    weights: int,
    users: int,
    bits: int,
    *,
    unlock: Unlock | None = None,
    **options: Any,
) -> SumParams:
    """Make all secrets of a new federation, and write each role's file.

    Args:
        folder: is made; may not exist yet.
        scheme: of `SCHEMES`.
        weights: in an update.
        users: how many.
        bits: of an integer.
        unlock: what will open the files of the key holder and of every user; without it only their mode
            protects them.
        options: further ones of the scheme's ``Params.of``.
    """
    if scheme not in SCHEMES:
        raise UsageError(f"There is no private sum {scheme!r}; there are {', '.join(SCHEMES)}.")
    params: Any = PARAMS[scheme].of(weights, users, bits=bits, **options)
    secret, public, members, pairs = _secrets(params, users)
    try:
        folder.mkdir(mode=0o700, parents=True)
        for name in ("aggregator", "keyholder", *(f"user-{user}" for user in range(users))):
            (folder / name).mkdir(mode=0o700)
    except FileExistsError as error:
        raise UsageError(f"{folder} is there already; a federation is founded in a new folder.") from error
    Aggregator.create(folder / "aggregator" / "aggregator.state", scheme, params, public, pairs)
    KeyHolder.create(folder / "keyholder" / "keyholder.state", params, secret, unlock)
    for user, member in enumerate(members):
        Contributor.create(user_file(folder, user), params, public, user, member, unlock)
    made: SumParams = params
    return made


def _secrets(params: Any, users: int) -> tuple[bytes, bytes, list[list[Secret]], list[Secret]]:
    """Of the key holder, the public key, of each user, and of user and aggregator."""
    token = ExportToken()
    if params.scheme == "masking":
        from blindsight.schemes.masking.secret import Identity

        seeds = [Secret.fresh() for _ in range(users)]
        public = b"".join(Identity(user, seed).public for user, seed in enumerate(seeds))
        return public, public, [[seed] for seed in seeds], []
    if params.scheme == "bfv":
        from blindsight.schemes.bfv_sum.secret import SecretKey as BfvSecret

        ring = BfvSecret.generate(params)
        members = [ring.registrar.member(user) for user in range(users)]
        return ring.export(token), ring.public.data, [[m.group, m.own] for m in members], []
    from blindsight.schemes.paillier.secret import SecretKey

    key = SecretKey.generate(params.modulus_bits)
    members = [key.registrar.member(user) for user in range(users)]
    if params.scheme == "paillier":
        return key.export(token), key.public.encode(), [[m.group, m.own] for m in members], []
    shared, pairs = Secret.fresh(), [Secret.fresh() for _ in range(users)]
    given = [[shared, pairs[m.user], m.own] for m in members]
    return key.export(token), key.public.encode(), given, pairs
