"""Answers are read whole or not at all, wherever the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.http_answer import ANSWER_MAX_BYTES, Answer, BadAnswerError, read_answer

USUAL = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nx-amzn-ErrorType: GoneException:http://a/\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"\r\nTransfer-Encoding: Chunked\r\n\r\n"
WHOLE = {
    USUAL: Answer(200),
    USUAL.lower().replace(b"http", b"HTTP"): Answer(200),
    GONE: Answer(410, "GoneException", b"{}"),
    b"HTTP/1.1 204 No Content\r\n\r\n": Answer(204),
    b"HTTP/1.1 200 \r\ncontent-length:3\r\n\r\nabc": Answer(200, body=b"abc"),
    b"HTTP/1.1 100 Continue\r\n\r\n" * 1_500 + GONE: Answer(410, "GoneException", b"{}"),
    b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" + USUAL: Answer(200),
    b"HTTP/1.1 500 No" + CHUNKED + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n": Answer(500, body=b"abc"),
    b"HTTP/1.1 500 No" + CHUNKED.lower() + b"0\r\nTrailer: x\r\n\r\n": Answer(500),
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n": Answer(200, keeps_alive=False),
    b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n": Answer(200, keeps_alive=False),
}


@pytest.mark.parametrize("received", WHOLE, ids=range(len(WHOLE)))
def test_an_answer_is_there_with_its_last_byte(received: bytes) -> None:
    for end in {0, 1, len(received) // 2, len(received) - 1}:
        assert read_answer(received[:end], ended=False) is None
    assert read_answer(received, ended=False) == WHOLE[received]


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 400))
def test_what_ends_before_is_none(received: bytes, end: int) -> None:
    with pytest.raises(BadAnswerError):
        read_answer(received[: min(end, len(received) - 1)], ended=True)


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    received = b"HTTP/1.1 502 Bad\r\n\r\nabc"
    assert read_answer(received, ended=False) is None
    assert read_answer(received, ended=True) == Answer(502, body=b"abc", keeps_alive=False)


@pytest.mark.parametrize("received", [USUAL, GONE])
def test_what_stands_behind_an_answer_was_not_asked_for(received: bytes) -> None:
    answer = read_answer(received + b"HTTP", ended=False)
    assert answer
    assert not answer.keeps_alive


@pytest.mark.parametrize(
    "received",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 500 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        b"HTTP/1.1 500 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 500 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        b"x" * (ANSWER_MAX_BYTES + 1),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (ANSWER_MAX_BYTES + 1),
    ],
)
def test_what_makes_no_sense_is_refused(received: bytes) -> None:
    with pytest.raises(BadAnswerError):
        read_answer(received, ended=False)


@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_is_an_answer_or_refused_or_waited_for(received: bytes, ended: bool) -> None:
    try:
        answer = read_answer(b"HTTP/1.1 " + received, ended=ended)
    except BadAnswerError:
        return
    assert answer is None or 200 <= answer.status <= 999
