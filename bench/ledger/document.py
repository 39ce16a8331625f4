"""What ``tidewire cost`` reads: what each step takes, and how what goes by size grows with it."""

import json
from typing import Any, Final

import boto3

from bench.ledger.capacity import item_bytes
from bench.ledger.deployment import Deployment, Taken, deployed
from bench.ledger.steps import DATA_BYTES, Room, steps
from localstack.deploy import ROOT
from shared.contract import PK, SK
from shared.domain.segment import RING_KEPT_S, RING_SIZE, SEGMENT_MAX_PUBLICATIONS

PATH: Final = ROOT / "clients" / "python" / "src" / "tidewire" / "cli" / "cost" / "units.json"


def document() -> dict[str, Any]:
    """Do everything once, and return what it takes."""
    with deployed() as deployment:
        done = steps(deployment)
        sizes = _sizes(deployment)
    return {
        "generated_by": "make generate, from bench/ledger: docs/cost.md says how it is counted",
        "what": {
            "units": "by metric of docs/metrics.md; without LambdaGbSeconds and WebSocketConnectionMinutes, which go "
            "by time: functions says which functions are invoked how often",
            "bytes": f"base + n * each, for n publications of {DATA_BYTES} bytes of data together. Channels have 20 "
            "characters, user ids 12. DynamoDB writes go by 1 KB, its reads by 4 KB, SQS and EventBridge by 64 KB, "
            "WebSocket messages by 32 KB",
        },
        "data_bytes": DATA_BYTES,
        "bytes": sizes,
        "steps": {name: {"what": step.what, **_counts(step.taken)} for name, step in done.items()},
    }


def text() -> str:
    """Return it as it lies in the file."""
    return json.dumps(document(), indent=1) + "\n"


def _counts(taken: Taken) -> dict[str, Any]:
    return {"units": _whole(taken.units), "functions": _whole(taken.functions)}


def _whole(counts: Any) -> dict[str, float]:
    return {name: int(count) if count == int(count) else count for name, count in sorted(counts.items())}


def _sizes(deployment: Deployment) -> dict[str, Any]:
    """Return the sizes of what is stored and sent, from one publication and from ten together."""
    room = Room(deployment)
    room.need(subscribers=1)
    one, ten = (_sizes_of(room, count) for count in (1, SEGMENT_MAX_PUBLICATIONS))
    what = {
        "segment": "an item of a channel's log, whose ring is full",
        "event": "what the bus is given",
        "push": "what a subscriber is sent",
        "frame": "what a publisher sends, if it batches",
        "lane": "what waits for the worker",
    }
    sizes: dict[str, Any] = {}
    for name, said in what.items():
        each = (ten[name] - one[name]) / (SEGMENT_MAX_PUBLICATIONS - 1)
        sizes[name] = {"what": said, "base": round(one[name] - each), "each": round(each)}
    ring = {
        "what": f"of a segment's base, for each publication of the last {RING_KEPT_S} s, and one before",
        "each": 10,
        "most": 10 * RING_SIZE,
        "kept_s": RING_KEPT_S,
    }
    subscription = {"what": "an item of a channel's list of subscribers, which fan_out reads", "each": _listed(room)}
    return sizes | {"ring": ring, "subscriber": subscription}


def _sizes_of(room: Room, count: int) -> dict[str, int]:
    sent = room.deployment.sent_bytes
    room.publishers[0].publish(room.channel, count)
    frame, lane = sent["frame"], sent["normal.fifo"] * count
    room.rest()
    push = len(room.deployment.transport.messages[-1][1])
    return {"segment": _newest(room), "event": sent["event"], "push": push, "frame": frame, "lane": lane}


def _newest(room: Room) -> int:
    tables = boto3.client("dynamodb")
    stream = tables.get_item(TableName="streams", Key={PK: {"S": room.channel}, SK: {"N": "0"}})["Item"]
    [item] = _items("streams", f"{room.channel}#{stream['epoch']['S']}", Limit=1, ScanIndexForward=False)
    return item_bytes(item)


def _listed(room: Room) -> int:
    [item] = _items("connections", f"CHANNEL#{room.channel}#0")
    return item_bytes(item)


def _items(table: str, partition: str, **options: Any) -> list[Any]:
    request: Any = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": partition}}}
    return list(boto3.client("dynamodb").query(TableName=table, **request, **options)["Items"])
