"""Settings per namespace, read from channels.toml. Reads that one file and checks it; knows nothing of AWS."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from shared.domain.channel import BROADCAST_NAMESPACE, PERSONAL_NAMESPACE, namespace_of
from shared.domain.publication import Priority

CHANNELS_FILE: Final = Path(__file__).resolve().parent.parent / "channels.toml"
_NAMESPACE = re.compile(r"[A-Za-z0-9_.~%-]{1,100}\Z")

Publishers = Literal["clients", "servers"]
PresenceMode = Literal["off", "members", "count"]
Conflation = Literal["off", "latest"]
StateStrategy = Literal["reject", "last_write_wins", "merge", "resolve"]
SubscriberRight = Literal["publish", "history", "presence"]


class ChannelsFileError(ValueError):
    """channels.toml is wrong; the message names file, line and what is expected."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """What holds for the channels of one namespace; channels.toml documents each setting."""

    history_count: int = 1000
    history_ttl_s: int = 86_400
    recovery_limit: int = 300
    default_priority: Priority = "normal"
    publishers: Publishers = "clients"
    presence: PresenceMode = "members"
    conflation: Conflation = "off"
    state_strategy: StateStrategy = "merge"
    publish_rate_per_s: float = 50.0
    publish_burst: int = 500
    channel_rate_per_s: float = 500.0
    channel_burst: int = 2000
    max_subscribers: int = 0
    pace_ms: int = 100
    subscribers_may: tuple[SubscriberRight, ...] = ()
    join_leave: bool = False
    force_positioning: bool = False


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "default_priority": get_args(Priority),
    "publishers": get_args(Publishers),
    "presence": get_args(PresenceMode),
    "conflation": get_args(Conflation),
    "state_strategy": get_args(StateStrategy),
}
_LISTS: Final[Mapping[str, tuple[str, ...]]] = {"subscribers_may": get_args(SubscriberRight)}
_SWITCHES: Final = ("join_leave", "force_positioning")
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "history_count": (1, 100_000),
    # Retention stays far above the minute that a writer remembers a stream's end: a segment that time
    # has deleted must never look like a free place to it.
    "history_ttl_s": (600, 31_536_000),
    "recovery_limit": (1, 300),
    "publish_rate_per_s": (0.1, 10_000),
    "publish_burst": (1, 100_000),
    "channel_rate_per_s": (0.1, 10_000),
    "channel_burst": (1, 100_000),
    "max_subscribers": (0, 1_000),  # each subscription counts those that are there: small rooms alone
    "pace_ms": (0, 1_000),  # the worker's function may run 5 s
}
_SETTINGS: Final = tuple(field.name for field in fields(Namespace))


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The settings of every channel."""

    defaults: Namespace
    named: Mapping[str, Namespace]

    def of(self, channel: str) -> Namespace:
        """Return the settings of the channel's namespace."""
        return self.named.get(namespace_of(channel), self.defaults)

    def resolved(self) -> list[str]:
        """Return the namespaces whose documents need a resolver of their own; ``defaults`` can have none."""
        every = {"defaults": self.defaults, **self.named}
        return [name for name, settings in every.items() if settings.state_strategy == "resolve"]


def load(path: Path = CHANNELS_FILE) -> Namespaces:
    """Read and check the file.

    Raises:
        ChannelsFileError: It can't be read, or something in it is wrong.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise ChannelsFileError(f"{path}: {error.strerror}") from error


def parse(text: str, source: str = "channels.toml") -> Namespaces:
    """Check the text of a channels file; ``source`` names it in errors.

    Raises:
        ChannelsFileError: Something in it is wrong.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ChannelsFileError(f"{source}: {error}") from error
    reader = _Reader(text, source)
    reader.only(document, ("defaults", "namespaces"), "")
    defaults = reader.namespace(document.get("defaults", {}), Namespace(), "defaults")
    sections = document.get("namespaces", {})
    if not isinstance(sections, dict):
        raise reader.error("namespaces", None, "must be a table of namespaces")
    # Nobody but servers publishes to these two, and nobody is seen there, unless the file says otherwise.
    everybodys = replace(defaults, publishers="servers", presence="off")
    named = dict.fromkeys((PERSONAL_NAMESPACE, BROADCAST_NAMESPACE), everybodys)
    for name, section in sections.items():
        if not _NAMESPACE.match(name):
            raise reader.error(
                f"namespaces.{name}", None, "a namespace has 1 to 100 characters of A-Z a-z 0-9 _ . ~ % -"
            )
        named[name] = reader.namespace(section, named.get(name, defaults), f"namespaces.{name}")
    return Namespaces(defaults, named)


@dataclass(frozen=True, slots=True)
class _Reader:
    text: str
    source: str

    def namespace(self, section: Any, base: Namespace, where: str) -> Namespace:
        if not isinstance(section, dict):
            raise self.error(where, None, "must be a table of settings")
        self.only(section, _SETTINGS, where)
        return replace(base, **{key: self._value(key, value, where) for key, value in section.items()})

    def only(self, table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in known:
                raise self.error(where, key, f"unknown; there are {', '.join(known)}")

    def _value(self, key: str, value: Any, where: str) -> Any:
        if key in _CHOICES:
            if value not in _CHOICES[key]:
                raise self.error(where, key, f"must be one of {', '.join(_CHOICES[key])}")
            return value
        if key in _LISTS:
            if not isinstance(value, list) or any(one not in _LISTS[key] for one in value):
                raise self.error(where, key, f"must be a list of some of {', '.join(_LISTS[key])}")
            return tuple(value)
        if key in _SWITCHES:
            if not isinstance(value, bool):
                raise self.error(where, key, "must be true or false")
            return value
        low, high = _RANGES[key]
        kind = float if key.endswith("_per_s") else int
        number = isinstance(value, (int, float)) if kind is float else isinstance(value, int)
        if not number or isinstance(value, bool) or not low <= value <= high:
            what = "a number" if kind is float else "a whole number"
            raise self.error(where, key, f"must be {what} from {low:,} to {high:,}")
        return cast(Any, kind)(value)

    def error(self, where: str, key: str | None, problem: str) -> ChannelsFileError:
        """Return the error, with the line where ``key`` stands in its section (tomllib keeps no positions)."""
        name = ".".join(filter(None, (where, key)))
        return ChannelsFileError(f"{self.source}:{self._line(where, key)}: {name}: {problem}")

    def _line(self, where: str, key: str | None) -> int:
        wanted = ".".join(filter(None, (where, key)))
        section, lines = "", {"": 1}
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[([^\]]+)\]", line):
                section = _unquoted(header.group(1))
                lines.setdefault(section, number)
            elif setting := re.match(r"\s*([^=#]+?)\s*=", line):
                lines.setdefault(".".join(filter(None, (section, _unquoted(setting.group(1))))), number)
        while wanted not in lines:  # written in another way: the nearest section that it stands in
            wanted = wanted.rpartition(".")[0]
        return lines[wanted]


def _unquoted(path: str) -> str:
    return re.sub(r"[\"']", "", path).strip()
