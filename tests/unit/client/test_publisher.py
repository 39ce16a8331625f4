"""Publishing without an event loop: what is sent, again and in which order, and who is told of what becomes of it."""

import json
import logging
import math
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any

import httpx
import pytest

from tidewire.errors import TidewireError
from tidewire.frames import Position, PublishResult
from tidewire.publisher import Publisher

Sent = list[dict[str, Any]]
AGAIN = {"code": 2001, "name": "unavailable", "message": "later", "retryable": True, "retry_after_ms": 1}
FORBIDDEN = {"code": 1005, "name": "forbidden", "message": "not there", "retryable": False}
WAIT_S = 10


def accepted(sent: Sent) -> httpx.Response:
    """As a server answers that takes them all."""
    return results([{"message_id": one["message_id"], "status": "accepted"} for one in sent])


def results(entries: list[Mapping[str, Any]]) -> httpx.Response:
    return httpx.Response(200, json={"results": [{"channel": "c", **entry} for entry in entries]})


class Server:
    """Notes each request. The test answers it, unless it was told how to answer by itself."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.sent: list[Sent] = []
        self.answer_all: Callable[[Sent], httpx.Response] | None = None
        self._asked: queue.Queue[Sent] = queue.Queue()
        self._answers: queue.Queue[httpx.Response | Exception] = queue.Queue()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        self.requests.append(request)
        self.sent.append(sent)
        self._asked.put(sent)
        if self.answer_all is not None:
            return self.answer_all(sent)
        answer = self._answers.get(timeout=WAIT_S)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def asked(self) -> Sent:
        """Return the next request's publications."""
        return self._asked.get(timeout=WAIT_S)

    def answer(self, answer: httpx.Response | Exception) -> None:
        self._answers.put(answer)

    def accept(self) -> Sent:
        """Take the next request's publications."""
        sent = self.asked()
        self.answer(accepted(sent))
        return sent

    def accept_all(self) -> None:
        """... and all that follow, and what has been asked already."""
        self.answer_all = accepted

    def publisher(self, **options: Any) -> Publisher:
        http = httpx.Client(transport=httpx.MockTransport(self))
        return Publisher("http://server/", api_key="k", http=http, random=lambda: 0.0, **options)


@pytest.fixture
def server() -> Iterator[Server]:
    yield Server()
    left = [thread for thread in threading.enumerate() if thread.name == "tidewire-publisher"]
    for thread in left:
        thread.join(WAIT_S)
        assert not thread.is_alive()


def numbers(sent: Sent) -> list[Any]:
    return [one["data"] for one in sent]


def failure(future: "Future[PublishResult]") -> TidewireError:
    error = future.exception(WAIT_S)
    assert isinstance(error, TidewireError)
    return error


def give(publisher: Publisher, *data: Any, channel: str = "c") -> "list[Future[PublishResult]]":
    return [publisher.publish(channel, "n", one) for one in data]


# What is sent


def test_a_publication_goes_by_post_with_the_key_and_an_id_and_its_future_brings_the_result(server: Server) -> None:
    with server.publisher() as publisher:
        future = publisher.publish("room:1", "message", {"text": "é"}, priority="high")
        (sent,) = server.asked()
        assert (server.requests[0].method, str(server.requests[0].url)) == ("POST", "http://server/v1/publish")
        assert server.requests[0].headers["X-API-Key"] == "k"
        assert len(sent["message_id"]) == 36
        assert sent == {
            "channel": "room:1",
            "name": "message",
            "data": {"text": "é"},
            "priority": "high",
            "message_id": sent["message_id"],
        }
        server.answer(results([{"message_id": sent["message_id"], "position": {"epoch": "e", "offset": 7}}]))
        assert future.result(WAIT_S) == PublishResult(sent["message_id"], None, Position("e", 7))


def test_an_id_of_its_owners_own_is_kept(server: Server) -> None:
    server.accept_all()
    with server.publisher() as publisher:
        assert publisher.publish("c", "n", None, message_id="mine").result(WAIT_S) == PublishResult("mine", "accepted")


def test_what_comes_while_a_request_is_under_way_goes_in_the_next_together_and_in_order(server: Server) -> None:
    with server.publisher() as publisher:
        give(publisher, 0)
        server.asked()
        give(publisher, *range(1, 251))
        assert len(server.sent) == 1
        server.answer(accepted(server.sent[0]))
        assert numbers(server.accept()) == list(range(1, 101))
        assert numbers(server.accept()) == list(range(101, 201))
        assert numbers(server.accept()) == list(range(201, 251))


