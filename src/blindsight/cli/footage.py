"""``blindsight footage``: what cameras recorded, seen only with both operators' consent."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.options import Json, Yes, address
from blindsight.cli.output import PROTOCOL, Output, clean, fields, plural, size, table
from blindsight.core.errors import UsageError

if TYPE_CHECKING:
    from blindsight.core.consent import Rectangle, Request

app = typer.Typer(help="Ask for what cameras recorded, consent to it, and reveal it.")

Key = Annotated[Path, typer.Option("--key", metavar="FILE", help="Your key, of `blindsight keys operator`.")]
RequestFile = Annotated[Path, typer.Argument(metavar="REQUEST", help="File of `footage request`.")]


@app.command()
def request(
    camera: Annotated[str, typer.Option(help="Name of the camera.")],
    first: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Begin, with a zone: 2026-11-21T15:00:00Z.")
    ],
    last: Annotated[str, typer.Option("--to", metavar="TIME", help="End, likewise; at most 31 days later.")],
    reason: Annotated[str, typer.Option(help="Why; both operators and both logs see it.")],
    key: Key,
    revealer: Annotated[
        Path, typer.Option(metavar="CERTIFICATE", help="Of the one who is to see it, a revealer.")
    ],
    hours: Annotated[float, typer.Option(min=0.001, max=744, help="How long the request is valid.")] = 24.0,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The request.")] = Path("footage.request"),
    as_json: Json = False,
) -> None:
    """Ask for what a camera saw. Nothing is revealed until both operators have consented."""
    from blindsight.trusted.consent import sign_request
    from blindsight.trusted.sealing import read_key_file
    from blindsight.wire.consent import opened_request, to_file
    from blindsight.wire.tls import read_certificate

    signed = sign_request(
        read_key_file(key)[:32],
        camera,
        _instant(first),
        _instant(last),
        read_certificate(revealer),
        reason,
        hours,
    )
    _write_new(out, to_file("request", signed))
    asked, digest = opened_request(signed)
    output = Output(as_json)
    output.document(_content(asked, digest) | {"file": str(out.absolute())})
    output.show(fields(**_shown(asked, digest) | {"file": out}))
    output.show(
        "Give the file to both operators. Each looks at it and signs with `blindsight footage consent`."
    )


@app.command()
def consent(
    path: RequestFile,
    key: Key,
    withhold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H", help="Keep this region of every still to yourself; then no video is given."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The consent.", show_default="REQUEST.consent-KEY")
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Look at a request, and sign that your party may give its shares for it."""
    from blindsight.trusted.consent import sign_consent
    from blindsight.trusted.sealing import read_key_file
    from blindsight.wire.consent import opened_consent, opened_request, read_file, to_file

    signed = read_file(path, "request")
    asked, digest = opened_request(signed)
    regions = [_region(text) for text in withhold or []]
    output = Output(as_json)
    agreed = sign_consent(read_key_file(key)[:32], signed, regions)
    if not yes:
        for name, value in _shown(asked, digest).items():
            output.note(f"{name.replace('_', ' '):13} {clean(str(value))}")
        for region in regions:
            output.note(f"{'withheld':13} {region[2]} x {region[3]} pixels at {region[0]}, {region[1]}")
        typer.confirm("Do you consent that the revealer sees this?", abort=True, err=True)
    operator = opened_consent(agreed).operator.hex()
    target = out or path.with_name(f"{path.name}.consent-{operator[:8]}")
    _write_new(target, to_file("consent", agreed))
    output.document(
        {
            "request": _content(asked, digest),
            "operator": operator,
            "withhold": [list(one) for one in regions],
            "file": str(target.absolute()),
        }
    )
    output.show(fields(request=digest.hex(), operator=operator, file=target))
    output.show("The revealer needs the request, this file, and the other operator's.")


