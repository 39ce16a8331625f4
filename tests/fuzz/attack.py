"""All clients at once, in a process of their own: the memory of the one that has the edge is watched."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.fuzz.centrifugo import CentrifugoClient
from tests.fuzz.clients import CLIENTS, Person, Scene
from tests.fuzz.oracle import Finding
from tests.fuzz.witness import Testimony, witness

_EVERYTHING: Final = ["subscribe", "publish", "history", "presence", "state.read", "state.write", "send", "command"]
_ALL: Final = {"*": _EVERYTHING, "connection:*": ["send"], "command:*": ["command"]}
_TOKEN_TTL_S: Final = 4 * 3600
# Who they are, by what their tokens allow. The order is the order of the cases: seed and index lead to one of them.
_PEOPLE: Final[tuple[tuple[str, str, Mapping[str, Any] | None], ...]] = (
    ("ann", "socket", _ALL),
    ("bob", "socket", _ALL),
    ("reader", "socket", {"room:*": ["subscribe", "history", "presence", "state.read"]}),
    ("", "socket", None),
    ("poster", "session", _ALL),
    ("writer", "socket", {"room:*": ["publish", "state.write"], "user:*": ["send"]}),
    ("caller", "call", _ALL),
    ("root", "socket", {"*": [*_EVERYTHING, "admin"]}),
    ("guest", "session", {"room:fuzz-1*": _EVERYTHING}),
    ("admin", "call", {"*": [*_EVERYTHING, "admin"]}),
    ("", "call", None),
    ("raw", "raw", None),
    ("theirs", "centrifugo", _ALL),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What the clients have seen."""

    cases: int
    frames: int
    outcomes: Counter[str]
    losses: Counter[str]
    found: int
    findings: list[Finding]
    testimony: Testimony


def attack(url: str, seed: int, frames: int, only: int | None) -> Result:
    """Send so many frames, or the one case alone."""
    return asyncio.run(_attack(url, seed, frames, only))


async def _attack(url: str, seed: int, frames: int, only: int | None) -> Result:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def token(name: str, caps: Mapping[str, Any]) -> str:
            body = {"user_id": f"fuzz.{name}", "caps": caps, "ttl_s": _TOKEN_TTL_S}
            answer = await http.post("/v1/dev/token", json=body)
            said: str = answer.raise_for_status().json()["token"]
            return said

        people = [
            Person(name or f"nobody {place}", kind, None if caps is None else await token(name, caps))  # type: ignore[arg-type]
            for place, (name, kind, caps) in enumerate(_PEOPLE)
        ]
        honest = [await token(name, {"room:honest": _EVERYTHING}) for name in ("honest.a", "honest.b")]
    scene, stop = Scene(url, seed, frames, only, people), asyncio.Event()
    watching = asyncio.create_task(witness(url, honest[0], honest[1], stop))
    try:
        async with asyncio.TaskGroup() as group:
            for place, person in enumerate(people):
                client = CentrifugoClient if person.kind == "centrifugo" else CLIENTS[person.kind]
                group.create_task(client(scene, place).run())
    finally:
        stop.set()
    testimony, ledger = await watching, scene.ledger
    return Result(ledger.cases, ledger.frames, ledger.outcomes, ledger.losses, ledger.found, ledger.findings, testimony)
