"""The way from the edge to the Lambda functions."""

import asyncio
import json
import os
from collections import Counter, deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_CONCURRENCY: Final = 64
# A cold start takes more than a second of a core. A burst that started a worker for each of its calls would starve the
# warm ones, so that calls last longer, so that further ones start workers too: 60 of them, and nothing else got done.
_STARTS_AT_A_TIME: Final = max(2, os.cpu_count() or 1)
_START_MAX_S: Final = 10.0


class InvocationError(Exception):
    """The function could not be invoked, or raised, or timed out."""


class Invoker(Protocol):
    """Invokes a function and waits for what it returns."""

    async def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Return the function's result.

        Raises:
            InvocationError: There is none.
        """
        ...


class Workers:
    """The workers of all functions: a call that finds none of its own idle starts one, but few do so at a time.

    AWS starts as many as it needs; a laptop had better let calls wait for the first ones. A call that takes longer
    than ``start_max_s`` is at work, not starting: who waits for somebody else's call must not keep it out.
    """

    def __init__(self, *, starts_at_a_time: int = _STARTS_AT_A_TIME, start_max_s: float = _START_MAX_S) -> None:
        self._idle: Counter[str] = Counter()
        self._starts_left = starts_at_a_time
        self._start_max_s = start_max_s
        self._waiting: deque[tuple[str, asyncio.Future[bool]]] = deque()

    @asynccontextmanager
    async def one(self, function: str) -> AsyncIterator[None]:
        """Have a worker of a function; one that an error comes out of is not counted on again.

        A call that ran out of time may have left its worker at work, or dead. Had it been taken for idle, the next call
        would have started another, and the next: dozens at once, of which none ever got ready.
        """
        starting = await self._place(function)

        def started() -> None:
            nonlocal starting
            if starting:
                starting = False
                self._starts_left += 1
                self._serve()

        timer = asyncio.get_running_loop().call_later(self._start_max_s, started)
        try:
            yield
            self._idle[function] += 1
        finally:
            timer.cancel()
            started()
            self._serve()

    async def _place(self, function: str) -> bool:
        """Wait for an idle worker or leave to start one; return whether it is the latter."""
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((function, place))
        self._serve()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was given one, and will not use it
                if place.result():
                    self._starts_left += 1
                else:
                    self._idle[function] += 1
                self._serve()
            raise

    def _serve(self) -> None:
        """Give what there is to who waits, in order."""
        left: deque[tuple[str, asyncio.Future[bool]]] = deque()
        for function, place in self._waiting:
            if place.done():
                continue
            if self._idle[function]:
                self._idle[function] -= 1
                place.set_result(False)
            elif self._starts_left:
                self._starts_left -= 1
                place.set_result(True)
            else:
                left.append((function, place))
        self._waiting = left


class LambdaInvoker:
    """Through the Lambda API, as many at a time as there are threads.

    boto3 in threads: about 1 ms of CPU a call, where a call takes 10 and more (bench/README.md).
    """

    def __init__(self, *, timeout_s: float) -> None:
        # A retry would run a function twice; API Gateway does not either.
        config = Config(
            max_pool_connections=_CONCURRENCY, read_timeout=timeout_s + 1, retries={"total_max_attempts": 1}
        )
        self._client = boto3.client("lambda", config=config)
        self._executor = ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="invoke")
        self._workers = Workers()

    async def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """See :class:`Invoker`."""
        loop = asyncio.get_running_loop()
        async with self._workers.one(function):
            return await loop.run_in_executor(self._executor, self._invoke, function, json.dumps(event))

    def close(self) -> None:
        """Let the threads go; calls under way are not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _invoke(self, function: str, payload: str) -> Any:
        try:
            answer = self._client.invoke(FunctionName=function, Payload=payload)
            result = json.loads(answer["Payload"].read() or b"null")
        except (BotoCoreError, ClientError, ValueError, RecursionError) as error:
            raise InvocationError(type(error).__name__) from error
        if "FunctionError" in answer:
            raise InvocationError(answer["FunctionError"])
        return result
