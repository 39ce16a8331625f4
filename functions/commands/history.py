"""Finds what was said in a channel."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from shared.domain.commands import CommandContext, command
from shared.errors import ForbiddenError
from shared.protocol.encode import to_json
from shared.protocol.limits import HISTORY_MAX_LIMIT
from shared.protocol.requests import Channel, Model

_RESULT_MAX_BYTES: Final = 20_000  # of publications, so that the answer stays below its limit


class SearchInput(Model):
    """What is looked for, and where.

    Attributes:
        limit: How many are returned at most.
    """

    channel: Channel
    text: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class SearchOutput(Model):
    """What was found.

    Attributes:
        publications: Newest first.
        searched: How many publications were looked at.
        more: There were others, which found no room.
    """

    publications: list[dict[str, Any]]
    searched: int
    more: bool


@command("history.search", timeout_s=10)
def search(request: SearchInput, context: CommandContext) -> SearchOutput:
    """Search the last 300 publications of a channel for a text, whatever its case."""
    if not context.principal.may_receive("history", request.channel):
        raise ForbiddenError("the token does not allow to read this channel's history")
    kept = context.history(request.channel, HISTORY_MAX_LIMIT)
    text = request.text.casefold()
    found: list[dict[str, Any]] = []
    size = 0
    for publication in kept:
        if not any(text in said.casefold() for said in _texts(publication["data"])):
            continue
        size += len(to_json(publication)) + 1
        if len(found) == request.limit or size > _RESULT_MAX_BYTES:
            return SearchOutput(publications=found, searched=len(kept), more=True)
        found.append(publication)
    return SearchOutput(publications=found, searched=len(kept), more=False)


def _texts(data: Any) -> Iterator[str]:
    """Yield every string among the values."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)
