"""What single pages take for granted, and what is seen once they have been read."""

import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Final

import boto3
import httpx
import jwt
import pytest
from playwright.async_api import Page, expect

from shared.adapters.issuer_tokens import IssuerTokens
from shared.contract import OUTPUT_EVENT_BUS_NAME, OUTPUT_TOKEN_SECRET_ARN
from shared.domain.issuer import Issuer
from shared.domain.principal import Principal
from shared.errors import UnauthenticatedError
from tests.docs.reader import Reader
from tests.integration.checks import eventually
from tests.integration.client import Client, RequestError, dev_token
from tests.integration.command_line import forget_dead_letters
from tests.oidc import SigningKey

SEEN_MS: Final = 30_000  # a function that starts from cold
_CAPS: Final = {
    "*": ["subscribe", "publish", "history", "presence", "state.read", "state.write", "send"],
    "command:*": ["command"],
}


@asynccontextmanager
async def connected(reader: Reader, user_id: str, **hello: Any) -> AsyncIterator[Client]:
    """Open a client of the protocol itself."""
    client = await Client.open(reader.stack.url)
    try:
        await client.hello(dev_token(reader.stack.url, user_id, caps=_CAPS), **hello)
        yield client
    finally:
        await client.close()


def _healthy(reader: Reader) -> None:
    forget_dead_letters(reader.stack)  # of other tests: doctor would tell of them


def _tokens(reader: Reader) -> None:
    reader.names.update(jwt=jwt, now=int(time.time()), secret="s" * 64)


def _extending(reader: Reader) -> None:
    reader.names.update(boto3=boto3, json=json, bus_name=reader.stack.outputs[OUTPUT_EVENT_BUS_NAME])
    reader.clone.write("functions/processors/schemas/order.json", '{"type": "object"}')
    reader.clone.put_in("channels.toml", '[namespaces.seats]\nstate_strategy = "resolve"\n')


async def _extended(reader: Reader) -> None:
    await reader.deploy("ws_message")
    shop, chat, seats = "orders:shop", f"chat:{secrets.token_hex(4)}", f"seats:{secrets.token_hex(4)}"
    async with connected(reader, "ann", subscribe=[{"channel": shop}, {"channel": chat}]) as ann:
        await ann.publish(chat, {"text": f"  {'x' * 600}"})
        [event] = await ann.wait_for_events(chat, 1)
        assert event["data"] == {"text": "x" * 500}
        with pytest.raises(RequestError, match="nothing was said"):
            await ann.publish(chat, {"text": " "})
        answer = await ann.ask("command", name="orders.place", data={"item": "tea", "count": 2})
        assert answer == {"data": {"left": 10}}
        assert (await ann.wait_for_events(shop, 1))[0]["data"] == {"by": "ann", "item": "tea"}
        with pytest.raises(RequestError, match="command_failed"):
            await ann.ask("command", name="orders.place", data={"item": "coffee", "count": 1})
        await ann.ask("state.set", channel=seats, key="k", value={"seat": 1})
        await ann.ask("state.set", channel=seats, key="k", value={"seat": 2}, base_version=1)
        with pytest.raises(RequestError, match="the seat is taken"):
            await ann.ask("state.set", channel=seats, key="k", value={"seat": 3}, base_version=1)


def _iam(reader: Reader) -> None:
    reader.given["https://a1b2c3.execute-api.eu-central-1.amazonaws.com"] = reader.stack.url


async def _centrifugo(reader: Reader) -> None:
    async with connected(reader, "bob") as bob:

        async def heard() -> bool:  # once it has subscribed
            await bob.publish("room:1", "Hello, Centrifugo", priority="express")
            return "Hello, Centrifugo" in reader.said.lines

        await eventually(heard)


async def _started(reader: Reader) -> None:
    ann = await reader.open_page(f"{reader.site}/hello.html?user=ann")
    bob = await reader.open_page(f"{reader.site}/hello.html?user=bob")
    for page in (ann, bob):
        await expect(page.get_by_text("root: Hello").last).to_be_visible(timeout=SEEN_MS)
    await ann.locator("input").fill("Hello, Bob")
    await ann.locator("input").press("Enter")
    await expect(bob.get_by_text("ann: Hello, Bob")).to_be_visible(timeout=SEEN_MS)
    await reader.said.wait_for('… said {"text":"Hello, Bob"}')
    await bob.context.set_offline(True)
    for text in ("One", "Two", "Three"):
        await ann.locator("input").fill(text)
        await ann.locator("input").press("Enter")
        await expect(ann.get_by_text(f"ann: {text}")).to_be_visible(timeout=SEEN_MS)
    await bob.context.set_offline(False)
    last = bob.locator("li").filter(has_text=re.compile("ann: (Hello, Bob|One|Two|Three)$"))
    await expect(last).to_have_text(["ann: Hello, Bob", "ann: One", "ann: Two", "ann: Three"], timeout=SEEN_MS)


