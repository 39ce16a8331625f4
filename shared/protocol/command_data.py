"""What goes into commands and comes out, by the models of their signatures."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from shared.domain.commands import Command
from shared.errors import ConfigError
from shared.protocol.decode import invalid_fields
from shared.protocol.encode import to_json


def read_input(model: type[BaseModel], data: Any) -> BaseModel:
    """Return what a client sent as the command's input.

    Raises:
        InvalidFieldError: It does not fit. As in frames, nothing of what was sent is repeated.
    """
    try:
        # As JSON: a strict model takes text for a date there, as it has to come.
        return model.model_validate_json(to_json(data))
    except ValidationError as error:
        issues = error.errors(include_input=False, include_url=False)
        raise invalid_fields((_path(model, issue), _problem(issue)) for issue in issues) from None


def write_output(model: type[BaseModel], value: Any) -> Any:
    """Return what a handler returned as JSON.

    Raises:
        ValueError: It does not fit the command's output, or is no JSON.
    """
    checked = value if isinstance(value, model) else model.model_validate(value)
    # An instance may have been made without validation: what does not fit shows here.
    return from_json(to_json(checked.model_dump(mode="json", by_alias=True, warnings="error")))


def described(command: Command) -> dict[str, Any]:
    """Return what ``GET /v1/commands`` says of a command.

    Raises:
        ConfigError: There is no JSON Schema for one of its models.
    """
    try:
        schemas = {
            "input": command.input.model_json_schema(mode="validation"),
            "output": command.output.model_json_schema(mode="serialization"),
        }
    except Exception as error:  # pydantic has several for this
        raise ConfigError(f"command {command.name!r}: {str(error).splitlines()[0]}") from error
    return {"name": command.name, "description": command.description, "timeout_ms": command.timeout_ms, **schemas}


def _problem(issue: ErrorDetails) -> str:
    # Where pydantic's words have a text beside what the model says, it is the client's or of it: a tag, a broken UUID.
    # What a model's own validator says is the model's.
    context = issue.get("ctx", {})
    if any(isinstance(context.get(key), str) for key in ("tag", "error")):
        return issue["type"].replace("_", " ")
    return issue["msg"]


def _path(model: type[BaseModel], issue: ErrorDetails) -> str:
    ours = _field_names(model)
    return ".".join(["data", *(str(step) for step in issue["loc"] if isinstance(step, int) or step in ours)])


@cache
def _field_names(model: type[BaseModel]) -> frozenset[str]:
    """Return what the model and those in it call fields: all else in a path may be a key of the client's."""
    return frozenset(_properties(model.model_json_schema()))


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(properties := schema.get("properties"), Mapping):
            yield from properties
        for value in schema.values():
            yield from _properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _properties(value)
