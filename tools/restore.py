"""``python -m tools.restore RESTORED TABLE``: makes a table what another is, item by item: docs/runbooks/restore.md.

DynamoDB restores into a new table only; the stack keeps its own, with its name, its time to live and its protection.
"""

import sys
from collections.abc import Iterator
from typing import Any

import boto3

from shared.contract import PK, SK
from tools.aws_region import settle_region

Key = tuple[Any, Any]


def restore(restored: str, table: str) -> tuple[int, int]:
    """Put what differs, delete what was not there; return how many of each. Nobody else may write meanwhile.

    Raises:
        ValueError: The other table is empty: that is a mistake sooner than a moment worth going back to.
    """
    resource = boto3.resource("dynamodb")
    source, target = resource.Table(restored), resource.Table(table)
    before = {_key(item): item for item in _items(source)}
    if not before:
        raise ValueError(f"{restored} has no items; nothing was changed")
    put = delete = 0
    with target.batch_writer() as batch:
        for item in _items(target):
            known = before.pop(_key(item), None)
            if known is None:
                batch.delete_item(Key={PK: item[PK], SK: item[SK]})
                delete += 1
            elif known != item:
                batch.put_item(Item=known)
                put += 1
        for item in before.values():
            batch.put_item(Item=item)
            put += 1
    return put, delete


def _key(item: dict[str, Any]) -> Key:
    return item[PK], item[SK]


def _items(table: Any) -> Iterator[dict[str, Any]]:
    pages = table.meta.client.get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True)
    for page in pages:
        yield from page["Items"]


def main(arguments: list[str]) -> int:
    """Restore; return the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m tools.restore RESTORED TABLE\n")
        return 2
    settle_region()
    put, delete = restore(*arguments)
    sys.stdout.write(f"{put:,} items put back, {delete:,} deleted\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
