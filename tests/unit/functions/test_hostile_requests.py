"""What is made to reach further than it may: names in paths, headers, others' sessions, cursors and tickets."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from functions.http_api.app import use
from shared.adapters.telemetry import logger
from shared.bootstrap import Services
from tests.unit.conftest import Log
from tests.unit.domain.test_hostile_names import NO_CHANNELS
from tests.unit.functions.conftest import services_of
from tests.unit.functions.test_http_app import app_of, client_of
from tests.unit.stack import MemoryStack

Call = Callable[[str], Any]
ROOM_A = {"room:a": ["subscribe", "publish", "history", "presence", "state.read", "state.write"]}
INJECTED = "a\r\nX-Evil: 1\x1b[31m"


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    return services_of(stack)


@pytest.fixture
async def http(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        yield client


def bearer(stack: MemoryStack, user_id: str = "ann", caps: Any = ROOM_A) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.token(user_id, caps)}"}


# By what it asks of a channel: method, path below the channel, body.
CALLS: dict[str, tuple[str, str, Any]] = {
    "history": ("GET", "/history", None),
    "presence": ("GET", "/presence", None),
    "documents": ("GET", "/state", None),
    "a document": ("GET", "/state/k", None),
    "writing one": ("PUT", "/state/k", 1),
    "deleting one": ("DELETE", "/state/k", None),
    "purging": ("DELETE", "", None),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", [name for name in NO_CHANNELS if name not in ("nothing", "a lone surrogate")])
async def test_a_path_with_no_channel_in_it_reaches_none(
    http: httpx.AsyncClient, stack: MemoryStack, call: str, name: str
) -> None:
    method, below, body = CALLS[call]
    everything = bearer(stack, caps={"*": ["admin", *ROOM_A["room:a"]]})
    path = f"/v1/channels/{quote(NO_CHANNELS[name], safe='')}{below}"
    answer = await http.request(method, path, json=body, headers=everything)
    assert answer.status_code in (404, 405, 422), answer.text


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "channel", ["room:b", "room:A", "Room:a", "room:%2A", "room:a%2F", "room:a:", "user:bob", "room:..", "room:a%00"]
)
async def test_a_right_for_one_channel_is_none_for_another(
    http: httpx.AsyncClient, stack: MemoryStack, call: str, channel: str
) -> None:
    method, below, body = CALLS[call]
    path = f"/v1/channels/{quote(channel, safe='')}{below}"
    answer = await http.request(method, path, json=body, headers=bearer(stack))
    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/channels/room:a/../room:b/history",
        "/v1/channels/room:a%2F..%2Froom:b/history",
        "/v1/channels/room:b%2Fhistory%3F/../history",
        "/v1/channels/room:a/state/../../room:b/state/k",
        "/v1/channels/room:a/state/..%2F..%2Froom:b%2Fstate%2Fk",
        "/v1/channels//history",
        "/v1/channels/room:a%00/history",
    ],
)
async def test_no_path_climbs_out_of_its_channel(services: Services, stack: MemoryStack, path: str) -> None:
    async def there(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "path": unquote(path)}, receive, send)  # as servers pass it on; clients would tidy it up

    app = app_of("local")
    use(app, services)
    transport = httpx.ASGITransport(there)
    async with httpx.AsyncClient(transport=transport, base_url="http://tidewire") as http:
        answer = await http.get("/", headers=bearer(stack))
    assert answer.status_code in (404, 422), answer.text


@pytest.mark.parametrize("call", ["subscribe", "history", "state.get", "presence.get", "publish", "state.set"])
@pytest.mark.parametrize("name", [name for name in NO_CHANNELS if name != "a lone surrogate"])
def test_nor_does_a_frame(stack: MemoryStack, call: str, name: str) -> None:
    stack.connect("c", "ann", {"*": ROOM_A["room:a"]})
    fields = {"channel": NO_CHANNELS[name], "name": "said", "data": 1, "key": "k", "value": 1}
    assert stack.ask("c", {"type": call, **fields})["error"]["name"] == "invalid_field"


@pytest.mark.parametrize("user_id", ["bob", "ann*", "ANN", "ann ", "a:nn", "%61nn", "\u0430nn"])
def test_nobody_hears_what_is_anothers(stack: MemoryStack, user_id: str) -> None:
    stack.connect("c", "ann", {"room:*": ["subscribe", "history"]})
    channel = f"user:{quote(user_id, safe='')}"
    for type_ in ("subscribe", "history"):
        assert stack.ask("c", {"type": type_, "channel": channel})["error"]["name"] == "forbidden"


@pytest.mark.parametrize("connection_id", ["d", "user:bob", "*", "d#0", "mailbox.x", "\x00", "../d"])
def test_nobody_sends_to_a_connection_by_a_right_for_users(stack: MemoryStack, connection_id: str) -> None:
    stack.connect("d", "bob")
    stack.connect("c", "ann", {"user:*": ["send"], "room:*": ["publish"]})
    frame = {"type": "send", "to": {"connection_id": connection_id}, "name": "said", "data": 1}
    assert stack.ask("c", frame)["error"]["name"] == "forbidden"
    assert stack.events("d") == []


class TestForeign:
    """What one user was given is good for nobody else."""

    @pytest.fixture
    async def anns(self, http: httpx.AsyncClient, stack: MemoryStack) -> dict[str, Any]:
        answer = await http.post("/v1/sessions", json={"protocol": 1}, headers=bearer(stack))
        session: dict[str, Any] = answer.json()
        read = await http.get(
            f"/v1/sessions/{session['session_id']}/frames",
            headers={"Authorization": f"Bearer {session['session_token']}"},
        )
        return session | {"cursor": read.json()["cursor"]}

    @pytest.fixture
    async def bobs(self, http: httpx.AsyncClient, stack: MemoryStack) -> dict[str, Any]:
        answer = await http.post("/v1/sessions", json={"protocol": 1}, headers=bearer(stack, "bob"))
        session: dict[str, Any] = answer.json()
        return session

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    @pytest.mark.parametrize("credentials", ["session token", "user token", "none", "cut", "another purpose"])
    async def test_a_session_is_its_users(
        self,
        http: httpx.AsyncClient,
        stack: MemoryStack,
        anns: dict[str, Any],
        bobs: dict[str, Any],
        method: str,
        credentials: str,
    ) -> None:
        token = {
            "session token": bobs["session_token"],
            "user token": stack.token("ann"),
            "none": "",
            "cut": anns["session_token"][:-1],
            "another purpose": anns["cursor"],
        }[credentials]
        path = f"/v1/sessions/{anns['session_id']}" + ("" if method == "DELETE" else "/frames")
        body = {"type": "ping"} if method == "POST" else None
        answer = await http.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, answer.text

    @pytest.mark.parametrize("name", ["of another session", "of another purpose", "cut", "made up", "empty"])
    async def test_a_cursor_is_its_sessions(
        self, http: httpx.AsyncClient, anns: dict[str, Any], bobs: dict[str, Any], name: str
    ) -> None:
        cursor = {
            "of another session": anns["cursor"],
            "of another purpose": bobs["session_token"],
            "cut": anns["cursor"][:-2],
            "made up": "WyJhIiwgMV0",
            "empty": "x",
        }[name]
        answer = await http.get(
            f"/v1/sessions/{bobs['session_id']}/frames",
            params={"cursor": cursor},
            headers={"Authorization": f"Bearer {bobs['session_token']}"},
        )
        assert answer.status_code == 403, answer.text

    async def test_nobody_takes_up_anothers_session(
        self, http: httpx.AsyncClient, stack: MemoryStack, anns: dict[str, Any]
    ) -> None:
        body = {"protocol": 1, "session_id": anns["session_id"]}
        answer = await http.post("/v1/sessions", json=body, headers=bearer(stack, "bob"))
        assert answer.status_code == 410, answer.text
        stack.connect("c")
        hello = {"type": "hello", "protocol": 1, "token": stack.token("bob"), "session_id": anns["session_id"]}
        assert stack.ask("c", hello)["error"]["name"] == "session_unknown"

    async def test_a_ticket_is_its_users(
        self, http: httpx.AsyncClient, stack: MemoryStack, anns: dict[str, Any]
    ) -> None:
        ticket = stack.sessions.issue_ticket(stack.tokens.verify(stack.token("bob")))
        answer = await http.get(f"/v1/stream/sessions/{anns['session_id']}", params={"ticket": ticket})
        assert answer.status_code == 410, answer.text
        ticket = stack.sessions.issue_ticket(stack.tokens.verify(stack.token("bob")))
        stack.sessions.connect("c", ticket)
        reply = stack.ask("c", {"type": "hello", "protocol": 1, "token": stack.token("ann")})
        assert reply["error"]["name"] == "forbidden"


class TestBodies:
    @pytest.mark.parametrize(
        ("path", "status"),
        [("/v1/tickets", 401), ("/v1/anonymous/token", 200), ("/v1/publish", 413), ("/v1/sessions/s/frames", 401)],
    )
    async def test_no_call_reads_more_than_any_takes(self, http: httpx.AsyncClient, path: str, status: int) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(1_000):
                sent.append(1_000)
                yield b"x" * 1_000

        sent: list[int] = []
        assert (await http.post(path, content=endless())).status_code == status
        assert sum(sent) == 257_000

    async def test_a_slash_too_many_leads_nowhere(self, http: httpx.AsyncClient) -> None:
        """It would lead to the host that the client has named."""
        assert (await http.get("/v1/config/", headers={"Host": "evil.example"})).status_code == 404


class TestInjection:
    """Nothing that comes in gets out among headers, nor onto a line of its own in the logs."""

    @pytest.fixture(autouse=True)
    def quiet(self) -> Iterator[None]:
        """The client logs what it asks for."""
        clients = logging.getLogger("httpx")
        before = clients.level
        clients.setLevel(logging.WARNING)
        yield
        clients.setLevel(before)

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", f"/v1/channels/{quote(INJECTED, safe='')}/history", None),
            ("DELETE", f"/v1/keys/{quote(INJECTED, safe='')}", None),
            ("DELETE", f"/v1/users/{quote(INJECTED, safe='')}/data", None),
            ("GET", f"/v1/keys/?after={quote(INJECTED, safe='')}", None),
            ("GET", f"/v1/config/{quote(INJECTED, safe='')}/", None),
            ("GET", f"/{quote(INJECTED, safe='')}", None),
            ("GET", f"/demo/{quote(INJECTED, safe='')}", None),
            ("POST", "/v1/keys", {"name": INJECTED, "caps": {}}),
            ("POST", "/v1/dev/token", {"user_id": INJECTED}),
            ("POST", "/v1/sessions", {"protocol": 1, "client": {"name": INJECTED, "version": INJECTED}}),
            ("POST", f"/v1/dead-letters/{quote(INJECTED, safe='')}/redrive", None),
        ],
    )
    async def test_no_header_of_an_answer_has_it(
        self, http: httpx.AsyncClient, stack: MemoryStack, method: str, path: str, body: Any, log: Log
    ) -> None:
        answer = await http.request(method, path, json=body, headers=bearer(stack, caps={"*": ["admin"]}))
        assert answer.status_code < 500
        for name, value in answer.headers.raw:
            assert b"evil" not in name.lower()
            assert not set(value) & set(b"\r\n\x00\x1b")
        assert all(json.loads(line) for line in log.text().splitlines())
        assert "Evil" not in log.text()

    @pytest.mark.parametrize(
        "header", ["X-API-Key", "Authorization", "Origin", "Last-Event-ID", "User-Agent", "If-Match"]
    )
    @pytest.mark.parametrize(
        "value", ["a\tX-Evil: 1", "\x1b[31mX-Evil", "\u202eX-Evil".encode(), "x" * 9_000 + "X-Evil"]
    )
    async def test_nor_of_a_header_that_is_sent(
        self, http: httpx.AsyncClient, log: Log, header: str, value: str | bytes
    ) -> None:
        sent = value.encode() if isinstance(value, str) else value
        answer = await http.get("/v1/channels/room:a/history", headers=[(header.encode(), sent)])
        assert answer.status_code in (401, 422)
        assert "X-Evil" not in f"{answer.headers}"
        assert "Evil" not in answer.text + log.text()

    @pytest.mark.parametrize("text", [INJECTED, "\u2028{}", "\x00", "\x85", '"}\n{"level": "ERROR"'])
    def test_a_line_of_the_log_stays_one_whatever_is_in_it(self, log: Log, text: str) -> None:
        """Nothing a client says is logged; were it, it would be JSON all the same."""
        logger.error("failed", namespace=text)
        (line,) = [line for line in log.text().split("\n") if line]
        assert json.loads(line)["namespace"] == text
        assert not set(line) & set("\r\x00\x1b")
