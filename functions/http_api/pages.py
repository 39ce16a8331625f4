"""The pages: the demo, where the stage has it, and the console. Files that web/ was built into; no data is in them."""

import hashlib
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# At the same place in the function's zip (infra/packaging.py).
PAGES: Final = Path(__file__).resolve().parents[2] / "web" / "dist"
_DEMO: Final = "demo"
_CONSOLE: Final = "console"


def add_pages(app: FastAPI, folder: Path, *, demo: bool) -> None:
    """Add a route for each file of the folder, ``/`` for the demo, ``/console`` for the console.

    Args:
        app: Every other path stays what it is.
        folder: What web/ was built into; if it is not there, there are no pages.
        demo: With the demo.
    """
    files = {f"/{path.relative_to(folder).as_posix()}": path for path in sorted(folder.rglob("*")) if path.is_file()}
    files |= {"/": folder / _DEMO / "index.html", f"/{_CONSOLE}": folder / _CONSOLE / "index.html"}
    for url, path in files.items():
        if path.is_file() and (demo or path.parent.name != _DEMO):
            # Only REST APIs compress:
            # docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gzip-compression-decompression.html
            app.router.routes.append(Route(url, _served(path), middleware=[Middleware(GZipMiddleware)]))


def _served(path: Path) -> Callable[[Request], Response]:
    def serve(request: Request) -> Response:
        body = path.read_bytes()
        # Of the content: in a function's zip all files have one time.
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=mimetypes.guess_type(path.name)[0])

    return serve
