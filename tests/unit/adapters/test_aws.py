"""botocore's errors translated: what may pass by itself is UnavailableError, everything else stays what it is."""

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from shared.adapters.aws import translated
from shared.errors import DependencyError, UnavailableError


def client_error(code: str, status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": "HUSH"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Call")  # type: ignore[arg-type]  # the rest of the metadata is not read


@pytest.mark.parametrize(
    "error",
    [
        client_error("ThrottlingException"),
        client_error("Throttling"),
        client_error("TooManyRequestsException", 429),
        client_error("ProvisionedThroughputExceededException"),
        client_error("RequestLimitExceeded"),
        client_error("RequestThrottled", 403),
        client_error("LimitExceededException", 429),
        client_error("TransactionInProgressException"),
        client_error("InternalFailure", 500),
        client_error("ServiceUnavailable", 503),
        client_error("SomethingNew", 502),
        client_error("SomethingNew", 429),
        EndpointConnectionError(endpoint_url="http://HUSH"),
        ConnectTimeoutError(endpoint_url="http://HUSH"),
        ReadTimeoutError(endpoint_url="http://HUSH"),
        NoCredentialsError(),
    ],
    ids=str,
)
def test_what_may_pass_is_unavailable(error: BotoCoreError | ClientError) -> None:
    with pytest.raises(UnavailableError) as caught, translated():
        raise error
    assert caught.value.__cause__ is error
    assert caught.value.retry_after_ms == 1000
    assert "HUSH" not in str(caught.value.to_wire())


@pytest.mark.parametrize(
    "error",
    [
        client_error("ConditionalCheckFailedException"),
        client_error("ValidationException"),
        client_error("GoneException", 410),
        ClientError({}, "Call"),
        ValueError("ours"),
    ],
    ids=str,
)
def test_everything_else_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, translated():
        raise error
    assert caught.value is error


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException", "ResourceNotFoundException"])
def test_what_would_befall_every_call_is_told_from_what_befell_one(code: str) -> None:
    with pytest.raises(DependencyError) as caught, translated():
        raise client_error(code)
    assert isinstance(caught.value.__cause__, ClientError)
    assert "HUSH" not in str(caught.value)


def test_what_goes_well_goes_on() -> None:
    with translated():
        pass
