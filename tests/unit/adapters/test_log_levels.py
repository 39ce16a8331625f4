"""What libraries log at DEBUG is what clients send: nobody's choice of a level may bring it into the logs."""

import logging

import pytest

import shared.adapters.telemetry  # noqa: F401  # it is what every function loads


@pytest.mark.parametrize("name", ["botocore.endpoint", "botocore.parsers", "botocore.hooks"])
def test_requests_to_aws_are_not_logged_at_any_level(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


def test_what_it_says_of_itself_is_not_louder_than_before() -> None:
    # At INFO it tells where it found its credentials and each endpoint: in every function's log, and on the terminal.
    assert not logging.getLogger("botocore.credentials").isEnabledFor(logging.INFO)
