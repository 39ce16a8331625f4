"""A secret in Secrets Manager: what it is now, and what it was before its last rotation."""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from shared.adapters.aws import translated
from shared.errors import DependencyError, TidewireError, UnavailableError

# Whoever rotates it waits this long before the value of then may be dropped (docs/tokens.md).
MAX_AGE_MS: Final = 300_000
# Anybody can send what no value fits: that alone must not cost a call each time.
_LOOK_AGAIN_MS: Final = 10_000
MIN_BYTES: Final = 32  # as long as the hash: datatracker.ietf.org/doc/html/rfc7518#section-3.2

T = TypeVar("T")


class RotatedSecret:
    """The values: the first signs, each verifies. They are read when first needed, and anew as they age.

    A value that is not known, such as one of a rotation a moment ago, is looked for at once, but once in 10 s. While
    they can't be read, the values of before go on, and what fits none of them can't be judged. One that is too short
    is told and left out. Safe to use from many threads.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[str]],
        now_ms: Callable[[], int],
        on_failure: Callable[[Exception], None],
        *,
        least_bytes: int = MIN_BYTES,
    ) -> None:
        self._read = read
        self._now_ms = now_ms
        self._on_failure = on_failure
        self._least_bytes = least_bytes
        self._values: tuple[str, ...] = ()
        self._tried_at_ms = 0
        self._read_failed = False
        self._lock = threading.Lock()

    def current(self) -> str:
        """Return the value to sign with.

        Raises:
            UnavailableError: None is known, and none can be read.
            DependencyError: It may not be read, or each value is too short to be one.
        """
        return self._fresh()[0]

    def fitting(self, attempt: Callable[[str], T | None]) -> T | None:
        """Return what ``attempt`` makes of the first value that fits: of each other one it makes ``None``.

        Raises:
            UnavailableError: None that is known fits, and they can't be read, or could not a moment ago.
            DependencyError: They may not be read, or each is too short.
        """
        known = self._fresh()
        found = _first(attempt, known)
        if found is None and self._read_again(known):
            return _first(attempt, (value for value in self._values if value not in known))
        return found

    def _fresh(self) -> tuple[str, ...]:
        if not self._values:
            with self._lock:
                if not self._values:
                    self._read_now()
        elif self._now_ms() - self._tried_at_ms >= MAX_AGE_MS and self._lock.acquire(blocking=False):
            try:
                self._read_now()
            except (TidewireError, DependencyError) as error:
                self._on_failure(error)  # no reason to send everybody away
            finally:
                self._lock.release()
        return self._values

    def _read_again(self, known: tuple[str, ...]) -> bool:
        """Tell whether there are others than those; look, unless somebody has just looked."""
        with self._lock:
            if self._values == known:
                if self._now_ms() - self._tried_at_ms >= _LOOK_AGAIN_MS:
                    self._read_now()
                elif self._read_failed:
                    raise UnavailableError("the secret can't be read at the moment", retry_after_ms=_LOOK_AGAIN_MS)
            return self._values != known

    def _read_now(self) -> None:
        self._read_failed = True
        try:
            values = tuple(self._read())
        finally:
            self._tried_at_ms = self._now_ms()
        good = tuple(value for value in values if len(value.encode()) >= self._least_bytes)
        if len(good) < len(values):
            too_short = DependencyError(f"a value of the secret is shorter than {self._least_bytes} bytes")
            if not good:
                raise too_short
            self._on_failure(too_short)
        self._values = good
        self._read_failed = False


def _first(attempt: Callable[[str], T | None], values: Iterable[str]) -> T | None:
    return next((found for value in values if (found := attempt(value)) is not None), None)


def read_values(client: Any, arn: str) -> Sequence[str]:
    """Return what a secret is, and what it was before, if it was ever changed.

    Source: docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html#term_version
    """
    with translated():
        values = [client.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"]]
        with suppress(client.exceptions.ResourceNotFoundException):
            values.append(client.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")["SecretString"])
    return values
