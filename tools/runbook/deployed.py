"""A stage's stack as it lies in the account, by the names that people say."""

import re
from functools import cached_property
from typing import Any, Final

import boto3

from shared.contract import ENV_CONNECTIONS_TABLE, OUTPUT_TABLE_NAMES, STACK_NAME_PREFIX

_HASH: Final = re.compile(r"[0-9A-F]{8}$")  # that CDK puts behind a construct's path


class UnknownNameError(Exception):
    """There is no such thing in the stack; the text says which there are."""


class Deployed:
    """Asks CloudFormation when first asked."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.stack = f"{STACK_NAME_PREFIX}{stage.capitalize()}"

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's, by their names in shared/contract.py."""
        [described] = boto3.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}

    @cached_property
    def functions(self) -> dict[str, str]:
        """Physical names by those of the folders in functions/."""
        found = self._of_type("AWS::Lambda::Function")
        own = {path.removeprefix("Functions"): name for path, name in found.items() if path.startswith("Functions")}
        return {re.sub(r"(?<!^)(?=[A-Z])", "_", path).lower(): name for path, name in own.items()}

    @cached_property
    def queues(self) -> dict[str, str]:
        """URLs by the queues' paths in the stack, such as ``PublishNormalLane``."""
        return self._of_type("AWS::SQS::Queue")

    @cached_property
    def tables(self) -> dict[str, str]:
        """Physical names by what they hold, such as ``streams``."""
        names = {variable.removesuffix(_TABLE).lower(): output for variable, output in OUTPUT_TABLE_NAMES.items()}
        return {name: self.outputs[output] for name, output in names.items()}

    @cached_property
    def http_api_id(self) -> str:
        """The HTTP API's."""
        return self._of_type("AWS::ApiGatewayV2::Api")["HttpApi"]

    @cached_property
    def _resources(self) -> list[dict[str, Any]]:
        pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.stack)
        return [dict(one) for page in pages for one in page["StackResourceSummaries"]]

    def _of_type(self, kind: str) -> dict[str, str]:
        found = [one for one in self._resources if one["ResourceType"] == kind]
        return {_HASH.sub("", one["LogicalResourceId"]): one["PhysicalResourceId"] for one in found}


_TABLE: Final = ENV_CONNECTIONS_TABLE.removeprefix("CONNECTIONS")


def named(name: str, among: dict[str, str], what: str) -> str:
    """Return what goes by a name.

    Raises:
        UnknownNameError: Nothing does.
    """
    if name not in among:
        raise UnknownNameError(f"{name} is no {what} of this stage; there are {', '.join(sorted(among))}")
    return among[name]
