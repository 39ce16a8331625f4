"""One port for the app and the sockets; and what strangers throw at it."""

import asyncio
import socket
import threading
import time
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from websockets.frames import Opcode

from tests.edge.conftest import Serve
from tests.edge.running import DEADLINE_S, Event, RawClient, RunningEdge


class TestPaths:
    @pytest.mark.parametrize("path", ["/", "/v1/poll", "/healthz", "/nothing", "/assets/", "/v1/ws"])
    def test_every_path_is_the_app_s(self, serve: Serve, path: str) -> None:
        answer = httpx.post(f"http://127.0.0.1:{serve().port}{path}", timeout=DEADLINE_S)
        assert answer.json() == {"method": "POST", "path": path}

    def test_a_path_may_have_a_line_s_end(self, serve: Serve) -> None:
        async def echo(scope: Scope, receive: Receive, send: Send) -> None:
            await JSONResponse(scope["path"])(scope, receive, send)

        with httpx.Client(base_url=f"http://127.0.0.1:{serve(http_app=echo).port}") as http:
            assert http.delete("/v1/users/a%0Ab/data").json() == "/v1/users/a\nb/data"

    def test_requests_and_sockets_share_a_kept_connection(self, edge: RunningEdge) -> None:
        """A browser may upgrade the connection on which it has fetched the page."""
        with RawClient(edge) as client:
            client.socket.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.answer() == 200
            client.ask()
            assert client.answer() == 101
            client.send(Opcode.TEXT, b"hello")
            assert client.read() == (Opcode.TEXT, b"hello")


def hears(edge: RunningEdge) -> bool:
    """Whether the edge still serves."""
    with edge.connect() as client:
        client.send("still there?")
        return client.recv(DEADLINE_S) == "still there?"


class TestStrangers:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(garbage=st.binary(max_size=300))
    def test_bytes_that_are_no_request(self, edge: RunningEdge, garbage: bytes) -> None:
        with edge.tcp() as client:
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(garbage=st.binary(min_size=1, max_size=300))
    def test_bytes_that_are_no_frames(self, edge: RunningEdge, garbage: bytes) -> None:
        with RawClient(edge) as client:
            client.ask()
            assert client.answer() == 101
            client.socket.sendall(garbage)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.is_cut_off()

    def test_after_all_that_it_serves_on(self, edge: RunningEdge) -> None:
        for garbage in (b"\0" * 1000, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n"):
            with edge.tcp() as client:
                client.sendall(garbage)
        assert hears(edge)

    def test_requests_in_a_heap_with_a_handshake_among_them(self, edge: RunningEdge) -> None:
        request = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
        with RawClient(edge) as client:
            client.socket.sendall(request * 20)
            client.ask()
            client.socket.sendall(request)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.is_cut_off()
        assert hears(edge)

    def test_an_unmasked_frame_is_a_1002(self, edge: RunningEdge) -> None:
        with RawClient(edge) as client:
            client.ask()
            client.answer()
            client.socket.sendall(b"\x81\x01x")
            assert client.read_close() == 1002

    def test_those_who_dawdle_hold_up_nobody(self, edge: RunningEdge) -> None:
        with edge.tcp() as silent, edge.tcp() as slow, RawClient(edge) as half_a_frame:
            slow.sendall(b"GET / HTTP/1.1\r\nHos")
            half_a_frame.ask()
            half_a_frame.answer()
            half_a_frame.socket.sendall(b"\x81\xfe\x10")
            assert hears(edge)
            edge.stop()
            assert silent.recv(1) == b""
            assert slow.recv(1) == b""

    def test_a_frame_may_come_byte_by_byte(self, edge: RunningEdge) -> None:
        with RawClient(edge) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.ask()
            client.answer()
            for byte in b"\x81\x85\x00\x00\x00\x00hello":
                client.socket.sendall(bytes([byte]))
            assert client.read() == (Opcode.TEXT, b"hello")

    def test_empty_fragments_without_end_take_no_memory(self, edge: RunningEdge) -> None:
        with RawClient(edge) as client:
            client.ask()
            client.answer()
            client.send(Opcode.TEXT, b"x", fin=False)
            for _ in range(20_000):
                client.send(Opcode.CONT, b"", fin=False)
            client.send(Opcode.CONT, b"y")
            assert client.read() == (Opcode.TEXT, b"xy")


class TestStop:
    def test_it_returns_when_the_port_is_free(self, edge: RunningEdge) -> None:
        with edge.connect():
            edge.stop()
        with pytest.raises(ConnectionRefusedError):
            edge.tcp()

    def test_no_thread_is_left(self, serve: Serve) -> None:
        before = threading.active_count()
        edge = serve()
        edge.visit()
        edge.stop()
        assert threading.active_count() <= before

    @pytest.mark.parametrize("function", ["message", "disconnect"])
    def test_what_functions_are_doing_is_waited_for(self, edge: RunningEdge, function: str) -> None:
        done: list[str] = []

        async def slow(event: Event) -> Any:
            await asyncio.sleep(1)
            done.append(event["requestContext"]["eventType"])
            return {"statusCode": 200}

        edge.invoker.functions[function] = slow
        with edge.connect() as client:
            client.send("x")
            edge.invoker.wait("MESSAGE")
        edge.stop()
        assert done == [function.upper()]

    def test_but_not_for_ever(self, edge: RunningEdge) -> None:
        edge.invoker.functions["disconnect"] = lambda _event: asyncio.sleep(3600)
        edge.visit()
        begun_s = time.monotonic()
        edge.stop()
        assert time.monotonic() - begun_s < 15