def test_a_request_is_never_larger_than_the_server_takes(server: Server) -> None:
    with server.publisher() as publisher:
        give(publisher, 0)
        server.asked()
        give(publisher, *("é" * 11_999 for _ in range(30)))
        server.answer(results([AGAIN_ENTRY]))
        while len([one for sent in server.sent for one in sent]) < 32:
            server.accept()
        sizes = [len(request.content) for request in server.requests]
        assert max(sizes) <= 256_000
        assert max(sizes) > 230_000
        server.accept_all()


def test_fewer_go_together_where_that_is_asked_for(server: Server) -> None:
    with server.publisher(batch_max=2) as publisher:
        give(publisher, 0)
        server.asked()
        give(publisher, 1, 2, 3)
        server.answer(accepted(server.sent[0]))
        assert [numbers(server.accept()), numbers(server.accept())] == [[1, 2], [3]]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_max": 0},
        {"batch_max": 101},
        {"url": "server"},
        {"url": "ftp://server"},
        {"url": "http://"},
        {"url": "http://a\n"},
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"batch_max|no URL"):
        Publisher(**{"url": "http://server", **options})


class Thing:
    """No JSON value."""


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (math.nan, ValueError),
        ({1, 2}, TypeError),
        (Thing(), TypeError),
        ("\ud800", ValueError),
        ([math.inf], ValueError),
    ],
)
def test_what_is_no_json_is_refused_at_the_call(server: Server, data: Any, error: type[Exception]) -> None:
    with server.publisher() as publisher, pytest.raises(error):
        publisher.publish("c", "n", data)
    assert server.sent == []


def test_so_is_what_is_too_large(server: Server) -> None:
    server.accept_all()
    with server.publisher() as publisher:
        publisher.publish("c", "n", "é" * 11_999)  # and two quotes
        with pytest.raises(TidewireError) as refused:
            publisher.publish("c", "n", "é" * 11_999 + "a")
        assert refused.value.kind == "too_large"


def test_what_its_owner_does_with_the_data_afterwards_changes_nothing(server: Server) -> None:
    with server.publisher() as publisher:
        data = {"n": 1}
        give(publisher, 0)
        server.asked()
        give(publisher, data)
        data["n"] = 2
        server.answer(accepted(server.sent[0]))
        assert numbers(server.accept()) == [{"n": 1}]


# What fails

AGAIN_ENTRY = {"error": AGAIN}


def test_what_fails_in_passing_is_sent_again_before_all_that_came_later(server: Server) -> None:
    with server.publisher() as publisher:
        give(publisher, 0)
        server.asked()
        futures = give(publisher, 1, 2, 3)
        server.answer(accepted(server.sent[0]))
        first = server.asked()
        give(publisher, 4)
        ids = [one["message_id"] for one in first]
        server.answer(results([AGAIN_ENTRY, {"message_id": ids[1], "status": "accepted"}, AGAIN_ENTRY]))
        assert futures[1].result(WAIT_S).message_id == ids[1]
        again = server.accept()
        assert numbers(again) == [1, 3, 4]
        assert [one.get("retry") for one in again] == [True, True, None]
        assert [one["message_id"] for one in again[:2]] == [ids[0], ids[2]]
        assert [future.result(WAIT_S).message_id for future in futures] == ids


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("nobody there"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        httpx.ReadTimeout("the connection was stale"),
        httpx.Response(502, text="<html>"),
        httpx.Response(429, json={"message": "Too Many Requests"}),
        httpx.Response(500, json={"message": "Internal Server Error"}),
        httpx.Response(503, json=AGAIN),
    ],
)
def test_so_is_a_request_that_nobody_has_answered_or_refuses_in_passing(
    server: Server, answer: httpx.Response | Exception
) -> None:
    with server.publisher() as publisher:
        (future,) = give(publisher, 0)
        (first,) = server.asked()
        server.answer(answer)
        (again,) = server.accept()
        assert again == {**first, "retry": True}
        assert future.result(WAIT_S).message_id == first["message_id"]


def test_the_pauses_grow_unless_the_server_says_how_long(server: Server) -> None:
    asked: list[str] = []
    later = {"error": {**AGAIN, "retry_after_ms": None}}

    def random() -> float:
        asked.append("how long")
        return 0.0

    http = httpx.Client(transport=httpx.MockTransport(server))
    with Publisher("http://server", http=http, random=random) as publisher:
        give(publisher, 0)
        server.asked()
        server.answer(results([AGAIN_ENTRY]))
        server.asked()
        assert asked == []
        server.answer(results([later]))
        server.accept()
        assert asked == ["how long"]


