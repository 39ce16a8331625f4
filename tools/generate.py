"""Generates what follows from the pydantic models (JSON Schema, AsyncAPI, OpenAPI, TypeScript types), and what
``tidewire cost`` has to know of the server: prices, and settings that decide how much is billed.

``python -m tools.generate`` writes the files; ``--check`` says which are not current, and exits with 1.
"""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from functions.http_api.app import VERSION, create_app
from infra.stage import StageConfig
from shared import namespaces
from shared.bootstrap import Services
from shared.domain.connection import CHECK_AFTER_S, CONNECTION_MAX_AGE_S, HEARTBEAT_S
from shared.domain.prices import PRICED_ON, PRICES, PRICES_NOT_COUNTED, REGION
from shared.domain.segment import SEGMENT_MAX_PUBLICATIONS
from shared.protocol import requests, rest, server
from shared.protocol.limits import DATA_MAX_BYTES, SERVER_FRAME_MAX_BYTES
from shared.protocol.requests import Model
from shared.services.fan_out import SHARD_MAX_SUBSCRIBERS, SHARDS_MAX
from shared.services.publish import EXPRESS_MAX_SUBSCRIBERS
from shared.services.publish_worker import PACED_FROM_PER_S
from shared.settings import Settings

ROOT: Final = Path(__file__).resolve().parent.parent
SCHEMAS: Final = ROOT / "docs" / "schemas"
COST: Final = ROOT / "clients" / "python" / "src" / "tidewire" / "cli" / "cost"
_MODELS: Final[tuple[type[Model], ...]] = (*requests.REQUESTS, server.Reply, *server.PUSHES)
_ANSWERS: Final[tuple[type[Model], ...]] = (  # to what the console asks by HTTP
    rest.MetricsAnswer,
    rest.CostAnswer,
    rest.ConnectionsAnswer,
    rest.DeadLettersAnswer,
    rest.RedriveAnswer,
    rest.Problem,
)
_REQUESTS: Final = tuple(model.__name__ for model in requests.REQUESTS)
_PUSHES: Final = tuple(model.__name__ for model in server.PUSHES)
_REF: Final = "#/$defs/{model}"


def frames_schema() -> dict[str, Any]:
    """Return the JSON Schema of every frame."""
    _, schema = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REF)
    definitions = schema["$defs"]
    definitions["Request"] = {"oneOf": [{"$ref": _REF.format(model=name)} for name in _REQUESTS]}
    definitions["Push"] = {"oneOf": [{"$ref": _REF.format(model=name)} for name in _PUSHES]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://tidewire.dev/schemas/frames.json",
        "title": "Tidewire frames, protocol 1",
        "oneOf": [{"$ref": _REF.format(model=name)} for name in ("Request", "Reply", "Push")],
        "$defs": definitions,
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 description of the WebSocket API."""
    definitions = frames_schema()["$defs"]
    schemas = json.loads(json.dumps(definitions).replace("#/$defs/", "#/components/schemas/"))
    sent, received = (*_REQUESTS,), ("Reply", *_PUSHES)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tidewire", "version": VERSION, "description": "docs/protocol.md is normative."},
        "servers": {"local": {"host": "localhost:8080", "protocol": "ws", "pathname": "/v1/ws"}},
        "channels": {
            "connection": {
                "address": "/v1/ws",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in (*sent, *received)},
            }
        },
        "operations": {
            "request": _operation("receive", sent),
            "answerAndPush": _operation("send", received),
        },
        "components": {
            "messages": {name: {"payload": {"$ref": f"#/components/schemas/{name}"}} for name in (*sent, *received)},
            "schemas": schemas,
        },
    }


def openapi() -> dict[str, Any]:
    """Return the OpenAPI description of the HTTP API, as stage ``local`` serves it."""
    return create_app(Services(Settings.from_env({"TIDEWIRE_STAGE": "local", "DEMO": "1"}))).openapi()


def answers_schema() -> dict[str, Any]:
    """Return the JSON Schema of what the console is answered."""
    _, schema = models_json_schema([(model, "serialization") for model in _ANSWERS], ref_template=_REF)
    return {"oneOf": [{"$ref": _REF.format(model=model.__name__)} for model in _ANSWERS], "$defs": schema["$defs"]}


def prices() -> dict[str, Any]:
    """Return the price table."""
    priced = [asdict(price) for price in (*PRICES, *PRICES_NOT_COUNTED)]
    return {"priced_on": PRICED_ON, "region": REGION, "prices": priced}


def server_settings() -> dict[str, Any]:
    """Return what of the server's settings decides how much is billed, of a stage and a namespace as they come."""
    stage = StageConfig("prod")
    metrics = re.findall(r"^\| `\w+` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    return {
        "memory_mb": stage.memory_mb,
        "pushes_per_s": stage.push_rate_per_s // stage.push_concurrency,
        "heartbeat_s": HEARTBEAT_S,
        "check_after_s": CHECK_AFTER_S,
        "connection_max_age_s": CONNECTION_MAX_AGE_S,
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


def typescript(schema: dict[str, Any], title: str) -> str:
    """Return the TypeScript types of a schema."""
    source = json.dumps(_for_typescript(schema) | {"title": title})
    command = [
        str(ROOT / "node_modules" / ".bin" / "json2ts"),
        "--no-additionalProperties",
        "--unreachableDefinitions",
        "--bannerComment",
        "// Generated by `make generate` from shared/protocol. Do not edit.",
        "--style.printWidth=120",
    ]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout


def _operation(action: str, messages: tuple[str, ...]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/connection"},
        "messages": [{"$ref": f"#/channels/connection/messages/{name}"} for name in messages],
    }


def _for_typescript(value: Any) -> Any:
    """Leave out what would give single fields types of their own: titles, and the default of what may be anything."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if not (key == "title" and isinstance(item, str))}
        if kept == {"default": None}:
            return {}
        return {key: _for_typescript(item) for key, item in kept.items()}
    return [_for_typescript(item) for item in value] if isinstance(value, list) else value


def generated() -> dict[Path, str]:
    """Return the text of every generated file."""
    documents = {"frames.json": frames_schema(), "asyncapi.json": asyncapi(), "openapi.json": openapi()}
    cost = {"prices.json": prices(), "server.json": server_settings()}
    files = {SCHEMAS / name: _json(document) for name, document in documents.items()}
    return (
        files
        | {COST / name: _json(document) for name, document in cost.items()}
        | {
            ROOT / "clients" / "js" / "src" / "generated" / "frames.ts": typescript(frames_schema(), "Frame"),
            ROOT / "web" / "src" / "console" / "generated" / "answers.ts": typescript(answers_schema(), "Answer"),
        }
    )


def _json(document: Any) -> str:
    return json.dumps(document, indent=2) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check; return the exit code."""
    stale = [(path, text) for path, text in generated().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path, _ in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not current: make generate\n")
        return 1 if stale else 0
    for path, text in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
