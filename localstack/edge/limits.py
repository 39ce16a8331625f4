"""What API Gateway enforces and the emulator does not. AWS's figures are the defaults; tests shorten them."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of WebSocket APIs, and of a request's head at HTTP APIs.

    Sizes, times and connection rate: docs.aws.amazon.com/apigateway/latest/developerguide/
    apigateway-execution-service-websocket-limits-table.html. Request rate, which an account's APIs share:
    docs.aws.amazon.com/apigateway/latest/developerguide/limits.html. Heads:
    docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html, "total combined size of request line and
    header values".
    """

    frame_max_bytes: int = 32 * 1024
    message_max_bytes: int = 128 * 1024
    idle_s: float = 600
    max_age_s: float = 7200
    integration_timeout_s: float = 29
    connections_per_s: float = 500
    requests_per_s: float = 10_000
    request_burst: int = 5_000
    # AWS answers 429 when "the WebSocket client side buffer is full" and does not say how large it is: a guess.
    client_buffer_bytes: int = 1024 * 1024
    head_max_bytes: int = 10_240
    request_timeout_s: float = 30  # for all of a request, handshakes too. Nor does it say how long it waits: a guess


class TokenBucket:
    """Lets through ``rate`` a second, and up to ``burst`` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at_s = burst, clock()

    def take(self) -> bool:
        """Take one; return whether there was one."""
        now_s = self._clock()
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
