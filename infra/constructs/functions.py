"""How every Lambda function of the stack is made."""

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.bytecode import runtime_python
from infra.constructs.message_store import MessageStore
from infra.packaging import LayerName, function_code, layer_code
from infra.stage import StageConfig
from shared import contract
from shared.domain.issuer import Issuer, issuers_to_json

_ALIAS = "live"
# github.com/aws/aws-cdk, packages/aws-cdk-lib/cx-api/FEATURE_FLAGS.md
_LAYER_CHANGES_COUNT = "@aws-cdk/aws-lambda:recognizeLayerVersion"


class Functions(Construct):
    """Makes functions: their layers, log groups, common settings. One role each, with what is granted and no more."""

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: StageConfig, issuers: Sequence[Issuer] = ()
    ) -> None:
        super().__init__(scope, construct_id)
        # Else a layer that has changed makes no new version, and an alias is moved to versions only.
        self.node.set_context(_LAYER_CHANGES_COUNT, True)
        self._stage = stage
        self._issuers = issuers
        # The emulator compiles what it runs once, not at each start.
        self._python = None if stage.emulated else runtime_python()
        self._layers: dict[LayerName, lambda_.LayerVersion] = {}
        self.aliases: dict[str, lambda_.Alias] = {}
        self.token_secret = secretsmanager.Secret(
            self,
            "TokenSecret",
            description="Signs and verifies clients' tokens (HS256)",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=stage.removal_policy,
        )

    def make(
        self,
        name: str,
        *,
        timeout_s: int,
        environment: Mapping[str, str],
        layer: LayerName = "functions",
        more_layers: Sequence[lambda_.ILayerVersion] = (),
        folder: str | None = None,
        handler: str | None = None,
        memory_mb: int | None = None,
        verifies_tokens: bool = False,
    ) -> lambda_.Function:
        """Return the function whose handler is ``functions/<name>/handler.py``, or as they say."""
        if verifies_tokens:
            environment = {**environment, **self._token_environment()}
            more_layers = [*([self._layer("issuers")] if self._issuers else []), *more_layers]
        folder = folder or name
        construct_id = "".join(part.capitalize() for part in name.split("_"))
        log_group = logs.LogGroup(
            self,
            f"{construct_id}Logs",
            retention=self._stage.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        # CDK's own role has AWS's managed policy, which may write into every log group of the account.
        role = iam.Role(self, f"{construct_id}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        function = lambda_.Function(
            self,
            construct_id,
            description=f"Tidewire {self._stage.name}: functions/{folder}",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler=handler or f"functions.{folder}.handler.lambda_handler",
            code=function_code(folder, python=self._python),
            layers=[self._layer(layer), *more_layers],
            memory_size=memory_mb or self._stage.memory_mb,
            reserved_concurrent_executions=dict(self._stage.reserved_concurrency).get(name),
            timeout=Duration.seconds(timeout_s),
            # Passes on what it is handed, and needs no right: CDK gives that for the other two.
            tracing=lambda_.Tracing.ACTIVE if self._stage.tracing else lambda_.Tracing.DISABLED,
            log_group=log_group,
            role=role,
            environment={
                contract.ENV_STAGE: self._stage.name,
                contract.ENV_GENERATION: str(self._stage.generation),
                contract.ENV_LOGGED_SHARE: str(self._stage.logged_share),
                contract.ENV_LIMITS: self._stage.limits.to_json(),
                "POWERTOOLS_LOG_LEVEL": self._stage.log_level,
                "POWERTOOLS_SERVICE_NAME": contract.SERVICE_NAME,
                "POWERTOOLS_METRICS_NAMESPACE": contract.METRICS_NAMESPACE,
                # Else pydantic looks through the metadata of all packages for some.
                "PYDANTIC_DISABLE_PLUGINS": "__all__",
                **environment,
            },
        )
        if verifies_tokens:
            self.token_secret.grant_read(function)
        return function

    def entry(self, function: lambda_.Function) -> lambda_.IFunction:
        """Return what is to be invoked: where traffic is shifted, an alias. Whoever invokes another shifts nothing."""
        if self._stage.traffic_shift is None:
            return function
        name = function.node.id
        if name not in self.aliases:
            self.aliases[name] = lambda_.Alias(self, f"{name}Live", alias_name=_ALIAS, version=function.current_version)
        return self.aliases[name]

    def _token_environment(self) -> dict[str, str]:
        issuers = {contract.ENV_ISSUERS: issuers_to_json(self._issuers)} if self._issuers else {}
        return {contract.ENV_TOKEN_SECRET_ARN: self.token_secret.secret_arn, **issuers}

    def _layer(self, name: LayerName) -> lambda_.LayerVersion:
        if name not in self._layers:
            self._layers[name] = lambda_.LayerVersion(
                self,
                f"{name.capitalize()}Layer",
                code=layer_code(name, emulated=self._stage.emulated, python=self._python),
                description=f"Third-party packages: dependency group {name} of pyproject.toml",
            )
        return self._layers[name]


def table_environment(store: MessageStore, *names: str) -> dict[str, str]:
    """Return the environment variables that name these tables."""
    tables = {
        contract.ENV_CONNECTIONS_TABLE: store.connections,
        contract.ENV_STREAMS_TABLE: store.streams,
        contract.ENV_STATE_TABLE: store.state,
        contract.ENV_PRESENCE_TABLE: store.presence,
        contract.ENV_LIMITS_TABLE: store.limits,
    }
    return {name: tables[name].table_name for name in names}
