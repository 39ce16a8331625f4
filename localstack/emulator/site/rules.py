"""Has functions that rules lead to invoked as Lambda invokes them: asynchronously, and again when that fails.

The emulator does so when it is asked to invoke one asynchronously, but not for its own rules: there an event is gone
whose function's process had died meanwhile. EventBridge invokes asynchronously, and Lambda tries an event up to three
times: docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

import json

from ministack.services import eventbridge, lambda_svc  # type: ignore[import-not-found]  # the environment beside it


def _dispatch_to_lambda(arn: str, payload: str) -> None:
    function, configuration, name = lambda_svc._get_func_record_for_ref(arn)
    if not function or not configuration:
        eventbridge.logger.warning("EventBridge → Lambda: function %s not found", name)
        return
    record = lambda_svc._execution_record_for_config(function, configuration)
    lambda_svc.invoke_async_with_retry(record, json.loads(payload))


_ = eventbridge._dispatch_to_lambda  # an emulator that does not have it (any more) is to be noticed
eventbridge._dispatch_to_lambda = _dispatch_to_lambda
