"""Stage ``local``: the same stack, without what the emulator does not know; what was taken out is written down."""

import json
import re
import subprocess

from localstack.ministack import ENVIRONMENT
from shared.contract import METADATA_REMOVED
from tests.infra.template import Synthesised, values_of

_ONLY_HERE = ("Archive", "Canary", "Executions", "FunctionsCanary")
_RESPONSES = ("AWS::ApiGatewayV2::RouteResponse", "AWS::ApiGatewayV2::IntegrationResponse")
# The pinned emulator's own check of a template, which it does before it makes anything.
_CHECK = """
import json, sys
from ministack.services.cloudformation.engine import validate_template_support
try:
    validate_template_support(json.load(sys.stdin), {})
except ValueError as refusal:
    print(refusal)
"""


def _refusal(stage: Synthesised) -> str:
    done = subprocess.run(
        [ENVIRONMENT / "bin" / "python", "-c", _CHECK],
        input=json.dumps(stage.document),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_the_emulator_takes_the_template(local: Synthesised) -> None:
    assert _refusal(local) == ""


def test_the_emulator_would_refuse_the_template_of_aws(dev: Synthesised) -> None:
    assert _refusal(dev) == f"Template format error: Unrecognized resource types: [{', '.join(sorted(_RESPONSES))}]"


def test_what_was_taken_out_stands_in_the_metadata(dev: Synthesised, local: Synthesised) -> None:
    removed = local.document["Metadata"][METADATA_REMOVED]
    left_out = [
        {"Type": kind, "Properties": {name: value for name, value in properties.items() if name != "ApiId"}}
        for kind in _RESPONSES
        for properties in dev.of_type(kind).values()
    ]
    assert len(left_out) == 3
    assert sorted(removed, key=json.dumps) == sorted(left_out, key=json.dumps)


def test_everything_else_is_there_but_the_alarms_topic_and_the_examples(dev: Synthesised, local: Synthesised) -> None:
    on_aws = sorted(name for name in _names(dev) if name[1] not in _RESPONSES and not name[0].startswith("Alarms"))
    assert on_aws == sorted(name for name in _names(local) if not name[0].startswith(_ONLY_HERE))


def test_no_function_may_loop(dev: Synthesised, local: Synthesised) -> None:
    assert list(values_of("RecursiveLoop", dev.document)) == ["Allow", "Allow"]
    assert list(values_of("RecursiveLoop", local.document)) == []


def test_what_was_taken_out_is_referred_to_by_nothing(dev: Synthesised, local: Synthesised) -> None:
    gone = {logical_id for kind in _RESPONSES for logical_id in dev.of_type(kind)}
    assert not gone & {name for value in values_of("DependsOn", local.document) for name in value}
    assert not gone & {name for name in values_of("Ref", local.document) if isinstance(name, str)}


def _names(stage: Synthesised) -> list[tuple[str, str]]:
    """Return logical ids, without the stack's name and the hashes of it, and types."""
    return [
        (re.sub(r"TidewireDev|TidewireLocal|[0-9A-F]{8}", "", logical_id), resource["Type"])
        for logical_id, resource in stage.document["Resources"].items()
    ]


def test_the_functions_that_go_first_on_a_laptop_have_these_names(local: Synthesised) -> None:
    """The emulator's workers know their function by the name that CloudFormation makes of its logical id."""
    started = (ENVIRONMENT.parent / "site" / "sitecustomize.py").read_text()
    names = re.findall(r'"(Functions[A-Z]\w+)"', started)
    ids = [local.function_ids[name] for name in ("publish_worker", "fan_out")]
    assert [name for name, logical_id in zip(names, ids, strict=True) if not logical_id.startswith(name)] == []
