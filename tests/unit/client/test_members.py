"""The receiver's list of members: whatever order pushes come in, and what it makes of those that do not come.

Its golden scenarios are those that every client is held to.
"""

import json
from itertools import permutations
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tidewire.members import Members, is_answer, is_push

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "members.json").read_text())


def begun(answer: dict[str, Any]) -> Members:
    members = Members()
    members.answered([answer], now_ms=0)
    return members


def member(user_id: str, **fields: Any) -> dict[str, Any]:
    return {"user_id": user_id, "status": "online", "connections": 1, **fields}


def result(*users: str, version: int = 0, **fields: Any) -> dict[str, Any]:
    return {"members": [member(user) for user in users], "count": len(users), "version": version, **fields}


def push(event: str, user_id: str, count: int, version: int, **fields: Any) -> dict[str, Any]:
    about = {"type": "presence", "channel": "room:a", "event": event, "member": member(user_id, **fields)}
    return about | {"count": count, "version": version}


def number(count: int, version: int) -> dict[str, Any]:
    return {"type": "presence", "channel": "room:a", "event": "count", "count": count, "version": version}


def typing(user_id: str, active: bool) -> dict[str, Any]:
    return {"type": "typing", "channel": "room:a", "user_id": user_id, "active": active}


def step(members: Members, call: dict[str, Any], now_ms: int) -> None:
    match call["call"]:
        case "asked":
            members.asked()
        case "answered":
            pages = [page | {"members": [member(**one) for one in page["members"]]} for page in call["pages"]]
            members.answered(pages, now_ms=now_ms)
        case "push":
            frame = {"type": "presence", "channel": "room:a"} | call["push"]
            if "member" in frame:
                frame["member"] = member(**frame["member"])
            members.push(frame, now_ms=now_ms)
        case "wait":
            pass
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("scenario", GOLDEN, ids=[scenario["name"] for scenario in GOLDEN])
def test_golden(scenario: dict[str, Any]) -> None:
    members = Members()
    for index, call in enumerate(scenario["steps"]):
        now_ms = call.get("at_ms", 0)
        step(members, call, now_ms)
        seen = {
            "members": {user_id: one["status"] for user_id, one in members.members.items()},
            "count": members.count,
            "needs_get": members.needs_get(now_ms=now_ms),
            "typing": sorted(members.typing(now_ms=now_ms)),
        }
        told = {name: call[name] for name in seen if name in call}
        assert {name: seen[name] for name in told} == told, f"step {index}: {call['call']}"


PUSHES = [
    push("join", "bob", 2, 1),
    push("update", "bob", 2, 2, status="away"),
    push("leave", "ann", 1, 3),
    push("join", "cyd", 2, 4),
]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_any_order_leads_to_the_same_members(order: tuple[int, ...]) -> None:
    members = begun(result("ann"))
    for place in order:
        members.push(PUSHES[place], now_ms=0)
    assert members.members == {"bob": member("bob", status="away"), "cyd": member("cyd")}
    assert members.count == 2
    assert not members.needs_get(now_ms=10_000)


@pytest.mark.parametrize("lost", range(3))
def test_a_push_that_does_not_come_is_missed_after_a_second(lost: int) -> None:
    members = begun(result("ann"))
    for place, frame in enumerate(PUSHES):
        if place != lost:
            members.push(frame, now_ms=0)
    assert not members.needs_get(now_ms=999)
    assert members.needs_get(now_ms=1_000)
    members.asked()
    members.answered([result("bob", "cyd", version=4)], now_ms=1_000)
    assert not members.needs_get(now_ms=1_000)


def test_one_that_comes_late_is_missed_no_more() -> None:
    members = begun(result("ann"))
    members.push(PUSHES[1], now_ms=0)
    members.push(PUSHES[0], now_ms=900)
    assert not members.needs_get(now_ms=5_000)


def test_repeats_and_what_is_older_than_the_answer_change_nothing() -> None:
    members = begun(result("ann", version=3))
    members.push(push("leave", "ann", 0, 3), now_ms=0)
    members.push(push("join", "ann", 1, 4), now_ms=0)
    members.push(push("join", "ann", 1, 4), now_ms=0)
    assert list(members.members) == ["ann"]
    assert not members.needs_get(now_ms=5_000)


def test_several_pushes_of_one_version_have_the_count_of_the_last() -> None:
    members = begun(result())
    for user in ("ann", "bob"):
        members.push(push("join", user, 2, 1), now_ms=0)
    assert not members.needs_get(now_ms=5_000)
    members = begun(result())
    members.push(push("join", "ann", 2, 1), now_ms=0)
    assert members.needs_get(now_ms=1_000)


def test_numbers_alone() -> None:
    members = begun({"members": [], "count": 200, "version": 7})
    members.push(number(190, 8), now_ms=0)
    assert (members.count, members.members, members.needs_get(now_ms=5_000)) == (190, {}, False)


def test_members_give_way_to_a_number_and_come_again() -> None:
    members = begun(result("ann", "bob", version=1))
    members.push(number(101, 2), now_ms=0)
    assert (members.count, members.members, members.needs_get(now_ms=5_000)) == (101, {}, False)
    for user in ("ann", "cyd"):
        members.push(push("join", user, 2, 3), now_ms=0)
    assert (members.count, sorted(members.members), members.needs_get(now_ms=9_000)) == (2, ["ann", "cyd"], False)


