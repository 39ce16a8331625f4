"""Who may come, on the running stack: rotated secrets, OIDC issuers, anonymous users; and who may not."""

import json
import secrets
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import boto3
import httpx
import jwt
import pytest

from localstack.stack import LocalStack
from shared.adapters.issuer_keys import IssuerKeys, read_keys
from shared.adapters.issuer_tokens import IssuerTokens
from shared.contract import OUTPUT_HTTP_FUNCTION, OUTPUT_TOKEN_SECRET_ARN
from shared.domain.issuer import Issuer
from shared.errors import UnauthenticatedError
from tests.integration.checks import eventually
from tests.integration.client import DEADLINE_S, dev_token
from tests.integration.conftest import Connect
from tests.integration.http_function import FunctionTransport
from tests.oidc import OidcServer, SigningKey, json_answer, unexpected

# A process that has just looked for a secret or a key does not look again at once: shared/adapters/rotated_secret.py,
# shared/adapters/issuer_keys.py.
LEARNT_WITHIN_S: Final = 45
CAPS: Final = {"room:*": ["subscribe", "publish"]}


def own(secret: str, **changed: Any) -> str:
    now_s = int(time.time())
    return jwt.encode({"sub": "ann", "iat": now_s, "exp": now_s + 600, "caps": CAPS, **changed}, secret)


async def told(connect: Connect, token: str) -> Any:
    """Return what a WebSocket's hello with the token is answered: the user's id, or the error's code."""
    client = await connect(None)
    reply = await client.request({"type": "hello", "protocol": 1, "token": token})
    await client.close()
    return reply["error"]["code"] if "error" in reply else reply["result"]["user_id"]


def told_by_http(http: httpx.Client, token: str) -> Any:
    """Return the user's id, or the error's code, of a session begun by HTTP."""
    answer = http.post("/v1/sessions", json={"protocol": 1}, headers={"Authorization": f"Bearer {token}"}).json()
    return answer.get("code") or answer["user_id"]


def is_anns(http: httpx.Client, token: str) -> bool:
    return bool(told_by_http(http, token) == "ann")


@pytest.fixture(scope="module")
def both(stack: LocalStack, http: httpx.Client) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """The app that the edge serves, and the one in the deployed function."""
    transport = FunctionTransport(boto3.client("lambda"), stack.outputs[OUTPUT_HTTP_FUNCTION])
    with httpx.Client(base_url=stack.url, transport=transport, timeout=DEADLINE_S) as function:
        yield http, function


async def test_a_rotated_secret_logs_nobody_out_and_is_learnt_of_by_its_first_token(
    stack: LocalStack, both: tuple[httpx.Client, httpx.Client], connect: Connect
) -> None:
    """It stays rotated, once a run: to put the old one back, and so on, would be to rotate faster than one may."""
    client, arn = boto3.client("secretsmanager"), stack.outputs[OUTPUT_TOKEN_SECRET_ARN]
    before, after = client.get_secret_value(SecretId=arn)["SecretString"], secrets.token_urlsafe(48)
    sessions = []
    for http in both:
        begun = http.post("/v1/sessions", json={"protocol": 1}, headers={"Authorization": f"Bearer {own(before)}"})
        session = begun.raise_for_status().json()
        header = {"Authorization": f"Bearer {session['session_token']}"}
        path = f"/v1/sessions/{session['session_id']}/frames"
        cursor = http.get(path, headers=header).raise_for_status().json()["cursor"]
        sessions.append((path, header, cursor))
    assert await told(connect, own(before)) == "ann"

    client.put_secret_value(SecretId=arn, SecretString=after)
    assert client.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")["SecretString"] == before
    for http, (path, header, cursor) in zip(both, sessions, strict=True):
        assert told_by_http(http, own(before)) == "ann"
        await eventually(partial(is_anns, http, own(after)), deadline_s=LEARNT_WITHIN_S)
        assert told_by_http(http, own(before)) == "ann"
        assert http.get(path, headers=header, params={"cursor": cursor}).status_code == 200

    async def by_websocket() -> bool:
        return bool(await told(connect, own(after)) == "ann")

    await eventually(by_websocket, deadline_s=LEARNT_WITHIN_S)
    assert await told(connect, own(before)) == "ann"
    jwt.decode(dev_token(stack.url, "ann"), after, ["HS256"])
    for secret in ("x" * 64, before[:-1], after + "x"):
        assert await told(connect, own(secret)) == told_by_http(both[0], own(secret)) == 1004


