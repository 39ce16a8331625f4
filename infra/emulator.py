"""All that stage ``local`` leaves out because the emulator does not know it: one unknown type rejects a whole stack.

What is left out and matters locally is written into the template's metadata under ``METADATA_REMOVED``; the local stack
makes it through the API instead, after the deploy.
"""

from typing import Any

import jsii
from aws_cdk import CfnResource, IAspect, Stack
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_lambda as lambda_
from constructs import IConstruct

from shared.contract import METADATA_REMOVED


@jsii.implements(IAspect)
class WithoutUnknownToEmulator:
    """Takes resources and properties that the emulator refuses out of the tree."""

    def visit(self, node: IConstruct) -> None:
        """Look at one construct; CDK calls this for each."""
        if isinstance(node, lambda_.CfnFunction):
            node.recursive_loop = None
        elif isinstance(node, apigw.CfnRouteResponse):
            properties: dict[str, Any] = {"RouteId": node.route_id, "RouteResponseKey": node.route_response_key}
            _remove(node, properties)
        elif isinstance(node, apigw.CfnIntegrationResponse):
            properties = {
                "IntegrationId": node.integration_id,
                "IntegrationResponseKey": node.integration_response_key,
                "ResponseTemplates": node.response_templates,
                "TemplateSelectionExpression": node.template_selection_expression,
            }
            _remove(node, properties)


def _remove(node: CfnResource, properties: dict[str, Any]) -> None:
    """Take a resource out and note it, as ``{"Type", "Properties"}`` with references left as they are."""
    stack = Stack.of(node)
    metadata = dict(stack.template_options.metadata or {})
    removed = {"Type": node.cfn_resource_type, "Properties": stack.resolve(properties)}
    metadata[METADATA_REMOVED] = [*metadata.get(METADATA_REMOVED, []), removed]
    stack.template_options.metadata = metadata
    if node.node.scope is not None:
        node.node.scope.node.try_remove_child(node.node.id)
