"""API keys by HTTP (docs/protocol.md 4.4). For admins."""

from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, Response

from functions.http_api.caller import Caller, ServicesDep
from shared.domain.api_key import ApiKey
from shared.protocol.rest import KeyBody, KeysAnswer, NewKey


def add_keys(app: FastAPI) -> None:
    """Add the routes."""
    app.post("/v1/keys", status_code=201, response_model=NewKey)(create_key)
    app.get("/v1/keys", response_model=KeysAnswer)(list_keys)
    app.delete("/v1/keys/{key_id}", status_code=204)(revoke_key)


def create_key(services: ServicesDep, principal: Caller, body: KeyBody) -> Response:
    """Make a key for a server. The answer alone has it whole: nobody can be told again."""
    key, whole = services.keys.create(principal, body.name, body.caps)
    return JSONResponse({**_described(key), "key": whole}, 201, headers={"Cache-Control": "no-store"})


def list_keys(services: ServicesDep, principal: Caller, after: Annotated[str, Query(max_length=64)] = "") -> Response:
    """List keys by id. With ``more``, go on ``after`` the last."""
    keys, more = services.keys.page(principal, after)
    return JSONResponse({"keys": [_described(key) for key in keys], **({"more": True} if more else {})})


def revoke_key(services: ServicesDep, principal: Caller, key_id: str) -> None:
    """Revoke a key: it is refused from now on."""
    services.keys.revoke(principal, key_id)


def _described(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "caps": key.capabilities,
        "created_at_ms": key.created_at_ms,
    }
