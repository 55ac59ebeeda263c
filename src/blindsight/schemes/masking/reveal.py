"""Totals to integers. The aggregator knows the sum; no key is needed."""

from __future__ import annotations

import numpy as np

from blindsight.core.errors import MalformedError, TamperedError
from blindsight.core.summing import AGGREGATOR, Kind, Once, Opened, parse_users
from blindsight.schemes.masking.public import Group


class MaskingReader:
    """See `blindsight.core.summing.SumKeyHolder`."""

    def __init__(self, group: Group, *, last: int = 0) -> None:
        self._group = group
        self._once = Once(last)

    def open(self, number: int, total: bytes) -> Opened:
        """The sum of a round; `TamperedError` for one that cannot be."""
        p = self._group.params
        body = self._group.round_id(number).parse(
            total, Kind.TOTAL, AGGREGATOR, 2 + p.update_bytes, p.largest_total
        )
        users, rest = parse_users(p, body)
        if len(rest) != p.update_bytes:
            raise MalformedError("A sum of masked updates has another length than its parameters say.")
        self._once.use(number)
        values = np.frombuffer(rest, "<i4").astype(np.int64)
        if np.abs(values).max() > len(users) * ((1 << (p.bits - 1)) - 1):
            raise TamperedError(
                "A sum holds a weight that cannot be; masks were left in it, or it was altered."
            )
        return Opened(values, users)
