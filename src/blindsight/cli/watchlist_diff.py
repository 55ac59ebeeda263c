"""``blindsight watchlist diff`` and ``dump``: whether the two copies are one list."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindsight.cli.options import Json
from blindsight.cli.output import NO_MATCH, Output, fields, plural, size, table
from blindsight.cli.watchlist_file import ListFile, change_content, day, opened, put, threshold_of
from blindsight.core.errors import StorageFullError, UsageError

if TYPE_CHECKING:
    from blindsight.blind.watchlist_copy import Compared, Examined
    from blindsight.core.dual_control import Record


def diff(
    file: ListFile,
    other: Annotated[
        Path, typer.Argument(metavar="OTHER", help="The other party's FILE, or what its `dump` wrote.")
    ],
    as_json: Json = False,
) -> None:
    """Compare two copies: where their histories part, and every entry that differs.

    Exit code 0 where they are the same and every record is signed by both operators, else 1. Copies
    that do not open, because somebody altered them, are compared as well.
    """
    output = Output(as_json)
    for path in (file, other):
        if not path.is_file():
            raise UsageError(f"There is no watchlist at {path}.")
    from blindsight.blind.watchlist_copy import compare, read_copy

    found = compare(read_copy(file), read_copy(other))
    output.document(_content(found))
    _show(output, found)
    if not found.same:
        raise typer.Exit(NO_MATCH)


def dump(
    file: ListFile,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new file.")],
    as_json: Json = False,
) -> None:
    """Write the whole history to one file, for the other party's `diff`; no photos, nothing that waits."""
    output = Output(as_json)
    from blindsight.wire.dual_control import encode_copy

    with opened(file) as listed:
        records = list(listed.records(0))
        content = encode_copy(listed.founding(), records)
        head = listed.state.head
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
    except FileExistsError:
        raise UsageError(f"{out} exists already; nothing is overwritten.") from None
    except OSError as error:
        raise StorageFullError(f"{out} cannot be written: {error.strerror}.") from error
    output.document({"file": str(out), "records": len(records), "head": head.hex(), "bytes": len(content)})
    output.show(f"{plural(len(records), 'record')} written to {out} ({size(len(content))}).")


def _show(output: Output, found: Compared) -> None:
    here, there = found.here, found.there
    if found.other_list:
        output.show("These are two lists, founded apart; found one for both parties.", "bold red")
        shown = table("", "here", "there")
        for part in ("name", *_FOUNDING):
            one, other = _founded(here, part), _founded(there, part)
            if one != other:
                shown.add_row(part.replace("_", " "), one, other)
        output.show(shown)
        return
    if found.same:
        output.show("Both copies are the same, and every change in them is signed by both.", "bold green")
        output.show(fields(record=here.state.number, head=here.state.head.hex()))
        return
    counts = here.said.number, there.said.number
    if found.difference.fork is not None:
        output.show(f"The copies part at record {found.difference.fork}.", "bold red")
    elif counts[0] != counts[1] and here.fault is there.fault is None:
        less, more = ("There", "here") if counts[1] < counts[0] else ("Here", "there")
        output.show(
            f"{less} {plural(abs(counts[0] - counts[1]), 'record')} of those {more} are missing; "
            "running parties bring each other up to date.",
            "bold yellow",
        )
    for where, side in (("here", here), ("there", there)):
        if side.fault is not None:
            output.show(f"Record {side.state.number + 1} {where} is not valid: {side.fault}", "bold red")
    if any(found.parted):
        shown = table(f"record {found.common + 1}", "change", "proposed by", "at", "reason")
        for where, record in zip(("here", "there"), found.parted, strict=True):
            shown.add_row(where, *_row(record, found))
        output.show(shown)
    _show_entries(output, found)


def _show_entries(output: Output, found: Compared) -> None:
    founding, difference = found.here.state.founding, found.difference
    if difference.none:
        output.show("Entries and threshold are the same in both.")
        return
    shown = table("differs", "here", "there")
    for name in difference.only_here:
        shown.add_row(name, "on the list", "-")
    for name in difference.only_there:
        shown.add_row(name, "-", "on the list")
    for name in difference.other_template:
        shown.add_row(name, "one face", "another face")
    if difference.thresholds[0] != difference.thresholds[1]:
        shown.add_row("threshold", *(f"{threshold_of(founding, one):.4g}" for one in difference.thresholds))
    output.show()
    output.show(shown)


def _row(record: Record | None, found: Compared) -> tuple[str, str, str, str]:
    if record is None:
        return ("-", "", "", "")
    proposal = record.proposal
    return (
        put(proposal.change, found.here.state.founding),
        f"party {proposal.proposer}",
        day(proposal.at),
        proposal.reason,
    )


_FOUNDING = ("model_id", "dimension", "normalised", "scale", "norm", "value_bits", "threshold", "operators")


def _founded(one: Examined, part: str) -> str:
    if part == "name":
        return one.state.name.hex()
    value = getattr(one.state.founding, part)
    return "\n".join(key.hex() for key in value) if part == "operators" else str(value)


def _content(found: Compared) -> dict[str, Any]:
    difference, founding = found.difference, found.here.state.founding
    return {
        "same": found.same,
        "other_list": found.other_list,
        "common": found.common,
        "fork": None if found.other_list else difference.fork,
        "here": _side(found.here),
        "there": _side(found.there),
        "parted": [
            None if record is None else change_content(record.proposal.change, founding)
            for record in found.parted
        ],
        "only_here": list(difference.only_here),
        "only_there": list(difference.only_there),
        "other_template": list(difference.other_template),
        "thresholds": [
            threshold_of(one.state.founding, squared)
            for one, squared in zip((found.here, found.there), difference.thresholds, strict=True)
        ],
    }


def _side(one: Examined) -> dict[str, Any]:
    return {
        "name": one.state.name.hex(),
        "records": one.said.number,
        "valid": one.state.number,
        "head": one.state.head.hex(),
        "fault": one.fault,
    }
