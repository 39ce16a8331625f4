"""The way from the edge to the Lambda functions."""

import asyncio
import json
import os
from collections import defaultdict
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
_START_MAX_S: Final = 5.0


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
    """The workers of one function: a call that finds none idle starts one, but few do so at a time.

    AWS starts as many as it needs; a laptop had better let calls wait for the first ones. A call that takes longer
    than ``start_max_s`` is at work, not starting: who waits for somebody else's call must not keep it out.
    """

    def __init__(self, *, starts_at_a_time: int = _STARTS_AT_A_TIME, start_max_s: float = _START_MAX_S) -> None:
        self._idle = 0
        self._places = asyncio.Semaphore(starts_at_a_time)  # free: idle workers, and starts that are still allowed
        self._start_max_s = start_max_s

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Have a worker."""
        await self._places.acquire()
        starting = self._idle == 0

        def started() -> None:
            nonlocal starting
            if starting:
                starting = False
                self._places.release()

        if not starting:
            self._idle -= 1
        timer = asyncio.get_running_loop().call_later(self._start_max_s, started)
        try:
            yield
        finally:
            timer.cancel()
            started()
            self._idle += 1
            self._places.release()


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
        self._workers: defaultdict[str, Workers] = defaultdict(Workers)

    async def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """See :class:`Invoker`."""
        loop = asyncio.get_running_loop()
        async with self._workers[function].one():
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
