"""Who is in a channel, to a receiver: what ``subscribe`` told, and what has been pushed since. Pure; a reference for
whoever writes a client.

Pushes may come late, in any order, twice or not at all. Each has a version, and whatever is told of a member by a lower
one than is known is old. What does not come shows in a version that is left out, or in a count that is not one's own.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final, TypeGuard

# Whoever is not heard of for this long types no more.
_TYPING_FORGOTTEN_MS: Final = 8_000
# What is missing after this time is asked for; as with events, it may only be late.
_MISSED_AFTER_MS: Final = 1_000

Frame = Mapping[str, Any]
_NOBODY: Final[Frame] = {"members": [], "count": 0, "version": 0}


class Members:
    """The members of one channel. One is made when ``subscribe`` is sent, since pushes may overtake the reply.

    Attributes:
        members: By user, as the frames have them; empty where numbers alone are told.
        count: How many there are.
        numbers: Numbers alone are told.
    """

    def __init__(self) -> None:
        self._typing: dict[str, int] = {}  # by user, when it said so
        self._doubtful_since_ms: int | None = None
        self._begin(_NOBODY)
        self._kept: list[Frame] | None = []

    def _begin(self, result: Frame) -> None:
        self.members = {member["user_id"]: member for member in result["members"]}
        self.count = result["count"]
        self._incomplete = bool(result.get("more"))
        self.numbers = bool(self.count) and not self.members and not self._incomplete
        # Older than all that was told by then; each member's own version counts from there.
        self._base: int = result["version"]
        self._newest = self._complete = self._number_version = self._base
        self._versions: dict[str, int] = {}  # of members told of since, also of those who have left
        self._ahead: set[int] = set()  # versions that came before one below them
        self._doubtful_since_ms = None

    def asked(self) -> None:
        """Note that ``presence.get`` is being sent, or ``subscribe`` again: what is pushed from now on may be newer."""
        self._kept = []

    def answered(self, pages: Sequence[Frame], *, now_ms: int) -> None:
        """Begin anew with the answer: ``presence`` of ``subscribe``, and pages of ``presence.get`` where it had more.

        What was pushed meanwhile counts from the first page on, which is the oldest.
        """
        kept, self._kept = self._kept, None
        self._begin(pages[0])
        for page in pages[1:]:
            self.members |= {member["user_id"]: member for member in page["members"]}
        self._incomplete = bool(pages[-1].get("more"))
        for frame in kept or ():
            self.push(frame, now_ms=now_ms)
        self._judge(now_ms)  # pages that were read one after another may not agree

    def push(self, frame: Frame, *, now_ms: int) -> None:
        """Take a ``presence`` or ``typing`` push of this channel."""
        if frame["type"] == "typing":
            self._type(frame["user_id"], frame["active"], now_ms)
            return
        if self._kept is not None:
            self._kept.append(frame)
        version = frame["version"]
        if version <= self._base:
            return
        if frame["event"] == "count":
            self._take_number(frame)
        elif version > self._versions.get(frame["member"]["user_id"], self._number_version):
            self._take_member(frame)
        if version > self._complete:
            self._ahead.add(version)
        while self._complete + 1 in self._ahead:
            self._complete += 1
            self._ahead.remove(self._complete)
        if version >= self._newest:
            self._newest, self.count = version, frame["count"]
        self._judge(now_ms)

    def needs_get(self, *, now_ms: int) -> bool:
        """Tell whether something was missed, so that ``presence.get`` must say how it is; not while it is asked."""
        if self._kept is not None:
            return False
        since_ms = self._doubtful_since_ms
        return self._incomplete or (since_ms is not None and now_ms - since_ms >= _MISSED_AFTER_MS)

    def next_ms(self) -> float:
        """Return when time alone will have changed something, :meth:`needs_get` or :meth:`typing`; ``inf`` if never."""
        due: list[float] = [at_ms + _TYPING_FORGOTTEN_MS for at_ms in self._typing.values()]
        if self._kept is None and self._doubtful_since_ms is not None:
            due.append(self._doubtful_since_ms + _MISSED_AFTER_MS)
        return min(due, default=inf)

    def typing(self, *, now_ms: int) -> set[str]:
        """Return who types: said so not long ago, and nothing else since."""
        self._typing = {user: at_ms for user, at_ms in self._typing.items() if now_ms - at_ms < _TYPING_FORGOTTEN_MS}
        return set(self._typing)

    def _judge(self, now_ms: int) -> None:
        if not self._ahead and (self.numbers or self.count == len(self.members)):
            self._doubtful_since_ms = None
        elif self._doubtful_since_ms is None:
            self._doubtful_since_ms = now_ms

    def _take_number(self, frame: Frame) -> None:
        if frame["version"] > self._number_version:
            self._number_version = frame["version"]
            old = [user for user in self.members if self._versions.get(user, self._base) < frame["version"]]
            for user_id in old:
                del self.members[user_id]
            self.numbers = not self.members

    def _take_member(self, frame: Frame) -> None:
        member = frame["member"]
        user_id = member["user_id"]
        self._versions[user_id] = frame["version"]
        if frame["event"] == "leave":
            self.members.pop(user_id, None)
            self._typing.pop(user_id, None)
        else:
            self.members[user_id] = member
            self.numbers = False

    def _type(self, user_id: str, active: bool, now_ms: int) -> None:
        if active:
            self._typing[user_id] = now_ms
        else:
            self._typing.pop(user_id, None)


def is_answer(answer: object) -> TypeGuard[Frame]:
    """Tell whether it is what :meth:`Members.answered` takes as a page. What the server says is not trusted."""
    if not isinstance(answer, dict) or not _has_numbers(answer) or not isinstance(answer.get("members"), list):
        return False
    members = answer["members"]
    return all(map(_is_member, members)) and (not answer.get("more") or bool(members))


def is_push(push: object) -> TypeGuard[Frame]:
    """Tell whether it is what :meth:`Members.push` takes."""
    if not isinstance(push, dict):
        return False
    if push.get("type") == "typing":
        return isinstance(push.get("user_id"), str) and isinstance(push.get("active"), bool)
    if push.get("type") != "presence" or not _has_numbers(push):
        return False
    return push.get("event") == "count" or (isinstance(push.get("event"), str) and _is_member(push.get("member")))


def _has_numbers(frame: Frame) -> bool:
    return type(frame.get("version")) is int and type(frame.get("count")) is int


def _is_member(member: object) -> bool:
    return (
        isinstance(member, dict)
        and isinstance(member.get("user_id"), str)
        and isinstance(member.get("status"), str)
        and isinstance(member.get("active"), bool)
        and type(member.get("connections")) is int
        and "data" in member
    )
