"""The four ways over HTTP, on answers that the test gives by hand, in a time of its own."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.unit.client.fake_http import Body, FakeHttp
from tests.unit.client.recorder import Recorder
from tests.unit.client.virtual import settle, virtual_time
from tidewire.transports.http import HttpWay, http_transport
from tidewire.transports.transport import Endpoints, Transport

ENDPOINTS = Endpoints("ws://server/v1/ws", "http://server", "http://streams")
GREETING = json.dumps({"type": "hello", "id": 1, "protocol": 1, "token": "good"})
SESSION = {"session_id": "s1", "session_token": "secret", "heartbeat_s": 300}
GREETED = {"type": "reply", "id": 1, "result": SESSION}
PROBLEM = {"code": 2004, "name": "rate_limited", "message": "slow down", "retryable": True, "status": 429}

ways = pytest.mark.parametrize("way", ["sse", "stream", "long_poll", "short_poll"])
streams = pytest.mark.parametrize("way", ["sse", "stream"])


class Set:
    """One transport, who is told of it, and the network."""

    def __init__(self, way: HttpWay) -> None:
        self.http, self.handlers = FakeHttp(), Recorder()
        self.transport: Transport = http_transport(way, self.http.client)(ENDPOINTS, self.handlers)
        self.first = "retry: 1000\n\n" if way == "sse" else "\n"
        self._way = way

    def batch(self, cursor: str, frame: dict[str, Any]) -> str:
        if self._way == "sse":
            return f"id: {cursor}\ndata: {json.dumps(frame, ensure_ascii=False)}\n\n"
        return json.dumps({"cursor": cursor, "frames": [frame]}, ensure_ascii=False) + "\n"

    async def end(self) -> None:
        self.transport.close()
        await self.transport.wait_closed()
        await self.http.client.aclose()


async def greeted(way: HttpWay) -> Set:
    """Its session stands, and it has begun to read."""
    it = Set(way)
    await settle()
    it.transport.send(GREETING)
    await settle()
    await it.http.last.answer(SESSION)
    if way == "long_poll":
        await it.http.last.answer({"cursor": "c0", "frames": []})  # it can be asked
    return it


async def streaming(way: HttpWay) -> tuple[Set, Body]:
    """... and its stream has said something."""
    it, body = await greeted(way), Body()
    await it.http.last.answer(body)
    await body.write(it.first)
    return it, body


async def passing(seconds: float) -> None:
    await asyncio.sleep(seconds)
    await settle()


# Hello


@ways
@virtual_time
async def test_it_says_hello_by_post(way: HttpWay) -> None:
    it = Set(way)
    assert it.handlers.told == []  # never from within a call
    await settle()
    assert it.handlers.told == ["open"]
    it.transport.send(GREETING)
    it.transport.send('{"type":"ping","id":2}')  # before there is a session it goes nowhere
    await settle()
    (call,) = it.http.calls
    assert (call.request.method, str(call.request.url)) == ("POST", "http://server/v1/sessions")
    assert call.json == {"protocol": 1, "token": "good"}
    assert it.transport.max_bytes is None
    await it.end()


@virtual_time
async def test_what_the_server_says_is_hellos_answer() -> None:
    it = Set("sse")
    it.transport.send(GREETING)
    await settle()
    refused = {"code": 1004, "name": "unauthenticated", "message": "no", "retryable": False, "status": 401}
    await it.http.last.answer({**refused, "details": {"why": "old"}}, 401)
    assert it.handlers.frames == [{"type": "reply", "id": 1, "error": it.handlers.frames[0]["error"]}]
    error = {"code": 1004, "name": "unauthenticated", "message": "no", "retryable": False, "details": {"why": "old"}}
    assert it.handlers.frames[0]["error"] == error
    assert it.handlers.closes == 0
    await it.end()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<html>Sign in to the hotel's network</html>", 200),
        ("<html>502</html>", 502),
        ({"message": "Internal Server Error"}, 500),
        ("", 200),
        (None, 200),
        ({"hello": "world"}, 200),
        ({"session_id": "s1", "session_token": None}, 200),
        ({"session_id": 7, "session_token": "secret"}, 200),
        ({"code": "nine"}, 400),
        ('{"code": 1e999}', 400),
        ("[" * 100_000, 200),
        ("[" * 100_000, 400),
        (b"\xff\xfe", 200),
    ],
)
@virtual_time
async def test_whoever_else_answers_hello_is_no_server_of_ours(body: Any, status: int) -> None:
    it = Set("sse")
    it.transport.send(GREETING)
    await settle()
    await it.http.last.answer(body, status)
    assert it.handlers.told == ["open", "close"]
    await it.end()


@virtual_time
async def test_a_token_that_no_header_can_hold_ends_it() -> None:
    it = Set("long_poll")
    it.transport.send(GREETING)
    await settle()
    await it.http.last.answer({**SESSION, "session_token": "né\n"})
    assert it.handlers.told == ["open", "close"]
    await it.end()


@virtual_time
async def test_the_network_that_has_gone_is_told_of() -> None:
    it = Set("long_poll")
    it.transport.send(GREETING)
    await settle()
    await it.http.last.fail()
    assert it.handlers.told == ["open", "close"]
    await it.end()


@pytest.mark.parametrize("url", ["nowhere", "http://[", "", "ftp://server", "http://\ud800"])
@virtual_time
async def test_so_is_an_address_that_is_none(url: str) -> None:
    handlers, http = Recorder(), FakeHttp()
    transport = http_transport("sse", http.client)(Endpoints(url, url, url), handlers)
    transport.send(GREETING)
    await settle()
    if http.calls:
        await http.last.fail()
    assert handlers.told == ["open", "close"]
    transport.close()
    await transport.wait_closed()


# Streams


@streams
@virtual_time
async def test_hello_is_answered_when_the_stream_has_said_something(way: HttpWay) -> None:
    it, body = await greeted(way), Body()
    call = it.http.last
    assert str(call.request.url) == "http://streams/v1/stream/sessions/s1"
    assert call.request.headers["Accept"] == ("text/event-stream" if way == "sse" else "application/x-ndjson")
    assert call.request.headers["Authorization"] == "Bearer secret"
    await call.answer(body)
    assert it.handlers.frames == []  # a proxy may hold it all back
    await body.write(it.first)
    assert it.handlers.frames == [GREETED]
    await body.write(it.batch("c1", {"type": "pong", "id": 7}))
    await body.write(it.batch("c2", {"type": "pong", "id": 8}))
    assert [frame["id"] for frame in it.handlers.frames] == [1, 7, 8]
    await it.end()
    assert body.let_go


@streams
@virtual_time
async def test_frames_come_however_the_bytes_are_cut(way: HttpWay) -> None:
    it, body = await greeted(way), Body()
    await it.http.last.answer(body)
    # U+2028, U+0085 and others end lines for Python, not for JSON or for us.
    frame = {"type": "pong", "id": "é€🌊\u2028\u0085\x0b\x1e"}
    for byte in (it.first + it.batch("c1", frame)).encode():
        await body.write(bytes([byte]))
    assert it.handlers.frames[1:] == [frame]
    await it.end()


@streams
@virtual_time
async def test_lines_may_end_as_in_windows(way: HttpWay) -> None:
    it, body = await streaming(way)
    await body.write(it.batch("c1", {"type": "pong", "id": 7}).replace("\n", "\r\n"))
    await body.write("\r\n: ping\r\n\r\n" if way == "sse" else "\r\n")
    assert it.handlers.told[2:] == [{"type": "pong", "id": 7}]
    await it.end()


@streams
@virtual_time
async def test_a_stream_that_has_come_of_age_is_asked_for_again_from_its_cursor(way: HttpWay) -> None:
    it, body = await streaming(way)
    assert it.http.last.params == {}
    await body.write(it.batch("c 1&", {"type": "pong"}))
    await body.write(it.batch("c2", {"type": "pong"})[:-9])  # half a line is none, and its cursor is not yet reached
    await body.end()
    before = len(it.http.calls)
    await passing(0.99)
    assert len(it.http.calls) == before  # once a second at most
    await passing(0.02)
    assert len(it.http.calls) == before + 1
    assert it.http.last.params == {"cursor": "c 1&"}
    body = Body()
    await it.http.last.answer(body)
    await body.write(it.first + it.batch("c2", {"type": "pong", "id": 2}))
    assert it.handlers.told == ["open", GREETED, {"type": "pong"}, {"type": "pong", "id": 2}]
    await it.end()


@streams
@virtual_time
async def test_an_event_that_a_stream_breaks_off_is_not_taken_for_the_next_ones(way: HttpWay) -> None:
    it, body = await streaming(way)
    await body.write(it.batch("c1", {"type": "pong"})[:-1])  # all but its last end
    await body.end()
    await passing(1)
    body = Body()
    await it.http.last.answer(body)
    await body.write("\n\n")
    assert it.handlers.frames == [GREETED]
    assert it.http.last.params == {}
    await it.end()


@streams
@virtual_time
async def test_one_that_was_long_is_asked_for_again_at_once(way: HttpWay) -> None:
    it, body = await streaming(way)
    await passing(30)
    await body.end()
    assert len(it.http.asked("GET")) == 2
    await it.end()


@streams
@pytest.mark.parametrize(
    ("content", "status", "type_"),
    [({"code": 2001}, 503, None), ("<html>Sign in first</html>", 200, "text/html"), ("", 200, None)],
)
@virtual_time
async def test_one_that_is_refused_or_says_nothing_is_no_way(
    way: HttpWay, content: Any, status: int, type_: str | None
) -> None:
    it = await greeted(way)
    await it.http.last.answer(content, status, type_)
    assert it.handlers.told == ["open", "close"]
    await it.end()


@streams
@virtual_time
async def test_one_that_falls_silent_or_breaks_has_ended(way: HttpWay) -> None:
    it, body = await streaming(way)
    await passing(39)
    await body.write(it.first)
    await passing(39.9)
    assert it.handlers.closes == 0
    await passing(0.2)
    assert it.handlers.closes == 1
    assert body.let_go
    await it.end()

    unheard = await greeted(way)
    await passing(40.1)  # not even headers
    assert unheard.handlers.told == ["open", "close"]
    await unheard.end()

    broken, body = await streaming(way)
    await body.end(httpx.RemoteProtocolError("cut"))
    assert broken.handlers.told == ["open", GREETED, "close"]
    await broken.end()


@pytest.mark.parametrize(
    "line", ["<html>", "7", "null", "[]", "{}", '{"cursor":1,"frames":[]}', '{"cursor":"c","frames":7}', "[" * 100_000]
)
@virtual_time
async def test_a_line_that_is_none_of_ours_ends_it(line: str) -> None:
    it, body = await streaming("stream")
    await body.write(line + "\n")
    assert it.handlers.told == ["open", GREETED, "close"]
    await it.end()


@virtual_time
async def test_what_is_no_event_is_nothing() -> None:
    it, body = await streaming("sse")
    await body.write("data\n:\n\nid\n\nevent: x\n\n\0\ndata:\n\n\ufeff\n")
    assert it.handlers.told == ["open", GREETED]
    await it.end()


@streams
@virtual_time
async def test_a_line_without_end_ends_it(way: HttpWay) -> None:
    it, body = await streaming(way)
    for _ in range(11):
        await body.write("x" * 100_000)
    assert it.handlers.closes == 1
    await it.end()


@virtual_time
async def test_bytes_that_are_no_text_are_told_from_what_they_stand_in() -> None:
    it, body = await streaming("stream")
    await body.write(b'{"cursor":"c","frames":[{"id":"\xff\xc3"}]}\n')
    assert it.handlers.frames[1:] == [{"id": "\ufffd\ufffd"}]
    await it.end()


# Polling


@pytest.mark.parametrize("reached", [True, False])
@pytest.mark.parametrize(("way", "origin"), [("long_poll", "http://streams"), ("short_poll", "http://server")])
@virtual_time
async def test_hello_is_answered_when_a_poll_has_been(way: HttpWay, origin: str, reached: bool) -> None:
    it = Set(way)
    await settle()
    it.transport.send(GREETING)
    await settle()
    await it.http.last.answer(SESSION)
    assert str(it.http.last.request.url) == f"{origin}/v1/sessions/s1/frames?wait_s={1 if way == 'long_poll' else 0}"
    assert it.handlers.frames == []
    if reached:
        await it.http.last.answer({"cursor": "c1", "frames": [{"type": "pong"}]})
    else:  # where it is asked may be out of reach, or may have no place left
        await it.http.last.answer(PROBLEM, status=503)
    assert it.handlers.frames == ([GREETED, {"type": "pong"}] if reached else [])
    assert it.handlers.closes == (0 if reached else 1)
    await it.end()


@virtual_time
async def test_a_long_poll_waits_and_goes_on_from_its_cursor_at_once() -> None:
    it = await greeted("long_poll")
    assert it.handlers.frames == [GREETED]
    assert str(it.http.last.request.url) == "http://streams/v1/sessions/s1/frames?wait_s=25&cursor=c0"
    await it.http.last.answer({"cursor": "c1", "frames": [{"type": "pong", "id": 7}]})
    assert it.handlers.frames[1:] == [{"type": "pong", "id": 7}]
    assert it.http.last.params == {"wait_s": "25", "cursor": "c1"}
    await passing(25)
    await it.http.last.answer({"cursor": "c2", "frames": []})
    assert it.http.last.params == {"wait_s": "25", "cursor": "c2"}
    await it.end()


@pytest.mark.parametrize("way", ["long_poll", "short_poll"])
@virtual_time
async def test_polls_that_bring_nothing_are_made_with_growing_pauses(way: HttpWay) -> None:
    it = await greeted(way)
    for pause in [0.4, 0.8, 1.6, 2.0, 2.0]:
        await it.http.last.answer({"cursor": "c", "frames": []})
        before = len(it.http.calls)
        await passing(pause - 0.01)
        assert len(it.http.calls) == before
        await passing(0.02)
        assert len(it.http.calls) == before + 1
    await it.end()


@virtual_time
async def test_a_short_poll_pauses_less_when_something_comes() -> None:
    it = await greeted("short_poll")
    assert str(it.http.last.request.url) == "http://server/v1/sessions/s1/frames?wait_s=0"
    await it.http.last.answer({"cursor": "c1", "frames": [{"type": "pong"}]})
    before = len(it.http.calls)
    await passing(0.19)
    assert len(it.http.calls) == before
    await passing(0.02)
    assert len(it.http.calls) == before + 1
    await it.end()


@pytest.mark.parametrize(
    ("content", "status"), [("<html>", 200), ({}, 200), (None, 200), ("", 200), (b"\xff", 200), (PROBLEM, 429)]
)
@virtual_time
async def test_a_poll_that_is_answered_by_something_else_ends_it(content: Any, status: int) -> None:
    it = await greeted("long_poll")
    await it.http.last.answer(content, status)
    assert it.handlers.told == ["open", GREETED, "close"]
    await it.end()


@virtual_time
async def test_a_poll_that_is_never_answered_is_given_up() -> None:
    it = await greeted("long_poll")
    await passing(39.9)
    assert it.handlers.closes == 0
    await passing(0.2)
    assert it.handlers.closes == 1
    await it.end()

    it, body = await greeted("long_poll"), Body()
    await it.http.last.answer(body)
    for _ in range(5):  # nor one whose answer never ends
        await passing(9)
        await body.write(" ")
    assert it.handlers.closes == 1
    await it.end()


# Posting


@virtual_time
async def test_the_replies_to_a_post_are_what_has_come() -> None:
    it = await greeted("long_poll")
    it.transport.send('{"type":"ping","id":2}')
    await settle()
    assert it.http.last.what == "POST /v1/sessions/s1/frames"
    assert it.http.last.body == b'{"type":"ping","id":2}'
    assert it.http.last.request.headers["Authorization"] == "Bearer secret"
    assert it.http.last.request.headers["Content-Type"] == "application/json"
    await it.http.last.answer([{"type": "pong", "id": 2}])
    assert it.handlers.frames[1:] == [{"type": "pong", "id": 2}]
    it.transport.send('{"type":"typing"}')
    await settle()
    await it.http.last.answer([])
    assert it.handlers.messages == 2
    await it.end()


@virtual_time
async def test_each_request_of_a_post_that_failed_is_answered_by_what_the_server_says_of_it() -> None:
    it = await greeted("long_poll")
    it.transport.send('[{"type":"sync","id":2},{"type":"typing"},{"type":"sync","id":3}]')
    await settle()
    await it.http.last.answer({**PROBLEM, "retry_after_ms": 800}, 429)
    assert [(frame["id"], frame["error"]["code"]) for frame in it.handlers.frames[1:]] == [(2, 2004), (3, 2004)]
    assert it.handlers.frames[1]["error"]["retry_after_ms"] == 800
    await it.end()


@pytest.mark.parametrize("content", ["fail", "<html>", {"message": "Internal Server Error"}, "[" * 100_000])
@pytest.mark.parametrize("status", [200, 502])
@virtual_time
async def test_where_nothing_of_ours_came_back_it_may_have_been_done(content: Any, status: int) -> None:
    it = await greeted("long_poll")
    it.transport.send('{"type":"sync","id":2}')
    await settle()
    if content == "fail":
        await it.http.last.fail()
    else:
        await it.http.last.answer(content, status)
    assert it.handlers.frames[1]["id"] == 2
    assert it.handlers.frames[1]["error"]["code"] == 2002
    assert it.handlers.frames[1]["error"]["retryable"] is True
    assert it.handlers.closes == 0
    await it.end()


# Ends


@virtual_time
async def test_after_the_end_nothing_is_told_any_more() -> None:
    it = await greeted("long_poll")
    it.transport.send('{"type":"sync","id":2}')
    await settle()
    it.transport.close()
    it.transport.send('{"type":"sync","id":3}')
    await it.http.last.answer([{"type": "reply", "id": 2, "result": {}}])
    assert it.handlers.told == ["open", GREETED]
    assert len(it.http.asked("POST")) == 2
    await it.end()


@virtual_time
async def test_nothing_is_told_after_its_own_end_either() -> None:
    it = await greeted("long_poll")
    poll = it.http.last
    it.transport.send('{"type":"sync","id":2}')
    await settle()
    await poll.fail()
    await it.http.last.answer([{"type": "reply", "id": 2, "result": {}}])
    assert it.handlers.told == ["open", GREETED, "close"]
    await it.end()


@virtual_time
async def test_what_was_on_its_way_to_the_handlers_when_it_was_closed_is_not_told() -> None:
    it = Set("sse")
    it.transport.close()
    await it.transport.wait_closed()
    await settle()
    assert it.handlers.told == []


@ways
@virtual_time
async def test_closed_for_good_its_session_is_ended_after_what_was_sent(way: HttpWay) -> None:
    it = await greeted(way)
    it.transport.send('{"type":"unsubscribe","id":2}')
    it.transport.close(for_good=True)
    it.transport.close(for_good=True)
    await settle()
    assert it.http.last.what == "POST /v1/sessions/s1/frames"
    await it.http.last.answer([])
    assert it.http.last.what == "DELETE /v1/sessions/s1"
    assert it.http.last.request.headers["Authorization"] == "Bearer secret"
    await it.http.last.fail()
    await it.end()
    assert len(it.http.asked("DELETE")) == 1


@virtual_time
async def test_else_it_is_left_for_whoever_comes_next() -> None:
    it = await greeted("long_poll")
    it.transport.close()
    await it.transport.wait_closed()
    assert it.http.asked("DELETE") == []
    it.transport.close(for_good=True)  # nobody does
    await settle()
    assert it.http.last.what == "DELETE /v1/sessions/s1"
    await it.http.last.answer("", 204)
    await it.end()


@virtual_time
async def test_a_session_that_was_being_begun_is_ended_when_it_is_known() -> None:
    it = Set("sse")
    it.transport.send(GREETING)
    await settle()
    it.transport.close(for_good=True)
    await settle()
    await it.http.last.answer(SESSION)
    assert it.http.last.what == "DELETE /v1/sessions/s1"
    await it.http.last.answer("", 204)
    await it.end()
    assert it.handlers.told == ["open"]


@virtual_time
async def test_closed_for_good_after_its_beginning_was_given_up_it_has_nothing_to_end() -> None:
    it = Set("sse")
    it.transport.send(GREETING)
    await settle()
    it.transport.close()
    await settle()
    it.transport.close(for_good=True)
    await it.end()
    assert it.http.asked("DELETE") == []


@virtual_time
async def test_nobody_waits_longer_than_two_seconds_for_a_server_that_does_not_answer() -> None:
    it = await greeted("long_poll")
    it.transport.send('{"type":"unsubscribe","id":2}')
    await settle()
    began_s = asyncio.get_running_loop().time()
    it.transport.close(for_good=True)
    await it.transport.wait_closed()
    assert it.http.last.what == "DELETE /v1/sessions/s1"
    assert asyncio.get_running_loop().time() - began_s == pytest.approx(2)
    await it.http.client.aclose()


@ways
@virtual_time
async def test_when_its_session_is_anothers_it_reads_no_more_and_is_answered(way: HttpWay) -> None:
    it = await greeted(way)
    body = Body()
    if way in ("sse", "stream"):
        await it.http.last.answer(body)
        await body.write(it.first)
    else:
        await it.http.last.answer({"cursor": "1", "frames": []})
    it.transport.send('{"type":"sync","id":2}')
    await settle()
    asked = it.http.last
    it.transport.retire()
    await settle()
    before = len(it.http.calls)
    await passing(60)
    assert len(it.http.calls) == before
    await asked.answer([{"type": "reply", "id": 2, "result": {"behind": {}}}])
    assert it.handlers.told[1:] == [GREETED, {"type": "reply", "id": 2, "result": {"behind": {}}}]
    await it.end()


@ways
@virtual_time
async def test_no_token_is_ever_in_a_url(way: HttpWay) -> None:
    it = await greeted(way)
    it.transport.send('{"type":"ping","id":2}')
    it.transport.close(for_good=True)
    await it.transport.wait_closed()
    assert len(it.http.calls) == (5 if way == "long_poll" else 4)
    urls = " ".join(str(call.request.url) for call in it.http.calls)
    assert "secret" not in urls
    assert "good" not in urls


@virtual_time
async def test_a_session_id_is_no_path() -> None:
    it = Set("short_poll")
    it.transport.send(GREETING)
    await settle()
    await it.http.last.answer({**SESSION, "session_id": "../x?y#z"})
    assert it.http.last.request.url.raw_path == b"/v1/sessions/..%2Fx%3Fy%23z/frames?wait_s=0"
    await it.end()
