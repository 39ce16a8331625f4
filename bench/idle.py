"""1,000 sessions that hold a stream in one process and hear nothing: what they cost it, and DynamoDB."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import boto3
import httpx

from bench.results import Bar, NotMeasuredError, Report, Row
from localstack.deploy import ROOT
from localstack.stack import LocalStack
from shared.contract import ENV_STREAM_MAX_AGE_S, OUTPUT_HTTP_FUNCTION, OUTPUT_STREAM_FUNCTION
from shared.domain.stage_limits import DEFAULT_LIMITS
from tests.integration.client import dev_token

SESSIONS: Final = 1_000
SETTLE_S: Final = 45  # from then on each is looked for every 1.2 s
MEASURED_S: Final = 20
BAR_READS: Final = 0.1  # per session and second
_AT_A_TIME: Final = 20
_GROUP: Final = 100
_MAX_AGE_S: Final = "900"  # it takes minutes to open them all, and none is to end meanwhile

# The app as the local stack hosts it, in a process of its own, with a count of what it asks DynamoDB.
_PROGRAM: Final = """
import os
import boto3
import uvicorn

calls = {"requests": 0, "keys": 0}

def count(params, **_):
    calls["requests"] += 1
    body = __import__("json").loads(params["body"])
    tables = body.get("RequestItems", {}).values()  # BatchGetItem has keys, BatchWriteItem a list
    calls["keys"] += sum(len(table["Keys"]) if "Keys" in table else len(table) for table in tables) or 1

boto3.setup_default_session()
boto3.DEFAULT_SESSION.events.register("before-call.dynamodb", count)

from functions.http_api.app import create_app
from shared import bootstrap

app = create_app(bootstrap.services())
app.get("/calls")(lambda: calls)
uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", timeout_graceful_shutdown=1)
"""


def run(stack: LocalStack) -> Report:
    """Open them, let them fall silent, and count."""
    with _process(stack) as (origin, pid), ExitStack() as opened:
        tokens = [
            dev_token(stack.url, f"idle-{number}") for number in range(-(-SESSIONS // DEFAULT_LIMITS.user_held_streams))
        ]
        channel, before_kb, held = f"room:idle-{secrets.token_hex(4)}", 0, list[socket.socket]()
        for start in range(0, SESSIONS, _GROUP):  # a session that nobody reads for 130 s has gone
            streams = asyncio.run(_sessions(origin, tokens, channel, range(start, start + _GROUP)))
            before_kb = before_kb or _resident_kb(pid)
            held += [opened.enter_context(_stream(origin, path, token)) for path, token in streams]
        time.sleep(SETTLE_S)
        first = httpx.get(f"{origin}/calls").json()
        time.sleep(MEASURED_S)
        last = httpx.get(f"{origin}/calls").json()
        after_kb = _resident_kb(pid)
        if ended := sum(map(_ended, held)):
            raise NotMeasuredError(f"{ended} streams have ended meanwhile")
    requests, keys = ((last[name] - first[name]) / MEASURED_S for name in ("requests", "keys"))
    values = {
        "KB each": (after_kb - before_kb) / SESSIONS,
        "requests a second": requests,
        "keys a second": keys,
        "requests per session and second": requests / SESSIONS,
    }
    bars = [Bar("DynamoDB requests per session and second:", requests / SESSIONS, BAR_READS)]
    setting = f"{SESSIONS:,} SSE sessions in one process, {SETTLE_S} s after they were opened, for {MEASURED_S} s"
    return Report("idle", "Idle sessions in one process", setting, [Row("sse", values)], bars)


@contextmanager
def _process(stack: LocalStack) -> Iterator[tuple[str, int]]:
    client, environment = boto3.client("lambda"), dict(os.environ)
    for output in (OUTPUT_STREAM_FUNCTION, OUTPUT_HTTP_FUNCTION):
        configuration = client.get_function_configuration(FunctionName=stack.outputs[output])
        environment |= configuration["Environment"]["Variables"]
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", _PROGRAM]
    running = subprocess.Popen(  # nosec B603 # our own module
        command, cwd=ROOT, env=environment | {"PORT": str(port), ENV_STREAM_MAX_AGE_S: _MAX_AGE_S}
    )
    try:
        while not _ready(origin):
            if running.poll() is not None:
                raise NotMeasuredError("the app's process has ended")
        yield origin, running.pid
    finally:
        running.terminate()
        running.wait()


def _ready(origin: str) -> bool:
    try:
        return httpx.get(f"{origin}/healthz").status_code == 200
    except httpx.TransportError:
        return False


async def _sessions(origin: str, tokens: list[str], channel: str, numbers: range) -> list[tuple[str, str]]:
    """Begin the sessions; return the path and token of each one's stream."""
    turns = asyncio.Semaphore(_AT_A_TIME)

    async with httpx.AsyncClient(base_url=origin, timeout=60) as http:

        async def begin(number: int) -> tuple[str, str]:
            body: dict[str, Any] = {"protocol": 1, "subscribe": [{"channel": channel}]}
            bearer = {"Authorization": f"Bearer {tokens[number // DEFAULT_LIMITS.user_held_streams]}"}
            async with turns:
                answer = (await http.post("/v1/sessions", json=body, headers=bearer)).raise_for_status().json()
            return f"/v1/stream/sessions/{answer['session_id']}", answer["session_token"]

        return await asyncio.gather(*(begin(number) for number in numbers))


@contextmanager
def _stream(origin: str, path: str, token: str) -> Iterator[socket.socket]:
    """Hold a stream by a bare socket: a client's own weight is not to be measured."""
    host, _, port = origin.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as sock:
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
        sock.sendall(request.encode())
        status, *_ = sock.recv(64).split(b"\r\n")
        if b" 200 " not in status:
            raise NotMeasuredError(f"a stream was refused: {status.decode()}")
        yield sock


def _ended(stream: socket.socket) -> bool:
    stream.setblocking(False)
    with suppress(BlockingIOError):
        while some := stream.recv(65_536):
            if some.endswith(b"0\r\n\r\n"):  # the last chunk
                return True
        return True
    return False


def _resident_kb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024