def test_a_late_number_does_not_take_newer_members_away() -> None:
    members = begun(result("ann", version=1))
    members.push(push("join", "bob", 1, 3), now_ms=0)
    members.push(number(101, 2), now_ms=0)
    assert (members.count, sorted(members.members), members.needs_get(now_ms=9_000)) == (1, ["bob"], False)


def test_pages_are_one_answer() -> None:
    members = begun(result("ann", version=1, more=True) | {"count": 3})
    assert members.needs_get(now_ms=0)
    pages = [result("ann", version=1, more=True), result("bob", version=1, more=True), result("cyd", version=2)]
    members.answered([page | {"count": 3} for page in pages], now_ms=0)
    assert (sorted(members.members), members.count, members.needs_get(now_ms=5_000)) == (
        ["ann", "bob", "cyd"],
        3,
        False,
    )


def test_who_types_is_forgotten_after_8_s_or_by_saying_so_or_leaving() -> None:
    members = begun(result("ann", "bob", "cyd"))
    for user in ("ann", "bob", "cyd"):
        members.push(typing(user, True), now_ms=0)
    members.push(typing("bob", False), now_ms=1)
    members.push(push("leave", "cyd", 2, 1), now_ms=2)
    assert members.typing(now_ms=7_999) == {"ann"}
    assert members.typing(now_ms=8_000) == set()
    members.push(typing("ann", True), now_ms=8_000)
    assert members.typing(now_ms=15_000) == {"ann"}


def test_a_push_that_overtakes_the_answer_is_not_lost() -> None:
    members = Members()
    members.push(push("join", "bob", 2, 4), now_ms=0)
    assert not members.needs_get(now_ms=5_000)
    members.answered([result("ann", version=3)], now_ms=5_000)
    assert sorted(members.members) == ["ann", "bob"]
    members.asked()
    members.push(push("leave", "ann", 1, 5), now_ms=6_000)
    members.answered([result("ann", "bob", version=4)], now_ms=6_000)
    assert (sorted(members.members), members.count, members.needs_get(now_ms=9_000)) == (["bob"], 1, False)


def test_says_when_time_alone_will_change_something() -> None:
    members = Members()
    assert members.next_ms() == inf
    members.answered([result()], now_ms=0)
    assert members.next_ms() == inf
    members.push(typing("bob", True), now_ms=500)
    assert members.next_ms() == 8_500
    members.push(push("join", "bob", 2, 2), now_ms=600)
    assert members.next_ms() == 1_600
    members.asked()
    assert members.next_ms() == 8_500
    members.typing(now_ms=8_500)
    assert members.next_ms() == inf


@pytest.mark.parametrize("seed", range(50))
def test_any_network_leads_to_who_is_there(seed: int) -> None:
    random = Random(seed)
    users: dict[str, dict[str, Any]] = {}
    pushes, answers = [], [result(version=0)]
    for version in range(1, 31):
        user_id = f"u{random.randrange(6)}"
        event = "join" if user_id not in users else "leave" if random.random() < 0.4 else "update"
        users[user_id] = member(user_id, data=version)
        if event == "leave":
            del users[user_id]
        pushes.append(push(event, user_id, len(users), version, data=version))
        answers.append({"members": list(users.values()), "count": len(users), "version": version})
    members = begun(answers[random.randrange(10)])
    arrived = [frame for frame in random.sample(pushes + pushes[:10], 40) if random.random() < 0.95]
    for frame in arrived:
        members.push(frame, now_ms=0)
        if random.random() < 0.03:
            members.asked()
    members.answered([answers[30]], now_ms=0)  # what was lost at the end shows in nothing but the next answer
    assert (members.members, members.needs_get(now_ms=9_000)) == (users, False)


GOOD_MEMBER = member("ann", active=True, data=None)
GOOD_PUSH = push("join", "ann", 1, 1, active=True, data=None)
JUNK: list[Any] = [None, 1, "x", [], {}, True, 0.5]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_what_makes_no_sense_is_told_from_what_does(junk: Any) -> None:
    assert is_push(GOOD_PUSH)
    assert is_push(number(1, 1))
    assert is_push(typing("ann", True))
    assert is_answer(result(version=1))
    assert is_answer({"members": [GOOD_MEMBER], "count": 2, "version": 1, "more": True})
    assert not is_push(junk)
    assert not is_answer(junk)
    for name in ("version", "count"):
        if junk != 1 or junk is True:
            assert not is_push(GOOD_PUSH | {name: junk})
            assert not is_answer(result() | {name: junk})
    for name in ("user_id", "status", "active", "connections"):
        if type(junk) is not type(GOOD_MEMBER[name]):
            assert not is_push(GOOD_PUSH | {"member": GOOD_MEMBER | {name: junk}})
            assert not is_answer({"members": [GOOD_MEMBER | {name: junk}], "count": 1, "version": 1})
    assert not is_push(GOOD_PUSH | {"member": junk})
    if not isinstance(junk, str):
        assert not is_push(GOOD_PUSH | {"event": junk})
        assert not is_push(typing("ann", True) | {"user_id": junk})
    if not isinstance(junk, bool):
        assert not is_push(typing("ann", True) | {"active": junk})
    assert not is_answer({"members": [], "count": 1, "version": 1, "more": True})  # then it would never end
    if junk != []:
        assert not is_answer({"members": junk, "count": 1, "version": 1})
