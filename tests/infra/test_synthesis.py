"""From a context to a stack: stages, mistakes and how they are told, outputs, and the CDK CLI with no account."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared import contract
from tests.infra.conftest import Synthesise
from tests.infra.template import CANARY, EDGE_URL, EXAMPLES, ROOT, STATEFUL, Synthesised, ref, text


def test_an_unknown_stage_is_told_with_those_there_are() -> None:
    from infra.stage import stage_config

    with pytest.raises(
        SystemExit, match=r"^stage 'staging' is unknown: STAGE=, or cdk's -c stage=, takes local, dev, prod$"
    ):
        stage_config("staging", edge_url=None)


def test_stage_local_must_be_told_where_its_edge_is() -> None:
    from infra.stage import stage_config

    with pytest.raises(SystemExit, match=r"^stage local needs -c edge_url=http://127\.0\.0\.1:PORT"):
        stage_config("local", edge_url=None)


def test_a_stage_on_aws_has_no_edge() -> None:
    from infra.stage import stage_config

    assert stage_config("dev", edge_url=EDGE_URL).edge_url is None


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what is synthesised, to make mistakes in."""
    for folder in ("infra", "shared", "functions"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("app.py", "channels.toml", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def _complaint(project: Path) -> str:
    """Synthesise, which fails; return the one line that says why."""
    environment = {**os.environ, "CDK_CONTEXT_JSON": json.dumps({"stage": "dev", "aws:cdk:bundling-stacks": []})}
    done = subprocess.run(
        [sys.executable, "-B", "app.py"], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_banner, last = done.stderr.splitlines()
    return last


def test_a_mistake_in_channels_toml_ends_the_synthesis_with_its_line(project: Path) -> None:
    (project / "channels.toml").write_text("[defaults]\n\nhistroy_count = 1\n")
    assert _complaint(project).startswith("channels.toml:3: defaults.histroy_count: unknown; there are history_count,")


def test_a_mistake_in_a_schema_ends_the_synthesis_with_its_place(project: Path) -> None:
    processor = project / "functions" / "processors" / "validate_schema.py"
    empty = "SCHEMAS: Final[Mapping[str, Schema | str]] = {}"
    source = processor.read_text()
    assert source.count(empty) == 1
    processor.write_text(source.replace(empty, empty.replace("{}", "{'orders:*': {'minLength': 'x'}}")))
    assert _complaint(project).startswith("functions/processors: schema of 'orders:*': /minLength: ")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('@command("dice.roll", ', '@command("dice roll", ', "command 'dice roll': a name has 1 to 100 characters"),
        ('@command("dice.roll", ', '@command("history.search", ', "command 'history.search': two have this name"),
        (") -> RollOutput:", "):", "command 'dice.roll': what it returns must be annotated with a pydantic model"),
        ("    rolls: list[int]", "    rolls: __import__('typing').Callable", "command 'dice.roll': "),
    ],
)
def test_a_mistake_in_a_command_ends_the_synthesis_with_its_name(project: Path, old: str, new: str, told: str) -> None:
    dice = project / "functions" / "commands" / "dice.py"
    source = dice.read_text()
    assert source.count(old) == 1
    dice.write_text(source.replace(old, new))
    assert _complaint(project).startswith(f"functions/commands: {told}")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("limits=StageLimits(subscriptions=500)", "limits.subscriptions: must be a whole number from 1 to 128"),
        ("limits=StageLimits(pending=0)", "limits.pending: must be a whole number from 1 to 100,000"),
        ("allowed_origins=('https://a.org/',)", "allowed_origins: 'https://a.org/': write scheme://host[:port]"),
        ("cloudfront=CloudFront(domain='rt.example.org')", "cloudfront: domain and certificate_arn go together"),
        ("anonymous={'*': ['admin']}", "anonymous: whoever comes by would be an admin"),
    ],
)
def test_a_mistake_in_a_stage_ends_the_synthesis_with_its_name(project: Path, setting: str, told: str) -> None:
    _set(project, setting)
    assert _complaint(project).startswith(f"infra/stage.py: stage dev: {told}")


@pytest.mark.timeout(300)  # synthesises all of it
def test_an_environment_that_lambda_would_not_take_ends_it_too(project: Path) -> None:
    _set(project, "allowed_origins=tuple(f'https://{n}.example.org' for n in range(200))")
    assert _complaint(project).startswith("infra/stage.py: stage dev: the environment of FunctionsWsConnect")


