"""The release before this one: its code in a folder, deployed as this one is, and its HTTP functions in a process."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from localstack.deploy import ROOT
from localstack.stack import HttpApp

# Before the first release there is none before it: this commit stands for it. It had run by itself for a day.
_BASELINE: Final = "8979aafcc644b092691c1f1d4559b8807b0bcb54"
# What takes minutes to make, and does not differ: packages, and the pages.
_SHARED: Final = (".venv", "node_modules", "localstack/emulator/.venv", "web/dist")
_SERVE: Final = """
import json, socket, sys, uvicorn
from pathlib import Path
from localstack.metrics import ServedMetrics
from localstack.served_app import ServedApp
descriptor, folder, outputs, max_age_s = sys.argv[1:]
app = ServedApp(Path(folder), json.loads(outputs), ServedMetrics(), stream_max_age_s=int(max_age_s))
config = uvicorn.Config(app, lifespan="off", log_level="warning")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])
"""


def previous_release() -> str:
    """Return the newest tag behind this commit, else what stands for it."""
    asked = ["git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^"]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or _BASELINE


def check_out(release: str, folder: Path) -> None:
    """Put its files into a folder, with this checkout's packages."""
    known = ["git", "cat-file", "-e", f"{release}^{{commit}}"]
    if subprocess.run(known, cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.fail(f"this clone lacks {release}, which is upgraded from: git fetch --unshallow --tags", pytrace=False)
    folder.mkdir()
    archive = subprocess.run(["git", "archive", release], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    for name in _SHARED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to((ROOT / name).resolve())


def environment(code: Path) -> dict[str, str]:
    """Return the environment of a process that runs its code."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (code, code / "clients" / "python" / "src")))}


class RunningApp:
    """A release's HTTP functions, served by a process of its own; ASGI in front of it."""

    def __init__(self, code: Path, folder: Path, outputs: str, *, stream_max_age_s: int) -> None:
        listening = socket.create_server(("127.0.0.1", 0))  # who asks before it serves waits
        self._port = listening.getsockname()[1]
        line = [sys.executable, "-c", _SERVE, str(listening.fileno()), str(folder), outputs, str(stream_max_age_s)]
        environ, descriptors = environment(code), [listening.fileno()]
        with listening:
            self._process = subprocess.Popen(line, cwd=code, env=environ, pass_fds=descriptors)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back as it comes."""
        path = scope["raw_path"] + b"?" + scope["query_string"]
        url = httpx.URL(f"http://127.0.0.1:{self._port}", raw_path=path)
        content = await Request(scope, receive).body()
        request = httpx.Request(scope["method"], url, headers=scope["headers"], content=content)
        # Without a deadline: a stream is silent for as long as nothing happens.
        async with httpx.AsyncClient(timeout=None, verify=False) as client:
            try:
                answer = await client.send(request, stream=True)
            except httpx.RemoteProtocolError:
                return  # it was ended while it held the request
            response = StreamingResponse(answer.aiter_raw(), answer.status_code)
            response.raw_headers = answer.headers.raw
            await response(scope, receive, send)


class Switch:
    """What serves HTTP now. Requests that have begun are ended by whoever began them, as on Lambda.

    There an environment keeps the code that it was started with:
    docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """

    def __init__(self, app: HttpApp) -> None:
        self._apps = [app]

    def to(self, app: HttpApp) -> None:
        """Have this one serve from now on."""
        self._apps.append(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        await self._apps[-1](scope, receive, send)

    def close(self) -> None:
        """End all that have served."""
        for app in set(self._apps):
            app.close()
