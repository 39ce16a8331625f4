"""Lets policies that are right on AWS be right on the emulator.

Queues, and the bucket that CDK deploys from, deny all that comes without TLS. The loopback needs none, and it would
cost each function's start a context of its own, and every call its part: so what comes counts as come by TLS. That
queues deny the rest is read in the template (tests/infra/test_permissions.py).

Who may send, delete or hide a message may do so with several, and there are no other actions for that:
docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html

A secret's Ref is its ARN, which grants name, and here was its name:
docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-secretsmanager-secret.html

Policies may ask which partition key a request for one item names, which was not told here:
docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html (dynamodb:LeadingKeys)
"""

import json
from typing import Any, Final

from ministack.core import iam_actions, iam_evaluator  # type: ignore[import-not-found]  # the environment beside it
from ministack.services.cloudformation import provisioners  # type: ignore[import-not-found]

_SECRET: Final = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]

_pin_request_origin = iam_evaluator.pin_request_origin
_extract_iam_action = iam_actions.extract_iam_action
_dynamodb_service_context = iam_actions.dynamodb_service_context
_create_secret = _SECRET["create"]


def _pin_by_tls(source_ip: str, _secure_transport: bool) -> None:
    _pin_request_origin(source_ip, True)


def _action_of_one(*arguments: Any) -> str | None:
    action: str | None = _extract_iam_action(*arguments)
    return action.removesuffix("Batch") if action and action.startswith("sqs:") else action


def _context_with_leading_keys(body: bytes) -> dict[str, Any]:
    context: dict[str, Any] = _dynamodb_service_context(body)
    if context:  # else it is no request
        match json.loads(body or b"{}"):
            case {"Item": {"pk": {"S": key}}} | {"Key": {"pk": {"S": key}}}:
                context["dynamodb:LeadingKeys"] = [key]
    return context


def _create_secret_by_arn(*arguments: Any) -> tuple[str, dict[str, str]]:
    # A stack is never changed or deleted here: the whole emulator goes.
    _, attributes = _create_secret(*arguments)
    return attributes["Arn"], attributes


iam_evaluator.pin_request_origin = _pin_by_tls
iam_actions.extract_iam_action = _action_of_one
iam_actions.dynamodb_service_context = _context_with_leading_keys
_SECRET["create"] = _create_secret_by_arn
