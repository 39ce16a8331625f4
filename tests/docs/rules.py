"""Rules that a page adds to the stack: what the CDK makes of them, put onto the stack that runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3

_EXAMPLE = "Executions"  # the rule of infra/realtime_stack.py, whose target is the queue of events


@contextmanager
def deployed(code: str) -> Iterator[None]:
    """Have the rules of some ``AwsEventSource`` in the account's event bus; at the end, no more."""
    client, made = boto3.client("events"), []
    [example] = [rule["Name"] for rule in client.list_rules()["Rules"] if _EXAMPLE in rule["Name"]]
    [target] = client.list_targets_by_rule(Rule=example)["Targets"]
    try:
        for name, rule in _synthesised(code).items():
            client.put_rule(Name=name, EventPattern=json.dumps(rule["EventPattern"]))
            made.append(name)
            [asked] = rule["Targets"]
            wanted: Any = {"Id": "Target0", "Arn": target["Arn"], "InputTransformer": asked["InputTransformer"]}
            client.put_targets(Rule=name, Targets=[wanted])
        yield
    finally:
        for name in made:
            client.remove_targets(Rule=name, Ids=["Target0"])
            client.delete_rule(Name=name)


def _synthesised(code: str) -> dict[str, Any]:
    """Return the rules that the CDK makes of what stands in the stack's ``_publish_executions``, by logical id."""
    import aws_cdk as cdk  # starts a Node process: only for those pages
    from aws_cdk import aws_events_targets as targets
    from aws_cdk import aws_sqs as sqs
    from aws_cdk.assertions import Template

    from infra import realtime_stack

    stack = cdk.Stack(cdk.App(), "Page")
    queue = sqs.Queue(stack, "Queue")
    sources = SimpleNamespace(target=lambda message: targets.SqsQueue(queue, message=message))
    exec(code, {**vars(realtime_stack), "self": stack, "sources": sources})
    rules = Template.from_stack(stack).find_resources("AWS::Events::Rule")
    return {name: rule["Properties"] for name, rule in rules.items()}
