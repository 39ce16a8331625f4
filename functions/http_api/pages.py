"""The pages: the demo, where the stage has it, and the console. Files that web/ was built into; no data is in them."""

import hashlib
import mimetypes
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# At the same place in the function's zip (infra/packaging.py).
PAGES: Final = Path(__file__).resolve().parents[2] / "web" / "dist"
# An admin's token is in the console: it runs no script but its own, and no other page puts it into a frame, under
# buttons of its own. Connections go to other hosts, which differ by stage.
_CONSOLE_POLICY: Final = "default-src 'self'; connect-src *; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"


def add_pages(app: FastAPI, folder: Path, *, demo: bool) -> None:
    """Add ``/console``, with the demo also ``/``, and what they load. Every other path stays what it is.

    Args:
        app: What serves them.
        folder: What web/ was built into.
        demo: With the demo.
    """
    pages = {"/console": "console", **({"/": "demo"} if demo else {})}
    paths = {path: f"{page}/index.html" for path, page in pages.items()}
    paths |= {f"/{part}/{{name}}": f"{part}/{{name}}" for part in (*pages.values(), "parts")}
    for path, file in (paths | {"/icon.svg": "icon.svg"}).items():
        app.router.routes.append(_route(path, folder, file))


def _route(path: str, folder: Path, file: str) -> Route:
    def serve(request: Request) -> Response:
        return _answer(folder / file.format(**request.path_params), request)  # a name has no slash: none leads out

    return Route(path, serve)


def _answer(path: Path, request: Request) -> Response:
    try:
        body = path.read_bytes()
    except (OSError, ValueError):  # there is none, or none could have that name
        raise HTTPException(404) from None
    # Of the content: in a function's zip all files have one time.
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if path.parent.name == "console":
        headers["Content-Security-Policy"] = _CONSOLE_POLICY
    if tag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=mimetypes.guess_type(path.name)[0])
