"""What ``tidewire cost`` has to know of the server, as files of its own: it imports nothing of it."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from infra.stage import StageConfig
from shared import namespaces
from shared.domain.connection import CHECK_AFTER_S, CONNECTION_MAX_AGE_S, HEARTBEAT_S
from shared.domain.prices import PRICED_ON, PRICES, PRICES_NOT_COUNTED, REGION
from shared.domain.segment import SEGMENT_MAX_PUBLICATIONS
from shared.protocol.limits import DATA_MAX_BYTES, SERVER_FRAME_MAX_BYTES
from shared.services.append import END_TRUST_MS
from shared.services.fan_out import SHARD_MAX_SUBSCRIBERS, SHARDS_MAX
from shared.services.publish import EXPRESS_MAX_SUBSCRIBERS
from shared.services.publish_worker import PACED_FROM_PER_S

_ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = _ROOT / "clients" / "python" / "src" / "tidewire" / "cli" / "cost"


def prices() -> dict[str, Any]:
    """Return the price table."""
    priced = [asdict(price) for price in (*PRICES, *PRICES_NOT_COUNTED)]
    return {"priced_on": PRICED_ON, "region": REGION, "prices": priced}


def server_settings() -> dict[str, Any]:
    """Return what of the server's settings decides how much is billed, of a stage and a namespace as they come."""
    stage = StageConfig("prod")
    # A test holds that list and what is measured together.
    metrics = re.findall(r"^\| `\w+` \|", (_ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    return {
        "memory_mb": stage.memory_mb,
        "pushes_per_s": stage.push_rate_per_s // stage.push_concurrency,
        "heartbeat_s": HEARTBEAT_S,
        "check_after_s": CHECK_AFTER_S,
        "connection_max_age_s": CONNECTION_MAX_AGE_S,
        "subscriptions_max": stage.limits.subscriptions,
        "end_trust_s": END_TRUST_MS // 1000,
        "pace_ms": namespaces.load().defaults.pace_ms,
        "paced_from_per_s": PACED_FROM_PER_S,
        "segment_max_publications": SEGMENT_MAX_PUBLICATIONS,
        "express_max_subscribers": EXPRESS_MAX_SUBSCRIBERS,
        "shard_max_subscribers": SHARD_MAX_SUBSCRIBERS,
        "shards_max": SHARDS_MAX,
        "frame_max_bytes": SERVER_FRAME_MAX_BYTES,
        "data_max_bytes": DATA_MAX_BYTES,
        "metrics": len(metrics),
    }
