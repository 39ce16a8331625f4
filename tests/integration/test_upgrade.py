"""This release deployed over the one before it, and taken back: clients stay connected, and nothing is lost.

Beside the tests' own stack there is one of the release before this one, on an emulator of its own. Its clients, its
HTTP functions and what it is deployed from are that release's. docs/upgrading.md says what follows from it.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import boto3
import httpx
import pytest

from localstack.backend import aws_environment
from localstack.deploy import Deployment
from localstack.edge.api import read_api
from localstack.metrics import ServedMetrics
from localstack.stack import LocalStack
from shared.adapters.schema_version import WRITTEN
from shared.contract import ENV_CONNECTIONS_TABLE, ENV_STREAMS_TABLE, OUTPUT_TABLE_NAMES
from shared.ports import Metrics
from tests.integration.client import DEADLINE_S, Client, RequestError, UncertainError, dev_token
from tests.integration.release import RunningApp, Switch, check_out, environment, previous_release

_STREAM_MAX_AGE_S: Final = 4
_PACE_S: Final = 0.25
_WAYS: Final = ("websocket", "sse", "long_poll")
_LAST: Final = "the last"
_CHANNEL: Final = "room:upgraded"
_KEPT: Final = "room:kept"
_QUEUED: Final = "room:queued"


class Redeployment(Deployment):
    """One more in an account that has been bootstrapped."""

    def bootstrap(self) -> None:
        """Have nothing to do."""


class Upgraded(LocalStack):
    """The stack of the release before, until this one is deployed over it."""

    def __init__(self, folder: Path, before: Path) -> None:
        super().__init__(
            folder,
            stream_max_age_s=_STREAM_MAX_AGE_S,
            deployment=lambda place, environment: Deployment(place, environment, root=before),
        )
        self._before = before

    def serve_http(self, metrics: Metrics) -> Switch:
        outputs = json.dumps(self.outputs)
        self._app_before = RunningApp(self._before, self.folder, outputs, stream_max_age_s=_STREAM_MAX_AGE_S)
        self._http = Switch(self._app_before)
        return self._http

    def new(self) -> Deployment:
        """Return this release's deployment, synthesised."""
        folder = self.folder / "new"
        folder.mkdir()
        deployment = Redeployment(folder, aws_environment(self.emulator.endpoint))
        deployment.synthesise(self.url, "[]")
        return deployment

    def old(self) -> Deployment:
        """Return the deployment of the release before, as it was synthesised at the beginning."""
        return Redeployment(self.folder, aws_environment(self.emulator.endpoint), root=self._before)

    async def deploy(self, deployment: Deployment, *, back: bool = False) -> None:
        """Deploy over what there is, with everybody connected."""
        outputs = await asyncio.to_thread(deployment.deploy)
        assert self.outputs.items() <= outputs.items(), "tables, queues and addresses stay; others may come"
        self._http.to(self._app_before if back else super().serve_http(ServedMetrics()))
        gateway = self.edge.gateway
        gateway.api = read_api(boto3.client("apigatewayv2"), outputs["WebSocketApiId"])


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[Upgraded]:
    check_out(previous_release(), tmp_path / "before")
    with Upgraded(tmp_path / "run", tmp_path / "before") as stack:
        yield stack