async def _chat(reader: Reader) -> None:
    ann = await reader.open_page(f"{reader.site}/chat/?user=ann")
    bob = await reader.open_page(f"{reader.site}/chat/?user=bob")
    await expect(bob.locator("#here")).to_have_text(re.compile("^2 here: .*ann.*bob"), timeout=SEEN_MS)
    await expect(bob.locator("li")).to_have_text(["carl: Good evening"], timeout=SEEN_MS)
    await ann.locator("input").press_sequentially("Hello")
    await expect(bob.locator("#typing")).to_have_text("ann typing …", timeout=SEEN_MS)
    await ann.locator("input").press("Enter")
    await expect(bob.locator("li")).to_have_text(["carl: Good evening", "ann: Hello"], timeout=SEEN_MS)
    await bob.context.set_offline(True)
    await bob.locator("input").fill("From the tunnel")
    await bob.locator("input").press("Enter")
    await ann.locator("input").fill("Where are you?")
    await ann.locator("input").press("Enter")
    await expect(ann.locator("li")).to_have_count(3, timeout=SEEN_MS)
    await bob.context.set_offline(False)
    for page in (ann, bob):
        said = ["carl: Good evening", "ann: Hello", "ann: Where are you?", "bob: From the tunnel"]
        await expect(page.locator("li")).to_have_text(said, timeout=SEEN_MS)
    await ann.reload()
    await expect(ann.locator("li")).to_have_text(said, timeout=SEEN_MS)
    await ann.close()
    await expect(bob.locator("#here")).to_have_text("1 here: bob", timeout=SEEN_MS)


def _server(reader: Reader) -> None:
    """A server's key, and for the command line an admin."""
    admin = dev_token(reader.stack.url, "root", caps={"*": ["admin"]})
    made = httpx.post(
        f"{reader.stack.url}/v1/keys",
        json={"name": "docs", "caps": {"*": ["publish"]}},
        headers={"Authorization": f"Bearer {admin}"},
        timeout=SEEN_MS / 1000,
    )
    reader.names["key"] = made.raise_for_status().json()["key"]


def _household(reader: Reader) -> None:
    reader.given["household"] = f"household-{secrets.token_hex(4)}"


async def _todo(reader: Reader) -> None:
    ann = await reader.open_page(f"{reader.site}/todo/?user=ann")
    bob = await reader.open_page(f"{reader.site}/todo/?user=bob")
    await _add(ann, "Milk")
    await expect(bob.locator("li")).to_have_text([re.compile("Milk")], timeout=SEEN_MS)
    await bob.context.set_offline(True)
    await bob.get_by_label("Milk").check()
    await _add(bob, "Bread")
    await expect(bob.locator("#state")).to_have_text(re.compile("2 not sent yet"), timeout=SEEN_MS)
    await _add(ann, "Eggs")
    await expect(ann.locator("li")).to_have_count(2, timeout=SEEN_MS)
    await expect(ann.locator("#state")).to_have_text("ann: connected", timeout=SEEN_MS)
    await bob.close()
    await bob.context.set_offline(False)
    bob = await bob.context.new_page()
    await bob.goto(f"{reader.site}/todo/?user=bob")
    for page in (ann, bob):
        await expect(page.locator("li")).to_have_count(3, timeout=SEEN_MS)
        await expect(page.get_by_label("Milk")).to_be_checked(timeout=SEEN_MS)
    await reader.said.wait_for('…"text":"Bread"…')
    await ann.get_by_title("Remove Eggs").click()
    await expect(bob.locator("li")).to_have_text([re.compile("Milk"), re.compile("Bread")], timeout=SEEN_MS)


async def _add(page: Page, text: str) -> None:
    await page.locator("form input").fill(text)
    await page.locator("form input").press("Enter")


def _events_at_hand(reader: Reader) -> None:
    reader.given[".local/run/emulator.log"] = str(reader.stack.folder / "emulator.log")


async def _dashboard(reader: Reader) -> None:
    page = await reader.open_page(f"{reader.site}/dashboard/")
    await expect(page.locator("#nightly")).to_have_text("nightly: succeeded", timeout=SEEN_MS)
    await expect(page.locator("#broken")).to_have_text("broken: failed", timeout=SEEN_MS)
    await expect(page.locator("#reports li")).to_have_text("2026/november.csv, 16 bytes", timeout=SEEN_MS)


