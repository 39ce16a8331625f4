"""The FastAPI app as the edge serves it: what is held, and all else, each with its function's settings and rights."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import boto3
from botocore.session import Session
from starlette.types import Receive, Scope, Send

from functions.http_api.app import create_app
from functions.http_api.pages import PAGES
from shared.bootstrap import Services
from shared.contract import OUTPUT_HTTP_FUNCTION, OUTPUT_STREAM_FUNCTION
from shared.ports import Metrics
from shared.settings import Settings

# Where the stream function is asked: docs/protocol.md 4.3.
_HELD: Final = re.compile(r"(?:GET|POST) /v1/stream/.*|GET /v1/sessions/[^/]*/frames", re.DOTALL)


class ServedApp:
    """Stands for both functions. On AWS each has an address of its own."""

    def __init__(
        self, folder: Path, outputs: Mapping[str, str], metrics: Metrics, *, stream_max_age_s: int | None = None
    ) -> None:
        """Make it, for the functions that ``outputs`` names; what it has to write lies in ``folder``."""
        self._folder, self._metrics, self._stream_max_age_s = folder, metrics, stream_max_age_s
        # With the streams as well, which nobody asks it for: it tells of them (/openapi.json).
        self._all = create_app(self._services(outputs[OUTPUT_HTTP_FUNCTION]), pages=PAGES)
        self._held = create_app(self._services(outputs[OUTPUT_STREAM_FUNCTION]), calls=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        held = scope["type"] == "http" and _HELD.fullmatch(f"{scope['method']} {scope['path']}")
        await (self._held if held else self._all)(scope, receive, send)

    def close(self) -> None:
        """End what is held. In the loop that serves."""
        for app in (self._all, self._held):
            app.state.watcher.close()

    def _services(self, function: str) -> Services:
        configuration = boto3.client("lambda").get_function_configuration(FunctionName=function)
        settings = Settings.from_env(configuration["Environment"]["Variables"])
        if self._stream_max_age_s is not None:
            settings = replace(settings, stream_max_age_s=self._stream_max_age_s)
        services = Services(settings, self._session(function, configuration["Role"]))
        services.metrics = self._metrics
        return services

    def _session(self, function: str, role_arn: str) -> Session:
        """Return a session that takes the role, again and again: its credentials end after an hour.

        Source: docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html
        """
        file = self._folder / f"{function}.aws"
        file.write_text(f"[profile {function}]\nrole_arn = {role_arn}\ncredential_source = Environment\n")
        session = Session(profile=function)
        session.set_config_variable("config_file", str(file))
        return session
