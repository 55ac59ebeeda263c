"""Totals to integers. The aggregator knows the sum; no key is needed."""

from __future__ import annotations

from blindsight.core.errors import MalformedError
from blindsight.core.summing import AGGREGATOR, Kind, Once, Opened, parse_users
from blindsight.schemes.masking.compute import read_sum
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
        return read_sum(p, users, rest)
