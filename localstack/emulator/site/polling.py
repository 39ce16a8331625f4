"""Lets the emulator look into one queue whatever goes on at another, and work on channels beside each other.

One thread looks into all queues, each time that a message is sent or a batch has been worked off. When it finds
nothing to do it closes its eyes for 50 ms, so that others' work does not keep it busy: but then whoever fills one lane
delays all others. On AWS each event source has its own pollers.

Of a FIFO queue it has one batch in flight. On AWS each group has: as many functions work at a time as there are groups,
up to the event source's maximum. What is in flight keeps back the rest of its groups here as well, so order holds:
docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/fifo-queue-lambda-behavior.html
"""

from typing import Any, Final

from ministack.services import lambda_svc  # type: ignore[import-not-found]  # the environment beside it

_GAP_S: Final = 0.002

_concurrency = lambda_svc._sqs_esm_concurrency


def _sqs_esm_concurrency(esm: dict[str, Any], function: Any, configuration: Any, _queue: Any = None) -> int:
    limit: int = _concurrency(esm, function, configuration)
    return limit


_ = lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS  # an emulator that does not have it (any more) is to be noticed
lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS = _GAP_S
lambda_svc._sqs_esm_concurrency = _sqs_esm_concurrency