def _set(project: Path, setting: str) -> None:
    stage = project / "infra" / "stage.py"
    source, old = stage.read_text(), 'StageConfig("dev", demo=True'
    assert source.count(old) == 1
    stage.write_text(source.replace(old, f"{old}, {setting}"))


@pytest.mark.parametrize(
    ("origin", "good"),
    [
        ("*", True),
        ("https://chat.example.org", True),
        ("http://localhost:8080", True),
        ("https://[2001:db8::1]:8443", True),
        ("capacitor://localhost", True),
        ("https://xn--bcher-kva.example", True),
        ("", False),
        ("null", False),
        ("example.org", False),
        ("//example.org", False),
        ("https://", False),
        ("https://example.org/", False),
        ("https://example.org/chat", False),
        ("https://example.org:443", False),
        ("http://example.org:80", False),
        ("https://Example.org", False),
        ("https://bücher.example", False),
        ("https://*.example.org", False),
        ("https://ann@example.org", False),
        ("https://example.org\n", False),
        ("https://example.org,https://example.com", False),
        ("https://example.org:", False),
    ],
)
def test_an_origin_is_what_browsers_send(origin: str, good: bool) -> None:
    from infra.stage import is_origin

    assert is_origin(origin) is good


def test_who_deploys_for_good_is_warned_of_every_origin(synthesise: Synthesise) -> None:
    def warned(stage: str) -> bool:
        files = synthesise(stage).assembly.glob("*.json")
        return any("[ack: tidewire:AllowedOrigins]" in file.read_text() for file in files)

    assert (warned("dev"), warned("prod")) == (False, True)


def test_urls_names_and_tables_are_outputs(stage: Synthesised) -> None:
    outputs = {name: text(output["Value"]) for name, output in stage.document["Outputs"].items()}
    told = stage.environment("http_api")
    assert outputs == {
        contract.OUTPUT_WEBSOCKET_URL: told[contract.ENV_WEBSOCKET_URL],
        contract.OUTPUT_HTTP_URL: told[contract.ENV_HTTP_URL],
        contract.OUTPUT_BARE_HTTP_URL: told[contract.ENV_HTTP_URL],
        contract.OUTPUT_WEBSOCKET_API_ID: "${WebsocketApiD2C932E4}",
        contract.OUTPUT_EVENT_BUS_NAME: f"${{{STATEFUL['bus']}}}",
        contract.OUTPUT_HTTP_FUNCTION: f"${{{stage.function_ids['http_api']}}}",
        contract.OUTPUT_STREAM_FUNCTION: f"${{{stage.function_ids['http_stream']}}}",
        contract.OUTPUT_TOKEN_SECRET_ARN: f"${{{STATEFUL['token secret']}}}",
        contract.OUTPUT_EVENT_DEAD_LETTERS_URL: text(ref(STATEFUL["event queue's dead letters"])),
        **{output: text(ref(STATEFUL[f"{lane} lane"])) for lane, output in contract.OUTPUT_LANE_URLS.items()},
        **{
            output: text(ref(STATEFUL[f"{lane} lane's dead letters"]))
            for lane, output in contract.OUTPUT_DEAD_LETTER_URLS.items()
        },
        **({contract.OUTPUT_ARCHIVE_QUEUE_URL: f"${{{EXAMPLES['archive']}}}"} if stage.name == "local" else {}),
        contract.OUTPUT_DASHBOARD_NAME: text(ref(*stage.of_type("AWS::CloudWatch::Dashboard"))),
        **({contract.OUTPUT_CANARY_FUNCTION: text(ref(canary))} if (canary := stage.function_ids.get(CANARY)) else {}),
        **{
            output: f"${{{STATEFUL[variable.removesuffix('_TABLE').lower()]}}}"
            for variable, output in contract.OUTPUT_TABLE_NAMES.items()
        },
    }


@pytest.mark.timeout(300)  # installs the layers, from the network the first time
def test_the_cdk_cli_synthesises_as_it_stands_without_an_account(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # Nor one that stands in the files of who runs this.
    environment |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    command = [str(ROOT / "node_modules" / ".bin" / "cdk"), "synth", "--quiet", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "TidewireDev.template.json").is_file()
    # CloudFormation's own checks, which are mere warnings to the CLI.
    assert json.loads((tmp_path / "validation-report.json").read_text())["pluginReports"] == []
