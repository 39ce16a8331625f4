"""Dead letters: how many there are, and back into their queues with them, when an admin has mended the cause.

What was stored already is known again by its id: a record however long it lay, as far back as its channel's history is
kept; an event for 5 minutes, so what is buried has only the channels that failed.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from shared.domain.dead_letter import RedrivenQueue
from shared.domain.principal import Principal
from shared.errors import NotFoundError
from shared.ports import DeadLetterQueues
from shared.services.admin import check_admin

QUEUES: Final[tuple[RedrivenQueue, ...]] = get_args(RedrivenQueue)
# Of one call, so that it is answered long before API Gateway's 30 s are over.
TAKEN_MAX: Final = 1_000
WORK_MAX_MS: Final = 10_000
# SQS takes 1 MiB. None of ours has so much: one that has was put there by somebody else, and is not to stop the others.
_BODY_MAX_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Redriven:
    """What one call has done.

    Attributes:
        redriven: How many are back in their queue.
        unreadable: How many it met that can't be read. They are left, and handed out again a minute later.
        more: There may be others that were there before ``before_ms``.
        before_ms: What has come to the dead letters since then, Unix milliseconds, is left: what is refused again too.
    """

    redriven: int
    unreadable: int
    more: bool
    before_ms: int


@dataclass(frozen=True, slots=True)
class Redrive:
    """Works by the piece: whoever asks goes on asking while there is more."""

    queues: DeadLetterQueues
    now_ms: Callable[[], int]

    def waiting(self, principal: Principal) -> Mapping[RedrivenQueue, int]:
        """Return about how many wait, by queue.

        Raises:
            ForbiddenError: The principal is no admin.
        """
        check_admin(principal)
        return {queue: self.queues.waiting(queue) for queue in QUEUES}

    def redrive(self, principal: Principal, queue: str, before_ms: int | None) -> Redriven:
        """Put back up to 1,000, or what 10 s are enough for.

        There is an end to it, whatever is refused again: with the ``before_ms`` of the first answer, those that were
        there before get fewer by each call that tells of more.

        Args:
            principal: Who asks.
            queue: Which one's dead letters.
            before_ms: Those that were there before, Unix milliseconds; ``None`` is now.

        Raises:
            ForbiddenError: The principal is no admin.
            NotFoundError: There is no such queue.
            UnavailableError: Not all that was taken is known to be back; it is handed out again a minute later.
        """
        check_admin(principal)
        name = next((known for known in QUEUES if known == queue), None)
        if name is None:
            raise NotFoundError(f"there is no such queue: there are {', '.join(QUEUES)}")
        begun_ms = self.now_ms()
        before_ms = begun_ms if before_ms is None else min(before_ms, begun_ms)
        taken = redriven = unreadable = 0
        while taken < TAKEN_MAX and self.now_ms() - begun_ms < WORK_MAX_MS:
            letters = self.queues.take(name)
            if not letters:
                return Redriven(redriven, unreadable, more=False, before_ms=before_ms)
            due = [(letter, again(name, letter.body)) for letter in letters if letter.sent_at_ms < before_ms]
            readable = [(letter, body) for letter, body in due if body is not None]
            self.queues.put_back(name, readable)
            taken += len(letters)
            redriven += len(readable)
            unreadable += len(due) - len(readable)
        return Redriven(redriven, unreadable, more=redriven > 0, before_ms=before_ms)


def again(queue: RedrivenQueue, body: str) -> str | None:
    """Return the body to send: the lane's record or the event, marked as a repeat; ``None`` if it is none."""
    try:
        message = json.loads(body)
        if queue == "events":
            repeat = json.dumps({**message, "detail": {**message["detail"], "retry": True}})
        else:
            repeat = json.dumps({**message, "publication": {**message["publication"]}, "retry": True})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return repeat if len(repeat) <= _BODY_MAX_BYTES else None
