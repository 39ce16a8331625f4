"""Logs and metrics: what failed and where, never what anybody said."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from shared.adapters.aws import translated
from shared.adapters.telemetry import EmfMetrics, LoggedTrail, channel_failure, failure, flush, observed
from shared.domain.correlation import note
from shared.errors import DependencyError, NewerSchemaError
from tests.unit.conftest import Log

CONTEXT = SimpleNamespace(aws_request_id="request-1")
FOLLOWED, LEFT_OUT = "00" + "f" * 14, "04" + "f" * 14  # below and above a hundredth


def raised(error: BaseException) -> BaseException:
    """Return the error with a traceback and a cause, both of which quote what nobody may read."""
    try:
        try:
            raise ValueError("HUSH, the cause")
        except ValueError as cause:
            raise error from cause
    except BaseException as caught:
        caught.add_note("HUSH, a note")
        return caught


def test_a_failure_is_told_by_its_kind_and_place_and_not_by_its_text(log: Log) -> None:
    try:
        raise raised(RuntimeError("HUSH"))
    except RuntimeError as error:  # as every caller does: the logger could ask Python for the text now
        failure(error, attempt=3)
    (line,) = log.lines()
    assert (line["level"], line["error"], line["attempt"]) == ("ERROR", "RuntimeError", 3)
    assert line["places"][-1].startswith("test_telemetry.py:")
    assert "HUSH" not in log.text()


def test_of_what_is_too_new_place_and_kind_are_told_and_nobody_is_named(log: Log) -> None:
    failure(NewerSchemaError("presence", "READ#room:HUSH HUSH", 2, understood=1))
    failure(NewerSchemaError("streams", "user:HUSH#e 1", 2, understood=1))
    told = [(line["error"], line["place"], line["kind"], line["schema_version"]) for line in log.lines()]
    assert told == [("NewerSchemaError", "presence", "READ", 2), ("NewerSchemaError", "streams", "user", 2)]
    assert "HUSH" not in log.text()


def test_of_a_long_way_the_last_steps_are_told(log: Log) -> None:
    def dig(depth: int) -> None:
        if depth:
            dig(depth - 1)
        raise RuntimeError

    with pytest.raises(RuntimeError) as caught:
        dig(50)
    failure(caught.value)
    assert len(log.lines()[0]["places"]) == 8


def test_aws_codes_are_told_and_its_messages_are_not(log: Log) -> None:
    failure(raised(ClientError({"Error": {"Code": "ValidationException", "Message": "HUSH"}}, "PutItem")))
    assert log.lines()[0]["aws_code"] == "ValidationException"


def test_so_are_those_of_errors_that_were_translated(log: Log) -> None:
    try:
        with translated():
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "HUSH"}}, "PutItem")
    except DependencyError as error:
        failure(error)
    assert log.lines()[0]["aws_code"] == "AccessDeniedException"
    assert "HUSH" not in log.text()


@pytest.mark.parametrize("response", [None, "HUSH", {"Error": None}, {}])
def test_errors_with_another_response_are_told_all_the_same(log: Log, response: Any) -> None:
    error = raised(ReadTimeoutError(endpoint_url="http://HUSH"))
    error.response = response  # type: ignore[attr-defined]  # botocore's has None, other libraries' what they like
    failure(error)
    failure(ClientError({}, "HUSH"))
    assert [line["error"] for line in log.lines()] == ["ReadTimeoutError", "ClientError"]
    assert "HUSH" not in log.text()


def test_of_a_channel_only_the_namespace_is_told(log: Log) -> None:
    channel_failure("user:ann%40example.org", RuntimeError())
    assert log.lines()[0]["namespace"] == "user"
    assert "ann" not in log.text()


def test_lines_have_the_invocations_id(log: Log) -> None:
    @observed
    def handler(event: Any, _context: Any) -> Any:
        failure(RuntimeError())
        return event

    assert handler({"a": 1}, CONTEXT) == {"a": 1}
    assert handler({"a": 2}, None) == {"a": 2}
    assert [line.get("function_request_id") for line in log.lines()] == ["request-1", None]


def test_and_api_gateways_where_it_has_asked(log: Log) -> None:
    @observed
    def handler(_event: Any, _context: Any) -> None:
        failure(RuntimeError())

    handler({"requestContext": {"requestId": "r-1", "connectionId": "c-1"}}, CONTEXT)
    handler({"Records": []}, CONTEXT)
    handler(None, CONTEXT)
    assert [(line.get("request_id"), line.get("connection_id")) for line in log.lines()] == [
        ("r-1", "c-1"),
        (None, None),
        (None, None),
    ]


def test_a_failure_names_the_publications_that_it_is_about_and_no_note_of_others(log: Log) -> None:
    error = raised(RuntimeError())
    note(error, [FOLLOWED])
    failure(error)
    assert log.lines()[0]["correlation_ids"] == [FOLLOWED]
    assert "HUSH" not in log.text()


def test_steps_are_told_of_a_share_and_where_it_matters_of_all(log: Log) -> None:
    trail = LoggedTrail(0.01)
    trail.step("stored", [FOLLOWED, LEFT_OUT], offset=7)
    trail.step("stored", [LEFT_OUT])
    trail.step("given up", [LEFT_OUT], always=True, connections=2)
    trail.step("given up", [], always=True)
    assert [(line["level"], line["message"], line["correlation_ids"]) for line in log.steps()] == [
        ("INFO", "stored", [FOLLOWED]),
        ("WARNING", "given up", [LEFT_OUT]),
    ]
    assert (log.steps()[0]["offset"], log.steps()[1]["connections"]) == (7, 2)


def test_the_way_of_one_takes_as_many_bytes_as_its_price_is_reckoned_from(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
    trail = LoggedTrail(1)

    @observed
    def accept(_event: Any, _context: Any) -> None:
        trail.step("accepted", [FOLLOWED], way="normal")

    @observed
    def deliver(_event: Any, _context: Any) -> None:
        trail.step("stored", [FOLLOWED], way="normal", offset=123_456, repeats=0)
        trail.step("pushed", [FOLLOWED], delivered=20, gone=0, left=0, attempt=0)

    context = SimpleNamespace(aws_request_id="6f1a8f1e-1c1b-4a55-9a3c-3f1f4f3d2a11")
    accept({"requestContext": {"requestId": "WsG2eGq5joEFxqw=", "connectionId": "WsG2dfi9DoECJuA="}}, context)
    deliver({}, context)
    sizes = [len(json.dumps(line, separators=(",", ":"))) for line in log.steps()]
    assert len(sizes) == 3
    assert 950 <= sum(sizes) <= 1_050  # docs/adr/0023-correlation.md


def test_metrics_are_written_when_the_invocation_ends_however_it_ends(log: Log) -> None:
    @observed
    def handler(fail: bool, _context: Any) -> None:
        EmfMetrics().count("Requests", 2)
        EmfMetrics().milliseconds("Latency", 1.5)
        assert log.metrics() == metrics_before
        if fail:
            raise RuntimeError("HUSH")

    metrics_before: list[dict[str, Any]] = []
    handler(False, CONTEXT)
    metrics_before = log.metrics()
    with pytest.raises(RuntimeError):
        handler(True, CONTEXT)
    assert [(line["Requests"], line["Latency"]) for line in log.metrics()] == [([2.0], [1.5])] * 2
    assert log.metrics()[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Tidewire"


def test_what_is_counted_is_summed_up(log: Log) -> None:
    @observed
    def handler(_event: Any, _context: Any) -> None:
        for _ in range(250):
            EmfMetrics().count("Requests")
            EmfMetrics().billed("SqsRequests", 0.5)

    handler({}, CONTEXT)
    handler({}, CONTEXT)
    assert [(line["Requests"], line["SqsRequests"]) for line in log.metrics()] == [([250.0], [125.0])] * 2


def test_what_is_billed_is_written_by_the_minute_and_all_else_by_the_second(log: Log) -> None:
    EmfMetrics().count("Requests")
    EmfMetrics().milliseconds("Latency", 1)
    EmfMetrics().billed("SqsRequests", 1)
    flush()
    (line,) = log.metrics()
    metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    resolutions = {one["Name"]: one.get("StorageResolution", 60) for one in metrics}
    assert resolutions == {"Requests": 1, "Latency": 1, "SqsRequests": 60}


def test_an_invocation_that_measured_nothing_is_billed_all_the_same(log: Log) -> None:
    context = SimpleNamespace(aws_request_id="request-1", memory_limit_in_mb="1024")
    observed(lambda _event, _context: None)({}, context)
    (line,) = log.metrics()
    assert line["LambdaRequests"] == [1]
    assert 0.001 <= line["LambdaGbSeconds"][0] < 1


def test_nothing_measured_is_nothing_written(log: Log) -> None:
    flush()
    assert log.text() == ""
