"""The client, as its parts see it, in the test's hand."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from tidewire.errors import TidewireError, uncertain
from tidewire.frames import Frame
from tidewire.host import Host

WAITS: Final = object()
"""What ``reply`` returns where the test answers by hand."""


@dataclass(eq=False)
class Sent:
    """A request that a part has sent."""

    request: Frame
    timeout_s: float
    answer: "asyncio.Future[Any]"

    def resolve(self, result: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def reject(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # whoever does not await it loses nothing


@dataclass(eq=False)
class FakeHost:
    """Records what is sent, which the test answers by hand; or ``reply`` does it at once."""

    reply: Callable[[Frame], Any] | None = None
    online: bool = True
    user: str = "ann"
    random: Callable[[], float] = lambda: 0.0
    sent: list[Sent] = field(default_factory=list)
    reports: list[BaseException] = field(default_factory=list)
    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    ahead_ms: float = 0  # how far the server's clock is

    @property
    def host(self) -> Host:
        return Host(
            ask=self._ask,
            standing=self._standing,
            connected=lambda: self.online,
            user_id=lambda: self.user,
            server_time_ms=lambda: asyncio.get_running_loop().time() * 1000 + self.ahead_ms,
            report=self.reports.append,
            spawn=self._spawn,
            random=lambda: self.random(),
        )

    @property
    def last(self) -> Sent:
        return self.sent[-1]

    def asked(self, kind: str) -> list[Frame]:
        """Return the requests of a type."""
        return [sent.request for sent in self.sent if sent.request["type"] == kind]

    def cut(self) -> None:
        """The connection ends: nothing comes back."""
        self.online = False
        for sent in self.sent:
            sent.reject(uncertain("the connection ended"))

    async def close(self) -> None:
        """End what was spawned, as the client does when it is closed."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, request: Frame, timeout_s: float = 10.0) -> "asyncio.Future[Any]":
        sent = Sent(request, timeout_s, asyncio.get_running_loop().create_future())
        self.sent.append(sent)
        if self.reply is not None:
            try:
                result = self.reply(request)
                if result is not WAITS:
                    sent.resolve(result)
            except TidewireError as error:
                sent.reject(error)
        return sent.answer

    async def _standing(self) -> None:
        if not self.online:
            raise uncertain("not connected")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        async def reported() -> None:
            try:
                await work
            except Exception as error:
                self.reports.append(error)

        task = asyncio.get_running_loop().create_task(reported())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: work.close())  # it may have been cancelled before it began
        return task


def wire_error(code: int = 2001, name: str = "unavailable", **fields: Any) -> TidewireError:
    """Return an error as the server says it."""
    return TidewireError.from_wire({"code": code, "name": name, "message": "not now", **fields})


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that takes anything and raises that."""

    def refuse(*_: Any) -> NoReturn:
        raise error

    return refuse
