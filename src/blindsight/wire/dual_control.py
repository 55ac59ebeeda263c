"""Watchlist values as bytes: one encoding each, named by its digest, signed with Ed25519.

``specs/dual-control.md`` lists the keys. Decoding refuses what is out of range and what does not
encode back to the same bytes, so that a digest names one value and a value has one digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.core.dual_control import (
    Add,
    Change,
    Founding,
    Proposal,
    Record,
    Remove,
    SetThreshold,
    Verdict,
    named,
    signable,
)
from blindsight.core.errors import MalformedError, TamperedError, UsageError
from blindsight.wire.fields import Fields, pack, unpack

MAX_PHOTOS: Final = 8
MAX_RECORD_BYTES: Final = 64 << 10
MAX_FOUNDING_BYTES: Final = 1 << 10
MAX_COPY_BYTES: Final = 1 << 30
MAX_THRESHOLD: Final = 1 << 53

_ENTRY: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MODEL: Final = re.compile(r"[ -~]{1,200}")
_REASON_CHARACTERS: Final = 1000
_KIND: Final = re.compile(r"[a-z]{1,16}")

_FOUNDING: Final = (
    "kind", "nonce", "model_id", "dimension", "normalised", "scale", "norm", "value_bits", "threshold",
    "operator_0", "operator_1",
)  # fmt: skip
_ADD: Final = ("kind", "entry", "values", "photos")
_REMOVE: Final = ("kind", "entry")
_THRESHOLD: Final = ("kind", "threshold")
_PROPOSAL: Final = ("kind", "watchlist", "nonce", "proposer", "at", "reason", "change")
_VERDICT: Final = ("kind", "proposal", "party", "approved", "at", "reason")
_RECORD: Final = ("kind", "number", "previous", "proposal", "verdict")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Signed:
    """An encoding and an operator's signature over it; nothing about either has been checked."""

    value: bytes
    signature: bytes

    def require_by(self, domain: str, key: bytes) -> None:
        """Raise `TamperedError` unless the operator with this public key signed exactly this."""
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(self.signature, signable(domain, self.value))
        except (InvalidSignature, ValueError):
            raise TamperedError(f"This {domain} does not carry the signature of its operator.") from None

    def wire(self) -> dict[str, Any]:
        return {"value": self.value, "signature": self.signature}


# -- encoding ------------------------------------------------------------------------------


def encode_founding(founding: Founding) -> bytes:
    """What a watchlist's name is the digest of."""
    first, second = founding.operators
    return pack(
        {
            "kind": "founding",
            "nonce": founding.nonce,
            "model_id": founding.model_id,
            "dimension": founding.dimension,
            "normalised": founding.normalised,
            "scale": founding.scale,
            "norm": founding.norm,
            "value_bits": founding.value_bits,
            "threshold": founding.threshold,
            "operator_0": first,
            "operator_1": second,
        }
    )


def encode_proposal(proposal: Proposal) -> bytes:
    """What the proposer's operator signs."""
    return pack(
        {
            "kind": "proposal",
            "watchlist": proposal.watchlist,
            "nonce": proposal.nonce,
            "proposer": proposal.proposer,
            "at": proposal.at,
            "reason": proposal.reason,
            "change": _change_fields(proposal.change),
        }
    )


def encode_verdict(verdict: Verdict) -> bytes:
    """What the deciding operator signs."""
    return pack(
        {
            "kind": "verdict",
            "proposal": verdict.proposal,
            "party": verdict.party,
            "approved": verdict.approved,
            "at": verdict.at,
            "reason": verdict.reason,
        }
    )


def encode_record(number: int, previous: bytes, proposal: Signed, verdict: Signed) -> bytes:
    """What the head after a record is the digest of."""
    return pack(
        {
            "kind": "record",
            "number": number,
            "previous": previous,
            "proposal": proposal.wire(),
            "verdict": verdict.wire(),
        }
    )


def _change_fields(change: Change) -> dict[str, Any]:
    match change:
        case Add(entry=entry, values=values, photos=photos):
            return {"kind": "add", "entry": entry, "values": values.tobytes(), "photos": list(photos)}
        case Remove(entry=entry):
            return {"kind": "remove", "entry": entry}
        case SetThreshold(threshold=threshold):
            return {"kind": "threshold", "threshold": threshold}


def require_entry(entry: str) -> None:
    """Raise `UsageError` for a name that no entry can have."""
    if not _ENTRY.fullmatch(entry):
        raise UsageError("An entry's name has 1 to 64 letters, digits and . _ - and nothing else.")


# -- decoding ------------------------------------------------------------------------------


def decode_founding(data: bytes) -> Founding:
    """Raises `MalformedError`, as all decoding does."""
    fields = Fields(unpack(data), "founding", frozenset(_FOUNDING))
    _require_kind(fields, "founding")
    operators = fields.blob("operator_0", 32, 32), fields.blob("operator_1", 32, 32)
    if operators[0] == operators[1]:
        raise MalformedError("This founding gives both parties the same operator.")
    founding = Founding(
        nonce=fields.blob("nonce", 16, 16),
        model_id=fields.text("model_id", _MODEL),
        dimension=fields.integer("dimension", 2, 4096),
        normalised=fields.flag("normalised"),
        scale=fields.integer("scale", 1, 32767),
        norm=fields.integer("norm", 1, 32767),
        value_bits=fields.integer("value_bits", 8, 24),
        threshold=fields.integer("threshold", 1, MAX_THRESHOLD),
        operators=operators,
    )
    return _canonical(founding, encode_founding, data)


