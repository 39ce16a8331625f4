"""What the AWS adapters share: client settings, and botocore's errors translated."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import UnavailableError

# A user waits: give up early, and let the client (or the queue) try again. Pool: as many as fan-out has threads.
CLIENT_CONFIG: Final = Config(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=32,
)

_TEMPORARY: Final = frozenset(
    {
        "InternalServerError",
        "InternalFailure",
        "InternalException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
        "KmsThrottled",
    }
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what may pass by itself into UnavailableError; let everything else through."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if error.response.get("Error", {}).get("Code") in _TEMPORARY or status >= 500 or status == 429:
            raise UnavailableError("a service that this depends on is busy", retry_after_ms=1000) from error
        raise
    except BotoCoreError as error:
        raise UnavailableError("a service that this depends on does not answer", retry_after_ms=1000) from error
