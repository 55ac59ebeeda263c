"""``blindsight watchlist list``, ``show`` and ``history``: what stands, what waits, how it came about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blindsight.cli.options import Json
from blindsight.cli.output import Output, clean, fields, table
from blindsight.cli.watchlist_file import (
    ListFile,
    PhotosFolder,
    ProposalDigest,
    abbreviations,
    change_content,
    day,
    moment,
    opened,
    put,
    threshold_of,
    waiting_content,
    waiting_fields,
    waiting_of,
    write_photos,
)

if TYPE_CHECKING:
    from blindsight.blind.dual_control import Waiting, WatchlistFile
    from blindsight.core.dual_control import Founding, Record


def list_(file: ListFile, as_json: Json = False) -> None:
    """Who is on the list, its threshold and head, and which proposals wait."""
    from blindsight.core.dual_control import Add

    output = Output(as_json)
    with opened(file) as listed:
        added = {
            change.entry: (len(change.photos), record)
            for record in _records(listed)
            if isinstance(change := record.proposal.change, Add)
        }
        state, waiting = listed.state, listed.waiting()
    founding, entries = state.founding, [(name, *added[name]) for name in sorted(state.entries)]
    content = [{"entry": name, "photos": photos} | _when(record) for name, photos, record in entries]
    output.document(
        {
            "file": str(file),
            "name": state.name.hex(),
            "number": state.number,
            "head": state.head.hex(),
            "threshold": threshold_of(founding, state.threshold),
            "model_id": founding.model_id,
            "entries": content,
            "waiting": [waiting_content(one, founding) for one in waiting],
        }
    )
    output.show(
        fields(
            record=state.number,
            head=state.head.hex(),
            threshold=f"distance {threshold_of(founding, state.threshold):.4g}",
            model=founding.model_id,
        )
    )
    output.show()
    shown = table("entry", "photos", "since", "record", right=("photos", "record"))
    for name, photos, record in entries:
        shown.add_row(name, str(photos), day(record.verdict.at), str(record.number))
    output.show(shown if entries else "Nobody is on the list; faces are compared when somebody is.")
    output.show()
    output.show(_waiting(waiting, founding) if waiting else "Nothing waits for a decision.")


def show(
    file: ListFile, proposal: ProposalDigest, photos: PhotosFolder = None, as_json: Json = False
) -> None:
    """One proposal that waits; with --photos DIR its photos, to look at."""
    from blindsight.core.dual_control import require_photos

    output = Output(as_json)
    with opened(file) as listed:
        one = waiting_of(listed, proposal)
        found = listed.photos(one.digest)
        state = listed.state
    founding, written = state.founding, []
    if photos is not None:
        if one.verdict is None:
            require_photos(one.proposal.change, found)
        written = write_photos(photos, one, found)
    output.document(waiting_content(one, founding) | {"photo_files": [str(path) for path in written]})
    output.show(fields(**waiting_fields(one, state), decision=_decision(one)))
    for path in written:
        output.show(f"photo: {clean(str(path))}")
    if written:
        output.show("Delete them when you have decided.", "dim")


def history(file: ListFile, as_json: Json = False) -> None:
    """Every change that took effect, who wanted it, when and why; and what was rejected or withdrawn."""
    output = Output(as_json)
    with opened(file) as listed:
        founding, records, ended = listed.state.founding, _records(listed), listed.ended()
    output.document(
        {
            "file": str(file),
            "records": [_content(one, founding) for one in records],
            "ended": [
                {"proposal": one.proposal.hex(), "party": one.party, "reason": one.reason}
                | {"at": moment(one.at).isoformat()}
                for one in ended
            ],
        }
    )
    shown = table("record", "change", "proposed by", "approved", "reason", right=("record",))
    for one in records:
        reason = one.proposal.reason + (f" / {one.verdict.reason}" if one.verdict.reason else "")
        change, at = put(one.proposal.change, founding), day(one.verdict.at)
        shown.add_row(str(one.number), change, f"party {one.proposal.proposer}", at, reason)
    if records:
        output.show(shown)
    else:
        output.show("Nothing has been changed since the list was founded.")
    if ended:
        output.show()
        gone = table("rejected or withdrawn", "by", "at", "reason")
        for short, verdict in zip(abbreviations([one.proposal for one in ended]), ended, strict=True):
            gone.add_row(short, f"party {verdict.party}", day(verdict.at), verdict.reason)
        output.show(gone)


def _records(listed: WatchlistFile) -> list[Record]:
    """What the chain says; opening the file has checked it."""
    from blindsight.wire.dual_control import claimed_record

    return [claimed_record(encoded) for encoded in listed.records(0)]


def _content(one: Record, founding: Founding) -> dict[str, Any]:
    return {
        "number": one.number,
        "head": one.digest.hex(),
        "change": change_content(one.proposal.change, founding),
        "proposal": one.proposal_digest.hex(),
        "proposer": one.proposal.proposer,
        "proposed": moment(one.proposal.at).isoformat(),
        "reason": one.proposal.reason,
        "approved": moment(one.verdict.at).isoformat(),
        "remark": one.verdict.reason,
    }


def _when(record: Record) -> dict[str, Any]:
    return {"record": record.number, "at": moment(record.verdict.at).isoformat()}


def _waiting(waiting: list[Waiting], founding: Founding) -> Any:
    shown = table("waiting", "change", "reason", "by", "since", "decision")
    shorts = abbreviations([one.digest for one in waiting])
    for short, one in zip(shorts, waiting, strict=True):
        change, by = put(one.proposal.change, founding), f"party {one.proposal.proposer}"
        shown.add_row(short, change, one.proposal.reason, by, day(one.proposal.at), _decision(one))
    return shown


def _decision(one: Waiting) -> str:
    return (
        f"party {1 - one.proposal.proposer} decides" if one.verdict is None else "approved, not yet numbered"
    )
