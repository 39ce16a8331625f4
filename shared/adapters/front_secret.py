"""The secret that CloudFront shows, in Secrets Manager: its value, and the one before it while it is changed."""

import hmac
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from shared.adapters.aws import translated
from shared.adapters.token_secret import TokenSecret


class FrontSecret:
    """Compares what is shown with values that are kept and read anew as a token secret's are."""

    def __init__(self, values: TokenSecret) -> None:
        self._values = values

    def is_known(self, value: str) -> bool:
        shown = value.encode(errors="surrogatepass")
        return bool(shown) and self._values.fitting(lambda one: _same(shown, one)) is not None


def _same(shown: bytes, value: str) -> bool | None:
    return hmac.compare_digest(shown, value.encode()) or None


def read_values(client: Any, arn: str) -> Sequence[str]:
    """Return what a secret is, and what it was before, if it was ever changed.

    Source: docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html#term_version
    """
    with translated():
        values = [client.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"]]
        with suppress(client.exceptions.ResourceNotFoundException):
            values.append(client.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")["SecretString"])
    return values