class Listener:
    """The command line of the release before, that shows a channel; one way alone."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def until_connected(self) -> None:
        assert self._process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            while line := await self._process.stderr.readline():
                if b"connected by" in line:
                    return
        raise AssertionError("it has ended")

    async def heard(self) -> list[Any]:
        """Return all data up to the last."""
        assert self._process.stdout is not None
        data: list[Any] = []
        async with asyncio.timeout(DEADLINE_S):
            while not data or data[-1] != _LAST:
                data.append(json.loads(await self._process.stdout.readline())["data"])
        return data

    async def end(self) -> str:
        """End it; return what it has said of its connection since it was connected."""
        self._process.terminate()
        _, said = await self._process.communicate()
        return said.decode()


@asynccontextmanager
async def listening(stack: Upgraded, code: Path) -> AsyncIterator[dict[str, Listener]]:
    line = [sys.executable, "-m", "tidewire.cli.main", "sub", _CHANNEL, "--json", "--url", stack.url]
    pipe = asyncio.subprocess.PIPE
    environ = environment(code) | {"TIDEWIRE_CONFIG": str(stack.folder / "none")}
    processes = {
        way: await asyncio.create_subprocess_exec(*line, "--transport", way, env=environ, stdout=pipe, stderr=pipe)
        for way in _WAYS
    }
    try:
        listeners = {way: Listener(process) for way, process in processes.items()}
        await asyncio.gather(*(listener.until_connected() for listener in listeners.values()))
        yield listeners
    finally:
        for process in processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


class Publisher:
    """Publishes 1, 2, 3 ... as long as it lasts; again under the same id what has failed for the moment."""

    def __init__(self, client: Client) -> None:
        self.published: list[Any] = []
        self._client = client
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def some_more(self) -> None:
        """Return when some have come back that had not been published when it was called."""
        await self._client.wait_for_events(_CHANNEL, len(self.published) + 3)

    async def stop(self) -> None:
        """Publish the last."""
        self._stop.set()
        await self._task
        await self._publish(_LAST)

    async def _run(self) -> None:
        while not self._stop.is_set():
            await self._publish(len(self.published) + 1)
            try:
                await asyncio.wait_for(self._stop.wait(), _PACE_S)
            except TimeoutError:
                continue

    async def _publish(self, data: Any) -> None:
        retry: dict[str, bool] = {}
        while True:
            try:
                await self._client.publish(_CHANNEL, data, message_id=f"m{data}", **retry)
            except UncertainError:
                retry = {"retry": True}
            except RequestError as refused:
                assert refused.error["retryable"], refused
                retry = {"retry": True}
            else:
                break
        self.published.append(data)


class Kept:
    """What was written by the release before, and is asked after in each that follows."""

    def __init__(self, stack: Upgraded, http: httpx.AsyncClient) -> None:
        self._stack, self._http = stack, http
        self._admin = {"Authorization": f"Bearer {dev_token(stack.url, 'root', caps={'*': ['admin', 'publish']})}"}
        self._asked = 0

    async def write(self, bob: Client) -> None:
        """Write, as bob and by HTTP."""
        here = await bob.ask("subscribe", channel=_KEPT, presence=True)
        await bob.ask("state.set", channel=_KEPT, key="board", value={"cards": []})
        for number in (1, 2):
            stored = await bob.publish(_KEPT, number, priority="express")
        self._epoch = stored["position"]["epoch"]
        await bob.ask("ack", channel=_KEPT, offset=2)
        assert [member["user_id"] for member in here["presence"]["members"]] == ["bob"]
        self._dan = await Client.open(self._stack.url)
        await self._dan.hello(dev_token(self._stack.url, "dan"), subscribe=[{"channel": _KEPT}])
        self._key = (await self._post("/v1/keys", {"name": "k", "caps": {"*": ["publish"]}}, self._admin))["key"]
        self._ticket = (await self._post("/v1/tickets", {}, self._admin))["ticket"]
        keep_tickets(self._stack)

    async def ask_after(self, bob: Client) -> None:
        """See that all is there, and goes on where it was."""
        self._asked += 1
        document = (await bob.ask("state.get", channel=_KEPT, key="board"))["documents"]["board"]
        assert (document["version"], len(document["value"]["cards"])) == (self._asked, self._asked - 1)
        patch = {"cards": [*document["value"]["cards"], "card"]}
        patched = await bob.ask("state.patch", channel=_KEPT, key="board", patch=patch, base_version=self._asked)
        assert patched["version"] == self._asked + 1
        body = {"channel": _KEPT, "name": "said", "data": 2 + self._asked}
        [sent] = (await self._post("/v1/publish", body, {"X-API-Key": self._key}))["results"]
        assert sent["status"] == "accepted"
        events = await bob.wait_for_events(_KEPT, 2 + self._asked)
        assert [event["offset"] for event in events] == [*range(1, 3 + self._asked)]
        page = await bob.ask("history", channel=_KEPT)
        assert [one["offset"] for one in page["publications"]] == [*range(1, 3 + self._asked)]
        assert page["position"] == {"epoch": self._epoch, "offset": 2 + self._asked}
        [member] = (await bob.ask("presence.get", channel=_KEPT))["members"]
        assert (member["user_id"], member["read_offset"]) == ("bob", 2)

    async def take_up(self) -> None:
        """Come by what was given out before: a ticket, and a session whose connection goes now."""
        root = await Client.open(self._stack.url, ticket=self._ticket)
        assert (await root.hello())["user_id"] == "root"
        session_id = self._dan.welcome["session_id"]
        await self._dan.cut()
        dan = await Client.open(self._stack.url)
        await dan.hello(dev_token(self._stack.url, "dan"), session_id=session_id)
        assert dan.welcome["session_id"] == session_id
        await root.publish(_KEPT, "to dan", ephemeral=True)
        await dan.wait_for(lambda: [event for event in dan.events(_KEPT) if event["data"] == "to dan"])
        await dan.close()
        await root.close()

    async def _post(self, path: str, body: Any, headers: dict[str, str]) -> Any:
        answer = await self._http.post(path, json=body, headers=headers)
        return answer.raise_for_status().json()


def keep_tickets(stack: LocalStack) -> None:
    """Give tickets an hour: on a busy machine a deployment takes longer than their 30 s."""
    client, table = boto3.client("dynamodb"), stack.outputs[OUTPUT_TABLE_NAMES[ENV_CONNECTIONS_TABLE]]
    found = client.scan(
        TableName=table,
        FilterExpression="begins_with(pk, :ticket)",
        ExpressionAttributeValues={":ticket": {"S": "TICKET#"}},
    )
    for item in found["Items"]:
        client.update_item(
            TableName=table,
            Key={"pk": item["pk"], "sk": item["sk"]},
            UpdateExpression="SET expires_at_s = expires_at_s + :hour",
            ExpressionAttributeValues={":hour": {"N": "3600"}},
        )


class Waiting:
    """Messages of the release before that nobody takes before the next is there: of a lane, and of the deadlines."""

    _QUEUES: Final = ("PublishLowLane", "FanOutDeadlines")

    async def write(self, stack: Upgraded, bob: Client) -> None:
        """Have them queued."""
        await asyncio.to_thread(consume, self._QUEUES, enabled=False)
        self._silent = await Client.open(stack.url)
        await bob.ask("subscribe", channel=_QUEUED)
        for number in (1, 2, 3):
            assert "position" not in await bob.publish(_QUEUED, number, priority="low")

    async def handled(self, bob: Client) -> None:
        """Have them taken, and see what comes of it."""
        assert bob.events(_QUEUED) == []
        assert self._silent.close_code is None
        await asyncio.to_thread(consume, self._QUEUES, enabled=True)
        events = await bob.wait_for_events(_QUEUED, 3)
        assert [(event["offset"], event["data"]) for event in events] == [(1, 1), (2, 2), (3, 3)]
        await self._silent.wait_closed()


def consume(queues: Sequence[str], *, enabled: bool) -> None:
    """Have queues' functions take from them, or not."""
    client = boto3.client("lambda")
    for mapping in client.list_event_source_mappings()["EventSourceMappings"]:
        if any(queue in mapping["EventSourceArn"] for queue in queues):
            client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)


