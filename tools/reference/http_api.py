"""docs/reference/http-api.md: every call of the HTTP API."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tools.reference.markdown import GENERATED, code, table
from tools.reference.schema import definition, described, kind

_HEAD: Final = f"""{GENERATED}
# HTTP API

Every call, from what the functions serve; [openapi.json](../schemas/openapi.json) is the same as OpenAPI, and each
deployment has its own at `/openapi.json`. What the calls mean, and who may make them, is in the
[protocol](../protocol.md#4-transports): sections 4.3 for sessions and 4.4 for servers and tools.

Who calls says so in a header: `Authorization: Bearer …`, a user's token or, in a session, the session's; or
`X-API-Key: …`, a server's. Errors are `application/problem+json`, a [Problem](#problem), whose codes are listed with
their [cause and cure](errors.md). Servers with AWS credentials find every call below `/iam` as well
([AWS callers](../iam.md)). Channels, keys and user ids are percent-encoded in paths.
"""
_CREDENTIALS: Final = frozenset({"authorization", "x-api-key"})


def document(openapi: Mapping[str, Any]) -> str:
    """Return the page of ``openapi.json``."""
    calls = [(method, path, call) for path, one in openapi["paths"].items() for method, call in one.items()]
    calls.sort(key=lambda call: (not call[1].startswith("/v1/sessions"), call[1]))
    rows = ((_link(method, path), _first(call)) for method, path, call in calls)
    parts = [_HEAD, table(("call", "does"), rows), "## Calls\n"]
    for method, path, call in calls:
        parts += [f"### {code(_title(method, path))}\n", *_call(call)]
    parts += ["## What they are made of\n"]
    schemas = openapi["components"]["schemas"]
    parts += [definition(name, schemas[name]) for name in sorted(schemas)]
    return "\n".join(parts)


def _call(call: Mapping[str, Any]) -> Iterator[str]:
    yield described(call)
    parameters = [one for one in call.get("parameters", ()) if one["name"] not in _CREDENTIALS]
    if parameters:
        yield table(("parameter", "in", "is"), map(_parameter, parameters))
    if "requestBody" in call:
        yield f"Body: {_contents(call['requestBody'])}.\n"
    answers = (f"{status}: {_contents(answer)}" for status, answer in call["responses"].items() if status[0] == "2")
    yield f"Answer: {'; '.join(answers)}.\n"


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str]:
    name = parameter["name"] if parameter["required"] else f"{parameter['name']}?"
    return code(name), parameter["in"], kind(parameter["schema"])


def _contents(body: Mapping[str, Any]) -> str:
    kinds = [
        kind(one["schema"]) if media == "application/json" else code(media)
        for media, one in body.get("content", {}).items()
    ]
    return " or ".join(kinds) or "nothing"


def _title(method: str, path: str) -> str:
    return f"{method.upper()} {path}"


def _link(method: str, path: str) -> str:
    title = _title(method, path)
    anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")  # as GitHub and MkDocs make it of a heading
    return f"[{code(title)}](#{anchor})"


def _first(call: Mapping[str, Any]) -> str:
    return described(call).partition("\n\n")[0].strip()
