"""``blindsight demo surveillance``: two parties who recognise nobody unless both agree, on this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from blindsight.cli.demo_process import orderly
from blindsight.cli.options import Json
from blindsight.cli.output import NO_MATCH, Output, clean, fields, plural, size, table
from blindsight.core.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from blindsight.cli.demo_process import Told
    from blindsight.cli.demo_town import Town, Watch

_NOBODIES: Final = 149
_CHEAT_SECONDS: Final = 6.0


def surveillance(
    source: Annotated[
        Path | None,
        typer.Option(
            "--source", metavar="VIDEO", help="Your own video; then --photo says who is looked for."
        ),
    ] = None,
    photo: Annotated[
        Path | None, typer.Option("--photo", metavar="FILE", help="A photo of one person in the video.")
    ] = None,
    entries: Annotated[
        int, typer.Option("--entries", min=1, max=5000, help="Generated people on the list beforehand.")
    ] = _NOBODIES,
    picture: Annotated[
        Path, typer.Option("--picture", metavar="PNG", help="What everybody sees, as a picture.")
    ] = Path("surveillance.png"),
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Work in this new folder, and leave it there."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch a video as two parties who distrust each other.

    A camera, two parties and an inspector, as processes. Nobody is recognised before both operators
    put a person on the list; a party that computes with another list is caught at the first face;
    footage is put together only with both consents. Uses no network but this machine's own.
    """
    from blindsight.cli.demo import folder_for

    if (source is None) != (photo is None):
        raise UsageError("A video of your own needs a photo of who is looked for, and the other way round.")
    output = Output(as_json)
    started = time.monotonic()
    with folder_for(keep) as folder, orderly():
        story = _run(output, folder, source, photo, entries, picture)
    story["seconds"] = round(time.monotonic() - started, 1)
    story["kept"] = str(keep) if keep else None
    output.document(story)
    output.show(f"\nThe picture is {picture}. Time, {story['seconds']:.0f} s in all.", "bold")
    if not story["recognised"]["alerts"][0]:
        raise typer.Exit(NO_MATCH)


def _run(
    output: Output, folder: Path, source: Path | None, photo: Path | None, entries: int, picture: Path
) -> dict[str, Any]:
    from blindsight.cli.demo_clip import write
    from blindsight.cli.demo_town import ENTRY, Town, write_photo

    with output.progress("a video"):
        video = source or write(folder / "video.mp4")
        portrait = photo or write_photo(folder / "photo.png")
    story: dict[str, Any] = {"entries": entries}
    with Town(folder, video.absolute()) as town:
        with output.progress("keys, certificates and a list that both signed"):
            town.found(entries)
            for party in (1, 0):
                town.serve(party)
        _introduce(output, folder, entries)
        story["unlisted"] = _watched(output, town, "1. The video, with nobody in it on the list")
        with output.progress("a proposal and its approval"):
            town.list_person(portrait.absolute(), "demonstration")
        _listed(output, ENTRY)
        seen = town.watch(footage="stills")
        story["recognised"] = _told(seen)
        _show_watch(output, "3. The same video", seen)
        story["cheated"] = _cheated(output, town)
        story["revealed"] = _revealed(output, town, seen, folder / "revealed")
        if story["revealed"]["items"]:
            exact = _picture(town, story["revealed"]["items"], picture, entries + 1)
            story["revealed"]["as_the_camera_saw_it"] = exact
    return story


# -- the steps ---------------------------------------------------------------------------------------


def _introduce(output: Output, folder: Path, entries: int) -> None:
    output.show("\nFour computers, here processes on this machine", "bold")
    output.show(
        fields(
            gate="a camera: sees, sends each party a half that says nothing, keeps nothing",
            north="party 0: compares, learns one bit for each entry of the list",
            south="party 1: the same; neither can do anything without the other",
            inspector="reads footage, if both operators signed for it",
        )
    )
    output.show(f"On the list: {entries:,} generated people, each signed by both operators.")
    output.show(f"Everything is in {clean(str(folder))} while this runs.", "dim")


def _watched(output: Output, town: Town, title: str) -> dict[str, Any]:
    seen = town.watch()
    _show_watch(output, title, seen)
    return _told(seen)


def _told(seen: Watch) -> dict[str, Any]:
    counts = seen.counts
    return {
        "faces_sent": counts["sent"],
        "answered": counts["answered"],
        "dummies": counts["dummies"],
        "protection_share": counts["protection_share"],
        "alerts": [[alert["matches"] for alert in alerts] for alerts in seen.alerts],
        "receipts": [[alert["receipt"] for alert in alerts] for alerts in seen.alerts],
    }


