"""The functions: what runs them, what they are told, where their logs go."""

import ast
from dataclasses import dataclass
from typing import Final

import pytest

from infra.stage import stage_config
from shared import contract
from tests.infra.template import CANARY, EDGE_URL, FUNCTIONS, HANDLERS, ROOT, STATEFUL, STREAM, Synthesised, text

_COMMON: Final = {
    contract.ENV_LIMITS,
    contract.ENV_LOGGED_SHARE,
    contract.ENV_STAGE,
    contract.ENV_GENERATION,
    "POWERTOOLS_LOG_LEVEL",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_SERVICE_NAME",
    "PYDANTIC_DISABLE_PLUGINS",
}
_PUBLISH: Final = {*contract.ENV_LANE_URLS.values(), contract.ENV_EVENT_BUS_NAME, contract.ENV_LIMITS_TABLE}
_PUSH: Final = {contract.ENV_CONNECTIONS_ENDPOINT, contract.ENV_DELIVERY_QUEUE_URL}
_PRESENCE: Final = {contract.ENV_PRESENCE_TABLE, contract.ENV_LOOK_QUEUE_URL}


@dataclass(frozen=True)
class _Expected:
    timeout_s: int
    told: set[str]
    memory_mb: int = 1024
    layer: str = "functions"


_EXPECTED: Final = {
    CANARY: _Expected(
        60,
        {contract.ENV_WEBSOCKET_URL, contract.ENV_HTTP_URL, contract.ENV_TOKEN_SECRET_ARN},
        memory_mb=512,
        layer="canary",
    ),
    "event_publish": _Expected(
        10,
        {
            contract.ENV_CONNECTIONS_TABLE,
            contract.ENV_STREAMS_TABLE,
            contract.ENV_EVENT_DEAD_LETTERS_URL,
            *_PUBLISH,
            *_PUSH,
            *_PRESENCE,
        },
        memory_mb=512,
        layer="publish",
    ),
    "fan_out": _Expected(
        60,
        {
            contract.ENV_CONNECTIONS_TABLE,
            contract.ENV_STREAMS_TABLE,
            contract.ENV_PUSH_RATE_PER_S,
            *_PUSH,
            *_PRESENCE,
        },
    ),
    "http_api": _Expected(
        29,
        {
            contract.ENV_CONNECTIONS_TABLE,
            contract.ENV_STREAMS_TABLE,
            contract.ENV_STATE_TABLE,
            *_PRESENCE,
            contract.ENV_TOKEN_SECRET_ARN,
            contract.ENV_HTTP_URL,
            contract.ENV_WEBSOCKET_URL,
            contract.ENV_STREAM_URL,
            contract.ENV_DEMO,
            contract.ENV_DEADLINE_QUEUE_URL,
            *_PUBLISH,
            *_PUSH,
            *contract.ENV_DEAD_LETTER_URLS.values(),
            contract.ENV_EVENT_QUEUE_URL,
            contract.ENV_EVENT_DEAD_LETTERS_URL,
        },
        layer="http",
    ),
    "http_stream": _Expected(
        150,
        {
            contract.ENV_CONNECTIONS_TABLE,
            contract.ENV_STREAMS_TABLE,
            contract.ENV_LIMITS_TABLE,
            contract.ENV_DEADLINE_QUEUE_URL,
            *_PRESENCE,
            contract.ENV_TOKEN_SECRET_ARN,
            contract.ENV_EVENT_BUS_NAME,
            contract.ENV_STREAM_MAX_AGE_S,
            "AWS_LAMBDA_EXEC_WRAPPER",
            "AWS_LWA_INVOKE_MODE",
            "AWS_LWA_PORT",
            "AWS_LWA_READINESS_CHECK_PATH",
        },
        memory_mb=256,
        layer="stream",
    ),
    "janitor": _Expected(
        60,
        {
            contract.ENV_CONNECTIONS_TABLE,
            contract.ENV_CONNECTIONS_ENDPOINT,
            contract.ENV_EVENT_BUS_NAME,
            contract.ENV_DEADLINE_QUEUE_URL,
            *_PRESENCE,
        },
        memory_mb=512,
    ),
    "presence": _Expected(15, {contract.ENV_STREAMS_TABLE, contract.ENV_EVENT_BUS_NAME, *_PRESENCE}, memory_mb=512),
    "publish_worker": _Expected(
        5,
        {
            contract.ENV_STREAMS_TABLE,
            contract.ENV_EVENT_BUS_NAME,
            *contract.ENV_LANE_URLS.values(),
            *contract.ENV_DEAD_LETTER_URLS.values(),
        },
    ),
    "ws_connect": _Expected(
        10,
        {
            contract.ENV_CONNECTIONS_TABLE,
            contract.ENV_LIMITS_TABLE,
            contract.ENV_DEADLINE_QUEUE_URL,
            contract.ENV_ALLOWED_ORIGINS,
        },
    ),
    "ws_disconnect": _Expected(10, {contract.ENV_CONNECTIONS_TABLE, *_PRESENCE}, memory_mb=512),
    "ws_message": _Expected(
        28,
        {
            contract.ENV_CONNECTIONS_TABLE,
            contract.ENV_STREAMS_TABLE,
            contract.ENV_STATE_TABLE,
            *_PRESENCE,
            contract.ENV_TOKEN_SECRET_ARN,
            contract.ENV_DEADLINE_QUEUE_URL,
            *_PUBLISH,
            *_PUSH,
        },
        layer="publish",
    ),
}