@app.command()
def reveal(
    path: RequestFile,
    consents: Annotated[
        list[Path], typer.Argument(metavar="CONSENT0 CONSENT1", help="Files of `footage consent`.")
    ],
    party0: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where party 0 listens.")],
    party1: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where party 1 listens.")],
    identity: Annotated[
        Path, typer.Option(metavar="DIR", help="Your identity, the revealer that the request names.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for pictures, video and manifest.")],
    camera_certificate: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="The camera's certificate, if you do not trust it; more, if it had more."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Get both parties' shares of what was consented to, check them, and put them together.

    Both parties log it. Exit code 3 where a party gives nothing, or something that the camera did not make.
    """
    from blindsight.trusted.footage_reveal import camera_keys, reveal_footage
    from blindsight.wire.consent import opened_request, read_file
    from blindsight.wire.tls import Identity

    signed = read_file(path, "request")
    agreed = [read_file(one, "consent") for one in consents]
    if len(agreed) != 2:
        raise UsageError("A reveal takes two consents, one of each party's operator.")
    asked, digest = opened_request(signed)
    own = Identity(identity)
    if own.own.role != "revealer":
        raise UsageError(f"The identity in {identity} is a {own.own.role}'s, not a revealer's.")
    cameras = camera_keys(own, asked.camera, camera_certificate or [])
    output = Output(as_json)
    with output.progress("revealing") as advance:
        found = reveal_footage(own, signed, agreed, (address(party0), address(party1)), cameras, out, advance)
    output.document(
        {
            "request": digest.hex(),
            "camera": asked.camera,
            "out": str(out.absolute()),
            "items": found.items,
            "gaps": found.gaps,
            "refused": found.refused,
        }
    )
    for one in found.items:
        held_back = f"  {plural(len(one['withheld']), 'region')} withheld" if one["withheld"] else ""
        output.show(f"{_brief(one['first'])}  {one['kind']:8} {one['file']}{held_back}")
    _tell(output, found.gaps, lambda gap: _GAPS[gap["reason"]].format(gap["party"]))
    _tell(output, found.refused, lambda refused: str(refused["message"]), "red")
    output.show(f"{plural(len(found.items), 'item')} of {clean(asked.camera)}, with manifest.json, in {out}")
    if found.refused:
        raise typer.Exit(PROTOCOL)
    if not found.items and not found.gaps:
        output.note("Neither party holds footage of this camera and time.")


@app.command(name="list")
def list_(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Your party's data folder.")],
    camera: Annotated[str | None, typer.Option(help="Each piece of this camera.")] = None,
    check: Annotated[bool, typer.Option(help="Read every file, and say which are damaged.")] = False,
    as_json: Json = False,
) -> None:
    """What your party holds: shares, which say nothing alone."""
    from blindsight.blind.footage_store import kept_at, listed, read_kept
    from blindsight.core.consent import shown_instant
    from blindsight.core.errors import BlindsightError

    entries = listed(data / "footage")
    output = Output(as_json)
    damaged: list[str] = []
    if check:
        with output.progress("checking", len(entries)) as advance:
            for done, entry in enumerate(entries, 1):
                try:
                    read_kept(kept_at(data / "footage", entry.digest), None)
                except (OSError, BlindsightError):
                    damaged.append(entry.digest.hex())
                advance(done, len(entries))
    rows: list[dict[str, Any]] = []
    if camera is None:
        for name in sorted({entry.camera for entry in entries}):
            own = [entry for entry in entries if entry.camera == name]
            rows.append(
                {
                    "camera": name,
                    "stills": sum(entry.kind == "still" for entry in own),
                    "segments": sum(entry.kind == "segment" for entry in own),
                    "first": shown_instant(min(entry.first for entry in own)),
                    "last": shown_instant(max(entry.last for entry in own)),
                    "bytes": sum(entry.size for entry in own),
                }
            )
    else:
        rows += [
            {
                "number": entry.number,
                "kind": entry.kind,
                "first": shown_instant(entry.first),
                "last": shown_instant(entry.last),
                "bytes": entry.size,
                "digest": entry.digest.hex(),
            }
            for entry in entries
            if entry.camera == camera
        ]
    output.document(
        {"camera": camera, "footage": rows, "bytes": sum(entry.size for entry in entries)}
        | ({"damaged": damaged} if check else {})
    )
    _show_rows(output, rows)
    if damaged:
        output.note(
            f"{plural(len(damaged), 'share')} of {len(entries):,} damaged: restore from a backup, "
            f"or do without. The first is {damaged[0]}.",
            "red",
        )
        raise typer.Exit(PROTOCOL)
    if check:
        output.show(f"{plural(len(entries), 'share')} read, none damaged.")


_GAPS = {
    "not-held": "Party {} does not hold its share.",
    "withheld": "A region is withheld, and video cannot be shown in part, so none is given.",
    "damaged": "Party {}'s share is damaged on its disk.",
    "gone": "Party {} let its share go just now.",
}


def _tell(
    output: Output, rows: list[dict[str, Any]], sentence: Callable[[dict[str, Any]], str], style: str = ""
) -> None:
    """What is missing, a line for each reason; every piece stands in the manifest."""
    reasons: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        reasons.setdefault(sentence(row), []).append(row)
    for reason, same in reasons.items():
        first, last = min(row["first"] for row in same), max(row["last"] for row in same)
        pieces = plural(len({row["digest"] for row in same}), "piece")
        output.note(f"{pieces} missing, {_brief(first)} to {_brief(last)}: {reason}", style)


def _brief(instant: str) -> str:
    """ISO 8601 to the second, for a person."""
    return f"{instant[:10]} {instant[11:19]}Z"


def _show_rows(output: Output, rows: list[dict[str, Any]]) -> None:
    if not rows:
        output.show("No footage.")
        return
    names = [name for name in rows[0] if name != "digest"]
    shown = table(*names, right=("stills", "segments", "bytes", "number"))
    for row in rows:
        shown.add_row(*(_cell(name, row[name]) for name in names))
    output.show(shown)


def _cell(name: str, value: Any) -> str:
    if name == "bytes":
        return size(value)
    return _brief(value) if name in ("first", "last") else clean(str(value))


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text} is not a time such as 2026-11-21T15:00:00Z.") from None
    if found.tzinfo is None:
        raise UsageError(f"{text} has no time zone; write {text}Z for UTC, or {text}+01:00.")
    return found.astimezone(UTC)


def _region(text: str) -> Rectangle:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() and len(part) < 8 for part in parts):
        raise UsageError(f"{text} is not a region: left, top, width and height in pixels, as 0,0,200,480.")
    left, top, width, height = (int(part) for part in parts)
    if not width or not height:
        raise UsageError(f"{text} is an empty region; width and height are at least 1.")
    return left, top, width, height


def _content(asked: Request, digest: bytes) -> dict[str, Any]:
    from blindsight.core.consent import shown_instant

    return {
        "request": digest.hex(),
        "camera": asked.camera,
        "first": shown_instant(asked.first),
        "last": shown_instant(asked.last),
        "reason": asked.reason,
        "revealer": asked.revealer.hex(),
        "operator": asked.operator.hex(),
        "until": shown_instant(asked.until * 1_000_000),
    }


def _shown(asked: Request, digest: bytes) -> dict[str, Any]:
    content = _content(asked, digest)
    names = {"first": "from", "last": "to", "operator": "asked_by", "until": "valid_until"}
    return {names.get(name, name): value for name, value in content.items()}


def _write_new(path: Path, data: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists already; choose another name with --out.") from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)