class TestIssuers:
    @pytest.mark.parametrize("name", ["rsa", "ec"])
    async def test_a_token_is_good_by_websocket_by_http_and_by_ticket(
        self, oidc: OidcServer, everywhere: httpx.Client, connect: Connect, name: str
    ) -> None:
        token = oidc.token(name, caps=CAPS)
        assert await told(connect, token) == f"{name}:ann"
        assert told_by_http(everywhere, token) == f"{name}:ann"
        bearer = {"Authorization": f"Bearer {token}"}
        ticket = everywhere.post("/v1/tickets", headers=bearer).raise_for_status().json()["ticket"]
        client = await connect(None, ticket=ticket)
        assert (await client.hello())["user_id"] == f"{name}:ann"

    async def test_it_allows_what_it_says_else_what_the_stage_says(
        self, oidc: OidcServer, connect: Connect, channel: str
    ) -> None:
        for caps, may in ((None, True), ({"room:*": ["publish"]}, True), ({}, False)):
            client = await connect(None)
            await client.hello(oidc.token("rsa", caps=caps))
            reply = await client.request({"type": "publish", "channel": channel, "name": "said", "data": 1})
            assert ("result" in reply) == may

    async def test_keys_roll_over_while_the_stack_runs(
        self, oidc: OidcServer, both: tuple[httpx.Client, httpx.Client], connect: Connect
    ) -> None:
        async def are_good(token: str) -> bool:
            return {await told(connect, token), *(told_by_http(http, token) for http in both)} == {"rsa:ann"}

        old = oidc.token("rsa")
        assert await are_good(old)
        oidc.keys["rsa"].append(SigningKey(f"rsa-{secrets.token_hex(4)}"))
        new = oidc.token("rsa")
        await eventually(lambda: are_good(new), deadline_s=LEARNT_WITHIN_S)
        assert await are_good(old)

    async def test_while_an_issuer_is_down_its_known_keys_are_good_and_no_others(
        self, oidc: OidcServer, everywhere: httpx.Client, connect: Connect
    ) -> None:
        async def answers(token: str) -> set[Any]:
            return {await told(connect, token), told_by_http(everywhere, token)}

        async def are_good(token: str) -> bool:
            # A process of the function that starts only now has never had the keys: who comes to it may try again.
            found = await answers(token)
            assert found <= {"ec:ann", 2001}
            return found == {"ec:ann"}

        token = oidc.token("ec")
        assert await answers(token) == {"ec:ann"}
        oidc.down.add("ec")
        try:
            await eventually(lambda: are_good(token))
            unknown = SigningKey("unknown", "ES256").sign(oidc.claims("ec"))
            # To who has asked less than 30 s ago it is none of the issuer's; to others it may be a new one.
            assert await answers(unknown) <= {1004, 2001}
        finally:
            oidc.down.remove("ec")

    async def test_of_one_that_never_answered_everybody_may_try_again(
        self, oidc: OidcServer, everywhere: httpx.Client, connect: Connect
    ) -> None:
        token = oidc.token("down")
        for _ in range(3):
            assert await told(connect, token) == told_by_http(everywhere, token) == 2001

    async def test_what_is_not_of_the_issuer_is_refused(
        self, oidc: OidcServer, everywhere: httpx.Client, connect: Connect
    ) -> None:
        rsa, now_s = oidc.keys["rsa"][-1], int(time.time())
        claims = oidc.claims("rsa", caps={"*": ["admin"]})
        oidc.answers["/evil/jwks"] = json_answer({"keys": [SigningKey("evil").jwk(kid=rsa.kid)]})
        stranger = SigningKey(rsa.kid)
        bad = {
            "another audience": oidc.token("rsa", aud="https://other.test"),
            "no audience": oidc.token("rsa", aud=None),
            "expired": oidc.token("rsa", exp=now_s - 6),
            "not yet": oidc.token("rsa", nbf=now_s + 60),
            "from the future": oidc.token("rsa", iat=now_s + 60),
            "another issuer": rsa.sign(oidc.claims("ec")),
            "an issuer with a slash": rsa.sign({**claims, "iss": claims["iss"] + "/"}),
            "an issuer that nobody knows": rsa.sign({**claims, "iss": "https://evil.test"}),
            "a stranger's key of that name": stranger.sign(claims),
            "a key that it brings along": stranger.sign(claims, jku=f"{oidc.url('evil')}/jwks", jwk=stranger.jwk()),
            "a key that is a path": rsa.sign(claims, kid="../../dev/null"),
            "no key": jwt.encode(claims, rsa.private, "RS256"),
            "the public key as a secret": jwt.encode(claims, json.dumps(rsa.jwk())[:-1], headers={"kid": rsa.kid}),
            "none": jwt.encode(claims, "", "none", headers={"kid": rsa.kid}),
        }
        refused = {name: (await told(connect, token), told_by_http(everywhere, token)) for name, token in bad.items()}
        assert refused == dict.fromkeys(bad, (1004, 1004))
        assert not any("evil" in path for path in oidc.asked())


