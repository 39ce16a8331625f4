"""The secret that CloudFront shows."""

import hmac

from shared.adapters.rotated_secret import RotatedSecret


class FrontSecret:
    """Compares what is shown with values that are kept and read anew as a token secret's are."""

    def __init__(self, values: RotatedSecret) -> None:
        self._values = values

    def is_known(self, value: str) -> bool:
        shown = value.encode(errors="surrogatepass")
        return bool(shown) and self._values.fitting(lambda one: _same(shown, one)) is not None


def _same(shown: bytes, value: str) -> bool | None:
    return hmac.compare_digest(shown, value.encode()) or None