def _own_tokens(reader: Reader) -> None:
    arn = reader.stack.outputs[OUTPUT_TOKEN_SECRET_ARN]
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    reader.routes["/token"] = lambda: str(reader.names["token_for"]("ann", ["tea"], secret))


def _auth_auth0(reader: Reader) -> None:
    token = reader.oidc.token("rsa", sub="auth0|ann", caps=_CAPS)
    reader.modules["@auth0/auth0-spa-js"] = (
        f"export const createAuth0Client = async () => ({{ getTokenSilently: async () => {token!r} }});"
    )


async def _auth0(reader: Reader) -> None:
    [issuer] = reader.clone.stages[0].issuers
    claims = {
        "iss": "https://example.eu.auth0.com/",
        "sub": "auth0|ann",
        "aud": ["https://realtime.example.com", "https://example.eu.auth0.com/userinfo"],
        "azp": "my_client_id",
        "scope": "openid profile",
    }
    principal = verified(issuer, claims)
    assert (principal.user_id, principal.may("publish", "room:1")) == ("auth0:auth0|ann", True)
    principal = verified(issuer, {**claims, "https://realtime.example.com/caps": {"team:1": ["subscribe"]}})
    assert principal.may("subscribe", "team:1") and not principal.may("publish", "room:1")
    with pytest.raises(UnauthenticatedError):
        verified(issuer, {**claims, "aud": "my_client_id"})  # an ID token's


def _auth_cognito(reader: Reader) -> None:
    token = reader.oidc.token("rsa", caps=_CAPS)
    tokens = f"{{ tokens: {{ accessToken: {{ toString: () => {token!r} }} }} }}"
    reader.modules["aws-amplify/auth"] = f"export const fetchAuthSession = async () => ({tokens});"


async def _cognito(reader: Reader) -> None:
    [issuer] = reader.clone.stages[1].issuers
    pool = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE"
    claims = {"iss": pool, "sub": "ann", "client_id": "1example23456789", "token_use": "access"}
    principal = verified(issuer, claims)
    assert (principal.user_id, principal.may("publish", "room:1")) == ("cognito:ann", True)
    event = {"request": {"groupConfiguration": {"groupsToOverride": ["blue"]}}, "response": {}}
    overridden = reader.names["lambda_handler"](event, None)["response"]["claimsAndScopeOverrideDetails"]
    principal = verified(issuer, {**claims, **overridden["accessTokenGeneration"]["claimsToAddOrOverride"]})
    assert principal.may("publish", "team:blue") and not principal.may("publish", "room:1")
    with pytest.raises(UnauthenticatedError):
        verified(issuer, {"iss": pool, "sub": "ann", "aud": "1example23456789", "token_use": "id"})


def verified(issuer: Issuer, claims: Mapping[str, Any]) -> Principal:
    """Return whom a token names by an issuer's settings; the key is a test's."""
    key, now_s = SigningKey("one"), int(time.time())
    token = key.sign({"iat": now_s, "exp": now_s + 60, **claims})
    keys = SimpleNamespace(find=lambda kid: jwt.PyJWK(key.jwk()) if kid == key.kid else None)
    return IssuerTokens(issuer, keys, [issuer]).verify(token)


GIVEN: Final[dict[str, Callable[[Reader], None]]] = {
    "README.md": _healthy,
    "docs/best-practices.md": _server,
    "docs/extending.md": _extending,
    "docs/how-to/auth-auth0.md": _auth_auth0,
    "docs/how-to/auth-cognito.md": _auth_cognito,
    "docs/how-to/from-api-gateway.md": _server,
    "docs/how-to/from-pusher.md": _server,
    "docs/how-to/own-tokens.md": _own_tokens,
    "docs/iam.md": _iam,
    "docs/tokens.md": _tokens,
    "docs/tutorials/dashboard.md": _events_at_hand,
    "docs/tutorials/todo.md": _household,
}
CHECKS: Final[dict[str, Callable[[Reader], Awaitable[None]]]] = {
    "docs/centrifugo.md": _centrifugo,
    "docs/extending.md": _extended,
    "docs/how-to/auth-auth0.md": _auth0,
    "docs/how-to/auth-cognito.md": _cognito,
    "docs/start.md": _started,
    "docs/tutorials/chat.md": _chat,
    "docs/tutorials/dashboard.md": _dashboard,
    "docs/tutorials/todo.md": _todo,
}