def test_every_folder_with_a_handler_is_deployed(stage: Synthesised) -> None:
    assert sorted(_EXPECTED) == FUNCTIONS
    assert sorted(stage.function_ids) == [name for name in FUNCTIONS if (stage.name, name) != ("dev", CANARY)]
    stage.template.resource_count_is("AWS::Lambda::Function", len(stage.functions))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_runs_on_arm64_and_python_3_13(stage: Synthesised, name: str) -> None:
    function = stage.function(name)
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert (function["Timeout"], function["MemorySize"]) == (_EXPECTED[name].timeout_s, _EXPECTED[name].memory_mb)


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_string_leads_to_a_function_in_a_file(stage: Synthesised, name: str) -> None:
    module, _, attribute = stage.function(name)["Handler"].rpartition(".")
    file = stage.asset(name) / f"{module.replace('.', '/')}.py"
    defined = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert file.relative_to(stage.asset(name)) == (ROOT / "functions" / name / "handler.py").relative_to(ROOT)
    assert attribute in defined


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_told_what_it_needs_and_no_more(stage: Synthesised, name: str) -> None:
    anonymous = {contract.ENV_ANONYMOUS} if (stage.name, name) == ("local", "http_api") else set()
    assert set(stage.environment(name)) == _COMMON | _EXPECTED[name].told | anonymous


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_told_its_stage(stage: Synthesised, name: str) -> None:
    environment = stage.environment(name)
    assert {key: environment[key] for key in _COMMON} == {
        contract.ENV_STAGE: stage.name,
        contract.ENV_GENERATION: "1",
        contract.ENV_LIMITS: stage_config(stage.name, edge_url="http://localhost").limits.to_json(),
        contract.ENV_LOGGED_SHARE: "0.01" if stage.name == "prod" else "1.0",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_METRICS_NAMESPACE": contract.METRICS_NAMESPACE,
        "POWERTOOLS_SERVICE_NAME": contract.SERVICE_NAME,
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_names_lead_to_the_right_resources(stage: Synthesised, name: str) -> None:
    resources = {
        contract.ENV_CONNECTIONS_TABLE: "connections",
        contract.ENV_STREAMS_TABLE: "streams",
        contract.ENV_STATE_TABLE: "state",
        contract.ENV_PRESENCE_TABLE: "presence",
        contract.ENV_LIMITS_TABLE: "limits",
        contract.ENV_EVENT_QUEUE_URL: "event queue",
        contract.ENV_EVENT_DEAD_LETTERS_URL: "event queue's dead letters",
        contract.ENV_DELIVERY_QUEUE_URL: "delivery queue",
        contract.ENV_DEADLINE_QUEUE_URL: "deadline queue",
        contract.ENV_EVENT_BUS_NAME: "bus",
        contract.ENV_TOKEN_SECRET_ARN: "token secret",
        **{variable: f"{lane} lane" for lane, variable in contract.ENV_LANE_URLS.items()},
        **{variable: f"{lane} lane's dead letters" for lane, variable in contract.ENV_DEAD_LETTER_URLS.items()},
    }
    for variable, value in stage.environment(name).items():
        if variable in resources:
            assert value == f"${{{STATEFUL[resources[variable]]}}}"


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_on_aws_urls_are_those_of_the_apis(request: pytest.FixtureRequest, name: str) -> None:
    stage: Synthesised = request.getfixturevalue(name)
    told = stage.environment("http_api")
    host = "${WebsocketApiD2C932E4}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1"
    assert told[contract.ENV_WEBSOCKET_URL] == f"wss://{host}"
    assert told[contract.ENV_CONNECTIONS_ENDPOINT] == f"https://{host}"
    assert told[contract.ENV_HTTP_URL] == "${HttpApi4E1D4184.ApiEndpoint}"


def test_locally_urls_are_those_of_the_edge(local: Synthesised) -> None:
    told = local.environment("http_api")
    assert told[contract.ENV_WEBSOCKET_URL] == f"{EDGE_URL.replace('http:', 'ws:')}/v1/ws"
    assert told[contract.ENV_CONNECTIONS_ENDPOINT] == told[contract.ENV_HTTP_URL] == EDGE_URL


@pytest.mark.parametrize(("name", "days"), [("local", 7), ("dev", 7), ("prod", 30)])
def test_logs_go_to_a_group_of_the_functions_own_and_are_forgotten(
    request: pytest.FixtureRequest, name: str, days: int
) -> None:
    stage: Synthesised = request.getfixturevalue(name)
    groups = stage.of_type("AWS::Logs::LogGroup")
    assert {properties["RetentionInDays"] for properties in groups.values()} == {days}
    used = [text(stage.function(function)["LoggingConfig"]["LogGroup"]) for function in stage.functions]
    # The one that is left is the HTTP API's: test_apis.py.
    assert sorted(used) == sorted(f"${{{name}}}" for name in groups if not name.startswith("HttpAccessLogs"))


def test_only_who_puts_work_off_may_go_round_in_a_loop(dev: Synthesised) -> None:
    assert {name: dev.function(name).get("RecursiveLoop") for name in dev.functions} == {
        name: "Allow" if name in ("fan_out", "presence") else None for name in dev.functions
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_the_layer_with_its_packages(stage: Synthesised, name: str) -> None:
    layer, *others = stage.function(name)["Layers"]
    assert len(others) == (name == STREAM)
    description = stage.of_type("AWS::Lambda::LayerVersion")[layer["Ref"]]["Description"]
    assert description == f"Third-party packages: dependency group {_EXPECTED[name].layer} of pyproject.toml"
