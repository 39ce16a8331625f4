"""The pusher against a server that does whatever a server may do."""

import json
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError, CredentialRetrievalError

from shared.adapters.http_socket import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, HttpSocket, SocketPool
from shared.adapters.memory import MemoryMetrics
from shared.adapters.pusher import Pusher
from shared.adapters.sigv4 import Endpoint
from shared.domain.breaker import CircuitBreaker
from shared.domain.gate import Gate
from shared.domain.rate import Pacer
from shared.errors import ConnectionGoneError, DependencyError, ThrottledError, UnavailableError
from tests.unit.adapters.certificates import certificate
from tests.unit.adapters.http_server import DEADLINE_S, OK, HttpServer, Peer, Request, always, answer
from tests.unit.stack import Clock

CREDENTIALS: Final = ReadOnlyCredentials("AKID", "secret", "token")
IDS: Final = [f"c{number}" for number in range(40)]


def pusher(url: str, *, in_flight_max: int = 8, ca_bundle: str = "", metrics: MemoryMetrics | None = None) -> Pusher:
    return Pusher(
        url, lambda: CREDENTIALS, "us-east-1", ca_bundle, metrics or MemoryMetrics(), in_flight_max=in_flight_max
    )


def gate(*, per_s: float = float("inf"), clock: Clock | None = None) -> Gate:
    return Gate(CircuitBreaker(clock or Clock(), uniform=lambda _low, high: high), Pacer(per_s, time.monotonic))


def kinds(outcomes: Any) -> list[type | None]:
    return [type(outcome) if outcome else None for outcome in outcomes]


def fails_with(outcomes: Any, error: type[Exception]) -> bool:
    return kinds(outcomes) == [error] * len(outcomes)


def test_each_connection_is_sent_the_message_and_signed_for() -> None:
    with HttpServer(always(lambda _request: OK)) as server:
        assert pusher(server.url).push_all(IDS, [b"{}"]) == [None] * 40
    assert sorted(request.connection_id for request in server.requests) == sorted(IDS)
    assert {(request.method, request.body) for request in server.requests} == {("POST", b"{}")}
    assert all(request.headers["authorization"].startswith("AWS4-HMAC-SHA256 ") for request in server.requests)
    assert {request.headers["host"] for request in server.requests} == {f"127.0.0.1:{server.port}"}


def test_outcomes_are_in_the_order_of_the_connections() -> None:
    answers = {
        "gone": (answer(410, x_amzn_ErrorType="GoneException"), ConnectionGoneError),
        "slow": (answer(429, x_amzn_ErrorType="LimitExceededException"), ThrottledError),
        "broken": (answer(500), UnavailableError),
        "unsigned": (answer(403, b"{}", x_amzn_ErrorType="InvalidSignatureException"), DependencyError),
        "forbidden": (answer(403, b"{}", x_amzn_ErrorType="ForbiddenException"), ClientError),
        "large": (answer(413, x_amzn_ErrorType="PayloadTooLargeException:http://x/"), ClientError),
        "here": (OK, None),
    }
    metrics = MemoryMetrics()
    with HttpServer(always(lambda request: answers[request.connection_id][0])) as server:
        outcomes = pusher(server.url, metrics=metrics).push_all(list(answers), [b"{}"])
    assert kinds(outcomes) == [error for _, error in answers.values()]
    assert metrics.values["WebSocketMessages"] == [1]


def test_messages_to_one_connection_come_one_after_the_other_and_none_behind_one_that_failed() -> None:
    def taken(request: Request) -> bytes:
        return answer(410) if (request.connection_id, request.body) == ("c3", b"2") else OK

    metrics = MemoryMetrics()
    with HttpServer(always(taken)) as server:
        outcomes = pusher(server.url, metrics=metrics).push_all(IDS, [b"1", b"2", b"3"])
    bodies: dict[str, bytes] = dict.fromkeys(IDS, b"")
    for request in server.requests:
        bodies[request.connection_id] += request.body
    assert bodies == dict.fromkeys(IDS, b"123") | {"c3": b"12"}
    assert kinds(outcomes) == [ConnectionGoneError if one == "c3" else None for one in IDS]
    assert metrics.values["WebSocketMessages"] == [3 * 39 + 1]


