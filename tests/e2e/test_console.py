"""The console tells what the tests have done, and lets nobody in who is no admin."""

import asyncio
import itertools
import json
import re
from collections import Counter
from typing import Any, Final

import httpx
import pytest
from playwright.async_api import Route, expect

from localstack.stack import LocalStack
from tests.e2e.conftest import OpenConsole
from tests.e2e.console import DEADLINE_MS, Console
from tests.integration.checks import eventually, measured
from tests.integration.client import DEADLINE_S, dev_token
from tests.integration.command_line import forget_dead_letters
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession
from tests.integration.test_console import next_period
from tests.integration.test_dead_letters import bury, record
from tests.streams import streaming

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions

_MARKUP: Final = "<img src=x onerror=alert(1)><b>bold</b>"
_LATENCY: Final = "PublishToDeliverLatency"
_ADMIN: Final = {"*": ["admin"]}


async def test_without_admin_there_is_nothing_but_the_way_in(
    open_console: OpenConsole, stack: LocalStack, api_key: str
) -> None:
    console = await open_console()
    await console.try_with("")
    await expect(console.reason).to_contain_text("first")
    for secret, reason in (
        ("eyJh.eyJz.c2ln", "This token is refused"),
        ("no-such-key", "This API key is refused"),
        (dev_token(stack.url, "ann"), "does not have “admin” on “*”"),
        (dev_token(stack.url, "ann", caps={"room:*": ["admin"]}), "does not have “admin” on “*”"),
        (api_key, "does not have “admin” on “*”"),
        ("clé <b>", "This is neither"),
    ):
        await console.try_with(secret)
        await expect(console.reason).to_contain_text(reason, timeout=DEADLINE_MS)
        await console.is_outside()
        assert await console.page.evaluate("sessionStorage.length") == 0
    assert not [path for path in console.asked if re.match("metrics|cost|connections", path)], "nothing was asked for"
    assert await console.violations() == []


async def test_an_admin_comes_in_stays_in_and_leaves(open_console: OpenConsole, stack: LocalStack) -> None:
    console = await open_console()
    await console.try_with(f"Bearer {dev_token(stack.url, 'root', caps=_ADMIN)}")
    await console.is_inside()
    await console.page.reload()
    await console.is_inside()
    assert await console.page.evaluate("localStorage.length") == 0
    await console.page.get_by_role("button", name="Leave").click()
    await console.is_outside()
    await console.page.reload()
    await console.is_outside()


async def test_an_api_key_comes_in_and_is_told_what_it_can_not(
    open_console: OpenConsole, http: httpx.Client, admin: dict[str, str], channel: str, connect: Connect
) -> None:
    caps = {"*": ["admin", "publish"]}
    made = http.post("/v1/keys", json={"name": "console", "caps": caps}, headers=admin).raise_for_status().json()
    ann = await connect("ann", subscribe=[{"channel": channel}])
    console = await open_console()
    await console.try_with(made["key"])
    await console.is_inside()
    await console.sees(console.panel("Tail").get_by_text("an API key opens no connection"))
    form = console.panel("Publish")
    await form.get_by_label("Channel").fill(channel)
    await form.get_by_role("button", name="Publish").click()
    [event] = await ann.wait_for_events(channel, 1)
    assert event["sender"]["user_id"] == "key:console"


async def test_a_token_that_expires_is_renewed_unseen_where_anybody_gets_one(
    open_console: OpenConsole, http: httpx.Client
) -> None:
    console = await open_console()
    tokens: list[str] = []

    async def short(route: Route) -> None:
        body = json.loads(route.request.post_data or "{}") | {"ttl_s": 3600 if tokens else 3}
        answer = await route.fetch(post_data=body)
        tokens.append((await answer.json())["token"])
        await route.fulfill(response=answer)

    await console.page.route("**/v1/dev/token", short)
    await console.come_in()
    await _expired(http, tokens[0])
    await console.refresh()
    await console.is_refreshed()
    await console.is_inside()
    assert len(tokens) == 2
    await expect(console.page.get_by_role("alert").filter(has_text="token")).to_have_count(0)


async def test_a_token_that_was_pasted_and_expires_leads_out_with_the_reason(
    open_console: OpenConsole, stack: LocalStack, http: httpx.Client
) -> None:
    console = await open_console()
    token = dev_token(stack.url, "root", caps=_ADMIN, ttl_s=4)
    await console.try_with(token)
    await console.is_inside()
    await _expired(http, token)
    await console.page.get_by_role("button", name="Refresh").or_(console.secret).click()  # it may have asked by itself
    await expect(console.reason).to_contain_text("the token has expired", timeout=DEADLINE_MS)
    await console.is_outside()


