"""``doctor``: a healthy deployment is well, and of a sick one it says which part is."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.client.cli.conftest import Ended, Little, Run
from tests.unit.client.cli.server import CONFIG, Answer, tidewire
from tests.unit.stack import MemoryStack, lane_record
from tidewire.cli.deployment import Deployment
from tidewire.cli.doctor.command import STEPS, examine
from tidewire.cli.doctor.findings import Finding
from tidewire.cli.doctor.patient import Patient
from tidewire.cli.output import Output

WAYS = ("websocket", "sse", "stream", "long_poll", "short_poll")
# The memory has no secret store to be reached, and no dead letters.
NOT_IN_MEMORY = {"dependencies", "dead letters"}


def found(ended: Ended) -> dict[str, dict[str, Any]]:
    """Return what each step has found."""
    assert "Traceback" not in ended.err
    return {step["step"]: step for step in json.loads(ended.out)["steps"] if step["step"] not in NOT_IN_MEMORY}


def faults(ended: Ended) -> dict[str, dict[str, Any]]:
    return {name: step for name, step in found(ended).items() if step["outcome"] == "fault"}


def doctor(run: Run) -> Ended:
    with tidewire() as (url, _):
        return run("doctor", url, "--json")


def take(drain: Callable[[MemoryStack], None], *names: str) -> dict[str, Finding]:
    """Take these steps alone, with little patience: what does not come is waited for. Return what each finds."""
    needed = {"alive", "configuration", "who", *names}
    with tidewire(drain=drain) as (url, _), Deployment(url, admin=True) as deployment:
        steps = [step for step in STEPS if step.name in needed]
        found = asyncio.run(examine(Patient(deployment, 1), Output(as_json=True), steps))
    return {finding.step: finding for finding in found}


def test_names_of_steps_are_as_wide_as_their_column() -> None:
    assert max(len(step.name) for step in STEPS) == 20


def test_a_healthy_deployment_is_well(run: Run) -> None:
    steps = found(doctor(run))
    assert {name: step["outcome"] for name, step in steps.items()} == dict.fromkeys(steps, "ok")
    assert {f"transport {way}" for way in WAYS} <= set(steps)
    assert steps["priority low"]["detail"] == "accepted, stored, pushed"
    assert steps["presence"]["detail"] == "two users saw each other come and go"


def test_what_is_accepted_and_not_stored_is_the_workers() -> None:
    def without_worker(stack: MemoryStack) -> None:
        stack.lanes.sent.clear()
        stack.drain()

    well = ("priority express", "ephemeral", "documents")
    findings = take(without_worker, "priority high", "recovery", *well)
    fault = findings["priority high"]
    assert (fault.outcome, fault.detail) == ("fault", "accepted, but not stored")
    assert fault.look_at is not None and "publish_worker's log" in fault.look_at and "lane high" in fault.look_at
    assert {findings[name].outcome for name in well} == {"ok"}
    assert findings["recovery"].outcome == "fault"


def test_what_is_stored_and_not_pushed_is_the_buses() -> None:
    def without_fan_out(stack: MemoryStack) -> None:
        records = [
            lane_record(message.publication, message.channel, record_id=str(index), lane=lane)
            for index, (lane, message) in enumerate(stack.lanes.sent)
        ]
        stack.lanes.sent.clear()
        if records:
            stack.worker.work(records)
        stack.bus.broadcasts.clear()

    well = ("priority express", "recovery", "documents")
    findings = take(without_fan_out, "priority low", "ephemeral", *well)
    fault = findings["priority low"]
    assert (fault.outcome, fault.detail) == ("fault", "accepted and stored, but not pushed")
    assert fault.look_at is not None and "fan_out's log" in fault.look_at
    assert findings["ephemeral"].detail == "accepted, but not pushed"
    assert {findings[name].outcome for name in well} == {"ok"}


def test_what_the_token_does_not_allow_is_no_fault(run: Run) -> None:
    with tidewire() as (url, stack):
        token = stack.token("ann", {"room:*": ["subscribe", "publish", "history"]})
        ended = run("doctor", url, "--json", "--patience", "2s", "--token", token)
    steps = found(ended)
    assert faults(ended) == {}
    assert steps["priority normal"]["outcome"] == "ok"
    for name in ("presence", "documents", "commands of peers"):
        assert (steps[name]["outcome"], "does not allow" in steps[name]["detail"]) == ("skipped", True)


def test_a_token_that_is_not_taken_is_one_fault(run: Run) -> None:
    with tidewire() as (url, _):
        ended = run("doctor", url, "--json", "--patience", "2s", "--token", "a.b.c")
    assert (ended.code, list(faults(ended))) == (6, ["who"])


def test_no_token_is_one_fault(run: Run) -> None:
    with tidewire("prod") as (url, _):
        ended = run("doctor", url, "--json", "--patience", "2s")
    assert (ended.code, list(faults(ended))) == (6, ["who"])
    assert "--token" in faults(ended)["who"]["detail"]


def test_nothing_there_is_told_and_ends_soon(run: Run) -> None:
    ended = run("doctor", "http://127.0.0.1:1", "--patience", "1s")
    assert ended.code == 6
    assert [line.split("\t")[:2] for line in ended.lines][:3] == [
        ["fault", "alive"],
        ["fault", "dependencies"],
        ["skipped", "configuration"],
    ]
    assert "can't be reached" in ended.lines[0]
    assert "expected: an answer of /healthz; look at: the URL" in ended.lines[0]
    assert len(ended.err.splitlines()) == 1


def test_something_else_there_is_told(run: Run, little: Little) -> None:
    little.otherwise = Answer("<html>It works!</html>", 200, {"Content-Type": "text/html"})
    ended = run("doctor", "--json", "--patience", "1s")
    assert (ended.code, faults(ended)["alive"]["detail"]) == (6, "200 text/html")


def test_a_dependency_that_is_not_reached_is_named(run: Run, little: Little) -> None:
    little.answers[("GET", "/readyz")] = Answer(
        {"status": "unavailable", "checks": {"streams": "ok", "tokens": "Denied"}}, 503
    )
    steps = {step["step"]: step for step in json.loads(run("doctor", "--json", "--patience", "1s").out)["steps"]}
    assert (steps["dependencies"]["detail"], "all of streams, tokens" in steps["dependencies"]["expected"]) == (
        "tokens: Denied",
        True,
    )


def test_dead_letters_that_wait_are_a_fault(run: Run, little: Little) -> None:
    queues = [{"queue": "high", "waiting": 3}, {"queue": "low", "waiting": 0}]
    little.answers |= {
        ("GET", "/healthz"): Answer({"status": "ok"}),
        ("GET", "/v1/config"): Answer(CONFIG),
        ("GET", "/v1/dead-letters"): Answer({"queues": queues}),
        ("GET", "/v1/commands"): Answer({"commands": []}),
    }
    ended = run("doctor", "--json", "--patience", "1s", "--api-key", "k")
    steps = {step["step"]: step for step in json.loads(ended.out)["steps"]}
    assert (steps["dead letters"]["outcome"], steps["dead letters"]["detail"]) == ("fault", "high: 3")
    assert "tidewire redrive" in steps["dead letters"]["look_at"]
    assert steps["priority high"]["detail"] == "needs a user's token, not an API key"


@pytest.mark.parametrize(
    ("config", "came"),
    [
        ({**CONFIG, "stream_url": "http://h", "websocket_url": "http://h/v1/ws"}, "http://h/v1/ws"),
        ({**CONFIG, "stream_url": None}, "None"),
        ({**CONFIG, "stream_url": "http://h", "transports": ["pigeon"]}, "['pigeon']"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_a_fault(run: Run, little: Little, config: Any, came: str) -> None:
    little.answers |= {("GET", "/healthz"): Answer({"status": "ok"}), ("GET", "/v1/config"): Answer(config)}
    assert faults(run("doctor", "--json", "--patience", "1s"))["configuration"]["detail"] == came


def test_the_url_is_given_once(run: Run) -> None:
    assert run("doctor", "http://127.0.0.1:1", "--url", "http://127.0.0.1:1").code == 2
