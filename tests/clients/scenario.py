"""One suite of behaviour for clients in every language: reads ``scenarios.json``, and has a client do what it says.

A scenario is a name, steps, one after the other, and, where it takes long, the ``ways`` that it is run on. A step is an
object with ``client`` (a name, or a list of names: each of them), and one of these:

``do``: an action with its arguments. It is waited for; what it returns must match ``returns``, or it must fail with the
error ``fails``. With ``later`` it goes on under that name, until a step ``settled`` with that name waits for it.

    open         ``user?`` (another client's name: the same user), and of its tokens ``caps?``, ``ttl_s?``; else opened
                 with its first step
    close        for good: its session ends, and with it what the server keeps for a session that comes back
    connect      anew after that; its subscriptions go on from where they were
    subscribe    ``channel``, ``history?``: returns the data of what is kept
    unsubscribe  ``channel``
    publish      ``channel``, ``data``, and of the protocol's ``name``, ``priority``, ``ephemeral``, ``receipt``;
                 ``offline``: it outlives the page; ``times``: 1, 2, 3 ... so often in place of ``data``
    send         ``to`` (a user's id), ``data``, ``receipt?``
    history      ``channel``, ``limit?``, ``reverse?``: returns the data
    command      ``name``, ``data``, ``to?`` (a user's id): returns the answer
    answer       ``name``, and ``data`` or ``error`` (a message): how peers' commands are answered from now on
    set, patch, delete   ``channel``, ``key``, ``value`` or ``patch``, ``offline?``: return the value as it is then
    read         ``channel``, ``key``: returns the value once the server has told it
    settle       ``channel``, ``key``, ``value``: with this conflicts are settled from now on
    join, leave  ``channel``
    update       ``channel``, ``status?``, ``data?``
    type         ``channel``, ``active?``
    mark_read    ``channel``, ``offset``
    revoke       ``user`` (an id): all of its connections, by an admin
    cut          all of its connections to the server end at once, and it may come back
    away, back   the same, but it can't come back until then

``sees``: something of a client, which is waited for until it matches ``is``. At the end of a scenario what was seen
last of ``events``, ``receipts`` and ``resets`` must still be all.

    events       ``channel``: data of all that has come, in order
    receipts     ``channel``: ``status`` of each
    resets       ``channel``: how often it was told to start over
    document     ``channel``, ``key``: its value as the client shows it; ``null``: there is none
    pending      ``channel``, ``key``: how many own writes of it wait
    members      ``channel``: by user id
    typing       ``channel``: user ids
    state        of the connection
    end          the name of the error by which it was closed
    tokens       how many it has asked for
    connections  ``channel``: how many have sent what has come

In every string ``$r`` stands for something that no other run has, and ``$ann`` for the user id of ``ann``.
``{"$bytes": n}`` is a string of that length, and ``{"$upto": n}`` the list of the numbers from 1. A pattern matches an
object that has at least its members, a list of the same length, and everything else that is equal; ``"$any"`` matches
anything.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

# What is waited for comes within milliseconds; cold functions on a busy machine, and a client's backoff, take longer.
DEADLINE_S: Final = 60
_ACTIONS: Final[Mapping[str, str]] = {
    "open": "user caps ttl_s",
    "close": "",
    "connect": "",
    "subscribe": "channel history",
    "unsubscribe": "channel",
    "publish": "channel data name priority ephemeral receipt offline times",
    "send": "to data receipt",
    "history": "channel limit reverse",
    "command": "name data to",
    "answer": "name data error",
    "set": "channel key value offline",
    "patch": "channel key patch offline",
    "delete": "channel key offline",
    "read": "channel key",
    "settle": "channel key value",
    "join": "channel",
    "leave": "channel",
    "update": "channel status data",
    "type": "channel active",
    "mark_read": "channel offset",
    "revoke": "user",
    "cut": "",
    "away": "",
    "back": "",
}
_SIGHTS: Final[Mapping[str, str]] = {
    "events": "channel",
    "receipts": "channel",
    "resets": "channel",
    "document": "channel key",
    "pending": "channel key",
    "members": "channel",
    "typing": "channel",
    "state": "",
    "end": "",
    "tokens": "",
    "connections": "channel",
}
_GROWING: Final = ("events", "receipts", "resets")
_ANY: Final = "$any"

Step = dict[str, Any]
Arguments = Mapping[str, Any]


class RefusedError(Exception):
    """An action has failed.

    Attributes:
        kind: The error's name, as the protocol has it.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Driver(Protocol):
    """One client, as a scenario uses it. What an action's arguments leave out is as the client has it by default."""

    async def start(self, action: str, arguments: Arguments) -> Awaitable[Any]:
        """Begin one of the actions, but for ``open``; return what its result can be awaited of, once.

        That raises :class:`RefusedError` if it fails.
        """
        ...

    async def see(self, what: str, arguments: Arguments) -> Any:
        """Return what there is to be seen now."""
        ...

    async def news(self) -> None:
        """Return as soon as something may be seen that was not there at the last ``see``."""
        ...

    async def complaints(self) -> list[str]:
        """Return what the client has reported as nobody's error."""
        ...


OpenDriver = Callable[[str, Arguments], Awaitable[Driver]]
"""Makes a client for a user id; with what its tokens are to have: ``caps`` and ``ttl_s``, if not those of any."""


