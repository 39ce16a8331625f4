"""Puts publications and events that ended among the dead letters back into their queue.

``python -m tools.redrive --stage dev`` (``--queue high`` for one). What was stored already is known again by its id: a
record however long it lay, as far back as its channel's history is kept; an event for 5 minutes, so what is buried has
only the channels that failed. Should this be stopped half-way, run it again within that time. What can't be read is
left where it is. The other queues' dead letters need nobody to put them back: see the alarm of each.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import boto3

from shared.contract import (
    OUTPUT_DEAD_LETTER_URLS,
    OUTPUT_EVENT_DEAD_LETTERS_URL,
    OUTPUT_EVENT_QUEUE_URL,
    OUTPUT_LANE_URLS,
    STACK_NAME_PREFIX,
)

# Long enough to put a batch back; what was not is there again after it.
_VISIBILITY_S: Final = 60


@dataclass(frozen=True, slots=True)
class Way:
    """From a dead-letter queue back to where its messages belong: the stack's outputs with the queues' URLs."""

    dead_letters: str
    queue: str


WAYS: Final[Mapping[str, Way]] = {
    **{lane: Way(OUTPUT_DEAD_LETTER_URLS[lane], url) for lane, url in OUTPUT_LANE_URLS.items()},
    "events": Way(OUTPUT_EVENT_DEAD_LETTERS_URL, OUTPUT_EVENT_QUEUE_URL),
}


def redrive(sqs: Any, source_url: str, queue_url: str) -> tuple[int, int]:
    """Put back all that is there now; return how many were, and how many can't be read.

    What is refused again comes back while this runs, and is left: else there would be no end.
    """
    done, unreadable = 0, 0
    begun_ms = time.time() * 1000
    while True:
        answer = sqs.receive_message(
            QueueUrl=source_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_VISIBILITY_S,
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=["MessageGroupId", "SentTimestamp"],
        )
        messages = answer.get("Messages", [])
        if not messages:
            return done, unreadable
        for message in messages:
            if int(message["Attributes"]["SentTimestamp"]) >= begun_ms:
                continue
            body = again(message["Body"])
            if body is None:
                unreadable += 1
                continue
            sqs.send_message(QueueUrl=queue_url, MessageBody=body, **_order(message))
            sqs.delete_message(QueueUrl=source_url, ReceiptHandle=message["ReceiptHandle"])
            done += 1


def again(body: str) -> str | None:
    """Return the body to send: the record or event, marked as a repeat; ``None`` if it is neither."""
    try:
        message = json.loads(body)
        if isinstance(message, dict) and "detail" in message:
            return json.dumps({**message, "detail": {**message["detail"], "retry": True}})
        return json.dumps({**message, "publication": dict(message["publication"]), "retry": True})
    except (ValueError, TypeError, KeyError):
        return None


def _order(message: Mapping[str, Any]) -> dict[str, str]:
    """Return what a FIFO queue wants to know of a message; nothing for one of a standard queue."""
    group = message["Attributes"].get("MessageGroupId")
    if group is None:
        return {}
    # Another id than before: SQS drops what it has seen in the last 5 minutes.
    return {"MessageGroupId": group, "MessageDeduplicationId": message["MessageId"]}


def stack_outputs(cloudformation: Any, stage: str) -> Mapping[str, str]:
    """Return the outputs of the stage's stack."""
    name = f"{STACK_NAME_PREFIX}{stage.capitalize()}"
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def main(arguments: Sequence[str]) -> int:
    """Redrive the queues that are named, or all; return the exit code: 1 if something was left."""
    parser = argparse.ArgumentParser(prog="python -m tools.redrive", description=__doc__)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--queue", choices=WAYS, action="append", help="repeat it for several; all unless given")
    options = parser.parse_args(arguments)
    outputs = stack_outputs(boto3.client("cloudformation"), options.stage)
    sqs = boto3.client("sqs")
    left = 0
    for name in options.queue or WAYS:
        done, unreadable = redrive(sqs, outputs[WAYS[name].dead_letters], outputs[WAYS[name].queue])
        left += unreadable
        rest = f", {unreadable} can't be read and were left" if unreadable else ""
        sys.stdout.write(f"{name}: {done} put back{rest}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
