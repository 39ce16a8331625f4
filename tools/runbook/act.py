"""What mends it. Each function yields lines that say what was done."""

import shlex
from collections.abc import Iterator
from datetime import datetime

import boto3

from shared.contract import OUTPUT_CANARY_FUNCTION, OUTPUT_HTTP_URL
from tidewire.cli.identity import EVERYTHING
from tidewire.cli.signing import secret_of_stack, sign
from tools.restore import restore
from tools.runbook.deployed import Deployed, UnknownNameError, named

ALL = "all"
_TOKEN_TTL_S = 3_600
_RESTORE_POLL_S, _RESTORE_POLLS = 20, 2_000  # some 11 hours: large tables take as long


def environment(deployed: Deployed) -> Iterator[str]:
    """Tell what the shell is to have so that ``tidewire`` talks to the stage, as an admin, for an hour."""
    token = sign(secret_of_stack(deployed.stack), "operator", {"*": [*EVERYTHING, "admin"]}, _TOKEN_TTL_S)
    yield f"export TIDEWIRE_URL={shlex.quote(deployed.outputs[OUTPUT_HTTP_URL])} TIDEWIRE_TOKEN={token}"


def stop(deployed: Deployed, function: str) -> Iterator[str]:
    """Let a function, or all, run no more. What waits in its queue goes on waiting; who asks is told to come back."""
    client = boto3.client("lambda")
    for name, physical in _chosen(deployed, function):
        client.put_function_concurrency(FunctionName=physical, ReservedConcurrentExecutions=0)
        yield f"{name} runs no more"


def start(deployed: Deployed, function: str) -> Iterator[str]:
    """Let a function, or all, run as the stage file has it."""
    from infra.stage import stage_config  # starts a Node process: only where it is needed

    client = boto3.client("lambda")
    stage = stage_config(deployed.stage, edge_url="http://localhost" if deployed.stage == "local" else None)
    reserved = dict(stage.reserved_concurrency)
    for name, physical in _chosen(deployed, function):
        if name in reserved:
            client.put_function_concurrency(FunctionName=physical, ReservedConcurrentExecutions=reserved[name])
        else:
            client.delete_function_concurrency(FunctionName=physical)
        yield f"{name} runs"


def work(deployed: Deployed, queue: str) -> Iterator[str]:
    """Have a queue worked on again whose event source was switched off."""
    sqs, client = boto3.client("sqs"), boto3.client("lambda")
    url = named(queue, deployed.queues, "queue")
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for one in client.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]:
        client.update_event_source_mapping(UUID=one["UUID"], Enabled=True)
        yield f"{queue} is worked on"


def purge(deployed: Deployed, queue: str) -> Iterator[str]:
    """Delete what is in a queue; a minute passes before SQS takes another purge."""
    boto3.client("sqs").purge_queue(QueueUrl=named(queue, deployed.queues, "queue"))
    yield f"{queue} is purged"


def canary(deployed: Deployed) -> Iterator[str]:
    """Have the canary run now."""
    if OUTPUT_CANARY_FUNCTION not in deployed.outputs:
        raise UnknownNameError("this stage has no canary: canary in infra/stage.py")
    answer = boto3.client("lambda").invoke(FunctionName=deployed.outputs[OUTPUT_CANARY_FUNCTION], Payload=b"{}")
    yield answer["Payload"].read().decode() if "FunctionError" in answer else "it ran; what it found is measured"


def restore_beside(deployed: Deployed, table: str, moment: str) -> Iterator[str]:
    """Restore a table as it was at a moment (``latest``, or ISO 8601 with its zone) beside it; return once it is there.

    DynamoDB restores into new tables alone:
    docs.aws.amazon.com/amazondynamodb/latest/developerguide/pointintimerecovery_restores.html
    """
    source = named(table, deployed.tables, "table")
    client = boto3.client("dynamodb")
    if moment == "latest":
        client.restore_table_to_point_in_time(
            SourceTableName=source, TargetTableName=_beside(source), UseLatestRestorableTime=True
        )
    else:
        client.restore_table_to_point_in_time(
            SourceTableName=source, TargetTableName=_beside(source), RestoreDateTime=datetime.fromisoformat(moment)
        )
    waiter = client.get_waiter("table_exists")
    waiter.wait(TableName=_beside(source), WaiterConfig={"Delay": _RESTORE_POLL_S, "MaxAttempts": _RESTORE_POLLS})
    yield f"{_beside(source)} is there"


def put_back(deployed: Deployed, table: str) -> Iterator[str]:
    """Make a table what the one beside it is. Nobody may write meanwhile: stop all first."""
    name = named(table, deployed.tables, "table")
    put, delete = restore(_beside(name), name)
    yield f"{put:,} items put back, {delete:,} deleted"


def forget_restored(deployed: Deployed, table: str) -> Iterator[str]:
    """Delete the table beside."""
    beside = _beside(named(table, deployed.tables, "table"))
    boto3.client("dynamodb").delete_table(TableName=beside)
    yield f"{beside} is deleted"


def _beside(table: str) -> str:
    return f"{table}-restored"


def _chosen(deployed: Deployed, function: str) -> list[tuple[str, str]]:
    if function == ALL:
        return sorted(deployed.functions.items())
    return [(function, named(function, deployed.functions, "function"))]
