"""State documents by HTTP (docs/protocol.md 4.4): the ETag is the version, If-Match is `base_version`."""

import re
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from functions.http_api.caller import Caller, ServicesDep
from functions.http_api.channel import ChannelPath
from shared.domain.document import KEY_MAX_LENGTH, is_key
from shared.errors import InvalidFieldError
from shared.protocol.decode import parse_json
from shared.protocol.limits import HTTP_FRAME_MAX_BYTES
from shared.services.documents import Write, Written

_ETAG: Final = re.compile(r'"(\d{1,15})"\Z')

# Told, not checked, as with channels.
_KEY_DESCRIBED: Final[dict[str, Any]] = {"pattern": "^[A-Za-z0-9_.:~%-]+$", "maxLength": KEY_MAX_LENGTH}


def add_documents(app: FastAPI) -> None:
    """Add the routes."""
    app.get("/v1/channels/{channel}/state")(read_documents)
    path = "/v1/channels/{channel}/state/{key}"
    app.get(path)(read_document)
    app.put(path)(set_document)
    app.patch(path)(patch_document)
    app.delete(path)(delete_document)


def _key(key: Annotated[str, Path(json_schema_extra=_KEY_DESCRIBED)]) -> str:
    if not is_key(key):
        raise InvalidFieldError("key: 1 to 100 characters of A-Z a-z 0-9 _ . : ~ % -", details=_field("key"))
    return key


async def _json(request: Request) -> Any:
    value = parse_json(await request.body(), max_bytes=HTTP_FRAME_MAX_BYTES)
    if value is None:
        raise InvalidFieldError("a document is anything but null: DELETE it", details=_field("value"))
    return value


def _base_version(
    if_match: Annotated[str | None, Header(max_length=100)] = None,
    if_none_match: Annotated[str | None, Header(max_length=100)] = None,
) -> int | None:
    """Return the version that the caller knows: 0 where there is to be no document yet."""
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise InvalidFieldError("If-None-Match: only *, and not with If-Match", details=_field("If-None-Match"))
        return 0
    if if_match is None:
        return None
    match = _ETAG.match(if_match.strip())
    if match is None:
        raise InvalidFieldError('If-Match: a version in quotes, such as "7"', details=_field("If-Match"))
    return int(match[1])


Key = Annotated[str, Depends(_key)]
Value = Annotated[Any, Depends(_json)]
BaseVersion = Annotated[int | None, Depends(_base_version)]


def read_documents(
    services: ServicesDep,
    principal: Caller,
    channel: ChannelPath,
    after: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Read a channel's documents, by their keys. Where there are more, go on after the last."""
    return JSONResponse(services.document_reader.page(principal, channel, after=after))


def read_document(
    services: ServicesDep,
    principal: Caller,
    channel: ChannelPath,
    key: Key,
    if_none_match: Annotated[str | None, Header(max_length=100)] = None,
) -> Response:
    """Read a document: its value."""
    document = services.document_reader.whole(principal, channel, key)
    headers = {"ETag": f'"{document.version}"', "Cache-Control": "no-cache"}
    # Compared weakly (RFC 9110, section 13.1.2): a proxy that compresses makes weak ones of them.
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return JSONResponse(document.value, headers=headers)


def set_document(
    services: ServicesDep, principal: Caller, channel: ChannelPath, key: Key, base_version: BaseVersion, value: Value
) -> Response:
    """Set a document; the body is its value. The answer is what it is then."""
    return _answer(services.documents.write(principal, Write(channel, key, value=value, base_version=base_version)))


def patch_document(
    services: ServicesDep, principal: Caller, channel: ChannelPath, key: Key, base_version: BaseVersion, patch: Value
) -> Response:
    """Change a document; the body is a merge patch (RFC 7396). The answer is what the document is then."""
    if not isinstance(patch, dict):
        raise InvalidFieldError("a patch is an object", details=_field("patch"))
    return _answer(services.documents.write(principal, Write(channel, key, patch=patch, base_version=base_version)))


def delete_document(
    services: ServicesDep, principal: Caller, channel: ChannelPath, key: Key, base_version: BaseVersion
) -> Response:
    """Delete a document; its versions count on."""
    return _answer(services.documents.write(principal, Write(channel, key, base_version=base_version)))


def _answer(written: Written) -> Response:
    version = written.document.version
    answer = {"version": version, **written.content, "resolution": written.resolution}
    return JSONResponse(answer, headers={"ETag": f'"{version}"'})


def _field(name: str) -> dict[str, Any]:
    return {"fields": [{"field": name}]}
