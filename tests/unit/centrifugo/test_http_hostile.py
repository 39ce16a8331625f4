"""What Centrifugo's HTTP emulation refuses, and how."""

import json
from dataclasses import replace
from typing import Any, Final

import httpx
import pytest

from tests.unit.centrifugo.client import in_seconds, token
from tests.unit.centrifugo.http import ROOM, Way, connected, names_of, opened
from tests.unit.stack import MemoryStack

_CONNECT: Final = '{"id":1,"connect":{"token":"x"}}'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        ("null", 400),
        ('{"id":1}', 400),
        ('{"connect":{"token":"x"}}', 400),
        ('{"id":-1,"connect":{}}', 400),
        ('{"id":1,"connect":{"token":7}}', 400),
        ('{"type":"hello","id":1,"protocol":1}', 400),
        ('{"id":1,"publish":{"channel":"news","data":1}}', 400),
        (f'{_CONNECT}\n{{"id":2,"publish":{{"channel":"news","data":1}}}}', 400),
        (f"{_CONNECT}\n{_CONNECT}", 400),
        ('{"id":1,"connect":{"token":"\ud800"}}', 400),
        ("[" * 5_000, 400),
    ],
)
async def test_what_is_no_connect_is_refused(
    http: httpx.AsyncClient, stack: MemoryStack, body: str, status: int
) -> None:
    content = body.encode(errors="surrogatepass")
    headers = {"Content-Type": "application/json"}
    for answer in (
        await http.post("/v1/stream/centrifugo/http_stream", content=content, headers=headers),
        await http.get("/v1/stream/centrifugo/sse", params={"cf_connect": content.decode(errors="backslashreplace")}),
    ):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert names_of(stack) == set()
    assert not stack.failures


async def test_other_sizes_types_and_methods_are_refused(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    json_type = {"Content-Type": "application/json"}
    large = json.dumps({"id": 1, "connect": {"token": "x" * 40_000}})
    path, sse, emulation = "/v1/stream/centrifugo/http_stream", "/v1/stream/centrifugo/sse", "/v1/centrifugo/emulation"
    protobuf = {"Content-Type": "application/octet-stream"}
    answers = [
        await http.post(path, content=large, headers=json_type),
        await http.post(path, content="x" * 300_000, headers=json_type),
        await http.get(sse, params={"cf_connect": "x" * 9_000}),
        await http.get(sse),
        await http.post(path, content=b"\x0a\x00", headers=protobuf),
        await http.post(emulation, content=b"\x0a\x00", headers=protobuf),
        await http.post(path, content=_CONNECT, headers={"Content-Type": "text/plain"}),
        await http.post(path, content=_CONNECT.encode()),
        await http.get(path),
        await http.post(sse),
    ]
    assert [one.status_code for one in answers] == [413, 413, 422, 422, 415, 415, 415, 415, 405, 405]
    assert "application/json" in answers[4].json()["title"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ([], 400),
        ({"session": 1, "data": "{}"}, 400),
        ({"session": "x", "data": {"id": 1}}, 400),
        ({"session": "x" * 2_000, "data": "{}"}, 400),
        ({"session": "forged", "node": "tidewire", "data": "{}"}, 404),
        ({"session": "", "data": "{}"}, 404),
        ({"session": "ü", "data": "{}"}, 404),
    ],
)
async def test_commands_of_nobody_are_refused(
    http: httpx.AsyncClient, stack: MemoryStack, body: Any, status: int
) -> None:
    assert (await http.post("/v1/centrifugo/emulation", json=body)).status_code == status
    assert not stack.failures


async def test_what_was_signed_for_something_else_is_no_session(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    async with connected(http, "http_stream") as stream:
        mailbox = stream.connected["client"].removeprefix("centrifugo.")
        stream.connected["session"] = stack.signer.sign("session", [mailbox, "ann"])
        assert (await stream.send({"id": 2, "ping": {}})).status_code == 404
        # Nor is one stream's session another's: it names its mailbox.
        async with connected(http, "sse") as other:
            stream.connected["session"] = other.connected["session"]
            assert (await stream.send({"id": 2, "ping": {}})).status_code == 204
            assert await other.next() == {"id": 2, "ping": {}}


async def test_too_much_at_once_does_not_end_the_stream(http: httpx.AsyncClient, way: Way) -> None:
    async with connected(http, way) as stream:
        large = await stream.send({"id": 2, "publish": {"channel": ROOM, "data": "x" * 33_000}})
        assert large.status_code == 413
        assert await stream.ask(3, ping={}) == {"id": 3, "ping": {}}


@pytest.mark.parametrize("command", [{"type": "ping"}, {"id": 2, "connect": {}}, {"id": 2}, {"ping": {}}])
async def test_what_ends_a_websocket_ends_a_stream(
    http: httpx.AsyncClient, stack: MemoryStack, way: Way, command: Any
) -> None:
    async with connected(http, way) as stream:
        assert (await stream.send(command)).status_code == 204
        assert await stream.next() == {"push": {"disconnect": {"code": 3501, "reason": "bad request"}}}
        with pytest.raises(EOFError):
            await stream.next()
    assert names_of(stack) == set()


@pytest.mark.parametrize(
    ("connect", "told"),
    [
        ({"token": "nonsense"}, {"push": {"disconnect": {"code": 3500, "reason": "invalid token"}}}),
        ({}, {"push": {"disconnect": {"code": 3500, "reason": "invalid token"}}}),
        ({"token": token("ann", exp=in_seconds(-60))}, {"id": 1, "error": {"code": 109, "message": "token expired"}}),
    ],
)
async def test_a_token_that_is_not_good_is_told_in_the_stream(
    http: httpx.AsyncClient, stack: MemoryStack, way: Way, connect: Any, told: Any
) -> None:
    body = json.dumps({"id": 1, "connect": connect})
    async with opened(http, way, body=body) as stream:
        assert await stream.next() == told
        with pytest.raises(EOFError):
            await stream.next()
    assert names_of(stack) == set()


def limited(stack: MemoryStack, **limits: int) -> None:
    """Let less through than a stage does: to come to the end of that takes long."""
    object.__setattr__(stack.limits, "stage", replace(stack.limits.stage, **limits))


async def test_who_guesses_tokens_is_refused_for_a_while(http: httpx.AsyncClient, stack: MemoryStack, way: Way) -> None:
    limited(stack, failure_burst=3, failure_rate_per_s=1)
    statuses = []
    while 429 not in statuses:
        async with opened(http, way, body='{"id":1,"connect":{"token":"guess"}}') as stream:
            statuses.append(stream.response.status_code)
    assert statuses.count(200) >= 3


async def test_who_sends_too_often_is_told_so(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    limited(stack, request_burst=100, user_http_burst=20, user_http_rate_per_s=1)
    async with connected(http, "http_stream") as stream:
        pings = [{"id": 2 + number, "ping": {}} for number in range(100)]
        codes = set[int]()
        while 111 not in codes:
            assert (await stream.send(*pings)).status_code == 204
            codes |= {(await stream.next()).get("error", {}).get("code", 0) for _ in pings}
        statuses = []
        while 429 not in statuses:
            statuses.append((await stream.send({"id": 500, "ping": {}})).status_code)
        assert set(statuses) == {204, 429}
    async with opened(http, "http_stream") as stream:
        assert stream.response.status_code == 429
