"""Yours to change: the processors that every publication goes through before it is queued, in this order.

docs/extending.md says how to write one. They are packaged with every function that publishes.
"""

from typing import Final

from functions.processors.add_claims import add_claims
from functions.processors.validate_schema import validate_schema
from shared.domain.processing import Processor

PROCESSORS: Final[tuple[Processor, ...]] = (validate_schema, add_claims)