class TestAnonymous:
    async def test_whoever_asks_comes_in_and_may_what_the_stage_says(
        self, everywhere: httpx.Client, connect: Connect, channel: str
    ) -> None:
        token = everywhere.post("/v1/anonymous/token").raise_for_status().json()["token"]
        client = await connect(None)
        user_id = (await client.hello(token, subscribe=[{"channel": channel}]))["user_id"]
        assert user_id.startswith("anonymous:")
        await client.publish(channel, "hi")
        [event] = await client.wait_for_events(channel, 1)
        assert event["sender"]["user_id"] == user_id
        reply = await client.request({"type": "publish", "channel": "orders:1", "name": "said", "data": 1})
        assert reply["error"]["name"] == "forbidden"
        again = everywhere.post("/v1/anonymous/token", headers={"Authorization": f"Bearer {token}"}).json()["token"]
        assert await told(connect, again) == user_id

    async def test_no_issuer_makes_anonymous_users_or_servers(self, oidc: OidcServer, connect: Connect) -> None:
        for sub in ("anonymous:x", "key:billing", "iam:role"):
            assert await told(connect, oidc.token("rsa", sub=sub)) == f"rsa:{sub}"

    async def test_no_token_of_the_stage_names_a_server(self, stack: LocalStack, connect: Connect) -> None:
        assert await told(connect, dev_token(stack.url, "key:billing")) == 1004


@pytest.fixture(scope="module")
def signed_in(stack: LocalStack) -> dict[str, str]:
    """The tokens of somebody who has signed in, and where the pool's keys are."""
    client: Any = boto3.client("cognito-idp")
    pool_id = client.create_user_pool(PoolName="people")["UserPool"]["Id"]
    flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    made = client.create_user_pool_client(UserPoolId=pool_id, ClientName="app", ExplicitAuthFlows=flows)
    client_id = made["UserPoolClient"]["ClientId"]
    password = f"Aa1!{secrets.token_urlsafe(16)}"
    client.admin_create_user(UserPoolId=pool_id, Username="ann", MessageAction="SUPPRESS")
    client.admin_set_user_password(UserPoolId=pool_id, Username="ann", Password=password, Permanent=True)
    answer = client.admin_initiate_auth(
        UserPoolId=pool_id,
        ClientId=client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ann", "PASSWORD": password},
    )
    result = answer["AuthenticationResult"]
    jwks_url = f"{client.meta.endpoint_url}/{pool_id}/.well-known/jwks.json"
    return {
        "client_id": client_id,
        "access": result["AccessToken"],
        "id": result["IdToken"],
        "jwks_url": jwks_url,
        "url": f"https://cognito-idp.us-east-1.amazonaws.com/{pool_id}",
    }


class TestCognito:
    """The emulator's pools sign as Cognito does. The stack can't know of one that is made here, so it isn't asked."""

    def tokens(self, signed_in: dict[str, str], client_id: str) -> IssuerTokens:
        pool = Issuer(
            signed_in["url"],
            (client_id,),
            user_prefix="cognito:",
            capabilities=CAPS,
            audience_claim="client_id",
            jwks_url=signed_in["jwks_url"],
        )
        return IssuerTokens(pool, IssuerKeys(lambda: read_keys(pool, local=True), lambda: 0, unexpected), (pool,))

    def test_an_access_token_names_a_user_of_the_pool(self, signed_in: dict[str, str]) -> None:
        principal = self.tokens(signed_in, signed_in["client_id"]).verify(signed_in["access"])
        assert principal.user_id.startswith("cognito:") and len(principal.user_id) > 20
        assert principal.capabilities == CAPS

    def test_an_id_token_and_one_of_another_client_do_not(self, signed_in: dict[str, str]) -> None:
        with pytest.raises(UnauthenticatedError):
            self.tokens(signed_in, signed_in["client_id"]).verify(signed_in["id"])
        with pytest.raises(UnauthenticatedError):
            self.tokens(signed_in, "another").verify(signed_in["access"])
