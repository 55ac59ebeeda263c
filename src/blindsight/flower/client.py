"""The mod: what a ClientApp trained leaves its computer only as a protected update.

Who learns what: the strategy gets ciphertexts or masked integers and who takes part. All metrics of
training are dropped, as they would tell about one user's images.

The node's configuration names its state file: ``blindsight-state`` for a user, or
``blindsight-keyholder`` for the key holder, which trains nothing and opens one total a round. A file that
is locked opens with the key file that ``blindsight-key-file`` names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict

from blindsight.core.errors import UsageError
from blindsight.core.secrets import ExportToken
from blindsight.core.summing import SumUser
from blindsight.flower.records import KEY_HOLDER, OPEN, RECORD, STEP, TRAIN, WHO, field, record
from blindsight.learning.fixed_point import FixedPoint
from blindsight.schemes.masking.protect import MaskingRound
from blindsight.trusted.contributor import Contributor
from blindsight.trusted.keyholder import KeyHolder
from blindsight.trusted.sealing import Unlock

_ROUND = "blindsight-round"
_Next = Callable[[Message, Context], Message]


def private_sum(fixed: FixedPoint | None = None) -> Callable[[Message, Context, _Next], Message]:
    """A mod for ``ClientApp(mods=[private_sum()])``.

    Args:
        fixed: how weights become integers; the same as the strategy's.
    """
    point = fixed or FixedPoint()

    def mod(message: Message, context: Context, app: _Next) -> Message:
        if RECORD not in message.content.config_records:
            return app(message, context)
        kind = field(message.content, "kind", str)
        if kind == WHO:
            return Message(record(user=_who(context)), reply_to=message)
        if kind == OPEN:
            return Message(_open(message, context), reply_to=message)
        person = Contributor(_path(context, "blindsight-state"), _unlock(context))
        if kind == STEP:
            kept = context.state.config_records.pop(_ROUND, None)
            if kept is None:
                raise UsageError("This user is not in the middle of a round.")
            answered = _answered(person.resume(bytes(kept["kept"])), message, context)
        elif kind == TRAIN:
            answered = _train(person, point, message, context, app)
        else:
            raise UsageError("The strategy asks for something that this mod does not know.")
        return Message(record(body=answered, user=person.user), reply_to=message)

    return mod


def _path(context: Context, name: str) -> Path:
    found = context.node_config.get(name)
    if not isinstance(found, str):
        raise UsageError(f"This node's configuration lacks {name}: the path of its state file.")
    return Path(found)


def _unlock(context: Context) -> Unlock | None:
    if "blindsight-key-file" not in context.node_config:
        return None
    return Unlock(key_file=_path(context, "blindsight-key-file"))


def _who(context: Context) -> int:
    if "blindsight-keyholder" in context.node_config:
        return KEY_HOLDER
    return Contributor(_path(context, "blindsight-state"), _unlock(context)).user


def _train(person: Contributor, point: FixedPoint, message: Message, context: Context, app: _Next) -> bytes:
    context.state.config_records.pop(_ROUND, None)  # of a round that was given up
    _restore(person, message)
    trained = app(message, context)
    if trained.has_error():
        raise UsageError("Training failed on this node; it sits the round out.")
    arrays = next(iter(trained.content.array_records.values()))
    flat = np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in arrays.to_numpy_ndarrays()])
    return _answered(
        person.round(field(message.content, "round", int), point.integers(flat)), message, context
    )


def _restore(person: Contributor, message: Message) -> None:
    """Undo DPHE's permutation on the model that was sent."""
    number = field(message.content, "permuted", int)
    if person.scheme != "dphe" or not number:
        return
    name, arrays = next(iter(message.content.array_records.items()))
    parts = arrays.to_numpy_ndarrays()
    flat = np.concatenate([part.reshape(-1) for part in parts])
    restored = person.restore(number, flat)
    edges = np.cumsum([part.size for part in parts])[:-1]
    shaped = [one.reshape(part.shape) for one, part in zip(np.split(restored, edges), parts, strict=True)]
    message.content[name] = ArrayRecord(dict(zip(arrays.keys(), _arrays(shaped), strict=True)))


def _arrays(parts: list[np.ndarray]) -> list[object]:
    return list(ArrayRecord(parts).values())


def _answered(begun: SumUser, message: Message, context: Context) -> bytes:
    """The next message of a round, which is put aside where it has further steps."""
    body = begun.answer(field(message.content, "request", bytes))
    if isinstance(begun, MaskingRound) and begun.further:
        kept = begun.export(ExportToken())
        context.state[_ROUND] = ConfigRecord({"kept": kept})
    return body


def _open(message: Message, context: Context) -> RecordDict:
    holder = KeyHolder(_path(context, "blindsight-keyholder"), _unlock(context))
    opened = holder.open(field(message.content, "round", int), field(message.content, "total", bytes))
    return record(values=opened.values.astype("<i8").tobytes(), users=list(opened.users))
