"""The app in processes of its own: the packaged streaming function, and a new process for every single request."""

import asyncio
import json
import os
import re
import secrets
import site
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
import httpx

from localstack.stack import LocalStack
from shared.contract import OUTPUT_HTTP_FUNCTION, OUTPUT_STREAM_FUNCTION, STACK_NAME_PREFIX
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession
from tests.integration.test_transports import NDJSON, SSE, data_of
from tests.streams import streaming

ROOT: Final = Path(__file__).parents[2]
# What Lambda's Python brings: docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
_RUNTIME: Final = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six.py")


def environment_of(stack: LocalStack, output: str) -> dict[str, str]:
    """Return the environment that a deployed function has, and no other."""
    configuration = boto3.client("lambda").get_function_configuration(FunctionName=stack.outputs[output])
    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_") or name in ("PATH", "HOME")}
    return kept | configuration["Environment"]["Variables"]


@contextmanager
def process(command: list[str], *, cwd: Path, environment: dict[str, str], log: Path, port: int) -> Iterator[str]:
    """Run a server; yield its origin when it is ready, as the adapter finds out: by asking again and again."""
    origin = f"http://127.0.0.1:{port}"
    with log.open("ab") as output:
        running = subprocess.Popen(command, cwd=cwd, env=environment, stdout=output, stderr=output)
        try:
            while not _ready(origin):
                assert running.poll() is None, log.read_text()
            yield origin
        finally:
            running.terminate()
            running.wait()


def _ready(origin: str) -> bool:
    try:
        return httpx.get(f"{origin}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def packaged(stack: LocalStack) -> tuple[Path, list[Path], str]:
    """Return the streaming function's code, its layers, and its handler, as they were built for this machine."""
    assembly = stack.folder / "cdk.out"
    template = json.loads((assembly / f"{STACK_NAME_PREFIX}Local.template.json").read_text())
    resources: dict[str, Any] = template["Resources"]
    [function] = [
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::Lambda::Function" and resource["Properties"]["Handler"].endswith(".sh")
    ]
    # The adapter's is AWS's own, and not built here.
    refs = [layer["Ref"] for layer in function["Layers"] if "Ref" in layer]
    layers = [resources[ref]["Properties"]["Content"] for ref in refs]
    code, *contents = (
        assembly / f"asset.{re.sub(r'.zip$', '', asset['S3Key'])}" for asset in (function["Code"], *layers)
    )
    return code, contents, function["Handler"]


async def test_the_packaged_function_streams_when_its_script_is_started(
    stack: LocalStack, connect: Connect, channel: str, tmp_path: Path
) -> None:
    """As AWS Lambda Web Adapter does: it executes the handler in the task's root, and passes on what the app says.

    The interpreter has no packages of its own: all that is found is the layers', or the runtime's.
    """
    code, layers, handler = packaged(stack)
    runtime, binaries = tmp_path / "runtime", tmp_path / "bin"
    for folder in (runtime, binaries):
        folder.mkdir()
    for name in _RUNTIME:
        (runtime / name).symlink_to(Path(site.getsitepackages()[0], name))
    (binaries / "python3").symlink_to(Path(sys.base_prefix, "bin", "python3"))
    environment = environment_of(stack, OUTPUT_STREAM_FUNCTION)
    port = free_port()
    environment |= {
        "PATH": f"{binaries}:/usr/bin:/bin",
        "PYTHONPATH": ":".join(str(layer / "python") for layer in layers),  # on Lambda, together in /opt/python
        "PYTHONNOUSERSITE": "1",
        "LAMBDA_TASK_ROOT": str(code),
        "LAMBDA_RUNTIME_DIR": str(runtime),
        "AWS_LWA_PORT": str(port),
    }
    publisher = await connect("bob")
    session = HttpSession.open(stack.url, subscribe=[{"channel": channel}])
    with process([str(code / handler)], cwd=code, environment=environment, log=tmp_path / "log", port=port) as origin:
        for kind in (SSE, NDJSON):
            address = f"{origin}{session.stream}{'' if session.cursor is None else f'?cursor={session.cursor}'}"
            async with streaming(address, headers=session.headers | kind) as lines:
                for _ in range(3):
                    said = secrets.token_hex(4)
                    await publisher.publish(channel, said)
                    if kind is SSE:
                        event = await lines.sse()
                        heard = data_of(json.loads(event["data"]))
                        session.cursor = event["id"]
                    else:
                        heard = data_of((await lines.ndjson())["frames"])
                    assert heard[-1] == said
        answer = httpx.post(f"{origin}/v1/sessions", json={"protocol": 1})
        assert answer.status_code == 404, "it does nothing else"


def test_the_pages_are_served_here_as_on_aws(everywhere: httpx.Client) -> None:
    for path, mark in (("/", "Tidewire"), ("/demo/main.js", "function"), ("/console", "console")):
        answer = everywhere.get(path)
        assert answer.status_code == 200, path
        assert mark in answer.text
        assert everywhere.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


async def test_every_request_may_meet_another_process(
    stack: LocalStack, connect: Connect, channel: str, tmp_path: Path
) -> None:
    program = (
        "import os, uvicorn\n"
        "from functions.http_api.app import create_app\n"
        "from shared import bootstrap\n"
        "uvicorn.run(create_app(bootstrap.services()), port=int(os.environ['PORT']), log_level='warning')"
    )
    environment = environment_of(stack, OUTPUT_STREAM_FUNCTION) | environment_of(stack, OUTPUT_HTTP_FUNCTION)
    publisher = await connect("bob")
    heard: list[Any] = []
    with ExitStack() as processes:

        def fresh() -> str:
            port = free_port()
            return processes.enter_context(
                process(
                    [sys.executable, "-c", program],
                    cwd=ROOT,
                    environment=environment | {"PORT": str(port)},
                    log=tmp_path / f"{port}.log",
                    port=port,
                )
            )

        origins = iter(await asyncio.gather(*(asyncio.to_thread(fresh) for _ in range(6))))
        session = await asyncio.to_thread(HttpSession.open, next(origins), dev=stack.url)
        [reply] = await asyncio.to_thread(session.send, next(origins), {"type": "subscribe", "channel": channel})
        assert "result" in reply
        await publisher.publish(channel, 0)
        heard += data_of(await asyncio.to_thread(session.poll, next(origins), wait_s=20))
        await publisher.publish(channel, 1)
        headers = session.headers | SSE | {"Last-Event-ID": str(session.cursor)}
        async with streaming(next(origins) + session.stream, headers=headers) as lines:
            event = await lines.sse()
            heard += data_of(json.loads(event["data"]))
            await publisher.publish(channel, 2)
            event = await lines.sse()
            heard += data_of(json.loads(event["data"]))
        await publisher.publish(channel, 3)
        address = f"{next(origins)}{session.stream}?cursor={event['id']}"
        async with streaming(address, headers=session.headers | NDJSON) as lines:
            heard += data_of((await lines.ndjson())["frames"])
        await publisher.publish(channel, 4)
        session.cursor = event["id"]
        heard += data_of(await asyncio.to_thread(session.poll, next(origins), wait_s=20))
    assert list(dict.fromkeys(heard)) == [0, 1, 2, 3, 4]
