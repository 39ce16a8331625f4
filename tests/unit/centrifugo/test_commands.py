"""Whose protocol it is, and what their commands must look like."""

import pytest

from shared.errors import BadFrameError, TidewireError, TooLargeError
from shared.protocol.centrifugo.commands import parse, speaks_centrifugo


@pytest.mark.parametrize(
    "body",
    ['{"id":1,"connect":{}}', ' {"id": 1, "connect": {}}\n{"id":2,"subscribe":{"channel":"a"}}', '{"send":{}}'],
)
def test_theirs(body: str) -> None:
    assert speaks_centrifugo(body)


@pytest.mark.parametrize(
    "body", ['{"type":"hello"}', '{"id":1,"type":"publish","history":1}', '[{"type":"ping"}]', '["{']
)
def test_ours(body: str) -> None:
    assert speaks_centrifugo(body) is False


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"id":1}',
        '{"id":1,"channel":"a:b","history":300}',
        '{"presence":true,"id":2}',
        '{"foo":{}}',
        "",
        "{",
        '{"a":' * 100_000,
        "1",
        "1" * 10_000,
        "\0",
        "AAEC",
    ],
)
def test_nobodys(body: str) -> None:
    assert speaks_centrifugo(body) is None


def test_commands_come_one_a_line() -> None:
    connect, subscribe, pong, send = parse(
        '{"id":1,"connect":{"token":"t","subs":{"#1":{"recover":true,"offset":4,"epoch":"e"}}}}\n'
        '{"id":2,"subscribe":{"channel":"a","recover":true,"flag":3}}\n\n{}\n{"send":{"data":1}}\n',
        max_bytes=1000,
    )
    assert connect.connect is not None
    assert connect.connect.subs["#1"].since is not None
    assert subscribe.request is not None
    assert subscribe.request[0] == "subscribe"
    assert pong.request is None
    assert send.request is not None
    assert send.id == 0


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('{"id":1,"connect":{}}\n{"type":"ping"}', BadFrameError),
        ('{"id":1,"connect":{}}\n[]', BadFrameError),
        ('{"id":1,"connect":{}}\nnot json', BadFrameError),
        ('{"id":-1,"ping":{}}', BadFrameError),
        ('{"id":"1","ping":{}}', BadFrameError),
        ('{"id":true,"ping":{}}', BadFrameError),
        ('{"id":4294967296,"ping":{}}', BadFrameError),
        ('{"id":1,"subscribe":{"channel":5}}', BadFrameError),
        ('{"id":1,"subscribe":{"channel":"a","offset":-1}}', BadFrameError),
        ('{"id":1,"publish":{"channel":"a","data":"' + "x" * 24_001 + '"}}', TooLargeError),
        ('{"send":{"data":"' + "x" * 24_001 + '"}}', TooLargeError),
        ("\n".join(['{"id":1,"ping":{}}'] * 101), BadFrameError),
        ('{"id":1,"ping":{}}\n' + " " * 40_000 + "{}", TooLargeError),
    ],
)
def test_what_is_none(body: str, error: type[TidewireError]) -> None:
    with pytest.raises(error):
        parse(body, max_bytes=32_000)
