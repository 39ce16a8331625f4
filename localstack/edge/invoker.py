"""The way from the edge to the Lambda functions."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_CONCURRENCY: Final = 64


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

    async def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """See :class:`Invoker`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._invoke, function, json.dumps(event))

    def close(self) -> None:
        """Let the threads go; calls under way are not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _invoke(self, function: str, payload: str) -> Any:
        try:
            answer = self._client.invoke(FunctionName=function, Payload=payload)
            result = json.loads(answer["Payload"].read() or b"null")
        except (BotoCoreError, ClientError, ValueError) as error:
            raise InvocationError(type(error).__name__) from error
        if "FunctionError" in answer:
            raise InvocationError(answer["FunctionError"])
        return result
