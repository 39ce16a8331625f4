"""What others would take for the same workload: their published prices, without what they give away for a while.

Where each was read, and when: docs/cost.md. A price that could not be read is left out, and said to be.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from tidewire.cli.cost.tables import PRICES, tiered
from tidewire.cli.cost.workload import Workload

READ_ON: Final = "2026-11-26"
_DAYS: Final = 365 / 12
_KIB: Final = 1024
_GB: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Quote:
    """What one of them takes.

    Attributes:
        usd: A month; ``None`` where it is not published.
        why: Which plan, and what makes it so much.
    """

    who: str
    plan: str
    usd: float | None
    why: str


def quotes(workload: Workload) -> list[Quote]:
    """Return what each takes for the workload."""
    return [quote(workload) for quote in _QUOTES]


def _chunks(workload: Workload, size_bytes: int) -> int:
    return ceil(workload.message_bytes / size_bytes)


def _messages(workload: Workload) -> float:
    """Return what nearly all of them count: each publication once as it comes, and once for each who hears it."""
    return workload.publications + workload.deliveries


def _begun(workload: Workload) -> float:
    """Return how many connections and subscriptions begin: that ours end after two hours is no rule of theirs."""
    return workload.minutes / workload.connection_minutes * (1 + workload.subscriptions)


# Plan, USD a month, and what it takes at most: messages a second, connections, channels.
_ABLY: Final = (("Standard", 29, 2_500, 10_000, 10_000), ("Pro", 399, 10_000, 50_000, 50_000))
_ABLY_FREE: Final = (500, 200, 200)
_ABLY_FREE_MESSAGES: Final = 6_000_000  # a month
_ABLY_PER_MESSAGES: Final = 2.50  # a million; of up to 5 KiB each
_ABLY_PER_MINUTES: Final = 1.00  # a million; of connections, and of channels
_ABLY_PER_USER: Final = 0.05
_ABLY_USERS_MESSAGES: Final = 20_000
_ABLY_USERS_MINUTES: Final = 2_000


def _ably_plan(workload: Workload) -> tuple[str, float] | None:
    return next(((plan, usd) for plan, usd, *limits in _ABLY if _ably_fits(workload, limits)), None)


def _ably_fits(workload: Workload, limits: Sequence[int]) -> bool:
    needed = (_messages(workload) / workload.seconds, workload.connections, workload.channels)
    return all(wanted <= limit for wanted, limit in zip(needed, limits, strict=True))


def _ably_messages(workload: Workload) -> float:
    return _messages(workload) * _chunks(workload, 5 * _KIB)


def _ably(workload: Workload) -> Quote:
    plan = _ably_plan(workload)
    if _ably_fits(workload, _ABLY_FREE) and _ably_messages(workload) <= _ABLY_FREE_MESSAGES:
        return Quote("Ably, by use", "Free", 0.0, f"{_millions(_ably_messages(workload))} messages of 6 million")
    if plan is None:
        return Quote(
            "Ably, by use", "Enterprise", None, "beyond Pro: 10,000 messages/s, 50,000 connections or channels"
        )
    messages, channel_minutes = _ably_messages(workload), workload.channels * workload.hours * 60
    # They count whole millions.
    usd = _ABLY_PER_MESSAGES * ceil(messages / 1e6)
    usd += _ABLY_PER_MINUTES * (ceil(workload.minutes / 1e6) + ceil(channel_minutes / 1e6))
    why = f"{_millions(messages)} messages, without discounts; for accounts from before it went by user"
    return Quote("Ably, by use", plan[0], plan[1] + usd, why)


def _ably_users(workload: Workload) -> Quote:
    plan = _ably_plan(workload)
    if plan is None:
        return Quote(
            "Ably, by user", "Enterprise", None, "beyond Pro: 10,000 messages/s, 50,000 connections or channels"
        )
    messages = max(0.0, _ably_messages(workload) - workload.users * _ABLY_USERS_MESSAGES)
    minutes = max(0.0, workload.minutes - workload.users * _ABLY_USERS_MINUTES)
    usd = _ABLY_PER_USER * workload.users
    usd += _ABLY_PER_MESSAGES * messages / 1e6 + _ABLY_PER_MINUTES * minutes / 1e6
    beyond = f", {_millions(messages)} messages and {_millions(minutes)} minutes beyond theirs"
    why = f"{workload.users:,} users{beyond if messages + minutes else ''}; of August 2026, the new price was not found"
    return Quote("Ably, by user", plan[0], plan[1] + usd, why)


# Plan, USD a month, and what it takes at most: connections, messages a day.
_PUSHER: Final = (
    ("Sandbox", 0, 100, 200_000),
    ("Startup", 49, 500, 1_000_000),
    ("Pro", 99, 2_000, 4_000_000),
    ("Business", 299, 5_000, 10_000_000),
    ("Premium", 499, 10_000, 20_000_000),
    ("Growth", 699, 15_000, 40_000_000),
    ("Plus", 899, 20_000, 60_000_000),
    ("Growth Plus", 1_199, 30_000, 90_000_000),
)
_PUSHER_MAX_BYTES: Final = 10 * _KIB


def _pusher(workload: Workload) -> Quote:
    a_day = _messages(workload) / _DAYS
    if workload.message_bytes > _PUSHER_MAX_BYTES:
        return Quote("Pusher Channels", "none", None, "an event has 10 KB at most")
    for plan, usd, connections, messages in _PUSHER:
        if workload.connections <= connections and a_day <= messages:
            why = f"{_millions(a_day)} messages a day of {messages / 1e6:g} million, up to {connections:,} connections"
            return Quote("Pusher Channels", plan, float(usd), why)
    why = f"beyond Growth Plus: {_millions(a_day)} messages a day of 90 million, up to 30,000 connections"
    return Quote("Pusher Channels", "Enterprise", None, why)


_PUBNUB_PUBLISH: Final = 123.0  # a million; of up to 2 KiB each
_PUBNUB_DELIVERY: Final = 33.0
# Plan, USD a month, users.
_PUBNUB: Final = (("Free", 0, 200), ("Starter", 98, 1_000))


def _pubnub(workload: Workload) -> Quote:
    chunks = _chunks(workload, 2 * _KIB)
    usd = (_PUBNUB_PUBLISH * workload.publications + _PUBNUB_DELIVERY * workload.deliveries) * chunks / 1e6
    why = f"{_millions(_messages(workload) * chunks)} transactions by the list; discounts on request"
    return Quote("PubNub, by transaction", "list", usd, why)


def _pubnub_users(workload: Workload) -> Quote:
    for plan, usd, users in _PUBNUB:
        if workload.users <= users:
            return Quote("PubNub, by user", plan, float(usd), f"{workload.users:,} users of {users:,}")
    return Quote("PubNub, by user", "Pro", None, f"{workload.users:,} users: beyond 1,000 on request")


_APPSYNC_PER_OPERATIONS: Final = 1.00  # a million; of up to 5 KB each: published, delivered, connects, subscriptions
_APPSYNC_PER_MINUTES: Final = 0.08


def _appsync(workload: Workload) -> Quote:
    operations = _messages(workload) * _chunks(workload, 5 * _KIB) + _begun(workload)
    sent_gb = workload.deliveries * workload.message_bytes / _GB
    [transfer] = [one for one in PRICES if one.metric == "DataTransferGb"]
    usd = (_APPSYNC_PER_OPERATIONS * operations + _APPSYNC_PER_MINUTES * workload.minutes) / 1e6 + transfer.usd(sent_gb)
    why = f"{_millions(operations)} operations, data transfer included; no log, no recovery"
    return Quote("AWS AppSync Events", "by use", usd, why)


_IOT_PER_MESSAGES: Final[Sequence[tuple[float, float]]] = ((0.0, 1.00), (1e9, 0.80), (5e9, 0.70))  # of up to 5 KB each
_IOT_PER_MINUTES: Final = 0.08


def _iot(workload: Workload) -> Quote:
    messages = _messages(workload) * _chunks(workload, 5 * _KIB) + _begun(workload)
    usd = tiered(messages, _IOT_PER_MESSAGES) + _IOT_PER_MINUTES * workload.minutes / 1e6
    why = f"{_millions(messages)} messages, QoS 0; data transfer not found; no log, no recovery"
    return Quote("AWS IoT Core", "by use", usd, why)


def _millions(number: float) -> str:
    return f"{number / 1e6:,.{0 if number >= 1e8 else 1}f} million"


_QUOTES: Final[Sequence[Callable[[Workload], Quote]]] = (
    _ably,
    _ably_users,
    _pusher,
    _pubnub,
    _pubnub_users,
    _appsync,
    _iot,
)
