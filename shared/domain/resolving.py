"""What the rules of documents are given, and give back: resolvers, which settle writes that others have overtaken."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reject:
    """A resolver's no: the writer gets ``refused`` with this.

    Attributes:
        message: Why; the writer is shown it.
        details: Whatever helps the writer, as JSON.
    """

    message: str = "the change was refused"
    details: Mapping[str, Any] = field(default_factory=dict)


# resolve(base, current, update, conflicts) -> value | Reject
#
# base: the document as the writer knew it; None if it was not there, or is not kept any more.
# current: as it is; None if it is deleted.
# update: as the writer wants it; None to delete it. A patch has been applied to base, or where that is not kept, to
#     current.
# conflicts: where both have changed base, and differently, as JSON pointers; [""] where base is not kept.
#
# It returns what the document shall be, or None to have it deleted. All are its own copies.
Resolver = Callable[[Any, Any, Any, Sequence[str]], Any]
