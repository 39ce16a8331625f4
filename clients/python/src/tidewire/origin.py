"""Where a deployment is, as its user says."""

import httpx


def origin(url: str) -> str:
    """Return it, if it is the origin of an HTTP API.

    Raises:
        ValueError: It is none.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url!r} is no URL of an HTTP API, such as https://example.com")
    return url
