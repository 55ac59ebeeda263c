"""A matcher between a client and a real one: it lies, fails or dies as a test wants it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blindsight.core.errors import UnavailableError


class Died(BaseException):
    """The client's process, in a test that cannot end its own."""


class Between:
    """Hands every call on to ``inner``.

    ``lies`` maps a method to what becomes of its result: ``lie(result, *arguments)``.
    ``fails`` is asked before and after every call, with the method and ``"before"`` or
    ``"after"``, and raises what it wants to.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.lies: dict[str, Callable[..., Any]] = {}
        self.fails: Callable[[str, str], None] = lambda method, when: None
        self.calls: list[str] = []

    def __getattr__(self, method: str) -> Any:
        real = getattr(self.inner, method)

        def call(*arguments: Any) -> Any:
            self.calls.append(method)
            self.fails(method, "before")
            result = real(*arguments)
            if method == "fetch":
                result = list(result)
            self.fails(method, "after")
            return self.lies[method](result, *arguments) if method in self.lies else result

        return call


def failing_at(number: int, when: str, error: BaseException, *, for_good: bool) -> Callable[[str, str], None]:
    """``error`` at the ``number``-th call, before or after it took effect, or also at all later ones."""
    count = 0

    def fails(method: str, moment: str) -> None:
        nonlocal count
        count += moment == "before"
        if (count == number and moment == when) or (for_good and count > number):
            raise error

    return fails


def once_after(method: str) -> Callable[[str, str], None]:
    """The answer to the first call of ``method`` gets lost."""
    lost = False

    def fails(called: str, moment: str) -> None:
        nonlocal lost
        if called == method and moment == "after" and not lost:
            lost = True
            raise UnavailableError("The connection broke.")

    return fails