def _show_watch(output: Output, title: str, seen: Watch) -> None:
    counts = seen.counts
    output.show(f"\n{title}", "bold")
    output.show(
        fields(
            camera=f"{counts['frames']:,} frames, {plural(counts['found'], 'face')} in them, "
            f"{plural(counts['tracks'], 'person')} followed",
            sent=f"{plural(counts['sent'], 'face')} and {plural(counts['dummies'], 'dummy')} that no party "
            "can tell apart",
        )
    )
    for name, alerts in zip(("north", "south"), seen.alerts, strict=True):
        if not alerts:
            output.show(f"{name}: no alert", "green")
        for alert in alerts:
            entries = ", ".join(sorted({entry for _, entry in alert["matches"]}))
            output.show(f"{name}: ALERT  {clean(entries)}  receipt {alert['receipt'][:16]}", "bold red")


def _listed(output: Output, entry: str) -> None:
    output.show("\n2. Both operators put somebody on the list", "bold")
    output.show(
        fields(
            north="proposes: photo, template and reason, signed",
            south="embeds the photo with its own model, compares, and signs too",
            now=f"{entry} is on both lists; the parties were not restarted",
        )
    )


def _cheated(output: Output, town: Town) -> dict[str, Any]:
    """Party 1 is replaced by one that compares with somebody else; what party 0 notices."""
    before = len(town.log(0))
    town.stop_party(1)
    town.serve(1, cheating=True)
    seen = town.watch(seconds=_CHEAT_SECONDS)
    town.stop_party(1)
    aborts = [line for line in town.log(0)[before:] if line["kind"] == "abort"]
    output.show("\n4. South secretly looks for somebody else", "bold")
    output.show(
        fields(
            south="says it has the agreed list, and computes with another person in it",
            north=f"caught it at the first face, and at each of {len(aborts):,} tries: a wrong opening",
            alerts="none at either" if not any(seen.alerts) else "RAISED",
            reasons=", ".join(sorted({line["reason"] for line in aborts})),
            evidence=f"{plural(_evidence(town), 'file')}: all messages of each run, for later",
        )
    )
    town.serve(1)
    return {
        "aborts": [line["reason"] for line in aborts],
        "alerts": [len(alerts) for alerts in seen.alerts],
        "evidence": _evidence(town),
    }


def _evidence(town: Town) -> int:
    return len(list((town.data(0) / "evidence").iterdir()))


def _revealed(output: Output, town: Town, seen: Watch, out: Path) -> dict[str, Any]:
    output.show("\n5. What the camera saw at the time of the alert", "bold")
    refusal = ""
    try:
        town.reveal(seen, out.with_name("refused"), consents=(0,))
    except UnavailableError as error:
        refusal = error.message
    shown: Told = town.reveal(seen, out)
    held = sum(
        path.stat().st_size
        for party in (0, 1)
        for path in town.data(party).glob("footage/??/*")
        if path.is_file()
    )
    rows = table("with", "the inspector gets")
    rows.add_row("north's consent alone", "nothing" if refusal else "FOOTAGE")
    rows.add_row(
        "both consents", f"{plural(len(shown['items']), 'still')}, checked against the camera's signature"
    )
    output.show(rows)
    output.show(f"Stored at both together: {size(held)}; either half alone is noise.")
    return {
        "refused_with_one_consent": bool(refusal),
        "items": shown["items"],
        "gaps": shown["gaps"],
        "stored_bytes": held,
    }


def _picture(town: Town, items: list[Told], path: Path, entries: int) -> bool:
    """Of the still that differs most from the first; whether it is a frame of the video, exactly."""
    import numpy as np
    from PIL import Image

    from blindsight.cli.demo_picture import draw, held_by
    from blindsight.vision import Source
    from blindsight.vision.video import frames

    files = [town.folder / "revealed" / one["file"] for one in items]
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    lively = int(np.argmax([float(np.abs(one.astype(int) - pictures[0]).mean()) for one in pictures]))
    revealed, digest = pictures[lively], bytes.fromhex(items[lively]["digest"])
    seen = min(
        (frame.pixels for frame in frames(Source.parse(str(town.video)))),
        key=lambda pixels: int(np.abs(pixels.astype(np.int16) - revealed).sum()),
    )
    shares = held_by(town.data(0), 0, digest), held_by(town.data(1), 1, digest)
    draw(path, seen, shares, revealed, entries, entries - 1)
    return bool(np.array_equal(seen, revealed))