async def _expired(http: httpx.Client, token: str) -> None:
    def refused() -> bool:
        answer = http.get("/v1/dead-letters", headers={"Authorization": f"Bearer {token}"})
        return answer.status_code == httpx.codes.UNAUTHORIZED

    await eventually(lambda: asyncio.to_thread(refused))


async def test_figures_agree_with_what_was_sent(open_console: OpenConsole, connect: Connect, channel: str) -> None:
    subscribers = [await connect(name, subscribe=[{"channel": channel}]) for name in ("ann", "ben", "cleo")]
    publisher = await connect("dora")
    console = await open_console()
    answers = await _fresh_metrics(console)
    await console.come_in()
    sent = 7
    counted = {
        ("Messages", "Published", "Publishes"): sent,
        ("Messages", "Stored", "PublicationsAppended"): sent,
        ("Messages", "Delivered", "Deliveries"): sent * len(subscribers),
        ("Recoveries", "Whole", "Recovered"): 1,
        ("Recoveries", "Refused", "RecoveryRefused"): 1,
        ("Recoveries", "Gaps filled", "GapsFilled"): 1,
        ("Errors", "Requests", "RequestErrors"): 1,
    }
    since_ms = await next_period()
    for number in range(sent):
        await publisher.publish(channel, number)
        for subscriber in subscribers:  # so that no push brings two
            events = await subscriber.wait_for_events(channel, number + 1)
    beginning = {"epoch": events[0]["epoch"], "offset": 0}
    await publisher.ask("subscribe", channel=channel, since=beginning)
    await publisher.ask("subscribe", channel=channel, since={"epoch": "another", "offset": 0})
    await publisher.ask("history", channel=channel, since=beginning)
    assert "error" in await publisher.request({"type": "no-such-type"})

    since: dict[tuple[str, str, str], float] = {}

    async def agree() -> bool:
        """The server has counted what was sent since then; the console shows that, and what was before."""
        since.update({key: _sum(answers[-1], key[2], since_ms) for key in counted})
        whole = {key: _sum(answers[-1], key[2], 0) for key in counted}
        return since == counted and {key: await console.total(*key[:2]) for key in counted} == whole

    try:
        await console.shows_soon(agree)
    except TimeoutError:
        assert since == counted
        raise
    least, most = min(measured(_LATENCY, "Minimum")), max(measured(_LATENCY, "Maximum"))
    for statistic in ("p50", "p90", "p99"):
        shown = await console.figure("Publish to deliver", statistic).inner_text()
        assert least - 0.5 <= float(shown.removesuffix(" ms").replace(",", "")) <= most + 0.5
    await console.panel("Messages").get_by_role("button", name="As a table").click()
    rows = console.panel("Messages").get_by_role("row")
    assert await rows.count() > 30


async def _fresh_metrics(console: Console) -> list[dict[str, Any]]:
    """Return what the console will be answered. It asks for another span each time: the same one is kept for 10 s."""
    answers: list[dict[str, Any]] = []
    minutes = itertools.cycle(range(10, 16))

    async def another(route: Route) -> None:
        answer = await route.fetch(url=re.sub(r"minutes=\d+", f"minutes={next(minutes)}", route.request.url))
        answers.append(await answer.json())
        await route.fulfill(response=answer)

    await console.page.route("**/v1/metrics*", another)
    return answers


def _sum(answer: dict[str, Any], name: str, since_ms: int) -> float:
    [values] = [one["values"] for one in answer["series"] if (one["name"], one["statistic"]) == (name, "Sum")]
    begun = (answer["from_ms"] + place * answer["period_s"] * 1000 for place in range(len(values)))
    return sum(value or 0 for at_ms, value in zip(begun, values, strict=True) if at_ms >= since_ms)


async def test_the_cost_is_what_the_server_says(
    open_console: OpenConsole, http: httpx.Client, admin: dict[str, str]
) -> None:
    console = await open_console()
    await console.come_in()
    cost: dict[str, Any] = {}

    async def ours(route: Route) -> None:
        cost.update(http.get("/v1/cost", headers=admin).raise_for_status().json(), usd=12.5)
        await route.fulfill(json=cost)

    await console.page.route("**/v1/cost", ours)  # what it says changes while it is read
    await console.page.get_by_role("button", name="Refresh").click()
    await expect(console.figure("Now", "Cost this month")).to_have_text("$12.50", timeout=DEADLINE_MS)
    panel = console.panel("Cost")
    await expect(panel.get_by_role("row")).to_have_count(1 + len(cost["items"]))
    for item in cost["items"]:
        await expect(panel.get_by_role("row", name=f"{item['service']} {item['what']}")).to_be_visible()
    await panel.get_by_text(f"List prices of {cost['region']}, {cost['priced_on']}").click()
    await expect(panel.get_by_role("listitem")).to_have_text(cost["not_counted"])


