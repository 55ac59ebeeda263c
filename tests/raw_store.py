"""A data folder as an attacker or a forensic reader sees it: files, and nothing of ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def everything(folder: Path) -> bytes:
    """All bytes of all files, one after the other."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.iterdir()))


def stained_slots(folder: Path) -> list[tuple[str, int]]:
    """Slots that no block refers to and that are not all zeros. For a folder that nobody has open."""
    database = sqlite3.connect(folder / "catalog.sqlite")
    found = []
    try:
        for number, gallery_id, size in database.execute(
            "SELECT gallery, gallery_id, body_bytes FROM galleries"
        ):
            used = {
                slot for (slot,) in database.execute("SELECT slot FROM blocks WHERE gallery = ?", (number,))
            }
            data = (folder / f"{gallery_id}.tiles").read_bytes()
            assert len(data) % size == 0
            for slot in range(len(data) // size):
                if slot not in used and any(data[slot * size : (slot + 1) * size]):
                    found.append((gallery_id, slot))
    finally:
        database.close()
    return found


def orphans(folder: Path) -> set[str]:
    """Tile files that no gallery owns."""
    database = sqlite3.connect(folder / "catalog.sqlite")
    try:
        owned = {
            f"{gallery_id}.tiles" for (gallery_id,) in database.execute("SELECT gallery_id FROM galleries")
        }
    finally:
        database.close()
    return {path.name for path in folder.glob("*.tiles")} - owned
