"""Functions deployed with one of their files changed, as by somebody who edits it and deploys."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import boto3
import httpx

from localstack.stack import LocalStack
from tests.integration.client import DEADLINE_S

_FRAME: Final = json.dumps({"requestContext": {"connectionId": "nobody"}, "body": '{"type": "ping"}'})


@contextmanager
def edited(stack: LocalStack, function: str, path: str, old: str, new: str) -> Iterator[None]:
    """Deploy a function with ``new`` for ``old`` in a file of its zip; at the end, with what it had."""
    client, name = boto3.client("lambda"), stack.function_names()[function]
    location = client.get_function(FunctionName=name)["Code"]["Location"]
    code = httpx.get(location, timeout=DEADLINE_S).raise_for_status().content

    def deploy(zipped: bytes) -> None:
        client.update_function_code(FunctionName=name, ZipFile=zipped)
        if function == "ws_message":
            # Who connects has 10 s to say hello: on a busy machine a cold start takes too many of them.
            client.invoke(FunctionName=name, Payload=_FRAME)

    try:
        deploy(_replaced(code, path, old, new))
        yield
    finally:
        deploy(code)


def _replaced(code: bytes, path: str, old: str, new: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(code)) as before, zipfile.ZipFile(written, "w") as after:
        text = before.read(path).decode()
        assert old in text
        for item in before.infolist():
            after.writestr(item, text.replace(old, new) if item.filename == path else before.read(item))
    return written.getvalue()
