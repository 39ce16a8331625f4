"""The page when the connection is not what it should be."""

import asyncio
import json

import pytest
from playwright.async_api import Route, WebSocketRoute, expect

from localstack.stack import LocalStack
from tests.e2e.board import Board
from tests.e2e.chat import CONNECTED, RECONNECTING, cut_sockets, publish
from tests.e2e.conftest import OpenWindow
from tests.integration.checks import eventually
from tests.integration.client import dev_token

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions


async def test_what_was_said_meanwhile_is_there_once_after_a_cut(
    open_window: OpenWindow, room: str, stack: LocalStack
) -> None:
    ann, ben = await open_window(), await open_window()
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    await ben.say("Before")
    await ann.shows("Before")
    async with ann.kept_away():
        cut_sockets(stack)
        await ann.is_in_state(RECONNECTING)
        await ben.is_in_state(CONNECTED)
        publish(stack, room, "Meanwhile", "And then")
        await ben.say("I am back already")
        await ben.shows("Before", "Meanwhile", "And then", "I am back already")
        await ann.shows("Before")
    await ann.is_in_state(CONNECTED)
    await ann.shows("Before", "Meanwhile", "And then", "I am back already")
    publish(stack, room, "After")
    for window in (ann, ben):
        await window.shows("Before", "Meanwhile", "And then", "I am back already", "After")


async def test_what_is_written_without_a_connection_is_sent_when_it_is_back(
    open_window: OpenWindow, room: str, stack: LocalStack
) -> None:
    ann, ben = await open_window(), await open_window()
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    async with ann.kept_away():
        cut_sockets(stack)
        await ann.is_in_state(RECONNECTING)
        await ann.say("Into the void")
        await ann.say("And once more")
        await expect(ann.page.locator(".message.sending")).to_have_count(2)
        await expect(ann.notice).to_contain_text("The connection is lost")
    await ann.shows("Into the void", "And once more")
    await ben.shows("Into the void", "And once more")
    await expect(ann.notice).to_be_hidden()


async def test_cut_again_and_again_nothing_is_lost_or_said_twice(
    open_window: OpenWindow, room: str, stack: LocalStack
) -> None:
    ann, ben = await open_window(), await open_window()
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    said = [f"Message {number}" for number in range(12)]
    for number, text in enumerate(said):
        await ann.say(text)
        if number % 4 == 3:
            cut_sockets(stack)
    await ann.shows(*said)
    await ben.shows(*said)


async def test_a_server_that_is_away_at_first_is_told_and_then_found(open_window: OpenWindow, room: str) -> None:
    ann = await open_window(complains=True)
    await ann.visit(room)

    async def refuse(route: Route) -> None:
        await route.abort("connectionrefused")

    await ann.page.route("**/v1/**", refuse)
    await ann.come_in("Ann")
    await expect(ann.notice).to_contain_text("The server does not answer. Is it running? Trying again …")
    await expect(ann.page.locator(".empty")).to_have_text("Opening the room …")
    await ann.say("Anybody there?")
    await ann.page.unroute("**/v1/**")
    await ann.is_in_state(CONNECTED)
    await expect(ann.notice).to_be_hidden()
    await ann.shows("Anybody there?")
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in ann.complaints)


async def test_an_end_for_good_is_told_and_can_be_begun_anew(open_window: OpenWindow, room: str) -> None:
    ann = await open_window()
    sockets: list[WebSocketRoute] = []

    def listen_in(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    await ann.page.route_web_socket("**/v1/ws", listen_in)
    await ann.enter("Ann", room)
    disconnect = {"type": "system", "event": "disconnect", "code": 3501, "name": "revoked", "reconnect": False}
    sockets[-1].send(json.dumps(disconnect))
    await ann.is_in_state("Disconnected")
    await expect(ann.notice).to_contain_text("revoked")
    await expect(ann.page.locator(".network-way")).to_have_text("Disconnected")
    # What can't be opened now is not lost for good.
    await ann.page.evaluate("name => { location.hash = name }", f"{room}-2")
    await expect(ann.page.locator(".empty")).to_contain_text("can't be opened")
    await ann.page.get_by_role("button", name="Connect again").click()
    await ann.is_in_state(CONNECTED)
    await expect(ann.notice).to_be_hidden()
    await ann.say("Here again")
    await ann.shows("Here again")
    await Board(ann).add("And here")
    await Board(ann).shows("To do", "And here")


async def test_a_message_that_is_refused_says_so_and_can_be_sent_again(open_window: OpenWindow, room: str) -> None:
    ann = await open_window()
    refusals = asyncio.Queue[None]()
    refusals.put_nowait(None)

    def refuse_one(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def from_page(message: str | bytes) -> None:
            frames = json.loads(message)
            for frame in frames if isinstance(frames, list) else [frames]:
                if frame.get("name") == "said" and not refusals.empty():
                    refusals.get_nowait()
                    error = {"code": 1014, "name": "refused", "message": "not that word", "retryable": False}
                    socket.send(json.dumps({"type": "reply", "id": frame["id"], "error": error}))
                else:
                    server.send(json.dumps(frame))

        socket.on_message(from_page)

    await ann.page.route_web_socket("**/v1/ws", refuse_one)
    await ann.enter("Ann", room)
    await ann.say("A word")
    await expect(ann.message("A word")).to_contain_text("Not sent.")
    await ann.page.get_by_role("button", name="Send again").click()
    await ann.shows("A word")
    await expect(ann.message("A word")).not_to_contain_text("Not sent.")


async def test_a_token_that_expires_is_renewed_unseen(open_window: OpenWindow, room: str, stack: LocalStack) -> None:
    ann = await open_window()
    given: list[str] = []

    async def answer(route: Route) -> None:
        user_id = (route.request.post_data_json or {})["user_id"]
        ttl_s = 5 if not given else 3600
        given.append(user_id)
        await route.fulfill(json={"token": await asyncio.to_thread(dev_token, stack.url, user_id, ttl_s=ttl_s)})

    await ann.page.route("**/v1/demo/token", answer)
    opened: list[object] = []
    ann.page.on("websocket", lambda socket: opened.append(socket))
    await ann.enter("Ann", room)
    await ann.say("With the first token")
    await ann.shows("With the first token")
    await eventually(lambda: len(given) == 2)
    await ann.is_in_state(CONNECTED)
    assert len(set(given)) == 1
    assert len(opened) == 1, "the connection goes on"
    await ann.say("With the second")
    await ann.shows("With the first token", "With the second")
    await expect(ann.notice).to_be_hidden()
