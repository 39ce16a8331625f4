"""Strings that only this stage can have made: JSON with an HMAC-SHA256 of it."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Final

from shared.adapters.rotated_secret import RotatedSecret
from shared.protocol.encode import to_json

_TAG_BYTES: Final = 16  # RFC 2104 section 5: no less than half of the hash's length


class HmacSigner:
    """Signs with keys that are made from the stage's secret, one for each purpose."""

    def __init__(self, secret: RotatedSecret) -> None:
        self._secret = secret

    def sign(self, purpose: str, fields: Sequence[str | int]) -> str:
        text = to_json(fields)
        return _encode(text + _tag(self._secret.current(), purpose, text))

    def open(self, purpose: str, signed: str) -> Sequence[str | int] | None:
        try:
            decoded = base64.b64decode(signed + "=" * (-len(signed) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):  # ValueError: not ASCII
            return None
        text, tag = decoded[:-_TAG_BYTES], decoded[-_TAG_BYTES:]

        def signed_text(secret: str) -> bytes | None:
            return text if hmac.compare_digest(tag, _tag(secret, purpose, text)) else None

        if len(tag) < _TAG_BYTES or self._secret.fitting(signed_text) is None:
            return None
        fields: list[str | int] = json.loads(text)
        return fields


def _tag(secret: str, purpose: str, text: bytes) -> bytes:
    key = hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)
    return hmac.digest(key, text, hashlib.sha256)[:_TAG_BYTES]


def _encode(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()
