"""What is made to reach further than it may, against the deployed stack: by paths, by sessions, by tickets at once."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_socket

from localstack.stack import LocalStack
from tests.integration.client import DEADLINE_S, dev_token
from tests.integration.http_session import HttpSession

ROOM_A = {"room:a": ["history", "presence", "state.read", "state.write"]}
AT_ONCE = 12


@pytest.mark.parametrize("channel", ["room:b", "room:%2A", "room:*", "room:a/../b", "user:bob", "room:\u0430"])
@pytest.mark.parametrize("call", ["history", "presence", "state", "state/k"])
def test_no_path_widens_a_right(stack: LocalStack, everywhere: httpx.Client, channel: str, call: str) -> None:
    headers = {"Authorization": f"Bearer {dev_token(stack.url, 'ann', caps=ROOM_A)}"}
    answer = everywhere.get(f"/v1/channels/{quote(channel, safe='')}/{call}", headers=headers)
    assert answer.status_code in (403, 404, 422), answer.text


def test_a_session_is_nobody_elses(stack: LocalStack, everywhere: httpx.Client) -> None:
    anns, bobs = HttpSession.open(stack.url), HttpSession.open(stack.url, user_id="bob")
    path = anns.stream.replace("/stream", "")
    for headers in (bobs.headers, {"Authorization": f"Bearer {dev_token(stack.url, 'ann')}"}, {}):
        assert everywhere.get(f"{path}/frames", headers=headers).status_code == 401
        assert everywhere.post(f"{path}/frames", json={"type": "ping"}, headers=headers).status_code == 401
        assert everywhere.delete(path, headers=headers).status_code == 401
    assert everywhere.get(f"{path}/frames", headers=anns.headers).status_code == 200


def test_a_ticket_used_by_many_at_the_same_instant_lets_one_in(stack: LocalStack, http: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {dev_token(stack.url, f'ann-{secrets.token_hex(4)}')}"}
    url = f"{stack.url.replace('http', 'ws', 1)}/v1/ws"
    together = Barrier(AT_ONCE)

    def enter(ticket: str) -> bool:
        together.wait(DEADLINE_S)
        try:
            with connect_socket(f"{url}?ticket={ticket}", proxy=None, open_timeout=DEADLINE_S):
                return True
        except InvalidStatus as error:
            assert error.response.status_code == 401
            return False

    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in range(5):
            ticket = http.post("/v1/tickets", headers=headers).raise_for_status().json()["ticket"]
            assert sorted(threads.map(enter, [ticket] * AT_ONCE)) == [False] * (AT_ONCE - 1) + [True]
