"""Signature Version 4 of one request that goes to many connections: all but the connection's id is computed once.

docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. What is signed is the same, byte for
byte, as what botocore's SigV4Auth signs: a property test compares them.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final, Self
from urllib.parse import quote, quote_from_bytes, urlsplit

from botocore.credentials import ReadOnlyCredentials

_SERVICE: Final = "execute-api"
# RFC 3986's unreserved characters, which are sent as they are. API Gateway's ids have no others but "=".
_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_USUAL: Final = _UNRESERVED + b"="
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))  # HMAC's paddings: RFC 2104
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where ``/@connections`` is.

    Attributes:
        host: To be resolved, without brackets.
        authority: As the ``Host`` header has it: without a scheme's own port.
        path: What stands before ``/@connections``, percent-encoded.
    """

    secure: bool
    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Take a URL apart."""
        parts = urlsplit(url)
        host, secure = parts.hostname, parts.scheme == "https"
        if host is None or parts.scheme not in ("http", "https"):
            raise ValueError(f"no http or https URL: {url!r}")
        usual_port = 443 if secure else 80
        port = usual_port if parts.port is None else parts.port
        bracketed = f"[{host}]" if ":" in host else host
        authority = bracketed if port == usual_port else f"{bracketed}:{port}"
        return cls(secure, host, port, authority, parts.path.rstrip("/"))


class SignedRequest:
    """A request to ``/@connections/<id>``, for as long as its date is believed (5 minutes)."""

    __slots__ = ("_after", "_before", "_canonical", "_canonical_after", "_inner", "_outer", "_signed")

    def __init__(
        self,
        method: str,
        endpoint: Endpoint,
        body: bytes,
        credentials: ReadOnlyCredentials,
        region: str,
        now: datetime,
    ) -> None:
        at = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{at[:8]}/{region}/{_SERVICE}/aws4_request"
        headers = {"host": endpoint.authority, "x-amz-date": at}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        names = ";".join(headers)
        lines = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in headers.items())
        before = f"{endpoint.path}/@connections/"
        # Hashes of what is known are copied, which is cheaper than making them. The path is encoded a second time here.
        self._canonical = sha256(f"{method}\n{quote(before, safe='/~')}".encode())
        self._canonical_after = f"\n\n{lines}\n{names}\n{sha256(body).hexdigest()}".encode()
        key = _signing_key(credentials.secret_key, at[:8], region).ljust(64, b"\0")
        self._inner = sha256(key.translate(_INNER) + f"AWS4-HMAC-SHA256\n{at}\n{scope}\n".encode())
        self._outer = sha256(key.translate(_OUTER))
        self._before = f"{method} {before}".encode()
        self._signed = (
            f" HTTP/1.1\r\n{''.join(f'{name}: {value}' + chr(13) + chr(10) for name, value in headers.items())}"
            f"content-length: {len(body)}\r\n"
            f"authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature="
        ).encode()
        self._after = b"\r\n\r\n" + body

    def to(self, connection_id: str) -> bytes:
        """Return the bytes of the request to this connection.

        Raises:
            UnicodeEncodeError: No request can name it.
        """
        sent = connection_id.encode()
        usual = not sent.translate(None, _USUAL)
        sent = sent.replace(b"=", b"%3D") if usual else quote_from_bytes(sent, safe="").encode()
        canonical, inner, outer = self._canonical.copy(), self._inner.copy(), self._outer.copy()
        canonical.update(sent.replace(b"%", b"%25"))
        canonical.update(self._canonical_after)
        inner.update(canonical.hexdigest().encode())
        outer.update(inner.digest())
        return b"".join((self._before, sent, self._signed, outer.hexdigest().encode(), self._after))


@lru_cache(maxsize=4)
def _signing_key(secret_key: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, _SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
