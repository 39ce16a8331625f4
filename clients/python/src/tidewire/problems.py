"""What an answer by HTTP says that grants nothing: an error of ours, or that somebody else answers there."""

import httpx

from tidewire.errors import UNSUPPORTED_PROTOCOL, TidewireError, UnreachableError


def problem_of(response: httpx.Response) -> TidewireError | None:
    """Return the error that a problem (RFC 9457) of ours is; ``None``: somebody else answered, or a function broke."""
    try:
        return TidewireError.from_wire(response.json())
    # What is no JSON, or not text at all; another object; none; a number beyond all; lists within lists.
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def refusal(response: httpx.Response) -> TidewireError:
    """Return why a request was not granted: our error, or one that says what answers in our place."""
    return problem_of(response) or stranger(response)


def stranger(response: httpx.Response) -> TidewireError:
    """Return the error for an answer that is not as ours are."""
    what = f"{response.request.url} answered {response.status_code}, not as Tidewire does"
    # A proxy or gateway before it fails, or has had too many requests. 501: a server that will never know the method.
    failing = response.is_server_error and response.status_code != httpx.codes.NOT_IMPLEMENTED
    if failing or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return UnreachableError(what)
    return TidewireError(UNSUPPORTED_PROTOCOL, "unsupported_protocol", what)


def unreachable(url: str, error: Exception) -> UnreachableError:
    """Return the error for a request that nobody answered, by what the network said of it."""
    if isinstance(error, httpx.InvalidURL):
        return UnreachableError(f"{url} is no URL: {error}")
    return UnreachableError(f"{url} can't be reached: {str(error) or type(error).__name__}")
