"""Functions of the user's that are called when something happens."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Listeners(Generic[P, R]):
    """Those of one kind, in the order in which they were added.

    Args:
        report: Is told what they raise.
    """

    def __init__(self, report: Callable[[BaseException], None]) -> None:
        self._report = report
        self._listeners: dict[object, Callable[P, R]] = {}

    def __iter__(self) -> Iterator[Callable[P, R]]:
        """Go through those that are there now, without those that are ended meanwhile."""
        for mark, listener in list(self._listeners.items()):
            if mark in self._listeners:
                yield listener

    def add(self, listener: Callable[P, R]) -> Callable[[], None]:
        """Have it called from now on. Returns a function that ends it."""
        mark = object()
        self._listeners[mark] = listener

        def end() -> None:
            self._listeners.pop(mark, None)

        return end

    def call(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call each: one that raises breaks nothing but itself."""
        for listener in self:
            try:
                returned = listener(*args, **kwargs)
                if isinstance(returned, Coroutine):
                    returned.close()
                    raise TypeError(f"{listener!r} is async: a listener is called, and nobody awaits it")
            except (Exception, asyncio.CancelledError) as error:  # of something of its own: nothing is awaited here
                self._report(error)
