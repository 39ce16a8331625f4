"""What is held: the same FastAPI app behind a function URL that passes on what it says as it says it."""

from aws_cdk import Duration, Fn, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.functions import Functions, table_environment
from infra.constructs.message_store import MessageStore, grant_append, grant_count, grant_read_write
from infra.stage import StageConfig
from shared import contract

# AWS's own: github.com/aws/aws-lambda-web-adapter, docs/guide/src/getting-started/zip-packages.md. 30 is version 1.1.0.
_ADAPTER_ACCOUNT = "753240598075"
_ADAPTER_LAYER = "LambdaAdapterLayerArm64:30"
_PORT = "8000"
# The app ends a stream by itself; the function has to live a little longer than that.
_TIMEOUT_MARGIN_S = 30


class HttpStream(Construct):
    """Streams of sessions and channels, and polls that wait: all that is paid for by the time that it is held.

    Lambda's Python runtime can't stream; AWS Lambda Web Adapter, a layer, starts the app and streams for it. A stream
    takes a whole environment for as long as it is held, also when its reader has gone: so it is held for minutes only,
    and so many are held at a time (docs/transports.md).
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: StageConfig, store: MessageStore, functions: Functions
    ) -> None:
        super().__init__(scope, construct_id)
        adapter = f"arn:aws:lambda:{Stack.of(self).region}:{_ADAPTER_ACCOUNT}:layer:{_ADAPTER_LAYER}"
        self.function = functions.make(
            "http_stream",
            folder="http_api",
            handler="functions/http_api/run.sh",
            timeout_s=stage.stream_max_age_s + _TIMEOUT_MARGIN_S,
            layer="stream",
            verifies_tokens=True,
            more_layers=[lambda_.LayerVersion.from_layer_version_arn(self, "Adapter", adapter)],
            memory_mb=stage.stream_memory_mb,
            environment={
                "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
                "AWS_LWA_INVOKE_MODE": "response_stream",
                "AWS_LWA_PORT": _PORT,
                "AWS_LWA_READINESS_CHECK_PATH": "/healthz",
                **table_environment(
                    store,
                    contract.ENV_CONNECTIONS_TABLE,
                    contract.ENV_STREAMS_TABLE,
                    contract.ENV_LIMITS_TABLE,
                ),
                contract.ENV_STREAM_MAX_AGE_S: str(stage.stream_max_age_s),
            },
        )
        grant_read_write(store.connections, self.function)
        grant_append(store.streams, self.function)
        grant_count(store.limits, self.function)
        url = functions.entry(self.function).add_function_url(
            # The app asks for tokens itself. CDK adds the two permissions that a public URL needs:
            # docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
            auth_type=lambda_.FunctionUrlAuthType.NONE,
            invoke_mode=lambda_.InvokeMode.RESPONSE_STREAM,
            # Cross-origin rules live here alone: Lambda answers preflights, and the app has none of its own.
            cors=lambda_.FunctionUrlCorsOptions(
                allowed_origins=list(stage.allowed_origins),
                allowed_methods=[lambda_.HttpMethod.GET, lambda_.HttpMethod.POST],
                allowed_headers=["Authorization", "Content-Type", "Last-Event-ID"],
                exposed_headers=["Retry-After"],
                max_age=Duration.hours(1),
            ),
        )
        # An origin, as all the other URLs are: the function's own ends with a slash.
        self.url = stage.edge_url or f"https://{Fn.select(2, Fn.split('/', url.url))}"