async def test_a_page_that_nobody_sees_asks_for_nothing_and_long_spans_seldom(open_console: OpenConsole) -> None:
    console = await open_console()
    await console.page.clock.install()
    await console.page.reload()
    await console.come_in()
    await console.is_filled()
    assert await console.asked_within(60_000) >= {"metrics?minutes=15", "connections"}
    await console.page.get_by_label("24 h", exact=True).check(force=True)
    await console.is_filled()
    later = await console.asked_within(60_000)
    assert "connections" in later
    assert "metrics?minutes=1440" not in later
    await console.hide(hidden=True)
    assert await console.asked_within(600_000) == set()
    async with console.page.expect_request("**/v1/metrics?minutes=1440"):
        await console.hide(hidden=False)


async def test_connections_by_each_way_rise_and_fall(
    open_console: OpenConsole, stack: LocalStack, connect: Connect, channel: str
) -> None:
    console = await open_console()
    listed = await _listed(console)
    await console.come_in()
    ways = {
        "websocket": "WebSocket",
        "sse": "SSE",
        "stream": "HTTP stream",
        "long_poll": "Long polling",
        "short_poll": "Short polling",
    }

    async def agree(here: Counter[str | None]) -> bool:
        """The server lists these in the channel; the console shows them, and whoever else is there."""
        now = [*listed]
        there = Counter(one.get("transport") for one in now if channel in one["channels"])
        by_way = Counter(one.get("transport") for one in now)
        shown = {way: await console.total("Connections", label) for way, label in ways.items()}
        live = await console.total("Connections", "Live")
        return there == here and shown == {way: by_way[way] for way in ways} and live == len(now)

    asked: dict[str, Any] = {"subscribe": [{"channel": channel}]}
    sockets = [await connect("<b>ann</b>", **asked), await connect("ann", **asked)]
    sessions = [await asyncio.to_thread(HttpSession.open, stack.url, user_id=way, **asked) for way in [*ways][1:]]
    sse, stream, long_poll, short_poll = sessions
    async with (
        streaming(stack.url + sse.stream, headers=sse.headers | {"Accept": "text/event-stream"}),
        streaming(stack.url + stream.stream, headers=stream.headers | {"Accept": "application/x-ndjson"}),
    ):
        await asyncio.to_thread(short_poll.poll, stack.url)
        polling = asyncio.create_task(asyncio.to_thread(long_poll.poll, stack.url, wait_s=20))
        await console.shows_soon(lambda: agree(Counter([*ways, "websocket"])))
        await console.sees(console.panel("Channels").get_by_role("button", name=f"{channel} 6 subscribers"))
        await console.sees(console.panel("Connections").get_by_role("cell", name="<b>ann</b>", exact=True))
        await sockets[1].publish(channel, "enough")
        await polling
    for session in sessions:
        path = session.path.removesuffix("/frames")
        await asyncio.to_thread(httpx.delete, stack.url + path, headers=session.headers, timeout=DEADLINE_S)
    for socket in sockets:
        await socket.close()
    await console.shows_soon(lambda: agree(Counter()))
    await expect(console.panel("Channels").get_by_text(channel)).to_have_count(0)


async def _listed(console: Console) -> list[dict[str, Any]]:
    """Return what the console will be answered: all pages of the last time."""
    listed: list[dict[str, Any]] = []

    async def noted(route: Route) -> None:
        answer = await route.fetch()
        if "after=" not in route.request.url:
            listed.clear()
        listed.extend((await answer.json())["connections"])
        await route.fulfill(response=answer)

    await console.page.route("**/v1/connections*", noted)
    return listed


async def test_dead_letters_are_shown_and_put_back(
    open_console: OpenConsole, stack: LocalStack, connect: Connect, channel: str
) -> None:
    forget_dead_letters(stack)
    ann = await connect("ann", subscribe=[{"channel": channel}])
    for number in range(3):
        bury(stack, "normal", record(channel, f"m{number}"))
    console = await open_console()
    await console.come_in()
    row = console.panel("Dead letters").get_by_role("row", name="normal")
    await console.sees(row.get_by_role("cell", name="3", exact=True))
    await expect(console.figure("Now", "Dead letters")).to_have_text("3")
    await row.get_by_role("button").click()
    dialog = console.page.get_by_role("dialog", name="Put 3 back into normal?")
    await dialog.get_by_role("button", name="Cancel").click()
    await row.get_by_role("button").click()
    await dialog.get_by_role("button", name="Put back").click()
    await console.sees(console.panel("Dead letters").get_by_text("3 put back into normal."))
    await console.sees(row.get_by_role("cell", name="0", exact=True))
    assert len(await ann.wait_for_events(channel, 3)) == 3


