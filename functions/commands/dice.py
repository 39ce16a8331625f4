"""Dice that nobody can load: the server rolls them, and tells the channel."""

import secrets
from typing import Annotated, Final

from pydantic import Field

from shared.domain.commands import CommandContext, command
from shared.protocol.requests import Channel, Model

_EVENT: Final = "rolled"


class RollInput(Model):
    """Which dice, and where the result is told."""

    channel: Channel
    dice: Annotated[int, Field(ge=1, le=20)] = 1
    sides: Annotated[int, Field(ge=2, le=100)] = 6


class RollOutput(Model):
    """What was rolled."""

    rolls: list[int]
    total: int


@command("dice.roll", timeout_s=5)
def roll(request: RollInput, context: CommandContext) -> RollOutput:
    """Roll dice, and publish the result in a channel as the server's word.

    Its sender is the server, so everybody there can trust it: nobody else can publish in that name.
    """
    context.may_publish(request.channel)
    rolls = [secrets.randbelow(request.sides) + 1 for _ in range(request.dice)]
    rolled = RollOutput(rolls=rolls, total=sum(rolls))
    data = {"user_id": context.principal.user_id, "sides": request.sides, **rolled.model_dump()}
    context.publish(request.channel, _EVENT, data)
    return rolled
