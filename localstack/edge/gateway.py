"""API Gateway's part: connections, the functions behind their routes, and ``@connections``. Knows no sockets."""

import asyncio
import base64
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from localstack.edge.api import Route, WebSocketApi
from localstack.edge.faults import Fault, Faults, NoFaults
from localstack.edge.invoker import InvocationError, Invoker
from localstack.edge.limits import Limits, TokenBucket

logger = logging.getLogger(__name__)

CLOSE_GOING_AWAY: Final = 1001
CLOSE_THROTTLED: Final = 1008
_CLOSE_NORMAL: Final = 1000
# AWS's words: github.com/boto/boto3/issues/3789, and recorded events such as those of typelevel/feral.
_CLOSED_NORMALLY: Final = "Connection Closed Normally"
_REASONS: Final = {1005: "Client-side close frame status not set"}

# docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html. WebSocket APIs take no
# other field either: github.com/middyjs/middy/issues/1219.
_ANSWER_FIELDS: Final = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110: what a subprotocol's name may be made of


class Socket(Protocol):
    """The client's side of a connection."""

    @property
    def is_open(self) -> bool:
        """Whether the client has been answered, and neither side has begun to close it."""
        ...

    @property
    def buffered_bytes(self) -> int:
        """What the client has not read yet."""
        ...

    def send(self, text: str) -> None:
        """Send one message, if it is open."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Close it, if it is open."""
        ...


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asked when it connected.

    Attributes:
        headers: By the names that clients write, such as ``Host`` and ``Sec-WebSocket-Key``.
    """

    headers: Mapping[str, list[str]]
    query: Mapping[str, list[str]]
    source_ip: str

    @property
    def host(self) -> str:
        """The name by which the client called."""
        return self.headers.get("Host", [""])[-1]

    @property
    def identity(self) -> dict[str, str]:
        """What events and ``@connections`` tell of the client."""
        agent = self.headers.get("User-Agent")
        return {"sourceIp": self.source_ip} | ({"userAgent": agent[-1]} if agent else {})


@dataclass(slots=True)
class Connection:
    """One client."""

    connection_id: str
    handshake: Handshake
    socket: Socket
    connected_at_ms: int
    last_active_at_ms: int
    timers: list[asyncio.TimerHandle] = field(default_factory=list)


class GoneError(Exception):
    """There is no such connection."""


class ThrottledError(Exception):
    """Too many requests, or a client that does not read."""


class PayloadTooLargeError(Exception):
    """More than a message may have."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Gateway:
    """One deployed WebSocket API. Everything runs in the event loop of the edge."""

    def __init__(
        self, api: WebSocketApi, invoker: Invoker, limits: Limits | None = None, faults: Faults | None = None
    ) -> None:
        self.api, self.limits = api, limits or Limits()
        self.faults: Faults = faults or NoFaults()
        self.connections: dict[str, Connection] = {}
        self._invoker = invoker
        self._new_connections = TokenBucket(self.limits.connections_per_s, self.limits.connections_per_s)
        self._requests = TokenBucket(self.limits.requests_per_s, self.limits.request_burst)
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, handshake: Handshake, socket: Socket) -> tuple[int, dict[str, str], Connection | None]:
        """Ask ``$connect``; return the handshake's status, headers for the client, and the connection if it is in."""
        if not self._new_connections.take() or not self._requests.take():
            return 429, {}, None
        # Looks like AWS's own: URL-safe characters and a padding at the end, which clients have to encode in paths.
        connection_id = base64.urlsafe_b64encode(os.urandom(11)).decode()
        connection = Connection(connection_id, handshake, socket, _now_ms(), _now_ms())
        self.connections[connection_id] = connection
        try:
            answer = await self._invoke(self.api.routes["$connect"], self._connect_event(connection))
            status, protocol = int(answer["statusCode"]), _subprotocol(answer)
        except InvocationError as error:
            logger.error("$connect failed: %s", error)
            # As clients of AWS see it: github.com/serverless/serverless-websockets-plugin/issues/13.
            status, protocol = 502, {}
        if not 200 <= status < 300:
            del self.connections[connection_id]
            return status, {}, None
        return 101, protocol, connection

    def opened(self, connection: Connection) -> None:
        """The client has been answered: its time runs."""
        loop = asyncio.get_running_loop()
        connection.timers.append(loop.call_later(self.limits.max_age_s, self._end, connection, "max age"))
        connection.timers.append(loop.call_later(self.limits.idle_s, self._end_if_idle, connection))

    def received(self, connection: Connection, text: str) -> None:
        """A message has come: frames of one connection are handled concurrently, as on AWS."""
        connection.last_active_at_ms = _now_ms()
        if not self._requests.take():
            connection.socket.close(CLOSE_THROTTLED, "Too many requests")
            return
        self._start(self._message(connection, text))

    def closed(self, connection: Connection, code: int, reason: str) -> None:
        """The client has gone, or was closed."""
        for timer in connection.timers:
            timer.cancel()
        if self.connections.pop(connection.connection_id, None) is not None:
            self._start(self._disconnect(connection, code, reason))

    async def post(self, connection_id: str, data: bytes) -> None:
        """PostToConnection.

        Raises:
            GoneError, ThrottledError, PayloadTooLargeError: As AWS answers.
        """
        connection = self._live(connection_id)
        if len(data) > self.limits.message_max_bytes:
            raise PayloadTooLargeError
        if not self._requests.take() or connection.socket.buffered_bytes > self.limits.client_buffer_bytes:
            raise ThrottledError
        connection.last_active_at_ms = _now_ms()
        connection.socket.send(data.decode(errors="replace"))

    def describe(self, connection_id: str) -> Connection:
        """GetConnection.

        Raises:
            GoneError: There is no such connection.
        """
        return self._live(connection_id)

    def delete(self, connection_id: str) -> None:
        """DeleteConnection.

        Raises:
            GoneError: There is no such connection.
        """
        self._live(connection_id).socket.close(_CLOSE_NORMAL, _CLOSED_NORMALLY)

    async def drain(self) -> None:
        """Wait for what the functions are doing."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _live(self, connection_id: str) -> Connection:
        connection = self.connections.get(connection_id)
        if connection is None or not connection.socket.is_open:
            raise GoneError
        return connection

    async def _message(self, connection: Connection, text: str) -> None:
        route = self.api.select(text)
        event = self._event(connection, route.key, "MESSAGE") | {"body": text}
        event["requestContext"]["messageId"] = _request_id()
        try:
            answer = await self._invoke(route, event)
        except InvocationError as error:
            logger.error("route %s failed: %s", route.key, error)
            request_id = event["requestContext"]["requestId"]
            answer = {"body": _error_body(connection, request_id)}
        else:
            if not route.responds:
                return
        if body := answer.get("body"):
            connection.last_active_at_ms = _now_ms()
            connection.socket.send(body)

    async def _disconnect(self, connection: Connection, code: int, reason: str) -> None:
        headers = {"Host": [connection.handshake.host], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]}
        event = self._event(connection, "$disconnect", "DISCONNECT") | _headers(headers)
        event["requestContext"] |= {
            "disconnectStatusCode": code,
            "disconnectReason": reason or _REASONS.get(code, ""),
        }
        try:
            await self._invoke(self.api.routes["$disconnect"], event)
        except InvocationError as error:
            logger.error("$disconnect failed: %s", error)

    async def _invoke(self, route: Route, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the route's integration answers.

        Raises:
            InvocationError: It failed, took too long, or answered in no form that API Gateway takes.
        """
        if route.function is None:
            return {"body": route.mock_body}
        try:
            answer = await asyncio.wait_for(self._call(route.function, event), self.limits.integration_timeout_s)
        except TimeoutError:
            raise InvocationError("integration timeout") from None
        return _checked(answer)

    async def _call(self, function: str, event: dict[str, Any]) -> Any:
        fault = self.faults.next("invoke") or Fault()
        await asyncio.sleep(fault.delay_s)
        if fault.status is not None:
            raise InvocationError("a fault on purpose")
        return {"statusCode": 200} if fault.drop else await self._invoker.invoke(function, event)

    def _connect_event(self, connection: Connection) -> dict[str, Any]:
        query = connection.handshake.query
        event = self._event(connection, "$connect", "CONNECT") | _headers(connection.handshake.headers)
        if query:
            event["queryStringParameters"] = {name: values[-1] for name, values in query.items()}
            event["multiValueQueryStringParameters"] = dict(query)
        return event

    def _event(self, connection: Connection, route_key: str, kind: str) -> dict[str, Any]:
        """Return what events of a proxy integration have in common.

        Source: docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-integration-requests.html, and
        recorded ones: gist.github.com/noid11/4aa8933d0b5cdbcc09d377c5d65d28c1. What AWS's own proxies add to the
        headers (X-Forwarded-For and its like, the trace id) is not imitated.
        """
        request_id, now_ms = _request_id(), _now_ms()
        return {
            "requestContext": {
                "routeKey": route_key,
                "eventType": kind,
                "messageDirection": "IN",
                "connectionId": connection.connection_id,
                "connectedAt": connection.connected_at_ms,
                "requestId": request_id,
                "extendedRequestId": request_id,
                "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now_ms // 1000)),
                "requestTimeEpoch": now_ms,
                "stage": self.api.stage,
                "apiId": self.api.api_id,
                "domainName": connection.handshake.host,
                "identity": connection.handshake.identity,
            },
            "isBase64Encoded": False,
        }

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, connection: Connection, why: str) -> None:
        logger.info("closing %s: %s", connection.connection_id, why)
        connection.socket.close(CLOSE_GOING_AWAY, "Going away")

    def _end_if_idle(self, connection: Connection) -> None:
        idle_s = (_now_ms() - connection.last_active_at_ms) / 1000
        if idle_s >= self.limits.idle_s:
            self._end(connection, "idle")
        else:
            wait_s = self.limits.idle_s - idle_s
            connection.timers.append(asyncio.get_running_loop().call_later(wait_s, self._end_if_idle, connection))