def decode_proposal(data: bytes) -> Proposal:
    """Undo `encode_proposal`; says nothing of signatures."""
    fields = Fields(unpack(data), "proposal", frozenset(_PROPOSAL))
    _require_kind(fields, "proposal")
    proposal = Proposal(
        watchlist=fields.blob("watchlist", 32, 32),
        nonce=fields.blob("nonce", 16, 16),
        proposer=fields.integer("proposer", 0, 1),
        at=fields.integer("at", 0),
        reason=_reason(fields, 1),
        change=_change(fields.any("change")),
    )
    return _canonical(proposal, encode_proposal, data)


def decode_verdict(data: bytes) -> Verdict:
    """Undo `encode_verdict`; says nothing of signatures."""
    fields = Fields(unpack(data), "verdict", frozenset(_VERDICT))
    _require_kind(fields, "verdict")
    verdict = Verdict(
        proposal=fields.blob("proposal", 32, 32),
        party=fields.integer("party", 0, 1),
        approved=fields.flag("approved"),
        at=fields.integer("at", 0),
        reason=_reason(fields, 0),
    )
    return _canonical(verdict, encode_verdict, data)


def decode_signed(value: Any) -> Signed:
    """A signed value out of a larger message, its inside not yet looked at."""
    fields = Fields(value, "signed value", frozenset({"value", "signature"}))
    return Signed(fields.blob("value", 1, MAX_RECORD_BYTES), fields.blob("signature", 64, 64))


def decode_record(data: bytes, operators: tuple[bytes, bytes]) -> Record:
    """A record whose two signatures fit; whether it follows a state is `Watchlist.after`'s to say."""
    record, proposal, verdict = _record(data)
    proposal.require_by("proposal", operators[record.proposal.proposer])
    verdict.require_by("verdict", operators[record.verdict.party])
    return record


def claimed_record(data: bytes) -> Record:
    """What a record says, its signatures not looked at: for what was checked before, or is only shown."""
    return _record(data)[0]


def _record(data: bytes) -> tuple[Record, Signed, Signed]:
    if len(data) > MAX_RECORD_BYTES:
        raise MalformedError(f"A record has at most {MAX_RECORD_BYTES} bytes.")
    fields = Fields(unpack(data), "record", frozenset(_RECORD))
    _require_kind(fields, "record")
    number, previous = fields.integer("number", 1), fields.blob("previous", 32, 32)
    signed = decode_signed(fields.any("proposal")), decode_signed(fields.any("verdict"))
    if encode_record(number, previous, *signed) != data:
        raise MalformedError("This record is not in the encoding that its digest is of.")
    proposal, verdict = decode_proposal(signed[0].value), decode_verdict(signed[1].value)
    digest = named("proposal", signed[0].value)
    return Record(number, previous, proposal, digest, verdict, named("record", data)), *signed


def encode_copy(founding: bytes, records: Sequence[bytes]) -> bytes:
    """A whole list as a file that travels by hand."""
    return pack({"kind": "copy", "founding": founding, "records": list(records)})


def decode_copy(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Founding and records of a copy, as encodings of which nothing has been checked."""
    if len(data) > MAX_COPY_BYTES:
        raise MalformedError(f"A copy of a watchlist has at most {MAX_COPY_BYTES >> 20} MiB.")
    fields = Fields(unpack(data), "copy", frozenset({"kind", "founding", "records"}))
    _require_kind(fields, "copy")
    records = fields.many("records", 0, 1 << 18)
    if any(type(record) is not bytes for record in records):
        raise MalformedError("This copy has bad records: not bytes.")
    return fields.blob("founding", 1, MAX_FOUNDING_BYTES), tuple(records)


def opened_proposal(signed: Signed, operators: tuple[bytes, bytes]) -> tuple[Proposal, bytes]:
    """A proposal that its proposer's operator signed, and its digest."""
    proposal = decode_proposal(signed.value)
    signed.require_by("proposal", operators[proposal.proposer])
    return proposal, named("proposal", signed.value)


def opened_verdict(signed: Signed, operators: tuple[bytes, bytes]) -> Verdict:
    """A verdict that its party's operator signed."""
    verdict = decode_verdict(signed.value)
    signed.require_by("verdict", operators[verdict.party])
    return verdict


def _change(value: Any) -> Change:
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == "add":
        fields = Fields(value, "change", frozenset(_ADD))
        photos = tuple(fields.many("photos", 1, MAX_PHOTOS))
        if any(type(p) is not bytes or len(p) != 32 for p in photos) or sorted(set(photos)) != list(photos):
            raise MalformedError("This change has bad photos: not SHA-256 digests in ascending order.")
        values = fields.blob("values", 4, 8192)
        if len(values) % 2:
            raise MalformedError("This change has bad values: not 16-bit integers.")
        return Add(fields.text("entry", _ENTRY), np.frombuffer(values, dtype="<i2"), photos)
    if kind == "remove":
        return Remove(Fields(value, "change", frozenset(_REMOVE)).text("entry", _ENTRY))
    fields = Fields(value, "change", frozenset(_THRESHOLD))
    _require_kind(fields, "threshold")
    return SetThreshold(fields.integer("threshold", 1, MAX_THRESHOLD))


def _require_kind(fields: Fields, kind: str) -> None:
    if fields.text("kind", _KIND) != kind:
        raise MalformedError(f"This is not a {kind}.")


def _reason(fields: Fields, low: int) -> str:
    reason = fields.any("reason")
    if type(reason) is not str or not low <= len(reason) <= _REASON_CHARACTERS or not reason.isprintable():
        raise MalformedError(f"A reason has {low} to {_REASON_CHARACTERS} printable characters.")
    return reason


def _canonical(value: _T, encode: Callable[[_T], bytes], data: bytes) -> _T:
    if encode(value) != data:
        raise MalformedError("This value is not in the encoding that its digest is of.")
    return value
