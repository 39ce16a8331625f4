"""The browser client in the browser: offline, reloads, the way back, tabs, and networks that let little through."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Error, Route, async_playwright

from localstack.stack import LocalStack
from tests.clients.javascript import JavaScriptDriver, harness, worker
from tests.clients.network import Network
from tests.clients.scenario import DEADLINE_S, sees
from tests.e2e.browser import launch
from tests.integration.checks import eventually, whole_history
from tests.integration.client import Client, dev_token

pytestmark = [
    pytest.mark.timeout(300),  # the first test starts the stack, and all functions
    pytest.mark.usefixtures("page_url"),  # which is built before the stack starts
]

TRANSPORTS: Final = ("websocket", "sse", "stream", "long_poll", "short_poll")
# More than one batch, and less than a user may publish at once.
FULL: Final = 120

_KEPT = """
async ([name, count]) => {
  for (;;) {
    const database = await new Promise((resolve, reject) => {
      const request = indexedDB.open(name);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const kept = await new Promise((resolve, reject) => {
      const request = database.transaction("requests").objectStore("requests").count();
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    database.close();
    if (kept === count) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
"""


class People:
    """Users with a network each, or several pages in one browser on one network."""

    def __init__(self, stack: LocalStack, browser: Browser, opened: AsyncExitStack) -> None:
        self.stack, self._browser, self._opened = stack, browser, opened
        self._id = secrets.token_hex(4)
        self.channel = f"room:{self._id}"

    async def network(self, mode: Any = "open") -> Network:
        return await self._opened.enter_async_context(Network(self.stack.url, mode))

    async def context(self) -> BrowserContext:
        context = await self._opened.enter_async_context(await self._browser.new_context())
        context.set_default_timeout(DEADLINE_S * 1000)
        await context.add_init_script(harness())
        return context

    async def open(
        self,
        name: str = "ann",
        *,
        context: BrowserContext | None = None,
        network: Network | None = None,
        origin: str | None = None,
        **options: Any,
    ) -> JavaScriptDriver:
        """Open a page with a client that has subscribed to the channel."""
        context, network = context or await self.context(), network or await self.network()
        driver = await JavaScriptDriver.open(context, network, f"{name}-{self._id}", origin=origin, **options)
        await driver.do("subscribe", channel=self.channel)
        return driver

    def publish(self, *data: Any) -> Awaitable[None]:
        """Publish without a browser."""

        def publish() -> None:
            headers = {"Authorization": f"Bearer {dev_token(self.stack.url, 'cyd')}"}
            with httpx.Client(base_url=self.stack.url, headers=headers, timeout=DEADLINE_S) as http:
                for each in data:
                    body = {"channel": self.channel, "name": "said", "data": each}
                    http.post("/v1/publish", json=body).raise_for_status()

        return asyncio.to_thread(publish)

    async def history(self) -> list[Any]:
        """Read the data of all that is kept, without a browser."""
        client = await Client.open(self.stack.url)
        await client.hello(dev_token(self.stack.url, "cyd"))
        publications = await whole_history(client, self.channel)
        await client.close()
        return [each["data"] for each in publications]

    async def hears(self, driver: JavaScriptDriver, *data: Any) -> None:
        await sees(driver, "events", list(data), channel=self.channel)

    @asynccontextmanager
    async def offline(self, context: BrowserContext, network: Network) -> AsyncIterator[None]:
        """Inside, the server is not reached; pages that are not behind the network load, as if a worker had them."""

        async def refuse(route: Route) -> None:
            await route.abort("internetdisconnected")

        await context.route("**/v1/**", refuse)
        network.away()
        yield
        await context.unroute("**/v1/**", refuse)
        network.back()

    async def kept(self, driver: JavaScriptDriver, count: int) -> None:
        """Wait until the browser's storage has so many requests of the driver's user."""
        database = f"tidewire {self.stack.url} {driver.options['user']}"
        await driver.page.evaluate(_KEPT, [database, count])

    def sockets(self, network: Network) -> set[str]:
        """Return the ids of the connections that the edge has by way of a network."""
        connections = list(self.stack.edge.gateway.connections.values())
        return {each.connection_id for each in connections if each.handshake.host == network.host}


@pytest.fixture
async def people(warm_stack: LocalStack, browser: Browser) -> AsyncIterator[People]:
    async with AsyncExitStack() as opened:
        yield People(warm_stack, browser, opened)


# offline


async def test_offline_nothing_is_lost(people: People) -> None:
    network = await people.network()
    ann, bob = await people.open("ann", network=network), await people.open("bob")
    await ann.page.context.set_offline(True)
    network.away()
    await sees(ann, "state", "reconnecting")
    said = [await ann.start("publish", {"channel": people.channel, "data": n, "offline": True}) for n in (1, 2, 3)]
    await people.publish("meanwhile")
    await people.hears(bob, "meanwhile")
    network.back()
    await ann.page.context.set_offline(False)
    await asyncio.gather(*said)
    for driver in (ann, bob):
        await people.hears(driver, "meanwhile", 1, 2, 3)
        assert await driver.complaints() == []


async def test_both_edit_a_document_offline_and_agree_afterwards(people: People) -> None:
    networks = [await people.network(), await people.network()]
    ann, bob = [
        await people.open(name, network=network) for name, network in zip(("ann", "bob"), networks, strict=True)
    ]
    board = {"channel": people.channel, "key": "board"}
    await ann.do("set", **board, value={"title": "Plans", "open": True, "votes": {}})
    await sees(bob, "document", {"title": "Plans"}, **board)
    for driver, network in zip((ann, bob), networks, strict=True):
        await driver.page.context.set_offline(True)
        network.away()
        await sees(driver, "state", "reconnecting")
    writes = [
        await ann.start("patch", {**board, "patch": {"title": "Ann's plans", "votes": {"ann": 1}}, "offline": True}),
        await bob.start("patch", {**board, "patch": {"open": False, "votes": {"bob": 2}}, "offline": True}),
        await bob.start("patch", {**board, "patch": {"votes": {"bob": 3}}, "offline": True}),
    ]
    await sees(ann, "document", {"title": "Ann's plans", "open": True, "votes": {"ann": 1}}, **board)
    await sees(bob, "document", {"title": "Plans", "open": False, "votes": {"bob": 3}}, **board)
    for driver, network in zip((ann, bob), networks, strict=True):
        network.back()
        await driver.page.context.set_offline(False)
    await asyncio.gather(*writes)
    agreed = {"title": "Ann's plans", "open": False, "votes": {"ann": 1, "bob": 3}}
    for driver in (ann, bob):
        await sees(driver, "document", agreed, **board)
        await sees(driver, "pending", 0, **board)
        assert await driver.complaints() == []


# reloads


@pytest.mark.parametrize("while_offline", [False, True], ids=["online again", "offline"])
async def test_what_was_kept_is_sent_after_a_reload(people: People, while_offline: bool) -> None:
    network, context = await people.network(), await people.context()
    bob = await people.open("bob")
    ann = await people.open(context=context, network=network, origin=people.stack.url)
    publish = {"channel": people.channel, "offline": True}
    async with people.offline(context, network):
        await sees(ann, "state", "reconnecting")
        for number in range(FULL):
            await ann.start("publish", {**publish, "data": number})
        await people.kept(ann, FULL)
        if while_offline:
            await ann.page.reload()
            await ann.begin()
            last = await ann.start("publish", {**publish, "data": "after the reload"})
            assert await ann.see("state", {}) != "connected"
    if while_offline:
        await ann.page.evaluate("window.dispatchEvent(new Event('online'))")
    else:
        await ann.page.reload()
        await ann.begin()
        last = await ann.start("publish", {**publish, "data": "after the reload"})
    await last
    await people.hears(bob, *range(FULL), "after the reload")
    await people.kept(ann, 0)
    assert await ann.complaints() == []


async def test_a_document_written_offline_outlives_the_page(people: People) -> None:
    network, context = await people.network(), await people.context()
    board = {"channel": people.channel, "key": "board"}
    bob = await people.open("bob")
    ann = await people.open(context=context, network=network, origin=people.stack.url)
    await ann.do("set", **board, value={"title": "Plans"})
    await sees(bob, "document", {"title": "Plans"}, **board)
    async with people.offline(context, network):
        await sees(ann, "state", "reconnecting")
        await ann.start("patch", {**board, "patch": {"open": True}, "offline": True})
        await people.kept(ann, 1)
        await ann.page.reload()
        await ann.begin()
        await sees(ann, "document", {"title": "Plans"}, **board)  # as it was last told
    await ann.page.evaluate("window.dispatchEvent(new Event('online'))")
    for driver in (ann, bob):
        await sees(driver, "document", {"title": "Plans", "open": True}, **board)
    await people.kept(ann, 0)
    assert await ann.complaints() == []


# the way back


async def test_a_page_that_one_comes_back_to_has_what_it_missed(
    warm_stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    async with async_playwright() as playwright, AsyncExitStack() as opened:
        # Playwright switches the cache off, since pages that come back confuse some tests.
        kept = {
            "ignore_default_args": ["--disable-back-forward-cache"],
            "args": ["--enable-features=BackForwardCache"],
        }
        browser = await opened.enter_async_context(await launch(playwright, **kept))
        people = People(warm_stack, browser, opened)
        network, context = await people.network(), await people.context()
        await context.add_init_script(
            "addEventListener('pageshow', (event) => { window.persisted = event.persisted; })"
        )
        ann = await people.open(context=context, network=network)
        await people.publish(1)
        await people.hears(ann, 1)
        await ann.page.goto(f"{network.url}/readyz")
        await eventually(lambda: not people.sockets(network))
        await people.publish(2)
        await ann.page.go_back()
        back = await ann.page.evaluate("'harness' in window")
        assert await ann.page.evaluate("window.persisted") is back
        reasons = await ann.page.evaluate(
            "JSON.stringify(performance.getEntriesByType('navigation')[0].notRestoredReasons ?? null)"
        )
        with capsys.disabled():
            print(f"\nback/forward cache: {'kept' if back else f'not kept: {reasons}'}", end=" ")  # noqa: T201
        if not back:
            await ann.begin()
            assert await ann.do("subscribe", channel=people.channel, history=10) == [1, 2]
        await people.publish(3)
        await people.hears(ann, *([1, 2, 3] if back else [3]))
        assert len(people.sockets(network)) == 1
        assert await ann.complaints() == []


async def test_a_page_that_is_put_aside_lets_go_and_comes_back(people: People) -> None:
    # Where the browser keeps no pages, as Chromium without a window does not, this is what it would tell one.
    network = await people.network()
    ann = await people.open(network=network)
    await people.publish(1)
    await people.hears(ann, 1)
    told = "name => window.dispatchEvent(new PageTransitionEvent(name, { persisted: true }))"
    await ann.page.evaluate(told, "pagehide")
    await eventually(lambda: not people.sockets(network))
    assert await ann.page.evaluate("navigator.locks.query().then(({ held }) => held)") == []
    await people.publish(2)
    await ann.page.evaluate(told, "pageshow")
    await people.publish(3)
    await people.hears(ann, 1, 2, 3)
    assert len(people.sockets(network)) == 1
    assert await ann.complaints() == []


# tabs


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("end", ["closed", "crashed"])
async def test_tabs_have_one_socket_and_lose_nothing_with_the_leader(people: People, count: int, end: str) -> None:
    network, context = await people.network(), await people.context()
    leader, *others = [await people.open(context=context, network=network) for _ in range(count)]
    await people.publish(1)
    for tab in (leader, *others):
        await people.hears(tab, 1)
        assert await tab.page.evaluate("harness.client.transport") == "tabs"
    [before] = people.sockets(network)

    sent = 1

    async def publish_on() -> None:
        nonlocal sent
        while True:
            await people.publish(sent + 1)
            sent += 1

    publishing = asyncio.create_task(publish_on())
    if end == "closed":
        await leader.page.close()
    else:
        crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        leader.page.on("crash", lambda _: crashed.set_result(None))
        session = await context.new_cdp_session(leader.page)
        crashing = asyncio.create_task(session.send("Page.crash"))
        await crashed
        crashing.cancel()
        with suppress(Error, asyncio.CancelledError):
            await crashing

    def moved() -> set[str]:
        return people.sockets(network) - {before}

    await eventually(moved, deadline_s=DEADLINE_S)
    publishing.cancel()
    with suppress(asyncio.CancelledError):
        await publishing
    await asyncio.gather(*[await tab.start("publish", {"channel": people.channel, "data": "on"}) for tab in others])
    for tab in others:
        heard = await _until(tab, people.channel, lambda events: events.count("on") == len(others))
        numbers = [each for each in heard if each != "on"]
        # The one that was on its way when this stopped publishing may be there as well.
        assert numbers in ([*range(1, sent + 1)], [*range(1, sent + 2)])
        assert await tab.complaints() == []
    assert len(people.sockets(network)) == 1


async def test_tabs_that_come_and_go_share_what_is_written(people: People) -> None:
    network, context = await people.network(), await people.context()
    board = {"channel": people.channel, "key": "board"}
    first, second = [await people.open(context=context, network=network) for _ in range(2)]
    await first.do("set", **board, value={"a": 1})
    await sees(second, "document", {"a": 1}, **board)
    await second.do("patch", **board, patch={"b": 2})
    await sees(first, "document", {"a": 1, "b": 2}, **board)
    await first.page.close()
    third = await people.open(context=context, network=network)
    assert await third.do("read", **board) == {"a": 1, "b": 2}
    await third.do("patch", **board, patch={"c": 3})
    await sees(second, "document", {"a": 1, "b": 2, "c": 3}, **board)
    assert len(people.sockets(network)) == 1


async def test_a_worker_has_the_socket_whichever_tabs_come_and_go(people: People) -> None:
    network, context = await people.network(), await people.context()
    network.scripts["/worker.js"] = worker()
    tabs = [await people.open(context=context, network=network, sharedWorker="/worker.js") for _ in range(3)]
    [before] = people.sockets(network)
    await people.publish(1)
    for tab in tabs:
        await people.hears(tab, 1)
    await tabs[0].page.close()
    tabs[0] = await people.open(context=context, network=network, sharedWorker="/worker.js")
    await tabs[0].do("publish", channel=people.channel, data=2)
    for tab, heard in zip(tabs, ([2], [1, 2], [1, 2]), strict=True):
        await people.hears(tab, *heard)
        assert await tab.complaints() == []
    assert people.sockets(network) == {before}
    for tab in tabs:
        await tab.page.close()
    await eventually(lambda: not people.sockets(network))


# networks


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_each_transport_alone(people: People, transport: str) -> None:
    ann = await people.open(transports=[transport], shareTabs=False)
    await ann.do("publish", channel=people.channel, data="Hello")
    await people.publish("Hello back")
    await people.hears(ann, "Hello", "Hello back")
    assert await ann.page.evaluate("harness.client.transport") == transport
    assert await ann.complaints() == []


@pytest.mark.parametrize("way", [*TRANSPORTS, "tabs"])
async def test_cut_again_and_again_nothing_is_lost_doubled_or_reordered(people: People, way: str) -> None:
    network, context = await people.network(), await people.context()
    options: dict[str, Any] = {} if way == "tabs" else {"transports": [way], "shareTabs": False}
    pages = [await people.open(context=context, network=network, **options) for _ in range(2)]
    said: list[Awaitable[Any]] = []
    for number in range(60):
        for page, driver in enumerate(pages):
            said.append(await driver.start("publish", {"channel": people.channel, "data": [page, number]}))
        if number % 10 == 9:
            network.cut()
    await asyncio.gather(*said)
    heard = [await _until(driver, people.channel, lambda events: len(events) >= len(said)) for driver in pages]
    history = await people.history()
    assert heard == [history, history]
    for page in range(2):
        assert [number for by, number in history if by == page] == list(range(60))
    for driver in pages:
        assert await driver.see("resets", {"channel": people.channel}) == 0
        assert await driver.complaints() == []


@pytest.mark.parametrize(
    ("mode", "bound_ms"),
    # What is to be shown: no timeout is waited for, which would be 4 s (where nothing else runs, it is well under 1 s);
    # and no more than that one.
    [("forbidden", 3_000), ("silent", 8_000)],
)
async def test_where_sockets_do_not_work_the_next_way_is_taken(
    people: People, mode: str, bound_ms: int, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = await people.network(mode)
    ann = await people.open(network=blocked, origin=people.stack.url, shareTabs=False)
    [connected] = [each for each in await ann.page.evaluate("harness.states") if each["state"] == "connected"]
    took_ms = connected["atMs"] - await ann.page.evaluate("harness.begunMs")
    with capsys.disabled():
        print(f"\nWebSocket {mode}: {connected['transport']} after {took_ms:.0f} ms", end=" ")  # noqa: T201
    assert blocked.refused > 0
    assert connected["transport"] == "sse"
    assert took_ms < bound_ms
    await people.publish("Hello")
    await people.hears(ann, "Hello")
    assert await ann.complaints() == []


async def test_where_sockets_stop_working_the_next_way_goes_on(people: People) -> None:
    network = await people.network()
    ann = await people.open(network=network, origin=people.stack.url, shareTabs=False)
    await people.publish(1)
    await people.hears(ann, 1)
    network.mode = "forbidden"
    network.cut()
    await ann.do("publish", channel=people.channel, data="mine")
    assert await ann.page.evaluate("harness.client.transport") == "sse"
    await people.publish(2)
    await people.hears(ann, 1, "mine", 2)
    assert await ann.see("resets", {"channel": people.channel}) == 0
    assert await ann.complaints() == []


@pytest.mark.parametrize("lesser", TRANSPORTS[1:])
async def test_a_page_moves_up_when_sockets_work_again(people: People, lesser: str) -> None:
    blocked, context = await people.network("forbidden"), await people.context()
    await context.clock.install()
    transports = ["websocket", lesser]
    ann = await people.open(
        context=context, network=blocked, origin=people.stack.url, shareTabs=False, transports=transports
    )
    assert await ann.page.evaluate("harness.client.transport") == lesser
    blocked.back()
    heard = []
    # It tries once a minute. Not all of it at once: a stream would seem to have been silent for too long.
    for part in range(3):
        await ann.page.clock.fast_forward(21_000)
        await people.publish(part)
        heard.append(part)
        await people.hears(ann, *heard)

    async def moved() -> bool:
        return bool(await ann.page.evaluate("harness.client.transport === 'websocket'"))

    await eventually(moved)
    await people.publish("by socket")
    await people.hears(ann, *heard, "by socket")
    assert len(people.sockets(blocked)) == 1
    assert "reconnecting" not in {each["state"] for each in await ann.page.evaluate("harness.states")}
    assert await ann.complaints() == []


# other browsers


@pytest.mark.parametrize("name", ["firefox", "webkit"])
async def test_other_browsers(name: str, request: pytest.FixtureRequest) -> None:
    async with async_playwright() as playwright, AsyncExitStack() as opened:
        kind = getattr(playwright, name)
        if not Path(kind.executable_path).exists():
            pytest.skip(f"Playwright has no {name} here: python -m playwright install {name}")
        stack: LocalStack = request.getfixturevalue("warm_stack")
        people = People(stack, await opened.enter_async_context(await kind.launch()), opened)
        context = await people.context()
        ann, again = [await people.open(context=context) for _ in range(2)]
        await ann.do("publish", channel=people.channel, data="Hello")
        for tab in (ann, again):
            await people.hears(tab, "Hello")
            assert await tab.complaints() == []


async def _until(driver: JavaScriptDriver, channel: str, enough: Callable[[list[Any]], bool]) -> list[Any]:
    async with asyncio.timeout(DEADLINE_S):
        while not enough(events := await driver.see("events", {"channel": channel})):
            await driver.news()
    return list(events)
