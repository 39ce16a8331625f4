"""Whatever is sent in Centrifugo's protocol gets its error or its disconnect, and none of it is a fault of ours."""

import json
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.protocol.centrifugo import codes
from shared.protocol.centrifugo.commands import REQUESTS
from tests.unit.centrifugo.client import CHANNELS, Client, token
from tests.unit.centrifugo.test_server_api import SERVER, call
from tests.unit.centrifugo.test_service import told_and_closed
from tests.unit.stack import ALL, MemoryStack

METHODS: Final = (
    *("publish", "broadcast", "batch", "history", "history_remove", "presence", "presence_stats"),
    *("subscribe", "unsubscribe", "disconnect", "refresh", "info", "channels"),
)
VALUES: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**32 - 1, 2**32, 2**53, 2**64, -(2**63), 10**40, 1e308),
    *(
        "",
        " ",
        "a",
        "news",
        "#",
        "##",
        "#ann",
        "#,",
        "room:1",
        "user:ann",
        "a:b:c",
        ":",
        "\0",
        "a\0b",
        "\r\n",
        "é",
        "%00",
    ),
    *(
        "\ufeff",
        "\ud800",
        "\U0001f600",
        "x" * 256,
        "é" * 128,
        "x" * 9_000,
        "__proto__",
        "META",
        "centrifugo:x",
        "broadcast:all",
    ),
    *([], {}, [[]], {"": ""}, {"a": {"b": []}}, ["news"], [1, None], {"offset": 1, "epoch": "x"}, {"offset": -1}),
    *({"offset": 2**53}, {"news": {"recover": True}}, {"code": 3000, "reason": "x"}, {"value": True}),
]
FIELDS: Final = (
    *("channel", "token", "data", "recover", "epoch", "offset", "flag", "limit", "since", "reverse", "method", "subs"),
    *("user", "client", "channels", "commands", "expire_at", "expired", "pattern", "disconnect", "whitelist", "info"),
    *("recover_since", "idempotency_key", "tags", "skip_history"),
)
BODIES: Final = st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES), max_size=4)
# As a stream of commands that were meant: of what is allowed, most is done.
GOOD: Final = {"channel": "news", "data": {"a": 1}, "limit": 10, "method": "x", "user": "ann"}
COMMANDS: Final = st.builds(
    lambda number, name, body, good: {"id": number, name: good | body if isinstance(body, dict) else body},
    st.one_of(st.integers(1, 50), st.sampled_from(VALUES)),
    st.sampled_from(REQUESTS),
    st.one_of(BODIES, st.sampled_from(VALUES)),
    st.sampled_from([{}, GOOD]),
)
QUICK: Final = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


CONSTANTS: Final = vars(codes).values()
ERRORS: Final = {one.code for one in CONSTANTS if isinstance(one, codes.ReplyError)} - {100} | {1013, 1014}
DISCONNECTS: Final = {one.code for one in CONSTANTS if isinstance(one, codes.Disconnect)} - {3004}


def judge(client: Client, lines: list[dict[str, Any]]) -> None:
    assert client.stack.failures == []
    for line in lines:
        if "error" in line:
            assert line["error"]["code"] in ERRORS, line
        elif "push" in line and "disconnect" in line["push"]:
            assert line["push"]["disconnect"]["code"] in DISCONNECTS, line


def connected() -> Client:
    client = Client(MemoryStack(CHANNELS), "a=")
    client.ask("connect", token=client.stack.token("ann", ALL | {"*": [*ALL["*"], "admin"]}))
    client.subscribe("news", "ann")
    client.pushes()
    return client


@QUICK
@given(st.lists(COMMANDS, min_size=1, max_size=4))
def test_commands_of_whatever_type(commands: list[dict[str, Any]]) -> None:
    client = connected()
    body = "\n".join(map(json.dumps, commands))
    replies = client.stack.centrifugo.handle("a=", body, received_at_ms=client.stack.clock())
    pushes = client.stack.transport.received.get("a=", client.stack.transport.inboxes.get("a=", []))
    judge(client, [*map(dict, replies), *(json.loads(line) for one in pushes for line in one.split(b"\n"))])


@QUICK
@given(st.text(st.sampled_from('{}[]":,\n\0 \ud800e19-i\\u"id""ping"')))
def test_text_of_whatever_kind(body: str) -> None:
    client = connected()
    judge(client, [dict(one) for one in client.stack.centrifugo.handle("a=", body, received_at_ms=0)])


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n\n",
        "\n".join(['{"id":1,"ping":{}}'] * 100_000),
        "{}\n" * 100_000,
        '{"id":1,"rpc":{"method":"x","data":' + "[" * 5_000 + "]" * 5_000 + "}}",
        '{"a":' * 100_000,
        '{"id":1' + "0" * 10_000 + ',"ping":{}}',
        '{"id":1e400,"ping":{}}',
        '{"id":1.0,"ping":{}}',
        '{"id":NaN,"ping":{}}',
        '{"id":1,"ping":{}}\0',
        '{"id":1,"ping":{}}{"id":2,"ping":{}}',
        '{"id":1,"publish":{"channel":"news","data":"\\ud800"}}',
        '{"id":1,"publish":{"channel":"news","data":"\ud800"}}',
        '{"id":1,"publish":{"channel":"news","data":1e999}}',
        '{"id":1,"publish":{"channel":"news","data":' + "9" * 400 + "}}",
        "AAECAwQ=",
        "\ufeff{}",
    ],
)
def test_what_is_no_command_is_a_bad_request(body: str) -> None:
    client = connected()
    assert client.stack.centrifugo.handle("a=", body, received_at_ms=0) == []
    assert told_and_closed(client) == [3501]
    assert client.stack.failures == []


@QUICK
@given(st.sampled_from(METHODS), st.one_of(BODIES.map(lambda body: GOOD | body), BODIES, st.sampled_from(VALUES)))
def test_calls_of_servers_of_whatever_type(method: str, body: Any) -> None:
    client = connected()
    answer = client.stack.centrifugo_server.call(SERVER, method, body)
    judge(client, [answer])


@pytest.mark.parametrize(
    "claim", [{"exp": 10**400}, {"exp": "x"}, {"exp": -1}, {"iat": 10**30}, {"iat": "x"}, {"exp": 1.5}]
)
@pytest.mark.parametrize("command", ["connect", "subscribe", "refresh", "sub_refresh"])
def test_tokens_with_times_that_can_t_be(command: str, claim: dict[str, Any]) -> None:
    client = connected() if command != "connect" else Client(MemoryStack(CHANNELS), "a=")
    shown = token("ann", channel="news", **claim)
    client.ask(command, token=shown, **({"channel": "news"} if "sub" in command else {}))
    assert client.stack.failures == []


def test_a_user_nobody_could_be_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = connected().stack
    for user in ("x" * 129, "\ud800", "."):
        for method in ("subscribe", "unsubscribe", "disconnect", "refresh"):
            assert call(stack, method, user=user, channel="news")["error"]["code"] == 107
    assert stack.failures == []
