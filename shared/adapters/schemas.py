"""JSON Schemas that users give for what lies in channels, by channel and name."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.domain.channel import is_pattern, matches
from shared.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

Schema = Mapping[str, Any] | bool

_MAX_PROBLEMS: Final = 10  # told of in one refusal


class Schemas:
    """Schemas are compiled once, here, and a mistake in one is told here.

    A pattern is a channel, or a prefix and ``*``; a name (of an event, of a document) may follow after a ``#``. Of
    several that apply, every one must be satisfied.
    """

    def __init__(self, schemas: Mapping[str, Schema | str], folder: Path) -> None:
        """Compile the schemas.

        Args:
            schemas: Pattern to schema, or to the name of a file in ``folder`` that has it.
            folder: Where those files are.

        Raises:
            ConfigError: A pattern or a schema is wrong.
        """
        self._rules = [_rule(key, schema, folder) for key, schema in schemas.items()]

    def check(self, channel: str, name: str, data: Any) -> None:
        """Hold data to the schemas of its channel and its name.

        Raises:
            RefusedError: It does not fit; ``details`` says where.
        """
        for rule in self._rules:
            if matches(rule.pattern, channel) and rule.name in (None, name):
                rule.check(data)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A schema and what it is for.

    Attributes:
        name: Of the events that it is for; ``None`` for all.
        members: Every name of an object's member that the schema has.
    """

    pattern: str
    name: str | None
    validator: "Validator"
    members: frozenset[str]

    def check(self, data: Any) -> None:
        if self.validator.is_valid(data):
            return
        problems = [
            {"pointer": self._pointer(error), "keyword": error.kind.name}
            for error in islice(self.validator.iter_errors(data), _MAX_PROBLEMS)
        ]
        first = problems[0]
        raise RefusedError(
            f"data does not fit its schema: {first['keyword']} at {first['pointer'] or 'its top'}",
            details={"schema": self.pattern, "problems": problems},
        )

    def _pointer(self, error: "ValidationError") -> str:
        """Return where the error is, as a JSON pointer (RFC 6901).

        It ends before a name that the schema does not have: that one is the sender's, and errors repeat nothing of
        theirs. That a member is missing is told of the member.
        """
        steps = list(error.instance_path)
        missing = error.kind.as_dict().get("property") if error.kind.name == "required" else None
        if missing is not None:
            steps.append(missing)
        pointer = ""
        for step in steps:
            if isinstance(step, str) and step not in self.members:
                break
            pointer += "/" + str(step).replace("~", "~0").replace("/", "~1")
        return pointer


def _rule(key: str, schema: Schema | str, folder: Path) -> _Rule:
    pattern, _, name = key.partition("#")
    if not is_pattern(pattern):
        raise ConfigError(f"schema of {key!r}: no pattern; that is a channel, or the beginning of some and *")
    try:
        content: Any = json.loads((folder / schema).read_text()) if isinstance(schema, str) else schema
        return _Rule(pattern, name or None, _compiled(content), frozenset(_members(content)))
    except OSError as error:
        raise ConfigError(f"schema of {key!r}: {schema}: {error.strerror}") from error
    except ValueError as error:
        place = "".join(f"/{step}" for step in getattr(error, "instance_path", []))
        raise ConfigError(f"schema of {key!r}: {place}: {str(error).splitlines()[0]}") from error


def _compiled(schema: Any) -> "Validator":
    import jsonschema_rs  # 15 MB: only for those who have a schema

    return jsonschema_rs.validator_for(
        schema,
        validate_formats=True,
        ignore_unknown_formats=False,
        offline=True,  # a function that starts fetches nothing
        # In time linear to the data, whatever the pattern: senders choose the data.
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def _members(schema: Any) -> Iterator[str]:
    """Find the names of members, wherever they stand in the schema."""
    if isinstance(schema, Mapping):
        if isinstance(properties := schema.get("properties"), Mapping):
            yield from properties
        if isinstance(required := schema.get("required"), list):
            yield from (name for name in required if isinstance(name, str))
        for value in schema.values():
            yield from _members(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _members(value)
