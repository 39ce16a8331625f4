"""Has functions that rules lead to invoked as Lambda invokes them: asynchronously, and again when that fails.

The emulator forgets an event whose function failed, or had all of its concurrency in use. EventBridge invokes
asynchronously: Lambda tries an event up to three times, and one that it had no room for until it is too old, after 1 s,
then less and less often: docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

import json
import threading
import time
from typing import Any, Final

from ministack.services import eventbridge, lambda_svc  # type: ignore[import-not-found]  # the environment beside it

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_MAX_AGE_S: Final = 21_600  # AWS's, where the function has no other


def _dispatch_to_lambda(arn: str, payload: str) -> None:
    function, configuration, name = lambda_svc._get_func_record_for_ref(arn)
    if not function or not configuration:
        eventbridge.logger.warning("EventBridge → Lambda: function %s not found", name)
        return
    record = lambda_svc._execution_record_for_config(function, configuration)
    threading.Thread(target=_invoke, args=(record, name, json.loads(payload)), daemon=True).start()


def _invoke(record: dict[str, Any], name: str, event: dict[str, Any]) -> None:
    rules = record.get("event_invoke_config") or {}
    gives_up_s = time.monotonic() + rules.get("MaximumEventAgeInSeconds", _MAX_AGE_S)
    tries, wait_s = 1 + rules.get("MaximumRetryAttempts", 2), _FIRST_WAIT_S
    while True:
        result = lambda_svc._execute_function_with_config_scope(record, event)
        if result.get("log"):
            lambda_svc.logger.info("Lambda %s async output:\n%s", name, result["log"])
        if not result.get("error"):
            return
        tries -= not result.get("throttle")
        if not tries or time.monotonic() + wait_s > gives_up_s:
            break
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
    target = (rules.get("DestinationConfig") or {}).get("OnFailure", {}).get("Destination")
    if target:
        lambda_svc._route_async_failure(target, name, event, result)


_ = eventbridge._dispatch_to_lambda  # an emulator that does not have it (any more) is to be noticed
eventbridge._dispatch_to_lambda = _dispatch_to_lambda
