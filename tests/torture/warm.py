"""Starts the functions' workers one after another, and bounds the function that nothing else bounds.

The emulator starts a worker for every call that finds none idle. Each start costs a second of processor, so the first
burst of events would start so many at once that none is ready in time, and their callers' timeouts would start more.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import boto3
from botocore.config import Config

_REQUEST: Final = {"requestContext": {"connectionId": "warm", "eventType": "MESSAGE"}, "body": '{"type":"ping","id":1}'}
# Events that each function handles by doing nothing much.
_NOTHING_TO_DO: Final[Mapping[str, Mapping[str, Any]]] = {
    "fan_out": {"detail": {"channel": "room:warm", "frames": []}},
    "publish_worker": {"Records": []},
    "ws_message": _REQUEST,
    "ws_disconnect": _REQUEST,
    "janitor": {"Records": []},
    "presence": {"Records": []},
}
# How many of each to have; of the others, as many as the run's plan says.
_FEW: Final = {"publish_worker": 4, "ws_disconnect": 2, "janitor": 2, "presence": 2}


def warm_up(functions: Mapping[str, str], workers: int) -> None:
    """Have ``workers`` idle workers of the busiest functions, and never more than those of ``fan_out``.

    What EventBridge has for it beyond them comes again, as it does on AWS, where an account has only so many.
    """
    client = boto3.client("lambda", config=Config(max_pool_connections=workers, retries={"total_max_attempts": 1}))
    client.put_function_concurrency(FunctionName=functions["fan_out"], ReservedConcurrentExecutions=workers)
    with ThreadPoolExecutor(workers) as pool:
        for name, event in _NOTHING_TO_DO.items():
            payload = json.dumps(event)
            for together in range(1, _FEW.get(name, workers) + 1):
                calls = [
                    pool.submit(client.invoke, FunctionName=functions[name], Payload=payload) for _ in range(together)
                ]
                for call in calls:
                    call.result()
