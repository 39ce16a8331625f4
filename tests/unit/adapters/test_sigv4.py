"""What is signed here is signed as botocore signs it, whatever it is."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from hypothesis import example, given
from hypothesis import strategies as st

from shared.adapters.sigv4 import Endpoint, SignedRequest

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
NAMES = st.text(LETTERS, min_size=1, max_size=12)
HOSTS = st.one_of(
    NAMES.map(lambda name: f"{name}.execute-api.eu-central-1.amazonaws.com"),
    NAMES.map(str.upper),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
PORTS = st.one_of(st.just(""), st.integers(1, 65_535).map(lambda port: f":{port}"), st.sampled_from([":80", ":443"]))
STAGES = st.one_of(st.just(""), NAMES.map(lambda name: f"/{name}"), st.just("/prod/"), st.just("/a/b~c"))
# No connection is called "." or "..", and what a server makes of such a path is its own.
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda one: one not in (".", ".."))
TOKENS = st.one_of(st.none(), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=1200))


@given(
    method=st.sampled_from(["POST", "GET", "DELETE"]),
    scheme=st.sampled_from(["http", "https"]),
    host=HOSTS,
    port=PORTS,
    stage=STAGES,
    connection_id=IDS,
    body=st.binary(max_size=200),
    secret=st.text(min_size=1, max_size=60),
    token=TOKENS,
    region=NAMES,
)
@example("POST", "https", "a", "", "/prod", "L0SM9cOFIAMCJqQ=", b"{}", "secret", "token", "us-east-1")
@example("POST", "http", "a", ":8080", "", "a+b/c=d e%3D?#&\u00e9\U0001f600//..", b"", "secret", None, "us-east-1")
def test_it_is_what_botocore_signs(
    method: str,
    scheme: str,
    host: str,
    port: str,
    stage: str,
    connection_id: str,
    body: bytes,
    secret: str,
    token: str | None,
    region: str,
) -> None:
    url = f"{scheme}://{host}{port}{stage}"
    path = f"/@connections/{quote(connection_id, safe='-._~')}"
    theirs = AWSRequest(method, url.rstrip("/") + path, data=body)
    SigV4Auth(Credentials("AKID", secret, token), "execute-api", region).add_auth(theirs)
    now = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    endpoint = Endpoint.of(url)
    ours = SignedRequest(method, endpoint, body, ReadOnlyCredentials("AKID", secret, token), region, now)
    head, _, sent_body = ours.to(connection_id).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["authorization"] == theirs.headers["Authorization"]
    assert headers.get("x-amz-security-token") == theirs.headers.get("X-Amz-Security-Token")
    assert (headers["x-amz-date"], headers["content-length"]) == (theirs.headers["X-Amz-Date"], str(len(body)))
    assert first == f"{method} {endpoint.path}{path} HTTP/1.1"
    assert sent_body == body


def test_one_request_serves_many_connections() -> None:
    """Nothing of one is left in the next."""
    signed = SignedRequest(
        "POST", Endpoint.of("https://a/s"), b"x", ReadOnlyCredentials("A", "S", None), "r", datetime.now(UTC)
    )
    first = signed.to("a=")
    assert signed.to("b=") != first
    assert signed.to("a=") == first


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "path"),
    [
        ("https://x.amazonaws.com/prod", "x.amazonaws.com", 443, "x.amazonaws.com", "/prod"),
        ("http://127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080", ""),
        ("http://[::1]:8080/a/", "::1", 8080, "[::1]:8080", "/a"),
    ],
)
def test_an_endpoint_is_where_one_connects_to(url: str, host: str, port: int, authority: str, path: str) -> None:
    assert Endpoint.of(url) == Endpoint(url.startswith("https"), host, port, authority, path)


@pytest.mark.parametrize("url", ["", "wss://a", "https://", "/stage"])
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no http or https URL"):
        Endpoint.of(url)
