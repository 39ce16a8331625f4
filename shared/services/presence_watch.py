"""Tell a channel's subscribers who is there: look at all of it, and push what they do not know yet."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Final

from shared.domain.presence import (
    PRESENCE_AT_ONCE_MAX,
    PRESENCE_LATER_EACH_MS,
    PRESENCE_LATER_MAX_MS,
    PRESENCE_NUMBER_LATER_MIN_MS,
    UNSURE,
    Attendees,
    Look,
    Member,
    Told,
)
from shared.ports import Broadcast, EventBus, LookQueue, Metrics
from shared.protocol.encode import to_json
from shared.services.presence_reader import PresenceReader

_TRIES: Final = 8  # each time another was faster, or there was something new
_EVENT_MAX_BYTES: Final = 200_000  # of frames; EventBridge takes 256 KB with what is around them

Frame = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Round:
    """What is to be told in one go.

    Attributes:
        before: As it is written first: whoever finds this does not know whether it has been told.
        after: As it is written when it has been.
        gone: Who is told to have gone.
    """

    frames: Sequence[Frame]
    before: Told
    after: Told
    gone: Sequence[Member] = ()


@dataclass(frozen=True, slots=True)
class PresenceWatch:
    """Whoever looks at a channel repairs all of it, whatever look had been lost.

    Attributes:
        on_failure: Is told the channel and what kept it from being looked at.
    """

    reader: PresenceReader
    looks: LookQueue
    bus: EventBus
    metrics: Metrics
    now_ms: Callable[[], int]
    on_failure: Callable[[str, Exception], None]
    executor: Executor

    def see_to(self, looks: Sequence[Look]) -> set[str]:
        """Look at each channel once; return the channels that are to be looked at again by the same looks."""
        channels: dict[str, list[Look]] = {}
        for look in looks:
            channels.setdefault(look.channel, []).append(look)

        def seen(channel: str) -> bool:
            try:
                self._see_to(channel, channels[channel])
            except Exception as error:  # one channel's failure is not the others'
                self.on_failure(channel, error)
                return False
            return True

        return {channel for channel, done in zip(channels, self.executor.map(seen, channels), strict=True) if not done}

    def _see_to(self, channel: str, looks: Sequence[Look]) -> None:
        """Tell what is new, and look once more.

        That is what makes two of these at a time safe: one that had read before somebody left may tell after another
        has found nothing to tell. What is new by then is told a second later, together with what else comes.
        """
        settings = self.reader.namespaces.of(channel)
        if settings.presence == "off":
            return
        if settings.join_leave:
            self._tell_visits(channel, looks)
        done = False
        for _ in range(_TRIES):
            told = self.reader.store.told(channel)
            if self._too_soon(told, looks):
                return
            attendees = self.reader.store.attendees(channel)
            numbers = self.reader.numbers_alone(channel, attendees)
            if numbers and self._too_soon(attendees.told, looks):
                return
            round_ = self._number(channel, attendees) if numbers else self._changes(channel, attendees, looks)
            if round_ is None:
                return
            if done:
                break
            if self._tell(channel, round_, attendees.told.version):
                looks, done = [Look(channel)], True
            if numbers:
                self._put_off([Look(channel)], _pace_ms(len(attendees.members), numbers=True))
                return
        # Where something always changes, or others were always faster, whoever looks next goes on.
        self._put_off(looks or [Look(channel)], _pace_ms(0))

    def _tell_visits(self, channel: str, looks: Sequence[Look]) -> None:
        """Tell of each connection that has come or gone; where there are too many for that, nobody.

        A look that comes twice has it told twice.
        """
        frames = [look.came.to_push(channel, "join") for look in looks if look.came]
        frames += [look.went.to_push(channel, "leave") for look in looks if look.went]
        if frames and not self.reader.store.told(channel).counted:
            self.bus.put([replace(one, interest="connections") for one in _broadcasts(channel, frames)])

    def _tell(self, channel: str, round_: _Round, version: int) -> bool:
        """Push, if nobody else has told something since that version; return whether so.

        Before, it is written down as uncertain: who is stopped on the way leaves behind that it may have been told, and
        the next one tells it again.
        """
        store = self.reader.store
        if not store.tell(channel, round_.before, before=version):
            return False
        self.bus.put(list(_broadcasts(channel, round_.frames)))
        for member in round_.gone:
            store.forget(channel, member)
        store.tell(channel, round_.after, before=round_.before.version)
        self.metrics.count("PresencePushes", len(round_.frames))
        return True

    def _changes(self, channel: str, attendees: Attendees, looks: Sequence[Look]) -> _Round | None:
        """Return the joins, leaves and updates that subscribers have not been told of."""
        told, members = attendees.told, attendees.members
        named = {user_id for look in looks for user_id in look.users if _to_be_told(told, user_id, look.after)}
        gone = {user_id for user_id in {*told.users, *named} if user_id not in members}
        news = {
            user_id: "update" if told.users.get(user_id, (UNSURE, 0))[0] != UNSURE else "join"
            for user_id, member in members.items()
            if user_id in named or told.users.get(user_id, (UNSURE, 0))[0] != member.stamp
        }
        if not gone and not news:
            return None
        version = told.version + 1
        offsets = self.reader.offsets(channel, news)
        around = {"type": "presence", "channel": channel}
        common = {"count": len(members), "version": version}
        leavers = [attendees.gone.get(user_id, Member(user_id)) for user_id in sorted(gone)]
        frames = [around | {"event": "leave", "member": one.to_wire()} | common for one in leavers]
        for user_id, event in news.items():
            member = members[user_id].to_wire(offsets.get(user_id, 0))
            frames.append(around | {"event": event, "member": member} | common)
        known = {user_id: entry for user_id, entry in told.users.items() if user_id not in gone}
        after = replace(
            told,
            version=version,
            counted=False,
            count=len(members),
            told_at_ms=self.now_ms(),
            users=known | {user_id: (members[user_id].stamp, version) for user_id in news},
        )
        uncertain = dict(told.users) | dict.fromkeys([*gone, *news], (UNSURE, version))
        return _Round(frames, replace(after, users=uncertain), after, leavers)

    def _number(self, channel: str, attendees: Attendees) -> _Round | None:
        """Return how many there are, if subscribers have been told another number or names."""
        told, count = attendees.told, len(attendees.members)
        if told.count == count and (told.counted or not told.version):
            return None
        version = told.version + 1
        frame = {"type": "presence", "channel": channel, "event": "count", "count": count, "version": version}
        after = Told(version, True, count, self.now_ms())
        return _Round([frame], replace(after, count=-1), after)

    def _too_soon(self, told: Told, looks: Sequence[Look]) -> bool:
        """Tell whether something has been told just now, and more would be too much; then somebody looks later."""
        wait_ms = told.told_at_ms + _pace_ms(told.count, numbers=told.counted) - self.now_ms()
        if wait_ms <= 0 or (not told.counted and told.count <= PRESENCE_AT_ONCE_MAX):
            return False
        self._put_off(looks, wait_ms)
        return True

    def _put_off(self, looks: Sequence[Look], wait_ms: int) -> None:
        """Have a channel's looks come again, as few as they can be."""
        users: dict[int | None, set[str]] = {}
        for look in looks:
            users.setdefault(look.after, set()).update(look.users)
        again = [Look(looks[0].channel, tuple(sorted(some)), after) for after, some in users.items()]
        self.looks.send(again, delay_s=math.ceil(wait_ms / 1000))


def _pace_ms(members: int, *, numbers: bool = False) -> int:
    """Return how long after one time so many are told something again, at least."""
    least_ms = PRESENCE_NUMBER_LATER_MIN_MS if numbers else PRESENCE_AT_ONCE_MAX * PRESENCE_LATER_EACH_MS
    return min(max(least_ms, members * PRESENCE_LATER_EACH_MS), PRESENCE_LATER_MAX_MS)


def _to_be_told(told: Told, user_id: str, after: int | None) -> bool:
    """Tell whether a look's user has to be told of, known or not."""
    return after is None or told.users.get(user_id, (UNSURE, 0))[1] <= after


def _broadcasts(channel: str, frames: Sequence[Frame]) -> Iterator[Broadcast]:
    """Yield the frames as one event, or as several where they are too large for one."""
    some: list[Mapping[str, Any]] = []
    size = 0
    for frame in frames:
        length = len(to_json(frame)) + 1
        if some and size + length > _EVENT_MAX_BYTES:
            yield Broadcast(channel, some, interest="presence")
            some, size = [], 0
        some.append(frame)
        size += length
    if some:
        yield Broadcast(channel, some, interest="presence")
