"""Puts what ended in the lanes' dead-letter queues back into its lane.

``python -m tools.redrive --stage dev`` (``--lane high`` for one). What was stored already is known again by its id, so
running this twice does no harm. Records that can't be read are left where they are.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import boto3

from shared.contract import OUTPUT_DEAD_LETTER_URLS, OUTPUT_LANE_URLS, STACK_NAME_PREFIX
from shared.ports import Lane

LANES: Final[tuple[Lane, ...]] = ("high", "normal", "low")
# Long enough to put a batch back; what was not is there again after it.
_VISIBILITY_S: Final = 60


def redrive(sqs: Any, source_url: str, lane_url: str) -> tuple[int, int]:
    """Put back all that is there; return how many were, and how many can't be read."""
    done, unreadable = 0, 0
    while True:
        answer = sqs.receive_message(
            QueueUrl=source_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_VISIBILITY_S,
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=["MessageGroupId", "MessageDeduplicationId"],
        )
        messages = answer.get("Messages", [])
        if not messages:
            return done, unreadable
        for message in messages:
            body = again(message["Body"])
            if body is None:
                unreadable += 1
                continue
            sqs.send_message(
                QueueUrl=lane_url,
                MessageBody=body,
                MessageGroupId=message["Attributes"]["MessageGroupId"],
                # Another id than before: SQS drops what it has seen in the last 5 minutes.
                MessageDeduplicationId=message["MessageId"],
            )
            sqs.delete_message(QueueUrl=source_url, ReceiptHandle=message["ReceiptHandle"])
            done += 1


def again(body: str) -> str | None:
    """Return the body of a record marked as a repeat; ``None`` if it is not a record's."""
    try:
        record = json.loads(body)
        return json.dumps({**record, "publication": dict(record["publication"]), "retry": True})
    except (ValueError, TypeError, KeyError):
        return None


def stack_outputs(cloudformation: Any, stage: str) -> Mapping[str, str]:
    """Return the outputs of the stage's stack."""
    name = f"{STACK_NAME_PREFIX}{stage.capitalize()}"
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def main(arguments: Sequence[str]) -> int:
    """Redrive the lanes that are named, or all; return the exit code: 1 if something was left."""
    parser = argparse.ArgumentParser(prog="python -m tools.redrive", description=__doc__)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--lane", choices=LANES, action="append", help="repeat it for several; all unless given")
    options = parser.parse_args(arguments)
    outputs = stack_outputs(boto3.client("cloudformation"), options.stage)
    sqs = boto3.client("sqs")
    left = 0
    for lane in options.lane or LANES:
        done, unreadable = redrive(sqs, outputs[OUTPUT_DEAD_LETTER_URLS[lane]], outputs[OUTPUT_LANE_URLS[lane]])
        left += unreadable
        rest = f", {unreadable} can't be read and were left" if unreadable else ""
        sys.stdout.write(f"{lane}: {done} put back{rest}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