def test_what_is_refused_fails_alone(server: Server) -> None:
    with server.publisher(on_error=ignore) as publisher:
        give(publisher, 0)
        server.asked()
        bad, good = give(publisher, 1, 2)
        server.answer(accepted(server.sent[0]))
        sent = server.asked()
        server.answer(results([{"error": FORBIDDEN}, {"message_id": sent[1]["message_id"], "status": "accepted"}]))
        assert failure(bad).kind == "forbidden"
        assert good.result(WAIT_S).status == "accepted"
        with pytest.raises(ExceptionGroup):
            publisher.flush(WAIT_S)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(401, json={"code": 1004, "name": "unauthenticated", "message": "no"}), "unauthenticated"),
        (httpx.Response(403, json=FORBIDDEN), "forbidden"),
        (httpx.Response(404, text="<html>"), "unsupported_protocol"),
        (httpx.Response(200, text="<html>"), "unsupported_protocol"),
        (httpx.Response(200, json=[]), "unsupported_protocol"),
        (httpx.Response(200, json={"results": [{}]}), "unsupported_protocol"),
        (httpx.Response(200, json={"results": [{"error": None}] * 3}), "unsupported_protocol"),
        (httpx.Response(200, json={"results": [{"message_id": "1"}]}), "unsupported_protocol"),
        (httpx.Response(200, json={"results": [{"message_id": "1", "position": 7}] * 3}), "unsupported_protocol"),
    ],
)
def test_a_request_that_is_refused_or_answered_by_something_else_fails_whole(
    server: Server, answer: httpx.Response, kind: str
) -> None:
    told: list[tuple[str, Any]] = []
    with server.publisher(on_error=lambda error, one: told.append((error.kind, one["data"]))) as publisher:
        give(publisher, 0)
        server.asked()
        futures = give(publisher, 1, 2, 3)
        server.answer(accepted(server.sent[0]))
        server.asked()
        server.answer(answer)
        assert [failure(future).kind for future in futures] == [kind] * 3
        assert told == [(kind, 1), (kind, 2), (kind, 3)]
        with pytest.raises(ExceptionGroup):
            publisher.flush(WAIT_S)
    assert len(server.sent) == 2


@pytest.mark.parametrize("bad", [[0], [37], [99], [3, 98], list(range(100))])
def test_a_request_that_is_refused_for_one_that_is_wrong_fails_that_one_alone(server: Server, bad: list[int]) -> None:
    stored: list[int] = []

    def answer(sent: Sent) -> httpx.Response:
        if any(one["data"] in bad for one in sent):
            return httpx.Response(422, json={"code": 1002, "name": "invalid_field", "message": "no such channel"})
        stored.extend(numbers(sent))
        return accepted(sent)

    with server.publisher(on_error=ignore) as publisher:
        give(publisher, -1)
        server.asked()
        futures = give(publisher, *range(100))
        server.answer_all = answer
        server.answer(accepted(server.sent[0]))
        with pytest.raises(ExceptionGroup) as failed:
            publisher.flush(WAIT_S)
        assert len(failed.value.exceptions) == len(bad)
        assert [number for number in range(100) if futures[number].exception()] == bad
        assert stored == [number for number in range(100) if number not in bad]
        give(publisher, 200)  # one that is good, and goes on as before
        publisher.flush(WAIT_S)


def test_it_is_given_up_before_the_server_forgets_its_id(server: Server) -> None:
    now_ms = [1_000_000]
    with server.publisher(on_error=ignore, now_ms=lambda: now_ms[0]) as publisher:
        (future,) = give(publisher, 0)
        server.asked()
        now_ms[0] += 280_000
        server.answer(results([AGAIN_ENTRY]))
        server.asked()  # just in time
        now_ms[0] += 1
        server.answer(results([AGAIN_ENTRY]))
        assert failure(future).kind == "timeout"
        assert "given up, and may have been published: later" in str(failure(future))
        server.accept_all()
        assert give(publisher, 1)[0].result(WAIT_S).status == "accepted"
        with pytest.raises(ExceptionGroup):
            publisher.flush(WAIT_S)
    assert [numbers(sent) for sent in server.sent] == [[0], [0], [1]]


def test_a_key_that_no_header_can_hold_is_told_of(server: Server) -> None:
    http = httpx.Client(transport=httpx.MockTransport(server))
    with Publisher("http://server", api_key="né\ud800", http=http, on_error=ignore) as publisher:
        (future,) = give(publisher, 0)
        assert isinstance(future.exception(WAIT_S), ValueError)
        with pytest.raises(ExceptionGroup):
            publisher.flush()