def newest_version(stack: LocalStack) -> int | None:
    """Return which schema version the channel's newest segment has."""
    answer = boto3.client("dynamodb").scan(
        TableName=stack.outputs[OUTPUT_TABLE_NAMES[ENV_STREAMS_TABLE]],
        FilterExpression="begins_with(pk, :channel)",
        ExpressionAttributeValues={":channel": {"S": f"{_CHANNEL}#"}},
    )
    newest = max(answer["Items"], key=lambda item: int(item["sk"]["N"]))
    return int(newest["v"]["N"]) if "v" in newest else None


@pytest.mark.timeout(300)
async def test_clients_and_data_come_through_an_upgrade_and_back(upgraded: Upgraded, tmp_path: Path) -> None:
    new = await asyncio.to_thread(upgraded.new)
    async with (
        listening(upgraded, tmp_path / "before") as listeners,
        httpx.AsyncClient(base_url=upgraded.url, timeout=DEADLINE_S) as http,
    ):
        kept, waiting = Kept(upgraded, http), Waiting()
        ann, bob = await Client.open(upgraded.url), await Client.open(upgraded.url)
        await ann.hello(dev_token(upgraded.url, "ann"), subscribe=[{"channel": _CHANNEL}])
        await bob.hello(dev_token(upgraded.url, "bob"))
        publisher = Publisher(ann)
        await kept.write(bob)
        await waiting.write(upgraded, bob)
        await publisher.some_more()
        written_before = newest_version(upgraded)

        published_before = len(publisher.published)
        await upgraded.deploy(new)
        assert len(publisher.published) > published_before, "it goes on meanwhile"
        await kept.ask_after(bob)
        await kept.take_up()
        await waiting.handled(bob)
        await publisher.some_more()
        assert newest_version(upgraded) == WRITTEN

        await upgraded.deploy(upgraded.old(), back=True)
        await kept.ask_after(bob)
        await publisher.some_more()
        assert newest_version(upgraded) == written_before

        await publisher.stop()
        for listener in listeners.values():
            assert await listener.heard() == publisher.published
            assert await listener.end() == "", "it has not lost its connection, nor begun anew"
        events = await ann.wait_for_events(_CHANNEL, len(publisher.published))
        assert [(event["offset"], event["data"]) for event in events] == [*enumerate(publisher.published, 1)]
        assert len({event["epoch"] for event in events}) == 1
        for client in (ann, bob):
            assert client.close_code is None
            await client.close()
