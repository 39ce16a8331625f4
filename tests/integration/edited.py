"""Functions deployed with one of their files changed, as by somebody who edits it and deploys."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import boto3
import httpx

from localstack.stack import LocalStack
from tests.integration.client import DEADLINE_S

_FRAME: Final = json.dumps({"requestContext": {"connectionId": "nobody"}, "body": '{"type": "ping"}'})


Files = dict[str, bytes]


@contextmanager
def edited(stack: LocalStack, function: str, path: str, old: str, new: str) -> Iterator[None]:
    """Deploy a function with ``new`` for ``old`` in a file of its zip; at the end, with what it had."""

    def change(files: Files) -> Files:
        text = files[path].decode()
        assert old in text
        return {**files, path: text.replace(old, new).encode()}

    with _changed(stack, function, change):
        yield


@contextmanager
def overlaid(stack: LocalStack, function: str, files: Mapping[str, str]) -> Iterator[None]:
    """Deploy a function with other files, or more, in its zip; at the end, with what it had."""
    with _changed(stack, function, lambda before: {**before, **{path: text.encode() for path, text in files.items()}}):
        yield


@contextmanager
def _changed(stack: LocalStack, function: str, change: Callable[[Files], Files]) -> Iterator[None]:
    client, name = boto3.client("lambda"), stack.function_names()[function]
    location = client.get_function(FunctionName=name)["Code"]["Location"]
    code = httpx.get(location, timeout=DEADLINE_S).raise_for_status().content

    def deploy(zipped: bytes) -> None:
        client.update_function_code(FunctionName=name, ZipFile=zipped)
        if function == "ws_message":
            # Who connects has 10 s to say hello: on a busy machine a cold start takes too many of them.
            client.invoke(FunctionName=name, Payload=_FRAME)

    try:
        deploy(_zipped(change(_files(code))))
        yield
    finally:
        deploy(code)


def _files(code: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        return {item.filename: archive.read(item) for item in archive.infolist()}


def _zipped(files: Files) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()
