"""However a connection ends, ``$disconnect`` says how, and ``@connections`` says 410 from then on."""

import socket
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from websockets.frames import Opcode

from localstack.edge.limits import Limits
from tests.edge.conftest import Serve
from tests.edge.running import Event, RawClient, RunningEdge


def ending(event: Event) -> tuple[int, str]:
    context = event["requestContext"]
    return context["disconnectStatusCode"], context["disconnectReason"]


def status_of(call: Callable[..., object], **arguments: object) -> int:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    status: int = refused.value.response["ResponseMetadata"]["HTTPStatusCode"]
    return status


def test_it_tells_the_client_s_code_and_reason(edge: RunningEdge) -> None:
    with edge.connect() as client:
        client.close(4001, "had enough")
    event = edge.invoker.wait("DISCONNECT")
    assert ending(event) == (4001, "had enough")
    assert event["requestContext"]["connectionId"] == edge.connection_id()


# The words are in events that were recorded, such as those of typelevel/feral's ApiGatewayV2WebSocketEventSuite.
def test_a_close_without_a_code_is_a_1005(edge: RunningEdge) -> None:
    with RawClient(edge) as client:
        client.ask()
        client.answer()
        client.send(Opcode.CLOSE, b"")
        assert client.is_cut_off()
    assert ending(edge.invoker.wait("DISCONNECT")) == (1005, "Client-side close frame status not set")


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
def test_a_connection_that_is_cut_is_a_1006(edge: RunningEdge, how: str) -> None:
    client = RawClient(edge)
    with client:
        client.ask()
        client.answer()
        if how == "reset":
            client.reset()
        elif how == "half-close":
            client.socket.shutdown(socket.SHUT_WR)
            assert client.is_cut_off()
    assert ending(edge.invoker.wait("DISCONNECT"))[0] == 1006


def test_what_the_edge_closes_is_told_with_its_code(serve: Serve) -> None:
    edge = serve(limits=Limits(idle_s=0.1))
    with edge.connect():
        assert ending(edge.invoker.wait("DISCONNECT"))[0] == 1001


@pytest.mark.parametrize(
    ("opcode", "data", "code"),
    [(Opcode.BINARY, b"x", 1003), (Opcode.TEXT, b"x" * 40_000, 1009), (Opcode.CONT, b"x", 1002)],
)
def test_what_the_edge_refuses_is_told_with_its_code(edge: RunningEdge, opcode: Opcode, data: bytes, code: int) -> None:
    with RawClient(edge) as client:
        client.ask()
        client.answer()
        client.send(opcode, data)
        assert client.read_close() == code
    assert ending(edge.invoker.wait("DISCONNECT"))[0] == code


def test_it_comes_once(edge: RunningEdge) -> None:
    with edge.connect() as client:
        client.close(1000)
    with edge.connect() as client:
        client.close(1000)
    edge.invoker.wait("DISCONNECT", 2)
    edge.stop()
    assert len(edge.invoker.of("DISCONNECT")) == 2


def test_no_timer_is_left_of_it(edge: RunningEdge) -> None:
    """They would keep it in memory for two hours."""
    with edge.connect():
        (connection,) = edge.gateway.connections.values()
    edge.invoker.wait("DISCONNECT")
    assert len(connection.timers) == 2
    assert all(timer.cancelled() for timer in connection.timers)


def test_it_comes_for_everybody_when_the_edge_stops(edge: RunningEdge) -> None:
    with edge.connect(), edge.connect(), RawClient(edge) as client:
        client.ask()
        client.answer()
        edge.stop()
    assert [ending(event)[0] for event in edge.invoker.of("DISCONNECT")] == [1001] * 3


def test_a_function_that_fails_changes_nothing(edge: RunningEdge) -> None:
    edge.invoker.functions["disconnect"] = lambda _event: "nonsense"
    edge.visit()
    edge.invoker.wait("DISCONNECT")
    edge.visit()


def test_after_a_close_everything_is_gone(edge: RunningEdge) -> None:
    edge.visit()
    edge.invoker.wait("DISCONNECT")
    connection_id = edge.connection_id()
    assert status_of(edge.connections.post_to_connection, ConnectionId=connection_id, Data=b"x") == 410
    assert status_of(edge.connections.get_connection, ConnectionId=connection_id) == 410
    assert status_of(edge.connections.delete_connection, ConnectionId=connection_id) == 410


def test_who_never_was_is_gone_too(edge: RunningEdge) -> None:
    """With an id of the form that API Gateway's have: github.com/localstack/localstack/issues/4694."""
    assert status_of(edge.connections.post_to_connection, ConnectionId="L0SM9cOFvHcCIhw=", Data=b"x") == 410


# AWS's code and words: github.com/boto/boto3/issues/3789.
def test_delete_closes_with_1000(edge: RunningEdge) -> None:
    with RawClient(edge) as client:
        client.ask()
        client.answer()
        edge.connections.delete_connection(ConnectionId=edge.connection_id())
        assert client.read_close() == 1000
        client.send(Opcode.CLOSE, (1000).to_bytes(2, "big"))
        assert client.is_cut_off()
    assert ending(edge.invoker.wait("DISCONNECT")) == (1000, "Connection Closed Normally")


def test_who_is_being_closed_is_gone_though_it_has_not_answered_yet(edge: RunningEdge) -> None:
    with RawClient(edge) as client:
        client.ask()
        client.answer()
        edge.connections.delete_connection(ConnectionId=edge.connection_id())
        for call in (edge.connections.get_connection, edge.connections.delete_connection):
            assert status_of(call, ConnectionId=edge.connection_id()) == 410
        assert status_of(edge.connections.post_to_connection, ConnectionId=edge.connection_id(), Data=b"x") == 410


def test_a_client_that_leaves_without_reading_is_gone_all_the_same(edge: RunningEdge) -> None:
    """What it has not read keeps its socket, and must not keep its connection."""
    with RawClient(edge, receive_buffer_bytes=65536) as client:
        client.ask()
        client.answer()
        for _ in range(4):
            edge.post(edge.connection_id(), b"x" * 128 * 1024)
        client.send(Opcode.CLOSE, (1000).to_bytes(2, "big"))
        edge.invoker.wait("DISCONNECT")
        assert status_of(edge.connections.post_to_connection, ConnectionId=edge.connection_id(), Data=b"x") == 410
