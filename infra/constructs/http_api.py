"""The HTTP API: FastAPI under Mangum behind every path."""

import json

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from infra.constructs.functions import Functions, table_environment
from infra.constructs.message_store import MessageStore, grant_append, grant_read_write
from infra.stage import StageConfig
from shared import contract

_TIMEOUT_S = 29  # HTTP APIs wait 30 s: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html

# Who asked when, and what came of it. No path and no header: what a client chooses stays out of it. Source:
# docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
_ACCESS_LOG = {
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "status": "$context.status",
    "bytes": "$context.responseLength",
    "request_id": "$context.requestId",
    "function_request_id": "$context.integration.requestId",  # as in the function's own log
}


class HttpApi(Construct):
    """Sessions, polling, tickets, publishing, history, configuration, health, the pages."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        store: MessageStore,
        functions: Functions,
        stream_url: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function = functions.make(
            "http_api",
            timeout_s=_TIMEOUT_S,
            layer="http",
            verifies_tokens=True,
            environment={
                **table_environment(
                    store,
                    contract.ENV_CONNECTIONS_TABLE,
                    contract.ENV_STREAMS_TABLE,
                    contract.ENV_STATE_TABLE,
                    contract.ENV_LIMITS_TABLE,
                ),
                contract.ENV_STREAM_URL: stream_url,
                contract.ENV_DEMO: "1" if stage.demo else "0",
                **({} if stage.anonymous is None else {contract.ENV_ANONYMOUS: json.dumps(stage.anonymous)}),
            },
        )
        grant_read_write(store.connections, self.function)
        grant_append(store.streams, self.function)
        grant_read_write(store.state, self.function)
        grant_read_write(store.limits, self.function)
        # CloudWatch has no resources to name here:
        # docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/permissions-reference-cw.html
        self.function.add_to_role_policy(iam.PolicyStatement(actions=["cloudwatch:GetMetricData"], resources=["*"]))
        integration = HttpLambdaIntegration("Integration", functions.entry(self.function))
        self.api = apigw.HttpApi(
            self,
            "Api",
            default_integration=integration,
            # Cross-origin rules live here alone: API Gateway answers preflights and drops the app's own headers.
            cors_preflight=apigw.CorsPreflightOptions(
                allow_origins=list(stage.allowed_origins),
                allow_methods=[apigw.CorsHttpMethod.ANY],
                allow_headers=["Authorization", "Content-Type", "If-Match", "Last-Event-ID", "X-API-Key"],
                expose_headers=["ETag", "Retry-After"],
                max_age=Duration.hours(1),
            ),
        )
        self._log_accesses(stage)
        # Servers that sign their calls. Always there: without an IAM policy that names this API nobody gets in.
        self.api.add_routes(
            path="/iam/{proxy+}",
            methods=[apigw.HttpMethod.ANY],
            integration=integration,
            authorizer=HttpIamAuthorizer(),
        )
        self.url = stage.edge_url or self.api.api_endpoint
        self.function.add_environment(contract.ENV_HTTP_URL, self.url)

    def _log_accesses(self, stage: StageConfig) -> None:
        log_group = logs.LogGroup(
            self, "AccessLogs", retention=stage.log_retention, removal_policy=RemovalPolicy.DESTROY
        )
        assert self.api.default_stage is not None
        default_stage = self.api.default_stage.node.default_child
        assert isinstance(default_stage, apigw.CfnStage)
        default_stage.access_log_settings = apigw.CfnStage.AccessLogSettingsProperty(
            destination_arn=log_group.log_group_arn, format=json.dumps(_ACCESS_LOG)
        )
