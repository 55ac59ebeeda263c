"""What strategy and mod tell each other inside of Flower's messages: one ConfigRecord, ``blindsight``."""

from __future__ import annotations

from typing import Any, Final

from flwr.app import ConfigRecord, RecordDict

from blindsight.core.errors import MalformedError

RECORD: Final = "blindsight"
KEY_HOLDER: Final = -1
"""In place of a user's number."""

WHO, TRAIN, STEP, OPEN = "who", "train", "step", "open"


def record(**fields: Any) -> RecordDict:
    """A message's content with these fields alone."""
    return RecordDict({RECORD: ConfigRecord(fields)})


def field(content: RecordDict, name: str, kind: type) -> Any:
    """A field of another side's record; `MalformedError` where it is not there or of another type."""
    found = content.config_records.get(RECORD, {})
    value = found.get(name) if hasattr(found, "get") else None
    if type(value) is not kind:
        raise MalformedError(f"A Flower message has no {name}; do both sides run this project's parts?")
    return value