class Scenario:
    """One of them.

    Attributes:
        ways: Those that it is run on, where it takes its time; else all.
    """

    def __init__(self, name: str, steps: list[Step], ways: Sequence[str] | None = None) -> None:
        self.name, self.steps, self.ways = name, steps, ways
        for step in steps:
            _check(step)
        later = {(client, step["later"]) for step in steps if "later" in step for client in _clients(step)}
        settled = {(client, step["settled"]) for step in steps if "settled" in step for client in _clients(step)}
        if later != settled:
            raise ValueError(f"{name}: {later} are to be settled later, and {settled} are")

    async def run(self, open_: OpenDriver) -> None:
        """Run it.

        Raises:
            AssertionError: A client did otherwise.
        """
        await _Run(open_).all(self.steps)


def scenarios(ways: Iterable[str]) -> list[tuple[Scenario, str]]:
    """Return all of them, on each of these ways."""
    found = json.loads(Path(__file__).with_name("scenarios.json").read_text())
    each = [Scenario(one["name"], one["steps"], one.get("ways")) for one in found]
    return [(one, way) for one in each for way in ways if one.ways is None or way in one.ways]


def matches(pattern: Any, value: Any) -> bool:
    """Tell whether a value is what a pattern says."""
    if pattern == _ANY:
        return True
    if isinstance(pattern, dict) and isinstance(value, dict):
        return all(name in value and matches(part, value[name]) for name, part in pattern.items())
    if isinstance(pattern, list) and isinstance(value, list):
        return len(pattern) == len(value) and all(map(matches, pattern, value))
    return type(pattern) is type(value) and bool(pattern == value)


async def sees(driver: Driver, what: str, pattern: Any, **arguments: Any) -> None:
    """Return as soon as a client sees what matches a pattern.

    Raises:
        AssertionError: It does not.
    """
    value: Any = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not matches(pattern, value := await driver.see(what, arguments)):
                await driver.news()
    except TimeoutError:
        raise AssertionError(f"{what} of {arguments}: not {pattern} within {DEADLINE_S} s, but {value}") from None


def _check(step: Step) -> None:
    """Raise ``ValueError`` if it is none: a misspelt argument would go unnoticed."""
    known = {"client", "settled", "returns", "fails"}
    if "do" in step:
        known = {"client", "do", "later", "returns", "fails", *_ACTIONS.get(step["do"], "?").split()}
    elif "sees" in step:
        known = {"client", "sees", "is", *_SIGHTS.get(step["sees"], "?").split()}
    if not step.keys() <= known or "?" in known or "client" not in step:
        raise ValueError(f"no step: {step}")


class _Run:
    def __init__(self, open_: OpenDriver) -> None:
        self._open = open_
        self._drivers: dict[str, Driver] = {}
        self._id = secrets.token_hex(4)
        self._later: dict[tuple[str, str], Awaitable[Any]] = {}
        self._seen: dict[tuple[str, ...], tuple[Step, Any]] = {}

    async def all(self, steps: list[Step]) -> None:
        for step in steps:
            filled = self._filled(step)
            for client in _clients(step):
                await self._step(client, dict(filled))
        for (client, what, *_), (arguments, pattern) in self._seen.items():
            value = await self._drivers[client].see(what, arguments)
            assert matches(pattern, value), f"at the end {client} sees {what} {value}, not {pattern}"
        for client, driver in self._drivers.items():
            assert await driver.complaints() == [], client

    async def _step(self, client: str, step: Step) -> None:
        driver = await self._driver(client, step)
        if "sees" in step:
            await self._sees(client, driver, step)
            return
        try:
            async with asyncio.timeout(DEADLINE_S):
                if "settled" in step:
                    await self._ends(self._later.pop((client, step["settled"])), step)
                elif step["do"] != "open":
                    await self._does(client, driver, step)
        except TimeoutError:
            raise AssertionError(f"{client}, {step}: no answer within {DEADLINE_S} s") from None

    async def _driver(self, client: str, step: Step) -> Driver:
        if client not in self._drivers:
            asked = step if step.get("do") == "open" else {}
            user_id = f"{asked.get('user', client)}-{self._id}"
            token: Step = {name: asked[name] for name in ("caps", "ttl_s") if name in asked}
            self._drivers[client] = await self._open(user_id, token)
        return self._drivers[client]

    async def _does(self, client: str, driver: Driver, step: Step) -> None:
        result = await driver.start(step["do"], _arguments(step))
        if "later" in step:
            self._later[client, step["later"]] = result
        else:
            await self._ends(result, step)

    async def _ends(self, result: Awaitable[Any], step: Step) -> None:
        try:
            value = await result
        except RefusedError as error:
            assert error.kind == step.get("fails"), f"{step} failed: {error}"
        else:
            assert "fails" not in step, f"{step} did not fail: {value}"
            assert matches(step.get("returns", _ANY), value), f"{step} returned {value}"

    async def _sees(self, client: str, driver: Driver, step: Step) -> None:
        what, pattern, arguments = step["sees"], step["is"], _arguments(step)
        await sees(driver, what, pattern, **arguments)
        if what in _GROWING:
            self._seen[client, what, *arguments.values()] = arguments, pattern

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\$(\w+)", self._name, value)
        if isinstance(value, list):
            return [self._filled(part) for part in value]
        if not isinstance(value, dict):
            return value
        if "$bytes" in value:
            return "x" * value["$bytes"]
        if "$upto" in value:
            return list(range(1, value["$upto"] + 1))
        return {self._filled(name): self._filled(part) for name, part in value.items()}

    def _name(self, match: re.Match[str]) -> str:
        if match[0] == _ANY:
            return _ANY
        return self._id if match[1] == "r" else f"{match[1]}-{self._id}"


def _clients(step: Step) -> list[str]:
    clients = step["client"]
    return clients if isinstance(clients, list) else [clients]


def _arguments(step: Step) -> Step:
    words = {"client", "do", "sees", "is", "later", "settled", "returns", "fails"}
    return {name: value for name, value in step.items() if name not in words}
