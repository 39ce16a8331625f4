"""The pages: the demo, where the stage has it, and the console. Files that web/ was built into; no data is in them."""

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.page_headers import page_headers
from shared.settings import Settings

# At the same place in the function's zip (infra/packaging.py).
PAGES: Final = Path(__file__).resolve().parents[2] / "web" / "dist"


def add_pages(app: FastAPI, folder: Path, settings: Settings) -> None:
    """Add ``/console``, with the demo also ``/``, and what they load. Every other path stays what it is.

    Args:
        app: What serves them.
        folder: What web/ was built into.
        settings: Whether there is the demo, and where pages connect.
    """
    headers = page_headers(
        *map(_origin, filter(None, (settings.websocket_url, settings.http_url, settings.stream_url)))
    )
    pages = {"/console": "console", **({"/": "demo"} if settings.demo else {})}
    paths = {path: f"{page}/index.html" for path, page in pages.items()}
    paths |= {f"/{part}/{{name}}": f"{part}/{{name}}" for part in (*pages.values(), "parts")}
    for path, file in (paths | {"/icon.svg": "icon.svg"}).items():
        app.router.routes.append(_route(path, folder, file, headers))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _route(path: str, folder: Path, file: str, headers: Mapping[str, str]) -> Route:
    def serve(request: Request) -> Response:
        # A name has no slash: none leads out.
        return _answer(folder / file.format(**request.path_params), request, headers)

    return Route(path, serve)


def _answer(path: Path, request: Request, page: Mapping[str, str]) -> Response:
    try:
        body = path.read_bytes()
    except (OSError, ValueError):  # there is none, or none could have that name
        raise HTTPException(404) from None
    # Of the content: in a function's zip all files have one time.
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", **page}
    if tag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=mimetypes.guess_type(path.name)[0])
