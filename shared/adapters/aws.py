"""What the AWS adapters share: client settings, and botocore's errors translated."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.domain.breaker import CircuitBreaker
from shared.errors import DependencyError, ThrottledError, UnavailableError

# A user waits: give up early, and let the client (or the queue) try again. A call that is not answered is tried twice
# more, as a rule within a worker's 5 s: one that runs out of time tells nobody, and its records wait for 30 s.
# Pool: as many as the largest pool of threads (shared/bootstrap.py).
CLIENT_CONFIG: Final = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=32,
)

_THROTTLED: Final = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "KmsThrottled",
    }
)
_TEMPORARY: Final = frozenset(
    {
        "InternalServerError",
        "InternalFailure",
        "InternalException",
        "ServiceUnavailable",
        "TransactionInProgressException",
    }
)
# What befalls every call, whatever it asks: docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html
_REFUSED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "KmsAccessDenied",
        "MissingAuthenticationToken",
        "RequestExpired",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
    }
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what may pass by itself into UnavailableError, and what says nothing of this call into DependencyError.

    Everything else is let through.
    """
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code")
        if code in _THROTTLED or status == 429:
            raise ThrottledError("a service that this depends on is busy", retry_after_ms=1000) from error
        if code in _TEMPORARY or status >= 500:
            raise UnavailableError("a service that this depends on is busy", retry_after_ms=1000) from error
        if code in _REFUSED:
            raise DependencyError("a service that this depends on refuses every call") from error
        raise
    except BotoCoreError as error:
        raise UnavailableError("a service that this depends on does not answer", retry_after_ms=1000) from error


def guarded(client: Any, breaker: CircuitBreaker) -> Any:
    """Put a breaker before every call of a boto3 client, and return the client.

    Hooks into botocore's own events, so that adapters need not know of it:
    boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
    """

    def before(**_event: Any) -> None:
        if not breaker.allows():
            raise UnavailableError("a service that this depends on is left alone for a moment", retry_after_ms=1000)

    def answered(http_response: Any, **_event: Any) -> None:
        breaker.record(failed=http_response.status_code >= 500)

    def not_answered(**_event: Any) -> None:
        breaker.record(failed=True)

    events = client.meta.events
    events.register("before-call", before)
    events.register("after-call", answered)
    events.register("after-call-error", not_answered)
    return client