async def test_what_the_form_publishes_reaches_others_and_what_is_wrong_is_told_at_its_field(
    open_console: OpenConsole, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    console = await open_console()
    await console.come_in()
    form = console.panel("Publish")
    await console.publish('{"text": ', channel=channel)
    await expect(form.get_by_label("Data, as JSON")).to_have_accessible_description(re.compile("This is no JSON"))
    await expect(form.get_by_label("Data, as JSON")).to_be_focused()
    await console.publish("1", channel="no-namespace")
    await expect(form.get_by_label("Channel")).to_have_accessible_description(
        re.compile("a channel is namespace:name"), timeout=DEADLINE_MS
    )
    await console.publish('{"text": "kept"}', channel=channel)
    [kept] = await ann.wait_for_events(channel, 1)
    assert (kept["data"], kept["priority"], kept["offset"]) == ({"text": "kept"}, "normal", 1)
    await form.get_by_label("Priority").select_option("express")
    await console.publish('"quick"')
    assert (await ann.wait_for_events(channel, 2))[1]["priority"] == "express"
    await console.publish('"gone"', ephemeral=True)
    await console.sees(form.get_by_text("Published, for who is there now."))
    await ann.wait_for(lambda: any(event.get("ephemeral") for event in ann.events(channel)))


async def test_a_tail_shows_what_others_publish_as_it_comes(
    open_console: OpenConsole, connect: Connect, channel: str
) -> None:
    console = await open_console()
    await console.come_in()
    bob = await connect(_MARKUP, subscribe=[{"channel": channel}])
    row = console.panel("Channels").get_by_role("button", name=f"{channel} 1 subscriber")
    await console.shows_soon(row.is_visible)
    await row.click()
    await console.sees(console.panel("Tail").get_by_text("Live. Nothing has come yet."))
    await bob.publish(channel, {"markup": _MARKUP})
    first = console.events.first
    for text in ("#1", "said", _MARKUP, "0 s"):
        await expect(first).to_contain_text(text, timeout=DEADLINE_MS)
    await expect(console.page.locator("img:not([src='/icon.svg'])")).to_have_count(0)
    await bob.publish(channel, "x" * 5_000)
    await first.get_by_text("all 5,002").click()
    await expect(first.get_by_text("x" * 5_000)).to_be_visible()

    tail = console.panel("Tail")
    await tail.get_by_role("button", name="Pause").click()
    await bob.publish(channel, "while held")
    await console.sees(tail.get_by_text("Held. 1 more have come."))
    await expect(console.events).to_have_count(2)
    await tail.get_by_role("button", name="Pause").click()
    await expect(first).to_contain_text("while held")
    await tail.get_by_role("button", name="Clear").click()
    await expect(console.events).to_have_count(0)
    for data in ("here", "there"):
        await bob.publish(channel, data, ephemeral=True, message_id="cursor")  # who publishes chooses the id
        await expect(first).to_contain_text(f'"{data}"')
    await expect(console.events).to_have_count(2)
    for start in range(0, 320, 80):
        await bob.batch([{"type": "publish", "channel": channel, "name": "said", "data": start + n} for n in range(80)])
    await expect(first).to_contain_text("319", timeout=DEADLINE_MS)
    await expect(console.events).to_have_count(300)
    await tail.get_by_role("button", name="Stop").click()
    await expect(console.events).to_have_count(0)


async def test_a_call_that_fails_is_told_and_the_last_figures_stay(open_console: OpenConsole) -> None:
    console = await open_console()
    await console.page.clock.install()
    await console.page.reload()
    await console.come_in()
    published = await console.total("Messages", "Published")
    await console.page.route("**/v1/metrics*", lambda route: route.abort())
    await console.page.get_by_role("button", name="Refresh").click()
    notice = console.page.get_by_role("alert").filter(has_text=re.compile("Metrics can.t be read"))
    await console.sees(notice)
    await console.shows("Messages", "Published", published)
    await console.page.unroute_all()
    await console.page.clock.fast_forward(10_000)  # it is asked for again
    await expect(notice).to_have_count(0, timeout=DEADLINE_MS)
