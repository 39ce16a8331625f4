"""A secret that somebody shows, in Secrets Manager: its value and the one before it, so that it can be changed."""

import hmac
import math
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from shared.adapters.aws import translated
from shared.errors import UnavailableError

# Of a value that is known: so long one that was withdrawn is still taken.
_FRESH_S: Final = 300
# Of one that is not: a new one is found, and whoever makes some up does not have each of them looked for.
_LOOK_AGAIN_S: Final = 10
# docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html#term_version
_STAGES: Final = ("AWSCURRENT", "AWSPREVIOUS")


class RotatedSecret:
    """Is read when it is first asked for."""

    def __init__(self, client: Any, arn: str, now_s: Callable[[], float]) -> None:
        self._client, self._arn, self._now_s = client, arn, now_s
        self._values: tuple[bytes, ...] = ()
        self._read_at_s = -math.inf
        self._lock = Lock()

    def is_known(self, value: str) -> bool:
        if not value:
            return False
        with self._lock:
            known = self._has(value)
            if self._now_s() - self._read_at_s < (_FRESH_S if known else _LOOK_AGAIN_S):
                return known
            try:
                self._values = tuple(filter(None, map(self._value, _STAGES)))
            except UnavailableError:
                if not known:
                    raise
                # Else nobody would get in for as long as Secrets Manager is away.
            self._read_at_s = self._now_s()
            return self._has(value)

    def _has(self, value: str) -> bool:
        shown = value.encode(errors="surrogatepass")
        # Not any(): how long it takes is not to tell which it was.
        return sum(hmac.compare_digest(shown, one) for one in self._values) > 0

    def _value(self, stage: str) -> bytes | None:
        with translated():
            try:
                answer = self._client.get_secret_value(SecretId=self._arn, VersionStage=stage)
            except self._client.exceptions.ResourceNotFoundException:
                if stage == _STAGES[0]:
                    raise
                return None  # it was never changed
        return str(answer["SecretString"]).encode()