def test_there_are_never_more_in_flight_than_allowed_and_as_many_as_that() -> None:
    together = threading.Barrier(8)

    def handle(peer: Peer) -> None:
        while peer.read():
            together.wait(DEADLINE_S)  # nobody is answered before eight have asked
            peer.answer()

    with HttpServer(handle) as server:
        assert not any(pusher(server.url).push_all(IDS, [b"{}"]))
    assert (server.most_in_flight, server.connections) == (8, 8)


def test_many_threads_share_the_sockets_and_all_come_to_their_end() -> None:
    with HttpServer(always(lambda _request: OK)) as server, ThreadPoolExecutor(20) as threads:
        shared = pusher(server.url, in_flight_max=4)
        outcomes = list(threads.map(lambda _: shared.push_all(IDS, [b"{}"]), range(20)))
    assert outcomes == [[None] * 40] * 20
    assert server.most_in_flight <= 4
    assert server.connections <= 4


def test_who_has_no_socket_gets_one_of_who_has_several() -> None:
    """A long broadcast leaves room for a short one."""
    begun, others_done = threading.Event(), threading.Event()

    def handle(peer: Peer) -> None:
        while request := peer.read():
            if request.connection_id == "c30":
                begun.set()
                assert others_done.wait(DEADLINE_S)
            peer.answer()

    with HttpServer(handle) as server, ThreadPoolExecutor(1) as threads:
        shared = pusher(server.url, in_flight_max=2)
        long = threads.submit(shared.push_all, IDS, [b"{}"])
        assert begun.wait(DEADLINE_S)
        assert shared.push_all(["other"], [b"{}"]) == [None]
        others_done.set()
        assert long.result(DEADLINE_S) == [None] * 40


def test_who_waits_for_one_slow_answer_keeps_no_other_socket() -> None:
    others_done = threading.Event()

    def handle(peer: Peer) -> None:
        while request := peer.read():
            if request.connection_id == "slow":
                assert others_done.wait(DEADLINE_S)
            peer.answer()

    with HttpServer(handle) as server, ThreadPoolExecutor(1) as threads:
        shared = pusher(server.url, in_flight_max=2)
        long = threads.submit(shared.push_all, ["slow", "fast"], [b"{}"])
        server.wait_for(2)
        assert shared.push_all(["other"], [b"{}"]) == [None]
        others_done.set()
        assert long.result(DEADLINE_S) == [None, None]


def test_who_comes_again_and_again_does_not_overtake_who_waits() -> None:
    pool, ended = SocketPool(Endpoint.of("http://127.0.0.1:9"), 1, ""), threading.Event()
    got: list[HttpSocket | None] = []

    def wait() -> None:
        got.append(pool.take(wait_s=DEADLINE_S))
        ended.set()

    one = pool.take()
    threading.Thread(target=wait).start()
    while not pool.wanted:
        time.sleep(0.001)
    assert one
    pool.give_back(one, usable=True)
    assert pool.take(wait_s=0.001) is None or got
    assert ended.wait(DEADLINE_S)
    assert got == [one]


def test_who_finds_every_socket_taken_is_told_so_in_the_end() -> None:
    pool = SocketPool(Endpoint.of("http://127.0.0.1:9"), 1, "")
    one = pool.take()
    assert one
    assert pool.take(wait_s=0.01) is None
    pool.give_back(one, usable=True)
    assert pool.take(wait_s=DEADLINE_S) is one


def test_a_large_message_goes_in_pieces() -> None:
    message = bytes(range(256)) * 16_384  # 4 MiB: more than any socket takes at once

    with HttpServer(always(lambda _request: OK)) as server:
        assert not any(pusher(server.url).push_all(IDS[:4], [message]))
    assert {request.body for request in server.requests} == {message}


