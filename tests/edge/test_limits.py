"""What API Gateway enforces: sizes, ages, rates.

docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html; the close
codes: docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-overview.html
"""

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection

from localstack.edge.limits import Limits, TokenBucket
from tests.edge.conftest import Serve
from tests.edge.running import DEADLINE_S, Event, RawClient, RunningEdge

KB = 1024


def close_code(client: ClientConnection) -> int:
    """Read until the edge closes; return with which code."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            client.recv(DEADLINE_S)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def length(event: Event) -> Any:
    return {"statusCode": 200, "body": str(len(event["body"]))}


class TestSizes:
    def test_a_frame_of_32_kb_passes(self, edge: RunningEdge) -> None:
        edge.invoker.functions["message"] = length
        with edge.connect() as client:
            client.send("x" * 32 * KB)
            assert client.recv(DEADLINE_S) == str(32 * KB)

    def test_a_larger_frame_is_a_1009(self, edge: RunningEdge) -> None:
        with edge.connect() as client:
            client.send("x" * (32 * KB + 1))
            assert close_code(client) == 1009
        assert edge.invoker.of("MESSAGE") == []

    def test_a_message_of_128_kb_in_frames_passes(self, edge: RunningEdge) -> None:
        edge.invoker.functions["message"] = length
        with edge.connect() as client:
            client.send(["x" * 32 * KB] * 4)
            assert client.recv(DEADLINE_S) == str(128 * KB)

    def test_a_larger_message_is_a_1009(self, edge: RunningEdge) -> None:
        with edge.connect() as client:
            with suppress(ConnectionClosed):  # behind its parts, an empty frame ends a message: that may come too late
                client.send(["x" * 32 * KB] * 4 + ["x"])
            assert close_code(client) == 1009
        assert edge.invoker.of("MESSAGE") == []

    def test_a_post_of_128_kb_passes(self, edge: RunningEdge) -> None:
        with edge.connect() as client:
            edge.post(edge.connection_id(), b"x" * 128 * KB)
            assert client.recv(DEADLINE_S) == "x" * 128 * KB

    def test_a_larger_post_is_a_413(self, edge: RunningEdge) -> None:
        with edge.connect(), pytest.raises(edge.connections.exceptions.PayloadTooLargeException) as refused:
            edge.post(edge.connection_id(), b"x" * (128 * KB + 1))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


# docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-binary-media-types.html
class TestBinary:
    def test_a_binary_frame_is_a_1003(self, edge: RunningEdge) -> None:
        with edge.connect() as client:
            client.send(b"binary")
            assert close_code(client) == 1003
        assert edge.invoker.of("MESSAGE") == []

    def test_so_are_its_fragments_and_none_of_them_is_a_message(self, edge: RunningEdge) -> None:
        with RawClient(edge) as client:
            client.ask()
            assert client.answer() == 101
            client.send(Opcode.BINARY, b"binary", fin=False)
            client.send(Opcode.CONT, b'{"type": "x"}')
            client.send(Opcode.TEXT, b"after that")
            assert client.read_close() == 1003
            client.send(Opcode.CLOSE, b"")
            assert client.is_cut_off()
        edge.invoker.wait("DISCONNECT")
        assert edge.invoker.of("MESSAGE") == []


class TestAge:
    def test_who_is_idle_is_closed_with_1001(self, serve: Serve) -> None:
        edge = serve(limits=Limits(idle_s=0.2))
        with edge.connect() as client:
            begun_s = time.monotonic()
            assert close_code(client) == 1001
            assert time.monotonic() - begun_s >= 0.15

    def test_messages_keep_a_connection_from_being_idle(self, serve: Serve) -> None:
        edge = serve(limits=Limits(idle_s=1))
        with edge.connect() as client:
            end_s = time.monotonic() + 2.5
            while time.monotonic() < end_s:
                client.send("x")
                assert client.recv(DEADLINE_S) == "x"
                client.ping().wait(0.05)
            assert close_code(client) == 1001

    def test_pings_do_not(self, serve: Serve) -> None:
        """Whether they do on AWS is disputed (platform.md), so nobody may count on it."""
        edge = serve(limits=Limits(idle_s=0.5))
        with edge.connect() as client, pytest.raises(ConnectionClosed) as closed:
            end_s = time.monotonic() + DEADLINE_S
            while time.monotonic() < end_s:
                client.ping().wait(0.1)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001

    def test_who_is_too_old_is_closed_with_1001_however_busy(self, serve: Serve) -> None:
        edge = serve(limits=Limits(max_age_s=0.5))
        with edge.connect() as client, pytest.raises(ConnectionClosed) as closed:
            end_s = time.monotonic() + DEADLINE_S
            while time.monotonic() < end_s:
                client.send("x")
                client.recv(DEADLINE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001

    def test_pings_are_answered_by_the_edge_and_reach_no_function(self, edge: RunningEdge) -> None:
        with RawClient(edge) as client:
            client.ask()
            assert client.answer() == 101
            client.send(Opcode.PING, b"are you there")
            assert client.read() == (Opcode.PONG, b"are you there")
            client.send(Opcode.PONG, b"nobody asked")
            client.send(Opcode.TEXT, b"hello")
            assert client.read() == (Opcode.TEXT, b"hello")
        assert len(edge.invoker.of("MESSAGE")) == 1

    def test_a_client_that_does_not_answer_a_close_is_cut_off(self, serve: Serve) -> None:
        edge = serve(limits=Limits(max_age_s=0.1))
        with RawClient(edge) as client:
            client.ask()
            assert client.answer() == 101
            assert client.read_close() == 1001
            assert client.is_cut_off()
        edge.invoker.wait("DISCONNECT")


class TestRates:
    def test_who_sends_too_much_is_closed_with_1008_and_heard_no_more(self, serve: Serve) -> None:
        edge = serve(limits=Limits(requests_per_s=0.001, request_burst=3))  # $connect takes one
        with edge.connect() as client:
            for body in ("1", "2", "3", "4"):
                client.send(body)
            assert close_code(client) == 1008
        edge.invoker.wait("DISCONNECT")
        assert [event["body"] for event in edge.invoker.of("MESSAGE")] == ["1", "2"]

    def test_who_posts_too_much_is_told_429(self, serve: Serve) -> None:
        edge = serve(limits=Limits(requests_per_s=0.001, request_burst=2))
        with edge.connect():
            edge.post(edge.connection_id())
            with pytest.raises(edge.connections.exceptions.LimitExceededException) as refused:
                edge.post(edge.connection_id())
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429

    def test_posts_to_who_does_not_read_are_told_429_until_it_does(self, serve: Serve) -> None:
        edge = serve(limits=Limits(client_buffer_bytes=64 * KB))
        with RawClient(edge, receive_buffer_bytes=64 * KB) as client:
            client.ask()
            assert client.answer() == 101
            sent = 0
            with pytest.raises(edge.connections.exceptions.LimitExceededException):
                for _ in range(1_000):  # the system's own buffers come first
                    edge.post(edge.connection_id(), b"x" * 128 * KB)
                    sent += 1
            for _ in range(sent):
                assert client.read() == (Opcode.TEXT, b"x" * 128 * KB)
            edge.post(edge.connection_id(), b"at last")
            assert client.read() == (Opcode.TEXT, b"at last")

    def test_who_does_not_read_its_replies_is_not_read_either(self, edge: RunningEdge) -> None:
        """Else one client could fill the edge's memory: its writes wait instead."""
        with RawClient(edge, receive_buffer_bytes=64 * KB) as client:
            client.ask()
            assert client.answer() == 101
            client.socket.settimeout(1)
            with pytest.raises(TimeoutError):
                for _ in range(200_000):  # 26 MB of pongs
                    client.send(Opcode.PING, b"x" * 125)


class TestTokenBucket:
    @given(
        st.floats(0.1, 1_000),
        st.floats(1, 100),
        st.lists(st.floats(0, 2), max_size=200),
    )
    def test_it_never_lets_through_more_than_burst_and_rate(
        self, rate: float, burst: float, pauses: list[float]
    ) -> None:
        now_s = 100.0
        bucket = TokenBucket(rate, burst, clock=lambda: now_s)
        passed = 0
        for pause_s in pauses:
            now_s += pause_s
            passed += bucket.take()
        assert passed <= burst + rate * sum(pauses) + 1e-6

    def test_it_lets_through_the_burst_and_then_the_rate(self) -> None:
        now_s = 0.0
        bucket = TokenBucket(2, 3, clock=lambda: now_s)
        assert [bucket.take() for _ in range(4)] == [True, True, True, False]
        now_s = 0.5
        assert [bucket.take() for _ in range(2)] == [True, False]
        now_s = 60
        assert [bucket.take() for _ in range(4)] == [True, True, True, False]
