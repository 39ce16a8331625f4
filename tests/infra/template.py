"""A synthesised stage, as its tests ask about it. Wraps CDK's ``Template``; asserts nothing."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aws_cdk import Stack
    from aws_cdk.assertions import Annotations, Template

ROOT: Final = Path(__file__).resolve().parent.parent.parent
EDGE_URL: Final = "http://127.0.0.1:8181"
HANDLERS: Final = sorted(path.parent.name for path in (ROOT / "functions").glob("*/handler.py"))
# This one is the HTTP API's app once more, started by its script.
STREAM: Final = "http_stream"
FUNCTIONS: Final = sorted([*HANDLERS, STREAM])
# Stage dev does without.
CANARY: Final = "canary"

Properties = Mapping[str, Any]
# Action, resource, and the condition as JSON, or nothing.
Right = tuple[str, str, str]

# What holds data, or what somebody outside holds on to. A new id means a new, empty resource on the next deploy, and
# the old one gone: never change one there without a migration.
PINS: Final = json.loads((ROOT / "tests" / "infra" / "stateful.json").read_text())


def _ids(*stages: str) -> dict[str, str]:
    return {pin["Called"]: logical_id for stage in stages for logical_id, pin in PINS[stage].items()}


STATEFUL: Final = _ids("every stage", "prod")
# Stage local has the examples of docs/extending.md as well.
EXAMPLES: Final = {name: logical_id for name, logical_id in _ids("local").items() if name not in STATEFUL}
# Functions that publish: they have the user's processors, and what these import.
PUBLISHERS: Final = ("event_publish", "http_api", "ws_message")
# Functions that take frames: they have the user's commands.
COMMANDERS: Final = ("http_api", "ws_message")
TABLES: Final = ("connections", "streams", "state", "presence", "limits")
LANES: Final = ("high", "normal", "low")


@dataclass(frozen=True)
class Synthesised:
    """One stage's template, and the cloud assembly that it stands in."""

    name: str
    template: "Template"
    annotations: "Annotations"
    assembly: Path

    @classmethod
    def of(cls, name: str, stack: "Stack") -> "Synthesised":
        """Synthesise the stack's app."""
        from aws_cdk import App
        from aws_cdk.assertions import Annotations, Template

        template, annotations = Template.from_stack(stack), Annotations.from_stack(stack)
        app = stack.node.root
        assert isinstance(app, App)
        return cls(name, template, annotations, Path(app.outdir))

    @property
    def stateful(self) -> Mapping[str, str]:
        """Logical ids of all that holds data in this stage."""
        return STATEFUL | EXAMPLES if self.name == "local" else STATEFUL

    @cached_property
    def document(self) -> Mapping[str, Any]:
        return self.template.to_json()

    def of_type(self, resource_type: str) -> dict[str, Properties]:
        """Return the properties of each resource of the type, by logical id."""
        return {
            logical_id: resource.get("Properties", {})
            for logical_id, resource in self.document["Resources"].items()
            if resource["Type"] == resource_type
        }

    @property
    def functions(self) -> list[str]:
        """The names of our functions that the stage has."""
        return [name for name in FUNCTIONS if name in self.function_ids]

    @cached_property
    def function_ids(self) -> dict[str, str]:
        """The logical id of each function, by its name."""
        return {
            STREAM if properties["Handler"].endswith(".sh") else properties["Handler"].split(".")[1]: logical_id
            for logical_id, properties in self.of_type("AWS::Lambda::Function").items()
        }

    def function(self, name: str) -> Properties:
        return self.of_type("AWS::Lambda::Function")[self.function_ids[name]]

    def environment(self, name: str) -> dict[str, str]:
        """Return a function's environment, its references written out."""
        return {key: text(value) for key, value in self.function(name)["Environment"]["Variables"].items()}

    def granted(self, name: str) -> set[Right]:
        """Return what a function's role allows."""
        role = ref(self.function(name)["Role"]["Fn::GetAtt"][0])
        return {
            (action, text(resource), json.dumps(statement["Condition"]) if "Condition" in statement else "")
            for policy in self.of_type("AWS::IAM::Policy").values()
            if role in policy["Roles"]
            for statement in policy["PolicyDocument"]["Statement"]
            for action in listed(statement["Action"])
            for resource in listed(statement["Resource"])
        }

    def asset(self, name: str) -> Path:
        """Return the folder that becomes a function's zip."""
        return self.assembly / f"asset.{self.asset_hash(name)}"

    def asset_hash(self, name: str) -> str:
        key: str = self.function(name)["Code"]["S3Key"]
        return key.removesuffix(".zip")


def ref(logical_id: str) -> dict[str, str]:
    return {"Ref": logical_id}


def arn(logical_id: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def text(value: Any) -> str:
    """Write a value out, references as ``${Id}`` and ``${Id.Attribute}``."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(text(part) for part in parts)
        case {"Fn::Select": [index, {"Fn::Split": [separator, whole]}]}:
            return f"part {index} of {text(whole)} by {separator}"
    raise AssertionError(f"nothing here writes out {value}")


def listed(value: Any) -> list[Any]:
    """Return a list for what CloudFormation lets be one thing or many."""
    return value if isinstance(value, list) else [value]


def values_of(key: str, node: Any) -> Iterator[Any]:
    """Find every value that stands under the key, however deep."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values_of(key, value)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(key, value)
