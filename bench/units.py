"""What each thing that clients do is billed, in units and dollars, and what a publication may write."""

from typing import Final

from bench.ledger.deployment import Taken, deployed
from bench.ledger.steps import DATA_BYTES, Room, saturated, steps
from bench.results import Bar, Report, Row
from shared.domain.prices import PRICED_ON, PRICES, REGION

BAR_SINGLE: Final = 3
BAR_SATURATED: Final = 0.8
_WRITES: Final = "DynamoDbWriteUnits"
COLUMNS: Final = {
    "WebSocketMessages": "messages",
    "HttpApiRequests": "HTTP calls",
    "LambdaRequests": "Lambda",
    "SqsFifoRequests": "SQS FIFO",
    "SqsRequests": "SQS",
    "EventBridgeEvents": "events",
    "DynamoDbReadUnits": "read units",
    _WRITES: "write units",
}


def run() -> Report:
    """Do each thing once, and price it."""
    with deployed() as deployment:
        rows = [_row(name, step.taken) for name, step in steps(deployment).items()]
        single, each = Room(deployment).single(), saturated(deployment)
    rows += [_row("publication", single), _row("publication, 100 a second", each)]
    setting = (
        f"Publications of {DATA_BYTES} bytes; deployed handlers on moto, units from item sizes (docs/cost.md); USD for "
        f"a million, {REGION}, list prices of {PRICED_ON}, without Lambda's time and connection minutes"
    )
    bars = [
        Bar("write units of a single publication:", single.units[_WRITES], BAR_SINGLE),
        Bar("write units of a publication at saturation:", each.units[_WRITES], BAR_SATURATED),
    ]
    return Report("units", "What each thing is billed", setting, rows, bars)


def _row(name: str, taken: Taken) -> Row:
    units = {title: _whole(taken.units.get(metric, 0)) for metric, title in COLUMNS.items()}
    usd = sum(price.usd_per_million * taken.units.get(price.metric, 0) for price in PRICES)
    return Row(name.replace("_", " "), {**units, "USD a million": float(usd)})


def _whole(units: float) -> float:
    return int(units) if units == int(units) else units
