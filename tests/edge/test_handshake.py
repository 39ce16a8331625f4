"""``$connect`` decides who comes in, and nothing reaches a client before it has.

docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
"""

import asyncio
import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus
from websockets.frames import Opcode

from localstack.edge.invoker import InvocationError
from localstack.edge.limits import Limits
from tests.edge.conftest import Serve
from tests.edge.running import DEADLINE_S, Event, RawClient, RunningEdge


def refusal(edge: RunningEdge, path: str = "/v1/ws", **options: Any) -> int:
    """Return the status with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as caught:
        edge.connect(path, **options)
    return caught.value.response.status_code


# AWS hands the status of $connect on: github.com/dherault/serverless-offline/pull/1301 ("Unexpected server response:
# {statusCode}").
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 499, 500, 503])
def test_a_refusal_is_the_status_of_the_handshake(edge: RunningEdge, status: int) -> None:
    edge.invoker.functions["connect"] = lambda _event: {"statusCode": status, "body": "not you"}
    assert refusal(edge) == status
    assert edge.gateway.connections == {}
    assert edge.invoker.of("DISCONNECT") == []


def fails(_event: Event) -> Any:
    raise InvocationError("Unhandled")


# What clients report of AWS when the function fails: github.com/serverless/serverless-websockets-plugin/issues/13.
def test_a_function_that_raises_is_a_502(edge: RunningEdge) -> None:
    edge.invoker.functions["connect"] = fails
    assert refusal(edge) == 502
    assert edge.gateway.connections == {}


# An unknown field makes an answer malformed: github.com/middyjs/middy/issues/1219. What AWS says to a client for each
# of the others is not documented; they are mistakes of the function, which the edge is not to let through.
@pytest.mark.parametrize(
    "answer",
    [
        None,
        "200",
        [200],
        {},
        {"statusCode": None},
        {"statusCode": "two hundred"},
        {"statusCode": 101},
        {"statusCode": 99999},
        {"statusCode": 200, "connectionId": "x"},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "headers": ["Sec-WebSocket-Protocol"]},
        {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "a\r\nSet-Cookie: b"}},
    ],
    ids=repr,
)
def test_a_malformed_answer_is_a_502(edge: RunningEdge, answer: Any) -> None:
    edge.invoker.functions["connect"] = lambda _event: answer
    assert refusal(edge) == 502
    assert edge.gateway.connections == {}


def test_a_status_may_be_text_as_for_any_proxy_integration(edge: RunningEdge) -> None:
    edge.invoker.functions["connect"] = lambda _event: {"statusCode": "200"}
    edge.visit()


def test_a_function_that_takes_too_long_is_a_502(serve: Serve) -> None:
    edge = serve(limits=Limits(integration_timeout_s=0.05))
    edge.invoker.functions["connect"] = lambda _event: asyncio.sleep(DEADLINE_S)
    assert refusal(edge) == 502


# docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html
def test_a_subprotocol_is_agreed_only_if_the_function_returns_the_header(edge: RunningEdge) -> None:
    with edge.connect(subprotocols=["tidewire", "other"]) as client:
        assert client.subprotocol is None
    headers = {"sec-webSocket-protocol": "tidewire"}
    edge.invoker.functions["connect"] = lambda _event: {"statusCode": 200, "headers": headers}
    with edge.connect(subprotocols=["other", "tidewire"]) as client:
        assert client.subprotocol == "tidewire"


# repost.aws/knowledge-center/410-gone-api-gateway
def test_nothing_can_be_pushed_before_connect_has_returned(edge: RunningEdge) -> None:
    seen: list[int] = []

    def push(connection_id: str) -> None:
        for call in (edge.connections.get_connection, edge.connections.delete_connection):
            with pytest.raises(edge.connections.exceptions.GoneException):
                call(ConnectionId=connection_id)
        with pytest.raises(edge.connections.exceptions.GoneException) as gone:
            edge.post(connection_id)
        seen.append(gone.value.response["ResponseMetadata"]["HTTPStatusCode"])

    async def connect(event: Event) -> Any:
        await asyncio.to_thread(push, event["requestContext"]["connectionId"])
        return {"statusCode": 200}

    edge.invoker.functions["connect"] = connect
    with edge.connect() as client:
        assert seen == [410]
        edge.post(edge.connection_id(), b"now")
        assert client.recv(DEADLINE_S) == "now"


def test_who_comes_too_fast_is_told_429(serve: Serve) -> None:
    edge = serve(limits=Limits(connections_per_s=3))
    statuses: list[int] = []
    begun_s = time.monotonic()
    for _ in range(20):
        try:
            edge.visit()
        except InvalidStatus as refused:
            statuses.append(refused.response.status_code)
    allowed = 3 + 3 * (time.monotonic() - begun_s)
    assert set(statuses) == {429}
    assert len(edge.invoker.of("CONNECT")) == 20 - len(statuses) <= allowed


def test_a_handshake_counts_as_a_request(serve: Serve) -> None:
    edge = serve(limits=Limits(requests_per_s=0.001, request_burst=1))
    with edge.connect():
        assert refusal(edge) == 429


@pytest.mark.parametrize("path", ["/", "/v1/ws/", "/v1/wss", "/v1/%77s", "/v2/ws", "/@connections/x", "//[", "*"])
def test_a_wrong_path_is_a_404(edge: RunningEdge, path: str) -> None:
    with RawClient(edge) as client:
        client.ask(path)
        assert client.answer() == 404
        assert client.is_cut_off()
    assert edge.invoker.events == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Origin": "x" * 10_000}, 431),
    ],
)
def test_what_is_no_handshake_never_reaches_connect(edge: RunningEdge, headers: dict[str, str], status: int) -> None:
    with RawClient(edge) as client:
        client.ask(**headers)
        assert client.answer() == status
        assert client.is_cut_off()
    assert edge.invoker.events == []


def test_a_post_is_no_handshake(edge: RunningEdge) -> None:
    with RawClient(edge) as client:
        client.socket.sendall(
            b"POST /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert client.answer() == 405
    assert edge.invoker.events == []


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_client_may_leave_while_connect_runs(edge: RunningEdge, leave: str, status: int) -> None:
    left = threading.Event()

    async def connect(_event: Event) -> Any:
        await asyncio.to_thread(left.wait, DEADLINE_S)
        return {"statusCode": status}

    edge.invoker.functions["connect"] = connect
    with RawClient(edge) as client:
        client.ask()
        connection_id = edge.connection_id()
        if leave == "reset":
            client.reset()
    left.set()
    if status == 200:
        event = edge.invoker.wait("DISCONNECT")
        assert event["requestContext"]["connectionId"] == connection_id
        assert event["requestContext"]["disconnectStatusCode"] == 1006
    with pytest.raises(ClientError):
        edge.post(connection_id)


def test_frames_that_come_before_the_answer_wait_for_it(edge: RunningEdge) -> None:
    """A browser can't do that, but nothing that does may be answered with anything but the handshake first."""
    sent = threading.Event()

    async def connect(_event: Event) -> Any:
        await asyncio.to_thread(sent.wait, DEADLINE_S)
        return {"statusCode": 200}

    edge.invoker.functions["connect"] = connect
    with RawClient(edge) as client:
        client.ask()
        edge.connection_id()
        client.send(Opcode.PING, b"early")
        client.send(Opcode.TEXT, b"early too")
        assert edge.invoker.of("MESSAGE") == []
        sent.set()
        assert client.answer() == 101
        assert client.read() == (Opcode.PONG, b"early")
        assert client.read() == (Opcode.TEXT, b"early too")


def test_what_comes_while_connect_runs_is_not_kept_without_bound(edge: RunningEdge) -> None:
    """The edge does not read on: the client's own buffers fill, and its writes wait."""
    full = threading.Event()

    async def connect(_event: Event) -> Any:
        await asyncio.to_thread(full.wait, DEADLINE_S)
        return {"statusCode": 403}

    edge.invoker.functions["connect"] = connect
    with RawClient(edge) as client:
        client.ask()
        edge.connection_id()
        client.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            for _ in range(4_000):  # 128 MB
                client.send(Opcode.TEXT, b"x" * 32_768)
        full.set()


def test_stopping_does_not_wait_for_a_connect_that_hangs(serve: Serve) -> None:
    edge = serve(limits=Limits(integration_timeout_s=1))
    edge.invoker.functions["connect"] = lambda _event: asyncio.sleep(DEADLINE_S)
    with RawClient(edge) as client:
        client.ask()
        edge.connection_id()
        edge.stop()
        assert client.is_cut_off()