def test_where_nobody_asks_to_be_told_failures_are_logged_without_data(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with server.publisher() as publisher:
        (future,) = give(publisher, "secret", channel="room:1")
        server.asked()
        server.answer(results([{"error": FORBIDDEN}]))
        failure(future)
        with pytest.raises(ExceptionGroup):
            publisher.flush()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("tidewire")] == [
        "a publication into room:1 has failed: not there"
    ]


def test_who_raises_when_told_does_not_end_it(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def raises(_error: Exception, _publication: Mapping[str, Any]) -> None:
        raise RuntimeError("of its own")

    with server.publisher(on_error=raises) as publisher:
        (future,) = give(publisher, 0)
        server.asked()
        server.answer(results([{"error": FORBIDDEN}]))
        assert failure(future).kind == "forbidden"
        server.accept_all()
        assert give(publisher, 1)[0].result(WAIT_S).status == "accepted"
        with pytest.raises(ExceptionGroup):
            publisher.flush()
    assert "on_error has failed" in caplog.text


def ignore(_error: Exception, _publication: Mapping[str, Any]) -> None:
    pass


# Waiting


def test_to_flush_is_to_wait_for_what_was_given_before(server: Server) -> None:
    flushed = threading.Event()

    def flush() -> None:
        publisher.flush(WAIT_S)
        flushed.set()

    with server.publisher() as publisher:
        publisher.flush(0)  # nothing was
        give(publisher, 0)
        server.asked()
        give(publisher, 1)
        thread = threading.Thread(target=flush)
        thread.start()
        server.answer(accepted(server.sent[0]))
        sent = server.asked()
        assert not flushed.is_set()
        server.answer(accepted(sent))
        thread.join(WAIT_S)
        assert flushed.is_set()


def test_a_flush_that_takes_longer_says_so_and_why_and_loses_nothing(server: Server) -> None:
    with server.publisher() as publisher:
        (future,) = give(publisher, 0)
        server.asked()
        with pytest.raises(TimeoutError, match=r"^1 publications are not settled after 0 s$"):
            publisher.flush(0)
        server.answer(results([AGAIN_ENTRY]))
        sent = server.asked()
        with pytest.raises(TimeoutError, match=r"after 0\.0 s: later$"):
            publisher.flush(0.0)
        server.answer(accepted(sent))
        assert future.result(WAIT_S)
        publisher.flush(WAIT_S)


def test_each_failure_is_told_by_one_flush(server: Server) -> None:
    with server.publisher(on_error=ignore) as publisher:
        (future,) = give(publisher, 0)
        server.asked()
        server.answer(results([{"error": FORBIDDEN}]))
        error = failure(future)
        with pytest.raises(ExceptionGroup) as failed:
            publisher.flush(WAIT_S)
        assert failed.value.exceptions == (error,)
        publisher.flush(WAIT_S)


def test_who_gives_too_much_waits_until_there_is_room_and_nothing_is_lost(server: Server) -> None:
    full, done = threading.Event(), threading.Event()

    def give_all() -> None:
        give(publisher, *range(10_000))
        full.set()
        give(publisher, *range(10_000, 10_050))
        done.set()

    with server.publisher() as publisher:
        threading.Thread(target=give_all).start()
        server.asked()
        assert full.wait(WAIT_S)
        assert not done.wait(0.2)
        server.accept_all()
        server.answer(accepted(server.sent[0]))
        assert done.wait(WAIT_S)
        publisher.flush(WAIT_S)
    assert [number for sent in server.sent for number in numbers(sent)] == list(range(10_050))


def test_ten_megabytes_are_too_much_as_well(server: Server) -> None:
    full, done = threading.Event(), threading.Event()

    def give_all() -> None:
        give(publisher, *("x" * 23_900 for _ in range(415)))
        full.set()
        give(publisher, *("x" * 23_900 for _ in range(5)))
        done.set()

    with server.publisher() as publisher:
        threading.Thread(target=give_all).start()
        server.asked()
        assert full.wait(WAIT_S)
        assert not done.wait(0.2)
        server.accept_all()
        server.answer(accepted(server.sent[0]))
        assert done.wait(WAIT_S)


def test_many_threads_give_at_once_and_each_keeps_its_order(server: Server) -> None:
    refusals = iter(range(1_000))

    def flaky(sent: Sent) -> httpx.Response:
        if next(refusals) % 3 == 0:
            return httpx.Response(503, json=AGAIN)
        stored.extend((one["channel"], one["data"]) for one in sent)
        return accepted(sent)

    stored = list[tuple[str, int]]()
    server.answer_all = flaky
    with server.publisher() as publisher:
        callers = [
            threading.Thread(target=lambda channel=channel: give(publisher, *range(200), channel=channel))
            for channel in "abcdefgh"
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        publisher.flush(WAIT_S)
    for channel in "abcdefgh":
        assert [number for where, number in stored if where == channel] == list(range(200))


def test_who_takes_it_back_in_time_has_never_published(server: Server) -> None:
    with server.publisher() as publisher:
        (first,) = give(publisher, 0)
        server.asked()
        second, third = give(publisher, 1, 2)
        assert second.cancel()
        assert not first.cancel()
        server.answer(accepted(server.sent[0]))
        assert numbers(server.accept()) == [2]
        assert third.result(WAIT_S)
        with pytest.raises(CancelledError):
            second.result(WAIT_S)
        publisher.flush(WAIT_S)


def test_who_is_told_may_publish_but_not_wait(server: Server) -> None:
    told: queue.Queue[Any] = queue.Queue()

    def told_of(error: Exception, publication: Mapping[str, Any]) -> None:
        told.put(publisher.publish("errors", "failed", publication["data"]))
        for wait in (publisher.flush, publisher.close):
            try:
                wait()
            except RuntimeError as refused:
                told.put(refused)

    with server.publisher(on_error=told_of) as publisher:
        give(publisher, 0)
        server.asked()
        server.answer(results([{"error": FORBIDDEN}]))
        (sent,) = server.accept()
        assert (sent["channel"], sent["data"]) == ("errors", 0)
        assert told.get(timeout=WAIT_S).result(WAIT_S)
        assert [type(told.get(timeout=WAIT_S)) for _ in range(2)] == [RuntimeError] * 2
        with pytest.raises(ExceptionGroup):
            publisher.flush(WAIT_S)


# The end


def test_to_close_is_to_flush_and_nothing_can_be_published_after(server: Server) -> None:
    server.accept_all()
    publisher = server.publisher()
    (future,) = give(publisher, 0)
    publisher.close()
    publisher.close()
    assert future.done()
    with pytest.raises(TidewireError) as refused:
        publisher.publish("c", "n", 1)
    assert refused.value.kind == "closed"


def test_one_that_was_never_used_has_nothing_to_end() -> None:
    with Publisher("http://server"):
        pass


def test_what_is_not_sent_when_it_is_closed_fails_and_what_may_have_been_says_so(server: Server) -> None:
    publisher = server.publisher(on_error=ignore)
    (under_way,) = give(publisher, 0)
    server.asked()
    (waiting,) = give(publisher, 1)
    with pytest.raises(TimeoutError):
        publisher.close(0)
    assert failure(waiting).kind == "closed"
    assert not under_way.done()
    server.answer(results([AGAIN_ENTRY]))
    assert failure(under_way).kind == "timeout"
    assert len(server.sent) == 1


def test_what_is_under_way_then_may_still_be_answered(server: Server) -> None:
    publisher = server.publisher()
    (under_way,) = give(publisher, 0)
    server.asked()
    with pytest.raises(TimeoutError):
        publisher.close(0)
    server.answer(accepted(server.sent[0]))
    assert under_way.result(WAIT_S).status == "accepted"


def test_who_waits_for_room_then_is_told(server: Server) -> None:
    publisher = server.publisher(on_error=ignore)
    full, refused = threading.Event(), queue.Queue[Exception]()

    def give_all() -> None:
        give(publisher, *range(10_000))
        full.set()
        try:
            give(publisher, 10_000)
        except TidewireError as error:
            refused.put(error)

    threading.Thread(target=give_all).start()
    server.asked()
    assert full.wait(WAIT_S)
    with pytest.raises(TimeoutError):
        publisher.close(0)
    assert str(refused.get(timeout=WAIT_S)) == "the publisher is closed"
    server.answer(accepted(server.sent[0]))


def test_an_error_that_ends_the_block_is_not_hidden_by_what_failed(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def forbid(sent: Sent) -> httpx.Response:
        return results([{"error": FORBIDDEN}] * len(sent))

    server.answer_all = forbid
    with pytest.raises(KeyError), server.publisher(on_error=ignore) as publisher:
        give(publisher, 0)
        raise KeyError("the handler's own")
    assert "publications have failed" in caplog.text

    with pytest.raises(ExceptionGroup), server.publisher(on_error=ignore) as publisher:
        give(publisher, 0)
    assert [record.levelno for record in caplog.records if record.name == "tidewire.publisher"] == [logging.ERROR]
