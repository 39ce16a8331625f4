"""What admins do: keys, dead letters, purging."""

import json

import pytest

from tests.unit.client.cli.conftest import Little, Run
from tests.unit.client.cli.server import Answer, Asked, problem

KEY = {"key_id": "k_1", "name": "billing", "caps": {"room:*": ["publish"]}, "created_at_ms": 1_800_000_000_000}


def test_a_key_is_made_and_shown_alone(run: Run, little: Little) -> None:
    little.answers[("POST", "/v1/keys")] = Answer({**KEY, "key": "k_1.secret"}, 201)
    ended = run("keys", "create", "billing", "--allow", "room:*=publish")
    assert (ended.code, ended.out) == (0, "k_1.secret\n")
    assert "not shown again" in ended.err
    assert little.asked[0].body == {"name": "billing", "caps": {"room:*": ["publish"]}}
    assert json.loads(run("keys", "create", "billing", "--allow", "room:*=publish", "--json").out)["key_id"] == "k_1"


def test_keys_are_listed_over_pages(run: Run, little: Little) -> None:
    def page(asked: Asked) -> Answer:
        if asked.params.get("after") == ["k_1"]:
            return Answer({"keys": [{**KEY, "key_id": "k_2", "name": "shop\tfront"}]})
        return Answer({"keys": [KEY], "more": True})

    little.answers[("GET", "/v1/keys")] = page
    rows = [line.split("\t") for line in run("keys", "list").lines]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("k_1", "billing", '{"room:*":["publish"]}'),
        ("k_2", "shop\\tfront", '{"room:*":["publish"]}'),
    ]
    assert [json.loads(line)["key_id"] for line in run("keys", "list", "--json").lines] == ["k_1", "k_2"]


def test_a_key_is_revoked(run: Run, little: Little) -> None:
    little.answers[("DELETE", "/v1/keys/k%201")] = Answer(status=204)
    little.answers[("DELETE", "/v1/keys/k_2")] = problem(1015, "not_found", 404, "there is no such key")
    assert run("keys", "revoke", "k 1").code == 0
    assert run("keys", "revoke", "k_2").code == 1


def redriven(done: int, unreadable: int, *, more: bool = False) -> Answer:
    return Answer({"redriven": done, "unreadable": unreadable, "more": more, "before_ms": 7})


@pytest.fixture
def queues(little: Little) -> Little:
    waiting = {"high": 0, "normal": 25, "low": 1}
    answers = [redriven(10, 1, more=True), redriven(14, 0)]
    little.answers |= {
        ("GET", "/v1/dead-letters"): Answer(
            {"queues": [{"queue": name, "waiting": count} for name, count in waiting.items()]}
        ),
        ("POST", "/v1/dead-letters/normal/redrive"): lambda _asked: answers.pop(0),
        ("POST", "/v1/dead-letters/low/redrive"): redriven(1, 0),
        ("POST", "/v1/dead-letters/high/redrive"): redriven(0, 0),
    }
    return little


def test_dead_letters_go_back_until_there_are_no_more(run: Run, queues: Little) -> None:
    ended = run("redrive")
    assert ended.lines == ["high\t0\t0", "normal\t24\t1", "low\t1\t0"]
    assert [asked.params for asked in queues.asked[2:4]] == [{}, {"before_ms": ["7"]}]
    assert [asked.path for asked in queues.asked[1:]] == [
        "/v1/dead-letters/high/redrive",
        "/v1/dead-letters/normal/redrive",
        "/v1/dead-letters/normal/redrive",
        "/v1/dead-letters/low/redrive",
    ]


def test_dead_letters_of_one_queue_go_back_alone(run: Run, queues: Little) -> None:
    assert run("redrive", "high").lines == ["high\t0\t0"]
    assert json.loads(run("redrive", "low", "--json").out) == {"queue": "low", "redriven": 1, "unreadable": 0}
    ended = run("redrive", "other")
    assert (ended.code, "there are high, normal, low" in ended.err) == (2, True)


def test_dead_letters_that_somebody_else_has_taken_are_told(run: Run, queues: Little) -> None:
    queues.answers[("POST", "/v1/dead-letters/normal/redrive")] = redriven(7, 0)
    ended = run("redrive", "normal")
    assert (ended.code, ended.lines) == (0, ["normal\t7\t0"])
    assert "normal: about 25 are left" in ended.err


def test_what_was_put_back_before_it_failed_is_told(run: Run, queues: Little) -> None:
    answers = [redriven(10, 0, more=True), problem(2000, "unavailable", 503)]
    queues.answers[("POST", "/v1/dead-letters/normal/redrive")] = lambda _asked: answers.pop(0)
    ended = run("redrive", "normal")
    assert (ended.code, ended.err.splitlines()[0]) == (1, "tidewire: normal: 10 were put back before that")


def test_dead_letters_are_counted_and_left(run: Run, queues: Little) -> None:
    assert run("redrive", "--list").lines == ["high\t0", "normal\t25", "low\t1"]
    assert [asked.method for asked in queues.asked] == ["GET"]


@pytest.mark.parametrize("answer", [{"redriven": "many"}, {}, {"redriven": 1, "unreadable": 0, "before_ms": None}])
def test_5_where_a_redrive_makes_no_sense(run: Run, queues: Little, answer: object) -> None:
    queues.answers[("POST", "/v1/dead-letters/low/redrive")] = Answer(answer)
    assert run("redrive", "low").code == 5


def test_a_redrive_that_does_nothing_is_not_repeated_for_ever(run: Run, queues: Little) -> None:
    queues.answers[("POST", "/v1/dead-letters/low/redrive")] = redriven(0, 1, more=True)
    assert run("redrive", "low").lines == ["low\t0\t1"]


def test_what_was_sent_to_a_user_is_purged(run: Run, little: Little) -> None:
    little.answers[("DELETE", "/v1/users/ann%2Fb/data")] = Answer(status=204)
    ended = run("purge", "--user", "ann/b", "--yes")
    assert (ended.code, ended.out) == (0, "")


def test_nothing_is_purged_unasked(run: Run, little: Little) -> None:
    ended = run("purge", "--channel", "room:a")
    assert (ended.code, "--yes" in ended.err, little.asked) == (2, True, [])
    assert run("purge", "--channel", "room:a", "--user", "ann", "--yes").code == 2
    assert little.asked == []