def test_an_answer_may_come_byte_by_byte() -> None:
    def handle(peer: Peer) -> None:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while peer.read():
            whole = b"HTTP/1.1 100 Continue\r\n\r\n" + answer(410, b'{"message":"gone"}')
            for byte in whole[:-1]:
                peer.sock.sendall(bytes([byte]))
            peer.answer(whole[-1:])

    with HttpServer(handle) as server:
        assert fails_with(pusher(server.url).push_all(IDS, [b"{}"]), ConnectionGoneError)
    assert server.connections <= 8


@pytest.mark.parametrize("body", [b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 30_000])
def test_an_answers_body_is_no_answer(body: bytes) -> None:
    chunked = b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for whole in (answer(500, body), chunked):
        with HttpServer(always(lambda _request, whole=whole: whole)) as server:  # type: ignore[misc]
            assert fails_with(pusher(server.url).push_all(IDS, [b"{}"]), UnavailableError)
        assert (len(server.requests), server.connections <= 8) == (40, True)


def test_a_server_may_close_after_each_answer() -> None:
    with HttpServer(always(lambda _request: answer(200, Connection="close"))) as server:
        assert not any(pusher(server.url).push_all(IDS, [b"{}"]))
    assert (len(server.requests), server.connections) == (40, 40)


def test_a_socket_that_was_closed_while_it_was_idle_is_not_used_again() -> None:
    closed = threading.Semaphore(0)

    def handle(peer: Peer) -> None:
        peer.read()
        peer.answer()
        peer.sock.shutdown(socket.SHUT_RDWR)
        closed.release()

    with HttpServer(handle) as server:
        it = pusher(server.url, in_flight_max=1)
        for _ in range(3):
            assert it.push_all(["a"], [b"{}"]) == [None]
            assert closed.acquire(timeout=DEADLINE_S)
    assert (len(server.requests), server.connections) == (3, 3)


def test_a_request_that_crosses_with_the_servers_close_is_sent_once_more() -> None:
    def handle(peer: Peer) -> None:
        peer.read()
        if peer.number < 2:
            peer.answer()
            peer.read()  # and closes without a word

    with HttpServer(handle) as server:
        it = pusher(server.url, in_flight_max=1)
        assert it.push_all(["a", "b"], [b"{}"])[0] is None
        assert [request.connection_id for request in server.requests][:2] == ["a", "b"]
    assert Counter(request.connection_id for request in server.requests) == {"a": 1, "b": 2}


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\nCont"], ids=["nothing", "half an answer"])
def test_a_request_that_a_fresh_connection_lost_is_not_repeated(before: bytes) -> None:
    def handle(peer: Peer) -> None:
        peer.read()
        peer.answer(before)

    with HttpServer(handle) as server:
        assert fails_with(pusher(server.url).push_all(["a"], [b"{}"]), UnavailableError)
    assert len(server.requests) == 1


def test_half_an_answer_is_none_and_its_request_is_not_repeated() -> None:
    def handle(peer: Peer) -> None:
        peer.read()
        peer.answer()
        peer.read()
        peer.answer(OK[:-9])

    with HttpServer(handle) as server:
        outcomes = pusher(server.url, in_flight_max=1).push_all(["a", "b"], [b"{}"])
    assert kinds(outcomes) == [None, UnavailableError]
    assert len(server.requests) == 2


def test_garbage_is_one_connections_error_and_nothing_more_is_read_there() -> None:
    def handle(peer: Peer) -> None:
        while request := peer.read():
            peer.answer(b"SSH-2.0\r\n\r\n" if request.connection_id == "c5" else OK)

    with HttpServer(handle) as server:
        outcomes = pusher(server.url, in_flight_max=1).push_all(IDS, [b"{}"])
    assert kinds(outcomes) == [UnavailableError if one == "c5" else None for one in IDS]
    assert server.connections == 2


