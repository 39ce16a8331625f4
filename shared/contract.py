"""Names that infrastructure, functions and the local stack must agree on. Constants only; imports nothing."""

from typing import Final

LOCAL_STAGE: Final = "local"

# Environment variables of the functions. Every function is given all of COMMON; infra adds the rest by need.
ENV_STAGE: Final = "TIDEWIRE_STAGE"
ENV_GENERATION: Final = "TIDEWIRE_GENERATION"  # raised after a restore: part of every epoch on the wire
ENV_CONNECTIONS_TABLE: Final = "CONNECTIONS_TABLE"
ENV_STREAMS_TABLE: Final = "STREAMS_TABLE"
ENV_STATE_TABLE: Final = "STATE_TABLE"
ENV_PRESENCE_TABLE: Final = "PRESENCE_TABLE"
ENV_LIMITS_TABLE: Final = "LIMITS_TABLE"
ENV_LANE_URLS: Final = {  # priority -> environment variable with the URL of its FIFO queue
    "high": "LANE_HIGH_URL",
    "normal": "LANE_NORMAL_URL",
    "low": "LANE_LOW_URL",
}
ENV_DEAD_LETTER_URLS: Final = {  # ... and of its dead-letter queue
    "high": "DEAD_LETTERS_HIGH_URL",
    "normal": "DEAD_LETTERS_NORMAL_URL",
    "low": "DEAD_LETTERS_LOW_URL",
}
ENV_DELIVERY_QUEUE_URL: Final = "DELIVERY_QUEUE_URL"  # fan-out's shard tasks and remaining connections
ENV_DEADLINE_QUEUE_URL: Final = "DEADLINE_QUEUE_URL"  # delayed: connections that must have said who they are
ENV_LOOK_QUEUE_URL: Final = "LOOK_QUEUE_URL"  # channels whose subscribers may not know who is present
ENV_EVENT_QUEUE_URL: Final = "EVENT_QUEUE_URL"  # events that ask for a publication
ENV_EVENT_DEAD_LETTERS_URL: Final = "EVENT_DEAD_LETTERS_URL"  # ... those that ask for what can't be published
ENV_EVENT_BUS_NAME: Final = "EVENT_BUS_NAME"
ENV_PUSH_RATE_PER_S: Final = "PUSH_RATE_PER_S"  # of one process
ENV_CONNECTIONS_ENDPOINT: Final = "CONNECTIONS_ENDPOINT"  # base URL in front of /@connections/{connection_id}
ENV_TOKEN_SECRET_ARN: Final = "TOKEN_SECRET_ARN"
ENV_FRONT_SECRET_ARN: Final = "FRONT_SECRET_ARN"  # only of stages with CloudFront
ENV_ISSUERS: Final = "ISSUERS"  # OIDC issuers whose tokens are taken too, as JSON: shared/domain/issuer.py
ENV_ANONYMOUS: Final = "ANONYMOUS"  # what anonymous users may, as JSON; not there: there are none
ENV_ALLOWED_ORIGINS: Final = "ALLOWED_ORIGINS"  # comma-separated; "*" allows every origin
ENV_WEBSOCKET_URL: Final = "WEBSOCKET_URL"  # as clients see it
ENV_HTTP_URL: Final = "HTTP_URL"
ENV_STREAM_URL: Final = "STREAM_URL"
ENV_DEMO: Final = "DEMO"  # "1": the stage has the demo, and tokens for its guests
# Lambda's own: docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
ENV_MEMORY_MB: Final = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
ENV_STREAM_MAX_AGE_S: Final = "STREAM_MAX_AGE_S"  # how long the server leaves a stream open
ENV_LOGGED_SHARE: Final = "LOGGED_SHARE"  # of publications, whose way is logged
ENV_LIMITS: Final = "STAGE_LIMITS"  # what differs from the defaults of shared/domain/stage_limits.py, as JSON

# What CloudFront adds to requests; what a client sends by these names it replaces. AWS's own CloudFront-Viewer-Address
# can't be had together with all headers but Host: a request policy has the one or the other
# (docs.aws.amazon.com/cloudfront/latest/APIReference/API_OriginRequestPolicyHeadersConfig.html).
HEADER_FRONT_SECRET: Final = "x-tidewire-front"
HEADER_VIEWER_ADDRESS: Final = "x-tidewire-viewer"

