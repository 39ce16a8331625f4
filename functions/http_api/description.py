"""``/openapi.json`` beyond what FastAPI finds by itself: answers that are made without models, bodies read as they are.

Loaded when it is asked for: these models would make each start of the function longer.
"""

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from functions.http_api.problems import PROBLEM
from shared.protocol.rest import Problem, PublishAnswer
from shared.protocol.server import DocumentsResult, HistoryResult, PresenceResult, StateWriteResult

_JSON: Final = "application/json"
_REF: Final = "#/components/schemas/{model}"
_DOCUMENT: Final = "/v1/channels/{channel}/state/{key}"
_ANSWERS: Final[dict[tuple[str, str], type[BaseModel]]] = {
    ("/v1/channels/{channel}/history", "get"): HistoryResult,
    ("/v1/channels/{channel}/presence", "get"): PresenceResult,
    ("/v1/channels/{channel}/state", "get"): DocumentsResult,
    (_DOCUMENT, "put"): StateWriteResult,
    (_DOCUMENT, "patch"): StateWriteResult,
    (_DOCUMENT, "delete"): StateWriteResult,
    ("/v1/publish", "post"): PublishAnswer,
}
_BODIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    # Whatever it is: what is wrong with a frame is told in its reply.
    ("/v1/sessions/{session_id}/frames", "post"): {"description": "A frame or a batch (docs/schemas/frames.json)."},
    (_DOCUMENT, "put"): {"description": "The document: anything but null.", "not": {"type": "null"}},
    (_DOCUMENT, "patch"): {"description": "A merge patch (RFC 7396).", "type": "object"},
}


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Fill in what ``document``, FastAPI's own, leaves out; return it."""
    models: set[type[BaseModel]] = {*_ANSWERS.values(), Problem}
    _, definitions = models_json_schema(
        [(model, "serialization") for model in sorted(models, key=lambda model: model.__name__)], ref_template=_REF
    )
    document["components"]["schemas"] |= definitions["$defs"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _fill_in(operation, _ANSWERS.get((path, method)), _BODIES.get((path, method)))
    return document


def _fill_in(operation: dict[str, Any], answer: type[BaseModel] | None, body: dict[str, Any] | None) -> None:
    for range_ in ("4XX", "5XX"):
        operation["responses"][range_]["content"] = {PROBLEM: {"schema": {"$ref": _REF.format(model="Problem")}}}
    if answer is not None:
        operation["responses"]["200"]["content"] = {_JSON: {"schema": {"$ref": _REF.format(model=answer.__name__)}}}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
