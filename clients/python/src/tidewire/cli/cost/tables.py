"""The tables beside this file: ``make generate`` writes prices and settings, ``bench/ledger`` what a step is billed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

Size = Literal["segment", "event", "push", "lane"]


def _read(name: str) -> Any:
    return json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Price:
    """What one thing costs.

    Attributes:
        metric: What is counted.
        steps: From how many a month on a million costs how much, in USD; the first from none.
    """

    metric: str
    service: str
    what: str
    steps: Sequence[tuple[float, float]]

    def usd(self, quantity: float) -> float:
        """Return what so many cost in a month."""
        return tiered(quantity, self.steps)


def tiered(quantity: float, steps: Sequence[tuple[float, float]]) -> float:
    """Return the USD that so many cost where each step has its own price for a million."""
    ends = [begin for begin, _ in steps[1:]] + [float("inf")]
    parts = ((min(quantity, end) - begin) * usd for (begin, usd), end in zip(steps, ends, strict=True))
    return sum(max(0.0, part) for part in parts) / 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the server's settings decides how much is billed; shared/ and infra/stage.py have the reasons."""

    memory_mb: int
    pushes_per_s: int
    heartbeat_s: int
    check_after_s: int
    connection_max_age_s: int
    subscriptions_max: int
    end_trust_s: int
    pace_ms: int
    paced_from_per_s: int
    segment_max_publications: int
    express_max_subscribers: int
    shard_max_subscribers: int
    shards_max: int
    frame_max_bytes: int
    data_max_bytes: int
    metrics: int


_PRICES: Final = _read("prices.json")
PRICED_ON: Final[str] = _PRICES["priced_on"]
REGION: Final[str] = _PRICES["region"]
PRICES: Final = tuple(
    Price(one["metric"], one["service"], one["what"], [(0.0, one["usd_per_million"]), *map(tuple, one["beyond"])])
    for one in _PRICES["prices"]
)
SERVER: Final = Settings(**_read("server.json"))

_LEDGER: Final = _read("units.json")
STEPS: Final[Mapping[str, Mapping[str, float]]] = {name: step["units"] for name, step in _LEDGER["steps"].items()}
# The data of each publication in them.
STEPS_DATA_BYTES: Final[int] = _LEDGER["data_bytes"]
SUBSCRIBER_BYTES: Final[int] = _LEDGER["bytes"]["subscriber"]["each"]


def size_bytes(what: Size, publications: int, data_bytes: int) -> int:
    """Return how large what so many publications with so much data make up is."""
    size = _LEDGER["bytes"][what]
    return int(size["base"] + publications * (size["each"] - STEPS_DATA_BYTES + data_bytes))


def segment_bytes(publications: int, data_bytes: int, rate_per_s: float) -> int:
    """As :func:`size_bytes`, of a segment of a channel with so many publications a second: its ring may be short."""
    ring = _LEDGER["bytes"]["ring"]
    marks = publications + rate_per_s * ring["kept_s"] + 1
    missing = ring["most"] - min(ring["most"], marks * ring["each"])
    return size_bytes("segment", publications, data_bytes) - int(missing)
