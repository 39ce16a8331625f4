"""Yours to change: the rules of state documents. docs/extending.md says more."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from functions.documents.keep_larger import keep_larger
from shared.adapters.schemas import Schema, Schemas
from shared.domain.resolving import Resolver

# Namespace -> what settles a write there that others have overtaken, where channels.toml says
# `state_strategy = "resolve"`.
RESOLVERS: Final[Mapping[str, Resolver]] = {"score": keep_larger}

# Channel pattern -> JSON Schema of its documents, or the name of a file with one in schemas/ beside this file. A
# document's key may follow after a "#": "orders:*#cart". A change that does not fit is refused.
_SCHEMAS: Final[Mapping[str, Schema | str]] = {}
SCHEMAS: Final = Schemas(_SCHEMAS, Path(__file__).with_name("schemas"))
