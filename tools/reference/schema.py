"""JSON Schemas as pydantic writes them, in the words of a reference."""

from collections.abc import Mapping
from typing import Any, Final

from tools.reference.markdown import code, prose, table

Schema = Mapping[str, Any]
_WHOLE_MAX: Final = 2**53 - 1  # a bound that JSON's numbers have anyway
_NAMES: Final = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}


def definition(name: str, schema: Schema, level: int = 3) -> str:
    """Return a definition with its fields."""
    return "\n".join([f"{'#' * level} {name}\n", described(schema), fields(schema)])


def described(schema: Schema) -> str:
    """Return what a model's docstring says."""
    return prose(schema.get("description", ""))


def fields(schema: Schema) -> str:
    """Return the table of an object's fields."""
    needed, properties = schema.get("required", ()), schema.get("properties", {})
    names = [*(name for name in ("type", "id") if name in properties), *properties]
    rows = ((code(name if name in needed else f"{name}?"), kind(properties[name])) for name in dict.fromkeys(names))
    return table(("field", "is"), rows)


def kind(schema: Schema) -> str:
    """Return what a value is."""
    default = schema.get("default")
    if default in (None, [], {}):
        return _kind(schema)
    return f"{_kind(schema)}; {code(_literal(default))} unless given"


def _kind(schema: Schema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_kind(one) for one in schema[several] if one.get("type") != "null")
    if "const" in schema:
        return code(_literal(schema["const"]))
    if "enum" in schema:
        return " or ".join(code(_literal(one)) for one in schema["enum"])
    match schema.get("type"):
        case None:
            return "any JSON"
        case "array":
            return f"array of {_count(schema, 'Items')}{_kind(schema.get('items', {}))}"
        case "object":
            return _object(schema)
        case "string":
            return "text" + _length(schema)
        case other:
            return _NAMES[other] + _range(schema)


def _object(schema: Schema) -> str:
    below: list[Any] = list(schema.get("patternProperties", {}).values())
    extra = schema.get("additionalProperties")
    below += [extra] if isinstance(extra, Mapping) else []
    count = _count(schema, "Properties")
    return f"object of {count}name: {_kind(below[0])}" if below else "object"


def _count(schema: Schema, what: str) -> str:
    low, high = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    if high is None:
        return ""
    return f"{low} to {high:,} " if low else f"at most {high:,} "


def _length(schema: Schema) -> str:
    low, high = schema.get("minLength", 0), schema.get("maxLength")
    if high is None:
        return ""
    return f", {low} to {high:,} characters" if low else f", at most {high:,} characters"


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    low, high = (None if bound is None or abs(bound) == _WHOLE_MAX else bound for bound in (low, high))
    if low is None and high is None:
        return ""
    if high is None:
        return f", at least {low:,}"
    return f", at most {high:,}" if low is None else f", {low:,} to {high:,}"


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
