"""Refuses publications whose data does not fit the JSON Schemas of their channel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shared.adapters.schemas import Schema, Schemas
from shared.domain.processing import Context, Draft

# Yours: channel pattern -> JSON Schema, or the name of a file with one in schemas/ beside this file. A pattern is a
# channel, or a prefix and "*"; an event's name may follow after a "#": "orders:*#created". Of several schemas that
# apply, every one must be satisfied.
SCHEMAS: Final[Mapping[str, Schema | str]] = {}
_FOLDER: Final = Path(__file__).with_name("schemas")


class SchemaValidation:
    """A processor."""

    def __init__(self, schemas: Mapping[str, Schema | str], folder: Path = _FOLDER) -> None:
        """Compile the schemas.

        Raises:
            ConfigError: A pattern or a schema is wrong.
        """
        self._schemas = Schemas(schemas, folder)

    def __call__(self, draft: Draft, context: Context) -> Draft:
        """Return the draft as it is.

        Raises:
            RefusedError: Its data does not fit; ``details`` says where.
        """
        self._schemas.check(context.channel, draft.name, draft.data)
        return draft


validate_schema: Final = SchemaValidation(SCHEMAS)
