"""One run on a local stack: clients in a process of their own, and what they can't see, from here."""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from localstack.stack import LocalStack
from tests.fuzz.attack import Result, attack
from tests.fuzz.backstage import Backstage
from tests.fuzz.memory import Memory, MemoryWatch


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        backstage: What was wrong behind the clients' backs.
    """

    seed: int
    seconds: float
    result: Result
    backstage: Sequence[str]
    memory: Memory


def fuzz(stack: LocalStack, seed: int, frames: int, *, only: int | None = None) -> Outcome:
    """Send so many frames; or one case alone, by its index."""

    def pids() -> Mapping[str, Sequence[int]]:
        emulator, workers = stack.emulator.pid, stack.emulator.worker_pids()
        return {"edge": [os.getpid()], "emulator": [] if emulator is None else [emulator], "a function": workers}

    backstage, begun_s = Backstage(stack.emulator.log), time.monotonic()
    with MemoryWatch(pids) as watch, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        result = pool.submit(attack, stack.url, seed, frames, only).result()
    return Outcome(seed, time.monotonic() - begun_s, result, backstage.close(), watch.memory)
