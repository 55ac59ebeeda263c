"""The secrets that tags are made of, and tags of groups of weights."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import ParameterError
from blindsight.core.secrets import Secret
from blindsight.core.summing import MOST_USERS
from blindsight.kernels.dots import group_dots
from blindsight.kernels.prg import Stream

U64 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Membership:
    """What one user holds beside the public key. ``group`` all users know, ``own`` only this one.

    Both are known to the key holder and to be hidden from the aggregator.
    """

    user: int
    group: Secret = field(repr=False)
    own: Secret = field(repr=False)

    def __post_init__(self) -> None:
        if type(self.user) is not int or not 0 <= self.user < MOST_USERS:
            raise ParameterError(f"Users are numbered from 0 to {MOST_USERS - 1}.")

    def coefficients(self, number: int, groups: int, width: int, modulus: int) -> U64:
        """See `coefficients`."""
        return coefficients(self.group, number, groups, width, modulus)

    def offsets(self, number: int, groups: int, modulus: int) -> list[int]:
        """See `offsets`."""
        return offsets(self.own, number, groups, modulus)


class Registrar:
    """The key holder's one secret, from which every user's `Membership` is derived."""

    __slots__ = ("_master",)

    def __init__(self, master: Secret) -> None:
        self._master = master

    def member(self, user: int) -> Membership:
        """What user ``user`` is to be given, over a channel that the aggregator cannot read."""
        place = struct.pack("<H", user)
        return Membership(user, self.group, Secret(self._master.derive("sum member", place)))

    @property
    def group(self) -> Secret:
        return Secret(self._master.derive("sum group"))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")


def coefficients(group: Secret, number: int, groups: int, width: int, modulus: int) -> U64:
    """``a`` of a round: uint64 (groups, width) below ``modulus`` (at most 2^62).

    No value is more than 5/4 as likely as it should be.
    """
    stream = Stream(group.derive("sum coefficients", struct.pack("<I", number)))
    words = stream.read(8 * groups * width).view("<u8").reshape(groups, width)
    return np.asarray(words % np.uint64(modulus))


def offsets(own: Secret, number: int, groups: int, modulus: int) -> list[int]:
    """``t`` of a round, one integer a group, from 128 bits each."""
    data = Stream(own.derive("sum offsets", struct.pack("<I", number))).read(16 * groups).tobytes()
    return [int.from_bytes(data[at : at + 16], "little") % modulus for at in range(0, 16 * groups, 16)]


def tags(values: U64, of: U64, plus: list[int], modulus: int) -> list[int]:
    """``<a, v> + t`` of each group: values uint64 (groups, width) below 2^45."""
    return [(dot + t) % modulus for dot, t in zip(group_dots(values, of), plus, strict=True)]
