"""The stack: composes the constructs, owns no resources."""

from aws_cdk import Annotations, CfnOutput, Environment, Stack
from aws_cdk import aws_events as events
from constructs import Construct

from infra.constructs import watched
from infra.constructs.alarms import Alarms
from infra.constructs.archive import Archive
from infra.constructs.budget import Budget
from infra.constructs.canary import Canary
from infra.constructs.dashboard import Dashboard
from infra.constructs.event_sources import AwsEventSource, EventSources
from infra.constructs.fan_out_bus import FanOutBus
from infra.constructs.functions import Functions
from infra.constructs.http_api import HttpApi
from infra.constructs.http_stream import HttpStream
from infra.constructs.message_store import MessageStore
from infra.constructs.one_origin import FrontConfig, OneOrigin
from infra.constructs.presence import Presence
from infra.constructs.publish_pipeline import PublishPipeline
from infra.constructs.traffic_shift import TrafficShift
from infra.constructs.user_pool import UserPool
from infra.constructs.websocket_gateway import WebsocketGateway
from infra.stage import StageConfig
from shared import contract
from shared.domain.connection import DEADLINE_MAX_DELAY_S


class RealtimeStack(Stack):
    """Tidewire, for one stage."""

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: StageConfig, front: FrontConfig | None = None
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Tidewire, stage {stage.name}",
            env=Environment(region=front.region) if front else None,
            cross_region_references=front is not None,
        )
        if stage.name == "prod" and "*" in stage.allowed_origins:
            Annotations.of(self).add_warning_v2(
                "tidewire:AllowedOrigins",
                "pages of every origin may connect: name yours in allowed_origins (infra/stage.py)",
            )
        store = MessageStore(self, "Store", stage=stage)
        pool = None if stage.user_pool is None else UserPool(self, "Users", stage=stage, capabilities=stage.user_pool)
        issuers = (*stage.issuers, *(() if pool is None else (pool.issuer,)))
        functions = Functions(self, "Functions", stage=stage, issuers=issuers)
        pipeline = PublishPipeline(self, "Publish", stage=stage, store=store, functions=functions)
        fan_out = FanOutBus(self, "FanOut", stage=stage, bus=pipeline.bus, store=store, functions=functions)
        websocket = WebsocketGateway(
            self,
            "Websocket",
            stage=stage,
            store=store,
            functions=functions,
            pipeline=pipeline,
            fan_out=fan_out,
        )
        stream = HttpStream(self, "Stream", stage=stage, store=store, functions=functions)
        http = HttpApi(self, "Http", stage=stage, store=store, functions=functions, stream_url=stream.url)
        pipeline.grant_publish(http.function)
        pipeline.grant_put_events(stream.function)  # who has come, where Centrifugo's clients are told of that
        fan_out.grant_deliver_later(http.function)
        for function in (http.function, stream.function):
            fan_out.grant_set_deadlines(function)
        http.function.add_environment(contract.ENV_WEBSOCKET_URL, websocket.url)
        sources = EventSources(
            self, "EventSources", store=store, functions=functions, pipeline=pipeline, fan_out=fan_out
        )
        pipeline.grant_redrive(http.function)
        sources.grant_redrive(http.function)
        for function in (websocket.message, fan_out.fan_out, fan_out.janitor, http.function, sources.function):
            websocket.grant_push(function)
        presence = Presence(self, "Presence", store=store, functions=functions, pipeline=pipeline)
        for function in (websocket.message, http.function, stream.function):
            presence.grant_attend(function)
        for function in (websocket.disconnect, fan_out.fan_out, fan_out.janitor, sources.function):
            presence.grant_end(function)
        self.front: OneOrigin | None = None
        if front is not None:
            self.front = OneOrigin(
                self, "Front", stage=stage, config=front, websocket=websocket, http=http, stream=stream
            )
            CfnOutput(self, contract.OUTPUT_FRONT_SECRET_ARN, value=self.front.secret_arn)
        self._outputs(store, functions, pipeline, websocket, http, stream)
        CfnOutput(self, contract.OUTPUT_EVENT_DEAD_LETTERS_URL, value=sources.dead_letters_url)
        if pool is not None:
            CfnOutput(self, contract.OUTPUT_USER_POOL_ID, value=pool.pool.user_pool_id)
            CfnOutput(self, contract.OUTPUT_USER_POOL_CLIENT_ID, value=pool.client.user_pool_client_id)
        if stage.aws_events:
            self._publish_executions(sources)
        if stage.archive is not None:
            archive = Archive(self, "Archive", bus=pipeline.bus, namespace=stage.archive)
            CfnOutput(self, contract.OUTPUT_ARCHIVE_QUEUE_URL, value=archive.queue.queue_url)
        if stage.canary is not None:
            canary = Canary(
                self,
                "Canary",
                stage=stage,
                minutes=stage.canary,
                functions=functions,
                websocket_url=self.front.websocket_url if self.front else websocket.url,
                http_url=self.front.url if self.front else http.url,
            )
            CfnOutput(self, contract.OUTPUT_CANARY_FUNCTION, value=canary.function.function_name)
        if stage.traffic_shift is not None:
            TrafficShift(self, "TrafficShift", steps=stage.traffic_shift, aliases=functions.aliases)
        if not stage.emulated:  # it would look through all that was ever measured for each
            self.alarms = Alarms(self, "Alarms", email=stage.alarm_email)
            if stage.budget_usd is not None:
                Budget(self, "Budget", usd=stage.budget_usd, alarms=self.alarms)
            lanes = {f"{lane.capitalize()}Lane": (queue, 0) for lane, queue in pipeline.lanes.items()}
            queues = {
                **lanes,
                "Deliveries": (fan_out.deliveries, 0),
                "Deadlines": (fan_out.deadlines, DEADLINE_MAX_DELAY_S),
                "Looks": (presence.looks, 0),
                "Events": (sources.queue, 0),
            }
            gateway = (websocket.connect, websocket.disconnect, websocket.message)
            workers = (pipeline.worker, fan_out.fan_out, fan_out.janitor, sources.function, presence.function)
            watched.watch_own_metrics(self.alarms)
            watched.watch_queues(self.alarms, queues)
            watched.watch_functions(self.alarms, (*gateway, *workers, http.function, stream.function))
            watched.watch_answers(self.alarms, http, stream)
            watched.watch_tables(
                self.alarms, (store.connections, store.streams, store.state, store.presence, store.limits)
            )
            watched.watch_quotas(
                self.alarms,
                websocket,
                http,
                requests_per_s=stage.account_requests_per_s,
                concurrency=stage.account_concurrency,
            )
            self.alarms.adopt()
        waiting = {**pipeline.lanes, "deliveries": fan_out.deliveries}
        dashboard = Dashboard(self, "Dashboard", functions=functions, waiting=waiting, canary=stage.canary is not None)
        CfnOutput(self, contract.OUTPUT_DASHBOARD_NAME, value=dashboard.name)

    def _publish_executions(self, sources: EventSources) -> None:
        """Publish AWS's own events: docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html."""
        AwsEventSource(
            self,
            "Executions",
            sources=sources,
            pattern=events.EventPattern(source=["aws.states"], detail_type=["Step Functions Execution Status Change"]),
            channel=["executions", events.EventField.from_path("$.detail.name")],
            name="status",
            data={
                "status": events.EventField.from_path("$.detail.status"),
                "execution": events.EventField.from_path("$.detail.executionArn"),
            },
        )

    def _outputs(
        self,
        store: MessageStore,
        functions: Functions,
        pipeline: PublishPipeline,
        websocket: WebsocketGateway,
        http: HttpApi,
        stream: HttpStream,
    ) -> None:
        tables = (store.connections, store.streams, store.state, store.presence, store.limits)
        values = {
            contract.OUTPUT_WEBSOCKET_URL: self.front.websocket_url if self.front else websocket.url,
            contract.OUTPUT_HTTP_URL: self.front.url if self.front else http.url,
            contract.OUTPUT_BARE_HTTP_URL: http.url,
            contract.OUTPUT_WEBSOCKET_API_ID: websocket.api.api_id,
            contract.OUTPUT_EVENT_BUS_NAME: pipeline.bus.event_bus_name,
            contract.OUTPUT_HTTP_FUNCTION: http.function.function_name,
            contract.OUTPUT_STREAM_FUNCTION: stream.function.function_name,
            contract.OUTPUT_TOKEN_SECRET_ARN: functions.token_secret.secret_arn,
            **{contract.OUTPUT_LANE_URLS[lane]: queue.queue_url for lane, queue in pipeline.lanes.items()},
            **{contract.OUTPUT_DEAD_LETTER_URLS[lane]: url for lane, url in pipeline.dead_letter_urls.items()},
            **{
                name: table.table_name for name, table in zip(contract.OUTPUT_TABLE_NAMES.values(), tables, strict=True)
            },
        }
        for name, value in values.items():
            CfnOutput(self, name, value=value)
