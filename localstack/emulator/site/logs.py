"""Lets the emulator's logs be read while they are written, and not grow for ever.

It gives each invocation a log stream of its own, and keeps all of them. Who asks for the groups while a function ends
is told that a dictionary has changed; and what is asked of a group, every 2 s by the metrics, takes the longer the
longer it runs. All that was logged is in the emulator's own log file.
"""

import threading
from typing import Any, Final

from ministack.services import cloudwatch_logs, lambda_svc  # type: ignore[import-not-found]  # the environment beside it

STREAMS_MAX: Final = 2_000  # of a group: some 5 minutes of much work

_lock = threading.Lock()
_emit, _describe = lambda_svc._emit_lambda_logs, cloudwatch_logs._describe_log_groups


def _emit_lambda_logs(*arguments: Any, **named: Any) -> None:
    with _lock:
        _emit(*arguments, **named)
        for group in cloudwatch_logs._log_groups.values():
            streams = group["streams"]
            while len(streams) > STREAMS_MAX:
                del streams[next(iter(streams))]


def _describe_log_groups(data: Any) -> Any:
    with _lock:
        return _describe(data)


lambda_svc._emit_lambda_logs = _emit_lambda_logs
cloudwatch_logs._describe_log_groups = _describe_log_groups
