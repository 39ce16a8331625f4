"""Lets the emulator find by key what it searches through, so that it takes no longer the more there is.

What it answers stays the same. As it comes, it parses a query's key condition anew for every item of the partition: a
channel of 1,000 segments took 50 ms to find the newest. And it copies the ids of the last 5 minutes for every message
to a FIFO queue.
"""

import re
import time
from collections.abc import Callable
from typing import Any

from ministack.services import dynamodb, sqs  # type: ignore[import-not-found]  # the environment beside it

# The two forms that the product uses; all else goes its usual way.
_KEY_CONDITION = re.compile(r"(\w+) = (:\w+)(?: AND (\w+) (=|<|<=|>|>=) (:\w+))?")

_evaluate: Callable[..., bool] = dynamodb._evaluate_condition


def _evaluate_condition(
    expression: str,
    item: dict[str, Any],
    values: dict[str, Any],
    names: dict[str, str],
    slot: str = "ConditionExpression",
) -> bool:
    if slot == "KeyConditionExpression" and (form := _KEY_CONDITION.fullmatch(expression)):
        partition, partition_value, sort, operator, sort_value = form.groups()
        return dynamodb._compare_ddb(item.get(partition), "=", values[partition_value]) and (
            sort is None or dynamodb._compare_ddb(item.get(sort), operator, values[sort_value])
        )
    return _evaluate(expression, item, values, names, slot)


def _prune_dedup(queue: dict[str, Any]) -> None:
    sent, now = queue["dedup_cache"], time.time()
    while sent and sent[oldest := next(iter(sent))]["expire"] <= now:
        del sent[oldest]


dynamodb._evaluate_condition = _evaluate_condition
sqs._prune_dedup = _prune_dedup
