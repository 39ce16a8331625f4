"""Sizes and counts of the protocol. Constants only."""

from typing import Final

PROTOCOL_VERSION: Final = 1
BATCH_MAX_FRAMES: Final = 100
HELLO_MAX_SUBSCRIPTIONS: Final = 50
HISTORY_DEFAULT_LIMIT: Final = 50
HISTORY_MAX_LIMIT: Final = 300
POLL_MAX_WAIT_S: Final = 25
# API Gateway's frame limit is 32 KB, and 32 KB is its billing unit (sources: shared/domain/connection.py):
# 32,000 is below both readings of KB.
WEBSOCKET_FRAME_MAX_BYTES: Final = 32_000
HTTP_FRAME_MAX_BYTES: Final = 256_000
SERVER_FRAME_MAX_BYTES: Final = 32_000
DATA_MAX_BYTES: Final = 24_000
# Of a state document, as compact JSON; one of more than DATA_MAX_BYTES is sent by HTTP alone, as it is.
DOCUMENT_MAX_BYTES: Final = 200_000
DOCUMENTS_MAX: Final = 500  # in a channel, deleted ones too
TOKEN_MAX_LENGTH: Final = 8_192  # what it says is kept with its connection
EVENT_NAME_MAX_LENGTH: Final = 100
COMMAND_ERROR_MAX_BYTES: Final = 8_000  # what a handler or a peer says of its failure: replies have their limit too