# EventBridge.
EVENT_SOURCE: Final = "tidewire"
DETAIL_PUBLICATIONS: Final = "tidewire.publications"  # {"channel", "frames": [event push, ...], "fanned_out"?: true}
DETAIL_PUSHES: Final = "tidewire.pushes"  # what has no place in a stream: ephemeral events, receipts ...
DETAIL_PUBLISH: Final = "tidewire.publish"  # somebody else's: publish this for me

# CloudFormation outputs of the stack, read by the local stack, the tests and people.
OUTPUT_WEBSOCKET_URL: Final = "WebSocketUrl"
OUTPUT_HTTP_URL: Final = "HttpUrl"
OUTPUT_BARE_HTTP_URL: Final = "BareHttpUrl"  # what signs the host calls it: behind CloudFront, too
OUTPUT_WEBSOCKET_API_ID: Final = "WebSocketApiId"
OUTPUT_EVENT_BUS_NAME: Final = "EventBusName"
OUTPUT_EVENT_DEAD_LETTERS_URL: Final = "EventDeadLettersUrl"
OUTPUT_ARCHIVE_QUEUE_URL: Final = "ArchiveQueueUrl"  # only of stages with an archive
OUTPUT_HTTP_FUNCTION: Final = "HttpFunctionName"
OUTPUT_STREAM_FUNCTION: Final = "StreamFunctionName"
OUTPUT_CANARY_FUNCTION: Final = "CanaryFunctionName"  # only of stages with a canary
OUTPUT_TOKEN_SECRET_ARN: Final = "TokenSecretArn"
OUTPUT_FRONT_SECRET_ARN: Final = "FrontSecretArn"  # only of stages with CloudFront
OUTPUT_DASHBOARD_NAME: Final = "DashboardName"
OUTPUT_USER_POOL_ID: Final = "UserPoolId"  # only of stages with a user pool
OUTPUT_USER_POOL_CLIENT_ID: Final = "UserPoolClientId"
OUTPUT_LANE_URLS: Final = {"high": "LaneHighUrl", "normal": "LaneNormalUrl", "low": "LaneLowUrl"}
OUTPUT_DEAD_LETTER_URLS: Final = {
    "high": "DeadLettersHighUrl",
    "normal": "DeadLettersNormalUrl",
    "low": "DeadLettersLowUrl",
}
OUTPUT_TABLE_NAMES: Final = {
    ENV_CONNECTIONS_TABLE: "ConnectionsTableName",
    ENV_STREAMS_TABLE: "StreamsTableName",
    ENV_STATE_TABLE: "StateTableName",
    ENV_PRESENCE_TABLE: "PresenceTableName",
    ENV_LIMITS_TABLE: "LimitsTableName",
}

# Tables: every one has the string keys PK and SK but streams, whose sort key is a number (first offset).
PK: Final = "pk"
SK: Final = "sk"
BUCKET_PREFIX: Final = "BUCKET#"  # in `limits`: all that most functions may write there
TTL_ATTRIBUTE: Final = "expires_at_s"

# Where the user's own code is: modules in functions/, which nothing in shared/ may import. shared/bootstrap.py loads
# them by these names, in the functions that they are packaged with (infra/packaging.py).
PROCESSORS_MODULE: Final = "functions.processors"  # has PROCESSORS
DOCUMENTS_MODULE: Final = "functions.documents"  # has RESOLVERS and SCHEMAS
COMMANDS_MODULE: Final = "functions.commands"  # has COMMANDS

# How often a queue that is no lane hands a message out before it buries it itself.
QUEUE_TRIES: Final = 5

METRICS_NAMESPACE: Final = "Tidewire"
SERVICE_NAME: Final = "tidewire"
STACK_NAME_PREFIX: Final = "Tidewire"  # the stack of stage "local" is TidewireLocal

# Template metadata of stage "local": what the emulator does not know, for the local stack to make by other means.
METADATA_REMOVED: Final = "tidewire:removed"
