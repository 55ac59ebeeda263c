"""The revealer: gets both parties' shares of what was consented to, and checks each half by itself.

specs/reveal.md, section 5. Whoever runs this sees the footage; nobody before it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.core.consent import Request
from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    TamperedError,
    UsageError,
)
from blindsight.schemes.footage.compute import check_signature, open_share
from blindsight.schemes.footage.pieces import require_root
from blindsight.schemes.footage.public import MAX_OPENING_BYTES, Share, parse_share
from blindsight.schemes.footage.reveal import reveal
from blindsight.trusted.footage_manifest import Revealed, about, head, write_manifest, written
from blindsight.wire.channel import Channel, connect
from blindsight.wire.consent import opened_consent, opened_request
from blindsight.wire.dual_control import Signed
from blindsight.wire.footage_messages import (
    SHARE,
    Ask,
    Denied,
    Done,
    Fetch,
    Gap,
    Granted,
    Item,
    Items,
    Page,
)
from blindsight.wire.party_messages import parse
from blindsight.wire.tls import Identity, read_certificate

_SECONDS: Final = 120.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Advance = Callable[[int, int], None]


def reveal_footage(
    identity: Identity,
    request: Signed,
    consents: Sequence[Signed],
    parties: tuple[tuple[str, int], tuple[str, int]],
    cameras: Sequence[Ed25519PublicKey],
    out: Path,
    advance: Advance = lambda done, of: None,
) -> Revealed:
    """Have both parties give what the request is for, and write it with a manifest to a new folder.

    Args:
        identity: the one that the request names; it trusts both parties.
        parties: host and port of party 0 and of party 1.
        cameras: public keys of the request's camera: of its certificate, and of older ones.
        out: folder of the result, which does not exist or is empty.

    Raises:
        RefusedError: a party gives nothing; the message says which, and its reason.
        UnavailableError: a party is not there, or left in the middle; what came is in ``out``.
        TamperedError, MalformedError: request or consents that were altered.
    """
    if not cameras:
        raise UsageError("Give the camera's certificate: who signed the footage must be known.")
    asked, digest = opened_request(request)
    agreed = [opened_consent(one) for one in consents]
    if len(agreed) != 2:
        raise UsageError("A reveal takes two consents, one of each party's operator.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder; choose another.")
    found = Revealed()
    with ExitStack() as stack:
        channels = []
        for party, (host, port) in enumerate(parties):
            channels.append(stack.enter_context(connect(identity, host, port, f"party{party}")))
        grants = _ask(channels, Ask(request, tuple(consents)))
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        beginning = head(asked, digest, agreed, request, consents, channels, grants)
        try:
            both = _both(channels, grants, found)
            for done, item in enumerate(both):
                advance(done, len(both))
                _take(channels, item, asked, cameras, out, found)
            advance(len(both), len(both))
            for channel in channels:
                channel.send(Done().pack(), _SECONDS)
        except (ProtocolError, KeyboardInterrupt) as error:
            found.stopped = error.message if isinstance(error, ProtocolError) else "interrupted"
            raise
        finally:
            write_manifest(out, beginning, found)
    return found


def _ask(channels: list[Channel], ask: Ask) -> list[Granted]:
    for channel in channels:
        channel.send(ask.pack(), _SECONDS)
    grants = []
    for party, channel in enumerate(channels):
        answer = _answer(party, channel, Granted)
        if answer.party != party:
            raise MalformedError(f"Party {party} says that it is the other one.")
        grants.append(answer)
    return grants


def _answer(party: int, channel: Channel, wanted: Any) -> Any:
    """The next message of this class; `RefusedError` where it is a denial."""
    data = channel.receive(max(wanted.at_most, Denied.at_most), _SECONDS)
    answer: Any = parse(data, wanted, Denied)
    if isinstance(answer, Denied):
        raise RefusedError(f"Party {party} gives nothing: {answer.reason}")
    return answer


def _both(channels: list[Channel], grants: list[Granted], found: Revealed) -> list[Item]:
    """What both parties list; what one lacks becomes a gap."""
    lists: list[dict[bytes, Item]] = []
    for party, channel in enumerate(channels):
        listed: dict[bytes, Item] = {}
        while len(listed) < grants[party].items:
            channel.send(Page(len(listed)).pack(), _SECONDS)
            page = _answer(party, channel, Items).items
            before = len(listed)
            listed |= {item.digest: item for item in page}
            if len(listed) != before + len(page) or not page:
                raise MalformedError(f"Party {party} lists less than it said, or something twice.")
        lists.append(listed)
    for party, listed in enumerate(lists):
        for digest, item in lists[1 - party].items():
            if digest not in listed:
                found.gaps.append(about(item) | {"party": party, "reason": "not-held"})
    together = [item for digest, item in lists[1].items() if digest in lists[0]]
    return sorted(together, key=lambda item: (item.first, item.number, item.digest))


def _take(
    channels: list[Channel],
    item: Item,
    asked: Request,
    cameras: Sequence[Ed25519PublicKey],
    out: Path,
    found: Revealed,
) -> None:
    """Fetch, check, put together and write one item."""
    for channel in channels:
        channel.send(Fetch(item.digest).pack(), _SECONDS)
    answers = [channel.receive(MAX_OPENING_BYTES, _SECONDS) for channel in channels]
    halves: list[Share] = []
    for party, data in enumerate(answers):
        if data[: len(SHARE)] != SHARE:
            answer: Any = parse(data, Gap, Denied)
            if isinstance(answer, Denied):
                raise RefusedError(f"Party {party} gives nothing more: {answer.reason}")
            found.gaps.append(about(item) | {"party": party, "reason": answer.reason})
            continue
        try:
            halves.append(_checked(party, parse_share(data), item.digest, asked))
        except MalformedError:
            message = f"Party {party} gave something that is no share of footage."
            found.refused.append(about(item) | {"party": party, "message": message})
        except TamperedError as error:
            found.refused.append(about(item) | {"party": party, "message": error.message})
    if len(halves) < 2:
        return
    try:
        camera = _signer(halves, cameras)
        shown = reveal(halves[0], halves[1], camera)
    except BlindsightError as error:
        whose = [party for party in (0, 1) if f"Party {party}" in error.message]
        found.refused.append(
            about(item) | {"party": whose[0] if len(whose) == 1 else None, "message": error.message}
        )
        return
    found.items.append(written(shown, halves[0], out, len(found.items) + 1))


def _checked(party: int, share: Share, digest: bytes, asked: Request) -> Share:
    """The half, if it is this party's of this footage, whole, and of what was asked for."""
    of = share.statement.about
    first, last = ((at - _EPOCH) // timedelta(microseconds=1) for at in (of.first, of.last))
    if share.statement.digest() != digest or share.party != party:
        raise TamperedError(f"Party {party} gave another share than it was asked for.")
    if of.camera != asked.camera or first > asked.last or last < asked.first:
        raise TamperedError(f"Party {party} gave footage that was not asked for.")
    require_root(open_share(share))
    return share


def _signer(halves: Sequence[Share], cameras: Sequence[Ed25519PublicKey]) -> Ed25519PublicKey:
    """Which of the camera's keys signed both; `TamperedError` names the party whose half none did."""
    for key in cameras:
        signed = []
        for half in halves:
            try:
                check_signature(half, key)
                signed.append(True)
            except TamperedError:
                signed.append(False)
        if all(signed):
            return key
        if any(signed):
            raise TamperedError(f"Party {signed.index(False)} gave a share that the camera did not sign.")
    raise TamperedError(
        "No certificate that was given is of the key that signed this footage; ask for the camera's."
    )


def camera_keys(identity: Identity, camera: str, certificates: Sequence[Path] = ()) -> list[Ed25519PublicKey]:
    """Public keys of a camera: of certificates given, and of the one that the identity trusts.

    Raises `NotFoundError` where there is none, `UsageError` for another camera's certificate.
    """
    keys = []
    for path in certificates:
        peer = read_certificate(path)
        if (peer.role, peer.name) != ("camera", camera):
            raise UsageError(f"{path} is the certificate of {peer.role} {peer.name}, not of camera {camera}.")
        keys.append(peer.public_key)
    known = [peer for peer in identity.trusted() if (peer.role, peer.name) == ("camera", camera)]
    keys += [peer.public_key for peer in known]
    if not keys:
        raise NotFoundError(
            f"Nothing is known of camera {camera}; give its certificate with --camera-certificate."
        )
    return keys
