"""A short run of the fuzzer on the stack of tests, and what its parts make of known things."""

import json

import pytest

from localstack.stack import LocalStack
from tests.fuzz.backstage import error_of
from tests.fuzz.cases import case
from tests.fuzz.centrifugo import CentrifugoClient, owed
from tests.fuzz.clients import Person, Scene
from tests.fuzz.memory import Memory
from tests.fuzz.oracle import Answers, Ledger, expected
from tests.fuzz.report import written, wrong
from tests.fuzz.run import fuzz

_FRAMES = 3_000
_TIMEOUT_S = 900  # 40 seconds where nothing else runs


@pytest.mark.timeout(_TIMEOUT_S)
def test_a_short_run_finds_nothing(warm_stack: LocalStack) -> None:
    outcome = fuzz(warm_stack, seed=1, frames=_FRAMES)
    assert outcome.result.frames >= _FRAMES
    assert wrong(outcome) == [], written(outcome)


def test_a_case_follows_from_seed_and_index() -> None:
    for index in range(200):
        assert case(7, index, "socket") == case(7, index, "socket")
        assert case(7, index, "call") == case(7, index, "call")
        assert case(7, index, "centrifugo") == case(7, index, "centrifugo")
    assert case(7, 1, "socket") != case(8, 1, "socket")


def found(sent: str, *answers: object) -> list[str]:
    """Return what is found when a message is answered so, and then no more."""
    ledger = Ledger()
    connection = Answers(ledger)
    connection.add(expected(3, sent, max_bytes=32_000, gateway=True))
    for answer in answers:
        connection.take(json.dumps(answer))
    connection.missing()
    return [finding.what for finding in ledger.findings]


def test_each_request_gets_one_reply_as_the_protocol_says() -> None:
    sync = '{"type": "sync", "id": 1, "positions": {}}'
    reply = {"type": "reply", "id": 1, "result": {"behind": {}}}
    bad = {"code": 1000, "name": "bad_frame", "message": "no", "retryable": False}
    assert found(sync, reply) == []
    assert found("no JSON", {"type": "reply", "id": None, "error": bad}) == []
    assert found('{"type": "ping"}', {"type": "pong"}) == []
    assert found('{"type": "typing", "channel": "room:a", "active": true}') == []
    assert found(sync) == ["no reply"]
    assert found(sync, reply, reply) == ["a reply that nothing asked for"]
    assert found(sync, {**reply, "id": "1"}) == ["a reply that nothing asked for", "no reply"]
    assert found(sync, {**reply, "more": 1}) == ["a field that the protocol does not have"]
    assert found(sync, {**reply, "result": {"publications": []}})[-1] == "not as the protocol says"
    internal = {"code": 2000, "name": "internal", "message": "internal", "retryable": True}
    assert found(sync, {"type": "reply", "id": 1, "error": internal}) == ["internal"]
    assert found(sync, {"message": "Internal server error", "connectionId": "c"}) == ["the integration failed"]


def test_what_bears_no_id_is_told_apart() -> None:
    bad = {"type": "reply", "id": None, "error": {"code": 1000, "name": "bad_frame", "message": "", "retryable": False}}
    connection = Answers(ledger := Ledger())
    lists = '[{"type": "ping"}]', '[{"type": "ping", "id": []}]', '[{"type": "ping", "id": 8}]'
    for index, text in enumerate((*lists, '{"type": "ping", "id": 7}', "no JSON")):
        connection.add(expected(index, text, max_bytes=32_000, gateway=True))
    for answer in (bad, {"type": "pong"}, bad, {"type": "pong", "id": 8}, {"type": "pong"}):
        connection.take(json.dumps(answer))
    assert (ledger.findings, connection.owed) == ([], [])
    assert found('{"type": "ping", "id": 7}', {"type": "pong", "id": 7})[0] == "a reply that nothing asked for"
    assert found('[{"type": "ping", "id": 7}]', {"type": "pong"})[0] == "a reply that nothing asked for"


def test_errors_are_found_among_what_emulator_and_functions_say() -> None:
    said = {
        "2026-11-27 00:00:01 INFO [lambda] Lambda f output:": None,
        '{"level":"INFO","message":"ERROR is what somebody wrote"}': None,
        '{"level":"ERROR","message":"it failed","error":"KeyError"}': "it failed KeyError  ",
        "2026-11-27 00:00:01 ERROR [ministack] no": "ERROR [ministack] no",
        "Traceback (most recent call last):": "Traceback (most recent call last)",
        "2026-11-27T00:00:02 f Task timed out after 3.00 seconds": "Task timed out",
    }
    assert {line: error_of(line) for line in said} == said


def test_memory_that_still_grows_in_the_second_half_is_seen() -> None:
    memory = Memory()
    for second in range(100):
        memory.add(second, "warming", {1: min(second, 50)})
        memory.add(second, "one of them leaks", {pid: 50 + (second if pid == 7 else 0) for pid in range(2, 12)})
        memory.add(second, "come and go", {100 + second // 10: 50 + second})
    assert memory.growth_mb("warming") == pytest.approx(0, abs=1)
    assert memory.growth_mb("one of them leaks") == pytest.approx(49, abs=1)
    assert memory.growth_mb("come and go") is None
    assert memory.growth_mb("not there") is None


def test_each_command_of_centrifugos_is_owed_a_reply_or_the_connection_its_end() -> None:
    assert owed('{"id": 1, "ping": {}}\n{}\n{"send": {"data": 1}}\n{"id": 2, "rpc": {}}') == {1, 2}
    for ending in (
        "",
        "[1",
        "x",
        '{"id": 1}',
        '{"ping": {}}',
        '{"type": "ping"}',
        "[]",
        '{"id": 1, "ping": {}}\n{"type": 1}',
    ):
        assert owed(ending) is None


async def test_a_fault_that_centrifugos_clients_are_told_of_is_found() -> None:
    def found(*lines: object) -> list[str]:
        scene = Scene("", 1, 1, None, [Person("theirs", "centrifugo")])
        client = CentrifugoClient(scene, 0)
        client.judge(3, list(lines))  # type: ignore[arg-type]
        return [finding.what for finding in scene.ledger.findings]

    assert found({"id": 1, "ping": {}}, {"id": 2, "error": {"code": 103}}) == []
    assert found({"id": 1, "error": {"code": 100}}) == ["a failure"]
    assert found({"push": {"disconnect": {"code": 3004}}}) == ["a failure"]
    assert found({"message": "Internal server error", "connectionId": "c"}) == ["the integration failed"]
