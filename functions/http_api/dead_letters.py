"""Dead letters by HTTP (docs/protocol.md 4.4). For admins."""

from typing import Annotated

from fastapi import FastAPI, Query

from functions.http_api.caller import Caller, ServicesDep
from shared.protocol.rest import DeadLettersAnswer, RedriveAnswer, WaitingLetters


def add_dead_letters(app: FastAPI) -> None:
    """Add the routes."""
    app.get("/v1/dead-letters")(dead_letters)
    app.post("/v1/dead-letters/{queue}/redrive")(redrive)


def dead_letters(services: ServicesDep, principal: Caller) -> DeadLettersAnswer:
    """Tell about how many dead letters each queue has: SQS counts them within a minute or so."""
    waiting = services.redrive.waiting(principal)
    return DeadLettersAnswer(queues=[WaitingLetters(queue=queue, waiting=count) for queue, count in waiting.items()])


def redrive(
    services: ServicesDep,
    principal: Caller,
    queue: str,
    before_ms: Annotated[int | None, Query(ge=0, le=2**53 - 1)] = None,
) -> RedriveAnswer:
    """Put a queue's dead letters back into it, up to 1,000 by one call.

    With ``more``, call again with the ``before_ms`` of this answer: what is refused again meanwhile is then left.
    """
    done = services.redrive.redrive(principal, queue, before_ms)
    return RedriveAnswer(redriven=done.redriven, unreadable=done.unreadable, more=done.more, before_ms=done.before_ms)