def test_who_only_ever_says_that_an_answer_will_come_is_not_listened_to() -> None:
    def handle(peer: Peer) -> None:
        peer.read()
        while True:
            peer.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)

    with HttpServer(handle) as server:
        assert fails_with(pusher(server.url).push_all(["a"], [b"{}"]), UnavailableError)


def test_what_nobody_asked_for_ends_a_socket() -> None:
    with HttpServer(always(lambda _request: OK + OK)) as server:
        assert pusher(server.url, in_flight_max=1).push_all(["a", "b"], [b"{}"]) == [None, None]
    assert server.connections == 2


def test_who_refuses_half_a_request_has_said_why() -> None:
    def handle(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.sock.sendall(answer(413, x_amzn_ErrorType="PayloadTooLargeException"))
        peer.sock.shutdown(socket.SHUT_WR)
        while peer.sock.recv(65_536):
            pass

    with HttpServer(handle) as server:
        (outcome,) = pusher(server.url).push_all(["a"], [b"x" * 8_000_000])
    assert isinstance(outcome, ClientError)


def test_who_does_not_answer_is_not_waited_for() -> None:
    def handle(peer: Peer) -> None:
        while request := peer.read():
            if request.connection_id != "silent":
                peer.answer()

    with HttpServer(handle) as server:
        began_s = time.monotonic()
        outcomes = pusher(server.url).push_all(["silent", *IDS], [b"{}"])
        assert ANSWER_TIMEOUT_S <= time.monotonic() - began_s < ANSWER_TIMEOUT_S + DEADLINE_S
    assert kinds(outcomes) == [UnavailableError] + [None] * 40
    assert len(server.requests) == 41


def test_who_does_not_take_the_connection_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as fills:
        fills.connect(listener.getsockname())  # nobody accepts it, and there is room for one
        began_s = time.monotonic()
        it = pusher(f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert fails_with(it.push_all(["a"], [b"{}"]), UnavailableError)
        assert CONNECT_TIMEOUT_S <= time.monotonic() - began_s < CONNECT_TIMEOUT_S + DEADLINE_S


def test_where_nobody_listens_every_push_fails_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (outcome, *others) = pusher(f"http://127.0.0.1:{port}").push_all(IDS, [b"{}"])
    assert isinstance(outcome, UnavailableError)
    assert isinstance(outcome.__cause__, ConnectionRefusedError)
    assert fails_with(others, UnavailableError)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    yield certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")


def test_a_name_that_nobody_knows_is_asked_for_once(pem: tuple[Path, Path]) -> None:
    outcomes = pusher("https://nowhere.invalid/stage", ca_bundle=str(pem[0])).push_all(IDS, [b"{}"])
    assert fails_with(outcomes, UnavailableError)
    assert {type(outcome.__cause__) for outcome in outcomes if outcome} == {socket.gaierror}
    assert len({outcome.__cause__ for outcome in outcomes if outcome}) == 1


def tls(pem: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pem)
    return context


def test_all_of_it_goes_by_tls_as_well(pem: tuple[Path, Path]) -> None:
    large = bytes(range(256)) * 512
    with HttpServer(always(lambda _request: answer(200, large[:20_000])), tls=tls(pem)) as server:
        it = pusher(server.url, ca_bundle=str(pem[0]))
        for _ in range(2):
            assert it.push_all(IDS[:10], [large, b"{}"]) == [None] * 10
    assert Counter(request.body for request in server.requests) == {large: 20, b"{}": 20}
    assert server.connections == 8


def test_a_tls_connection_that_was_closed_while_it_was_idle_is_not_used_again(pem: tuple[Path, Path]) -> None:
    closed = threading.Semaphore(0)

    def handle(peer: Peer) -> None:
        peer.read()
        peer.answer()
        peer.sock.shutdown(socket.SHUT_RDWR)
        closed.release()

    with HttpServer(handle, tls=tls(pem)) as server:
        it = pusher(server.url, ca_bundle=str(pem[0]), in_flight_max=1)
        for _ in range(2):
            assert it.push_all(["a"], [b"{}"]) == [None]
            assert closed.acquire(timeout=DEADLINE_S)
    assert (len(server.requests), server.connections) == (2, 2)


def test_who_is_not_vouched_for_is_told_nothing(pem: tuple[Path, Path], tmp_path: Path) -> None:
    other, other_key = certificate(tmp_path, "127.0.0.2")
    for shown, trusted in ((pem, other), ((other, other_key), other)):  # nobody known; known, and somebody else
        with HttpServer(always(lambda _request: OK), tls=tls(shown)) as server:
            (outcome,) = pusher(server.url, ca_bundle=str(trusted)).push_all(["a"], [b"{}"])
        assert isinstance(outcome, UnavailableError)
        assert isinstance(outcome.__cause__, ssl.SSLCertVerificationError)
        assert server.requests == []


def test_who_speaks_no_tls_is_told_nothing(pem: tuple[Path, Path]) -> None:
    def handle(peer: Peer) -> None:
        peer.sock.recv(65_536)
        peer.sock.sendall(OK)

    with HttpServer(handle) as server:
        url = server.url.replace("http:", "https:")
        assert fails_with(pusher(url, ca_bundle=str(pem[0])).push_all(["a"], [b"{}"]), UnavailableError)


def test_every_address_of_a_server_is_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()
    with HttpServer(always(lambda _request: OK)) as server:
        addresses = [(socket.AF_INET, nobody), (socket.AF_INET, nobody), (socket.AF_INET, ("127.0.0.1", server.port))]
        one = HttpSocket(lambda: addresses, "127.0.0.1", None)
        one.send(b"POST /stage/@connections/a HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
        until_s = time.monotonic() + DEADLINE_S
        while (got := one.proceed()) is None:
            assert time.monotonic() < until_s
            _wait(one)
        one.close()
    assert got.status == 200


def _wait(one: HttpSocket) -> None:
    poller = select.poll()
    poller.register(one.fd, one.waits_for)
    assert poller.poll(DEADLINE_S * 1000)


def test_credentials_may_be_replaced_at_any_time() -> None:
    current = [CREDENTIALS]
    with HttpServer(always(lambda _request: OK)) as server:
        it = Pusher(server.url, lambda: current[0], "us-east-1", "", MemoryMetrics())
        it.push_all(["a"], [b"{}"])
        current[0] = ReadOnlyCredentials("NEW", "secret", None)
        it.push_all(["b"], [b"{}"])
    first, second = server.requests
    assert (first.headers["x-amz-security-token"], "x-amz-security-token" in second.headers) == ("token", False)
    assert "Credential=NEW/" in second.headers["authorization"]


def test_credentials_that_can_not_be_had_are_every_pushs_error() -> None:
    def credentials() -> ReadOnlyCredentials:
        raise CredentialRetrievalError(provider="p", error_msg="e")

    it = Pusher("http://127.0.0.1:9", credentials, "us-east-1", "", MemoryMetrics())
    assert fails_with(it.push_all(IDS, [b"{}"]), UnavailableError)


def test_an_id_that_no_request_can_name_is_no_others_trouble() -> None:
    with HttpServer(always(lambda _request: OK)) as server:
        outcomes = pusher(server.url).push_all(["a", "\ud800", "b"], [b"{}"])
    assert kinds(outcomes) == [None, UnicodeEncodeError, None]


def test_a_name_that_no_server_can_have_keeps_no_socket() -> None:
    it = pusher(f"http://{'a' * 64}.example", in_flight_max=1)
    assert fails_with(it.push_all(["a", "b"], [b"{}"]), UnicodeError)
    assert fails_with(it.push_all(["a"], [b"{}"]), UnicodeError)


def test_a_service_that_fails_is_left_alone_in_the_middle_of_a_broadcast() -> None:
    before, many = gate(), [f"c{number}" for number in range(1_000)]
    with HttpServer(always(lambda _request: answer(500))) as server:
        assert fails_with(pusher(server.url).push_all(many, [b"{}"], before), UnavailableError)
    assert 20 <= len(server.requests) <= 20 + 8
    assert before.breaker.state == "open"


def test_three_try_whether_it_works_again_and_then_everybody_goes() -> None:
    clock = Clock()
    before, works = gate(clock=clock), threading.Event()
    many = [f"c{number}" for number in range(1_000)]
    with HttpServer(always(lambda _request: OK if works.is_set() else answer(500))) as server:
        it = pusher(server.url)
        it.push_all(many, [b"{}"], before)
        clock.pass_s(1)
        failed = len(server.requests)
        it.push_all(many, [b"{}"], before)
        assert len(server.requests) - failed <= 3
        clock.pass_s(2)
        works.set()
        assert it.push_all(many, [b"{}"], before) == [None] * 1_000
    assert before.breaker.state == "closed"


def test_waiting_for_who_tries_takes_no_cpu() -> None:
    clock = Clock()
    before = gate(per_s=100, clock=clock)
    for _ in range(20):
        before.breaker.record(failed=True)
    clock.pass_s(1)
    tried = threading.Event()

    def handle(peer: Peer) -> None:
        while peer.read():
            assert tried.wait(DEADLINE_S)
            peer.answer()

    with HttpServer(handle) as server:
        threading.Timer(0.5, tried.set).start()
        began_s = time.thread_time()
        assert pusher(server.url).push_all(IDS[:10], [b"{}"], before) == [None] * 10
        assert time.thread_time() - began_s < 0.2


@pytest.mark.parametrize("status", [410, 429, 403])
def test_one_connections_trouble_is_not_the_services(status: int) -> None:
    before = gate()
    with HttpServer(always(lambda _request: answer(status))) as server:
        assert None not in pusher(server.url).push_all(IDS, [b"{}"], before)
    assert (len(server.requests), before.breaker.state) == (40, "closed")


def test_silence_and_a_server_that_is_not_there_count_as_failures() -> None:
    before = gate()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pusher(f"http://127.0.0.1:{port}").push_all(IDS, [b"{}"], before)
    assert before.breaker.state == "open"


def test_pushes_are_paced_and_answers_read_meanwhile() -> None:
    with HttpServer(always(lambda _request: OK)) as server:
        began_s = time.monotonic()
        assert not any(pusher(server.url).push_all(IDS, [b"{}"], gate(per_s=200)))
        assert 0.15 <= time.monotonic() - began_s < DEADLINE_S


def test_a_connection_tells_when_it_was_last_used() -> None:
    body = json.dumps({"connectedAt": "2026-11-25T11:00:00Z", "lastActiveAt": "2026-11-25T12:00:00.25Z"}).encode()
    answers = {"here": answer(200, body), "gone": answer(410), "no-id": answer(400), "broken": answer(500)}
    metrics = MemoryMetrics()
    with HttpServer(always(lambda request: answers[request.connection_id])) as server:
        it = pusher(server.url, metrics=metrics)
        assert it.last_active_ms("here") == 1_795_608_000_250
        assert it.last_active_ms("gone") is None
        assert it.last_active_ms("no-id") is None
        with pytest.raises(UnavailableError):
            it.last_active_ms("broken")
    assert {request.method for request in server.requests} == {"GET"}
    assert metrics.values == {}


def test_closing_is_deleting() -> None:
    answers = {"here": answer(204), "gone": answer(410)}
    with HttpServer(always(lambda request: answers[request.connection_id])) as server:
        it = pusher(server.url)
        it.close("here")
        with pytest.raises(ConnectionGoneError):
            it.close("gone")
    assert {request.method for request in server.requests} == {"DELETE"}


def test_closing_is_tried_again_since_nobody_else_does() -> None:
    answers = iter([answer(500), answer(429), answer(204), answer(503), answer(503), answer(503)])
    with HttpServer(always(lambda _request: next(answers))) as server:
        it = pusher(server.url)
        it.close("here")
        with pytest.raises(UnavailableError):
            it.close("stays")
    assert len(server.requests) == 6