def _request_id() -> str:
    return uuid.uuid4().hex[:15] + "="


def _headers(values: Mapping[str, list[str]]) -> dict[str, Any]:
    return {"headers": {name: several[-1] for name, several in values.items()}, "multiValueHeaders": dict(values)}


def _checked(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict) or not answer.keys() <= _ANSWER_FIELDS:
        raise InvocationError("malformed answer: no object, or fields that no proxy answer has")
    if not re.fullmatch("[2-5][0-9]{2}", str(answer.get("statusCode"))):
        raise InvocationError("malformed answer: statusCode")
    if not isinstance(answer.get("body"), str | None) or not isinstance(answer.get("headers"), dict | None):
        raise InvocationError("malformed answer: body must be text, headers an object")
    return answer


def _subprotocol(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the one header of ``$connect``'s answer that goes to the client.

    Source: docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html
    """
    for name, value in (answer.get("headers") or {}).items():
        if name.lower() == "sec-websocket-protocol":
            if not isinstance(value, str) or not _TOKEN.fullmatch(value):
                raise InvocationError("malformed answer: Sec-WebSocket-Protocol")
            return {"Sec-WebSocket-Protocol": value}
    return {}


def _error_body(connection: Connection, request_id: str) -> str:
    # What AWS sends when an integration fails: never the function's own words.
    error = {"message": "Internal server error", "connectionId": connection.connection_id, "requestId": request_id}
    return json.dumps(error)
