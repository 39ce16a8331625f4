"""A browser's own ways to read streams: EventSource, which comes back by itself, and fetch."""

import asyncio
from typing import Any

import httpx
from playwright.async_api import Browser

from localstack.stack import LocalStack
from tests.conftest import STREAM_MAX_AGE_S
from tests.integration.client import Client, dev_token
from tests.integration.http_session import HttpSession

_LISTEN = """
(address) => {
  window.heard = [];
  window.opens = 0;
  window.source = new EventSource(address);
  window.source.onopen = () => { window.opens += 1; };
  window.source.onmessage = (message) => {
    const frames = [JSON.parse(message.data)].flat();
    window.heard.push(...frames.filter((frame) => frame.type === "event").map((frame) => frame.data));
  };
}
"""
_ENDS = 3


async def test_an_event_source_survives_the_ends_of_its_streams(
    page_url: str, stack: LocalStack, browser: Browser
) -> None:
    channel = f"room:event-source-{id(browser)}"
    session = await asyncio.to_thread(HttpSession.open, page_url, subscribe=[{"channel": channel}])
    bearer = {"Authorization": f"Bearer {dev_token(page_url, 'ann')}"}
    ticket = httpx.post(f"{page_url}/v1/tickets", headers=bearer).raise_for_status().json()["ticket"]
    publisher = await Client.open(stack.url)
    await publisher.hello(dev_token(stack.url, "bob"))
    page = await browser.new_page()
    try:
        await page.goto(page_url)
        await page.evaluate(_LISTEN, f"{session.stream}?ticket={ticket}")
        sent = 0
        async with asyncio.timeout((_ENDS + 5) * STREAM_MAX_AGE_S):
            while await page.evaluate("window.opens") <= _ENDS:
                await publisher.publish(channel, sent)
                sent += 1
                await page.wait_for_function("sent => window.heard.length >= sent - 5", arg=sent)
        await page.wait_for_function("sent => window.heard.length >= sent", arg=sent)
        heard: list[Any] = await page.evaluate("window.heard")
        # No order: a push may overtake another (a second worker that starts), and clients put them in order.
        assert sorted(set(heard)) == list(range(sent))
        assert await page.evaluate("window.source.readyState") != 2, "it has not given up"
    finally:
        await page.close()
        await publisher.close()


_FETCH = """
async ([address, token]) => {
  window.batches = [];
  const headers = { Authorization: `Bearer ${token}`, Accept: "application/x-ndjson" };
  const response = await fetch(address, { headers });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  (async () => {
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\\n");
      rest = lines.pop();
      window.batches.push(...lines.filter(Boolean).map((line) => JSON.parse(line)));
    }
  })();
}
"""


async def test_fetch_reads_each_line_before_the_next_is_published(
    page_url: str, stack: LocalStack, browser: Browser
) -> None:
    channel = f"room:fetch-{id(browser)}"
    session = await asyncio.to_thread(HttpSession.open, page_url, subscribe=[{"channel": channel}])
    publisher = await Client.open(stack.url)
    await publisher.hello(dev_token(stack.url, "bob"))
    page = await browser.new_page()
    try:
        await page.goto(page_url)
        await page.evaluate(_FETCH, [session.stream, session.answer["session_token"]])
        for number in range(1, 4):
            await publisher.publish(channel, number)
            await page.wait_for_function("count => window.batches.length >= count", arg=number)
        heard = await page.evaluate("window.batches.flatMap((batch) => batch.frames.map((frame) => frame.data))")
        assert heard == [1, 2, 3]
    finally:
        await page.close()
        await publisher.close()
