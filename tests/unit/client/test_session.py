"""A session by HTTP, as links use it for what is too large for a frame: begun, posted to, ended."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.unit.client.fake_http import FakeHttp
from tests.unit.client.virtual import settle, virtual_time
from tidewire.errors import TidewireError
from tidewire.transports.session import HttpSession, StrangerError

SESSION = {"session_id": "s1", "session_token": "secret", "user_id": "ann"}


async def opened(http: FakeHttp) -> HttpSession:
    opening = asyncio.ensure_future(HttpSession.open("http://server", {"protocol": 1, "session_id": "s1"}, http.client))
    await settle()
    await http.last.answer(SESSION)
    return await opening


@virtual_time
async def test_it_is_taken_up_by_its_id() -> None:
    http = FakeHttp()
    session = await opened(http)
    assert http.last.what == "POST /v1/sessions"
    assert http.last.json == {"protocol": 1, "session_id": "s1"}
    assert session.hello == SESSION
    assert session.poll_url("http://server") == "http://server/v1/sessions/s1/frames"


@virtual_time
async def test_a_problem_of_ours_is_an_error_of_the_protocol_and_anything_else_is_not() -> None:
    http = FakeHttp()
    opening = asyncio.ensure_future(HttpSession.open("http://server", {}, http.client))
    await settle()
    await http.last.answer({"code": 1005, "name": "forbidden", "message": "no"}, 403, "application/problem+json")
    with pytest.raises(TidewireError) as refused:
        await opening
    assert (refused.value.code, refused.value.kind, refused.value.retryable) == (1005, "forbidden", False)

    opening = asyncio.ensure_future(HttpSession.open("http://server", {}, http.client))
    await settle()
    await http.last.answer("<html>", 403)
    with pytest.raises(StrangerError):
        await opening


@virtual_time
async def test_what_is_posted_is_answered_by_the_replies_as_they_are() -> None:
    http = FakeHttp()
    session = await opened(http)
    posting = asyncio.ensure_future(session.post('{"type":"publish","id":4,"data":"é\ud800"}'))
    await settle()
    assert http.last.body.decode() == '{"type":"publish","id":4,"data":"é?"}'
    replies = [{"type": "reply", "id": 4, "result": {"message_id": "m", "status": "accepted"}}]
    await http.last.answer(replies)
    assert json.loads(await posting) == replies


@pytest.mark.parametrize("answer", [{"no": "list"}, 7, None, "<html>"])
@virtual_time
async def test_a_post_that_was_answered_strangely_is_uncertain(answer: Any) -> None:
    http = FakeHttp()
    session = await opened(http)
    posting = asyncio.ensure_future(session.post('[{"type":"sync","id":4},{"type":"typing"}]'))
    await settle()
    await http.last.answer(answer)
    (reply,) = json.loads(await posting)
    assert (reply["id"], reply["error"]["name"], reply["error"]["retryable"]) == (4, "timeout", True)


@virtual_time
async def test_to_end_it_takes_a_request() -> None:
    http = FakeHttp()
    session = await opened(http)
    ending = asyncio.ensure_future(session.end())
    await settle()
    assert http.last.what == "DELETE /v1/sessions/s1"
    await http.last.fail()
    with pytest.raises(httpx.ReadError):
        await ending
