"""docs/reference/frames.md: every request, reply and push, with the types of their fields."""

from collections.abc import Mapping
from typing import Any, Final

from tools.reference.markdown import GENERATED
from tools.reference.schema import definition, described, fields

_HEAD: Final = f"""{GENERATED}
# Frames

Every frame with the types and bounds of its fields, from the models that the server checks them with
(`shared/protocol/`). What they mean, and what answers what, is in the [protocol](../protocol.md#2-frames). The same as
JSON Schema is [frames.json](../schemas/frames.json), as AsyncAPI 3.0 [asyncapi.json](../schemas/asyncapi.json).

A `?` stands behind the name of a field that may lack. Fields that are not known are ignored.
"""


def document(schema: Mapping[str, Any]) -> str:
    """Return the page of ``frames.json``."""
    definitions = schema["$defs"]
    sections = {kind: [_name(one) for one in definitions[kind]["oneOf"]] for kind in ("Request", "Push")}
    framed = {"Reply", *sections, *sections["Request"], *sections["Push"]}
    sections["Push"].sort(key=lambda name: _type(definitions[name]))
    parts = [_HEAD]
    for kind, title in (("Request", "Requests"), ("Push", "Pushes")):
        parts += [f"## {title}\n", *(_frame(definitions[name]) for name in sections[kind])]
    parts += ["## Replies\n", described(definitions["Reply"]), fields(definitions["Reply"])]
    parts += ["## What they are made of\n"]
    parts += [definition(name, definitions[name]) for name in definitions if name not in framed]
    return "\n".join(parts)


def _frame(schema: Mapping[str, Any]) -> str:
    return definition(_type(schema), schema)


def _type(schema: Mapping[str, Any]) -> str:
    return str(schema["properties"]["type"]["const"])


def _name(reference: Mapping[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]
