"""``@connections``: the way to live WebSockets. Why no HTTP library is in it: docs/adr/0015-pusher.md."""

import json
import math
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError
from botocore.httpsession import get_cert_path
from botocore.session import Session

from shared.adapters.aws import translated
from shared.adapters.http_answer import Answer
from shared.adapters.http_socket import ANSWER_TIMEOUT_S, HttpSocket, SocketPool
from shared.adapters.sigv4 import Endpoint, SignedRequest
from shared.domain.gate import Gate
from shared.errors import ConnectionGoneError, UnavailableError
from shared.ports import Metrics

IN_FLIGHT_MAX: Final = 64  # of a process
_SIGNED_FOR_S: Final = 60  # AWS believes a date for 5 minutes
_CLOSE_TRIES: Final = 3  # no queue does it again, and whoever asked for it has forgotten the session by then
_TICK_S: Final = 0.1  # so much later than it was may a deadline be seen

Sign = Callable[[], Sequence[SignedRequest]]


class Pusher:
    """Posts to, asks after, and closes the connections of one WebSocket API. Safe to use from many threads.

    A call works in the thread that it came in: nothing goes on between two invocations of a function.
    """

    def __init__(
        self,
        endpoint: str,
        credentials: Callable[[], ReadOnlyCredentials],
        region: str,
        ca_bundle: str,
        metrics: Metrics,
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        """Make one.

        Args:
            endpoint: Base URL in front of ``/@connections``.
            credentials: Asked again and again: they may be replaced.
            region: Where the API is.
            ca_bundle: File with the authorities that ``https`` is verified by.
            metrics: Is told what is billed.
            in_flight_max: Of all threads together.
        """
        self._endpoint, self._credentials, self._region = Endpoint.of(endpoint), credentials, region
        self._metrics = metrics
        self._pool = SocketPool(self._endpoint, in_flight_max, ca_bundle)

    def push_all(
        self, connection_ids: Sequence[str], messages: Sequence[bytes], gate: Gate | None = None
    ) -> Sequence[Exception | None]:
        asked = self._ask("POST", connection_ids, messages, gate)
        if asked.taken:
            self._metrics.billed("WebSocketMessages", asked.taken)  # none over 32 KB: shared/protocol/limits.py
        return [_error(answer) for answer in asked.answers]

    def last_active_ms(self, connection_id: str) -> int | None:
        (answer,) = self._ask("GET", [connection_id], [b""]).answers
        error = _error(answer)
        # 400: what is bad about a request without a body can only be the id, and an admin may have typed that.
        if isinstance(error, ConnectionGoneError) or (isinstance(answer, Answer) and answer.status == 400):
            return None
        if error:
            raise error
        assert isinstance(answer, Answer)
        return int(datetime.fromisoformat(json.loads(answer.body)["lastActiveAt"]).timestamp() * 1000)

    def close(self, connection_id: str) -> None:
        for _ in range(_CLOSE_TRIES):
            (answer,) = self._ask("DELETE", [connection_id], [b""]).answers
            error = _error(answer)
            if not isinstance(error, UnavailableError):
                break
        if error:
            raise error

    def _ask(
        self, method: str, connection_ids: Sequence[str], bodies: Sequence[bytes], gate: Gate | None = None
    ) -> "_Asking":
        def sign() -> list[SignedRequest]:
            with translated():
                credentials, now = self._credentials(), datetime.now(UTC)
            return [SignedRequest(method, self._endpoint, body, credentials, self._region, now) for body in bodies]

        asking = _Asking(self._pool, sign, connection_ids, len(bodies), gate)
        asking.run()
        return asking


def pusher_of(session: Session, endpoint: str, metrics: Metrics) -> Pusher:
    """Make a pusher that signs and verifies as the session's clients do."""
    credentials, region = session.get_credentials(), session.get_config_variable("region")
    if credentials is None:
        raise NoCredentialsError
    if region is None:
        raise NoRegionError
    ca_bundle = session.get_config_variable("ca_bundle") or get_cert_path(True)
    return Pusher(endpoint, credentials.get_frozen_credentials, region, str(ca_bundle), metrics)


class _Asking:
    """Some requests for each of some connections: to one connection one after the other, else as they come.

    Attributes:
        answers: To the last request that was made for each connection, or why there is none.
        taken: How many requests were answered with success.
    """

    def __init__(
        self, pool: SocketPool, sign: Sign, connection_ids: Sequence[str], requests: int, gate: Gate | None
    ) -> None:
        self.answers: list[Answer | Exception] = [UnavailableError("not asked yet")] * len(connection_ids)
        self.taken = 0
        self._pool, self._sign, self._connection_ids, self._requests = pool, sign, connection_ids, requests
        self._gate = gate
        # What is still to be sent. A job is a number: the connection's place, times the requests, plus the request's.
        self._jobs = deque(range(0, len(connection_ids) * requests, requests))
        # When the next one may be sent: 0 where that time has come, None where no turn has been taken.
        self._turn_s: float | None = None
        self._signed: Sequence[SignedRequest] = ()
        self._signed_until_s = 0.0
        self._poller = select.poll()
        self._watched: dict[int, int] = {}  # what the poller looks for
        self._busy: dict[int, HttpSocket] = {}  # by fd; whatever else was taken has been given back

    def run(self) -> None:
        """Return when each connection has its outcome."""
        tick_s = time.monotonic() + _TICK_S
        try:
            while self._jobs or self._busy:
                if (now_s := time.monotonic()) >= self._signed_until_s:
                    self._sign_again()
                while self._jobs and self._turn() and (one := self._socket()) and self._send(one):
                    pass
                self._receive()
                if now_s >= tick_s:
                    self._expire(now_s)
                    tick_s = now_s + _TICK_S
        finally:
            for one in self._busy.values():  # something was raised: who knows what will come over them
                self._pool.give_back(one, usable=False)

    def _send(self, one: HttpSocket) -> bool:
        """Send the next job by this socket, which nobody else has, or give it back; return whether one was sent."""
        if not self._jobs or (self._gate and not (self._turn() and self._allowed(self._gate))):
            self._release(one.fd, one, usable=True)
            return False
        self._turn_s = None
        fd, one.job = one.fd, self._jobs.popleft()
        place, request = divmod(one.job, self._requests)
        try:
            one.send(self._signed[request].to(self._connection_ids[place]))
        except (OSError, UnicodeError) as error:  # of the id, or of the name to resolve
            self._lose(fd, one, error)
        else:
            self._watch(fd, one)
        return True

    def _sign_again(self) -> None:
        try:
            self._signed = self._sign()
        except Exception as error:  # whatever it is, no connection can be reached
            self._give_up(error)
        self._signed_until_s = time.monotonic() + _SIGNED_FOR_S

    def _turn(self) -> bool:
        """Tell whether the next job's turn has come."""
        if self._turn_s is None:
            wait_s = self._gate.pacer.turn() if self._gate else 0
            self._turn_s = time.monotonic() + wait_s if wait_s else 0
        elif self._turn_s and self._turn_s <= time.monotonic():
            self._turn_s = 0  # what it waits for from now on are answers
        return self._turn_s == 0

    def _allowed(self, gate: Gate) -> bool:
        if gate.breaker.allows():
            return True
        if not self._busy or gate.breaker.state != "half_open":  # else they are the trials
            self._give_up(UnavailableError("pushing is suspended"))
        return False

    def _socket(self) -> HttpSocket | None:
        """Return one to send by; if there is none and no answer is waited for, there will be none."""
        one = self._pool.take(wait_s=0 if self._busy else ANSWER_TIMEOUT_S)
        if one is None and not self._busy:
            self._give_up(UnavailableError("too much is being pushed", retry_after_ms=1000))
        return one

    def _give_up(self, error: Exception) -> None:
        for job in self._jobs:
            self.answers[job // self._requests] = error
        self._jobs.clear()

    def _receive(self) -> None:
        """Wait for something to happen, or for the next turn, and go on with it."""
        wait_s = _TICK_S if self._busy else 0
        if self._jobs and self._turn_s:
            wait_s = min(_TICK_S, max(0, self._turn_s - time.monotonic()))
        for fd, _ in self._poller.poll(math.ceil(wait_s * 1000)):
            one = self._busy[fd]
            try:
                answer = one.proceed()
            except OSError as error:
                self._lose(fd, one, error)
            else:
                if answer is None:
                    self._watch(fd, one)
                else:
                    self._take(answer, one)

    def _expire(self, now_s: float) -> None:
        for fd, one in list(self._busy.items()):
            if one.deadline_s <= now_s:
                try:
                    one.late()
                except OSError as error:
                    self._lose(fd, one, error)
                else:
                    self._watch(fd, one)

    def _take(self, answer: Answer, one: HttpSocket) -> None:
        if self._gate:
            self._gate.breaker.record(failed=answer.status >= 500)
        place, request = divmod(one.job, self._requests)
        self.answers[place] = answer
        if answer.status < 300:
            self.taken += 1
            if request + 1 < self._requests:
                self._jobs.appendleft(one.job + 1)
        elsewhere = self._pool.wanted and len(self._busy) > 1  # who has none comes first
        if elsewhere or not answer.keeps_alive:
            self._release(one.fd, one, usable=answer.keeps_alive)
        else:
            self._send(one)

    def _lose(self, fd: int, one: HttpSocket, error: Exception) -> None:
        if self._gate:
            self._gate.breaker.record(failed=isinstance(error, OSError))
        self.answers[one.job // self._requests] = error
        self._release(fd, one, usable=False)

    def _watch(self, fd: int, one: HttpSocket) -> None:
        """Have it go on when something happens to it; until now it was known by this ``fd``."""
        if fd != one.fd:
            self._forget(fd)
        self._busy[one.fd] = one
        if self._watched.get(one.fd) != one.waits_for:
            self._watched[one.fd] = one.waits_for
            self._poller.register(one.fd, one.waits_for)

    def _release(self, fd: int, one: HttpSocket, *, usable: bool) -> None:
        self._forget(fd)
        self._pool.give_back(one, usable=usable)

    def _forget(self, fd: int) -> None:
        self._busy.pop(fd, None)
        if self._watched.pop(fd, None) is not None:
            self._poller.unregister(fd)


def _error(answer: Answer | Exception) -> Exception | None:
    """Return what is wrong with it, if anything."""
    if isinstance(answer, OSError):
        error = UnavailableError("the WebSocket API does not answer", retry_after_ms=1000)
        error.__cause__ = answer
        return error
    if isinstance(answer, Exception):
        return answer
    if answer.status < 300:
        return None
    return ConnectionGoneError() if answer.status == 410 else _refusal(answer)


def _refusal(answer: Answer) -> Exception:
    """Return the error that a boto3 client's call would have ended with."""
    details: Any = {"Error": {"Code": answer.error_type}, "ResponseMetadata": {"HTTPStatusCode": answer.status}}
    try:
        with translated():
            raise ClientError(details, "@connections")
    except Exception as error:
        return error
