"""The whole local stack: emulator, deployment, edge; started in order, ended in reverse, whatever happens between."""

import errno
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import boto3
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

from localstack.backend import Backend, aws_environment
from localstack.deploy import ROOT, Deployment
from localstack.edge.api import read_api
from localstack.edge.faults import Faults
from localstack.edge.gateway import Gateway
from localstack.edge.iam import IamAuthorizer
from localstack.edge.invoker import LambdaInvoker
from localstack.edge.limits import Limits
from localstack.edge.server import Edge
from localstack.errors import StartError
from localstack.metrics import MetricForwarder, ServedMetrics
from localstack.ministack import MiniStack
from localstack.served_app import ServedApp
from shared.domain.issuer import Issuer, issuers_to_json
from shared.ports import Metrics


class HttpApp(Protocol):
    """What stands for the HTTP functions; it has something to end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        ...

    def close(self) -> None:
        """End what is held. In the loop that serves."""
        ...


class PortInUseError(StartError):
    """Somebody else listens on the port, or it is not for everybody."""


class FolderInUseError(StartError):
    """Another stack runs in the folder."""


class LocalStack:
    """Start it with ``with``. One per process: it sets this process's AWS variables.

    Attributes:
        emulator: Unless another backend was given; that one is used then, and this never starts.
        url: The edge's origin.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        limits: Limits | None = None,
        faults: Faults | None = None,
        functions_endpoint: str | None = None,
        stream_max_age_s: int | None = None,
        issuers: Sequence[Issuer] = (),
        backend: Backend | None = None,
        deployment: Callable[[Path, Mapping[str, str]], Deployment] = Deployment,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.folder = folder
        self.emulator = MiniStack(folder, functions_endpoint=functions_endpoint)
        self._backend: Backend = self.emulator if backend is None else backend
        self.outputs: dict[str, str] = {}
        self._port, self._limits, self._faults, self._tell = port, limits or Limits(), faults, tell
        self._stream_max_age_s, self._issuers = stream_max_age_s, issuers_to_json(issuers)
        self._deployment = deployment
        self._exit = ExitStack()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="start")
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:  # Ctrl-C too: what was started is ended
            self._exit.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def function_names(self) -> dict[str, str]:
        """Return the deployed name of each function by its folder's name."""
        names = [item["FunctionName"] for item in boto3.client("lambda").list_functions()["Functions"]]
        folders = [path.parent.name for path in (ROOT / "functions").glob("*/handler.py")]
        return {folder: next(name for name in names if folder.replace("_", "") in name.lower()) for folder in folders}

    def serve_http(self, metrics: Metrics) -> HttpApp:
        """Make what stands for the HTTP functions, of the code of this process."""
        return ServedApp(self.folder, self.outputs, metrics, stream_max_age_s=self._stream_max_age_s)

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        sock = self._bind()
        self._claim_folder()
        port = sock.getsockname()[1]
        self.url = f"http://localhost:{port}"
        # The main thread only waits: there Ctrl-C is heard.
        self._exit.callback(self._threads.shutdown)
        assembly = self._deployment(self.folder, {})
        self._exit.callback(assembly.stop)
        synthesis = self._begin("synthesised the CDK app", assembly.synthesise, self.url, self._issuers)
        self._exit.callback(self._backend.stop)
        self._begin(self._backend.name, self._backend.start).result()
        synthesis.result()
        self._use_environment()
        deployment = self._deployment(self.folder, aws_environment(self._backend.endpoint))
        self._exit.callback(deployment.stop)
        self.outputs = self._begin("deployed the stack", deployment.deploy).result()
        self._step("opened the edge", self._open_edge, sock, deployment.cross_origin_rules())

    def _bind(self) -> socket.socket:
        sock = socket.socket()
        self._exit.callback(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", self._port))
            sock.listen()  # from now on nobody else can have it; who comes early waits
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be had ({error.strerror})"
            raise PortInUseError(f"port {self._port} {why}; choose another with PORT=") from error
        return sock

    def _claim_folder(self) -> None:
        lock = (self.folder / "lock").open("w")
        self._exit.callback(lock.close)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with this process, however that ends
        except BlockingIOError as error:
            raise FolderInUseError(f"another local stack runs in {self.folder}; end that first") from error

    def _use_environment(self) -> None:
        before = dict(os.environ)

        def restore() -> None:
            os.environ.clear()
            os.environ.update(before)

        self._exit.callback(restore)
        os.environ.update(aws_environment(self._backend.endpoint))

    def _open_edge(self, sock: socket.socket, cross_origin_rules: Mapping[str, Any]) -> None:
        api = read_api(boto3.client("apigatewayv2"), self.outputs["WebSocketApiId"])
        invoker = LambdaInvoker(timeout_s=self._limits.integration_timeout_s)
        self._exit.callback(invoker.close)
        gateway = Gateway(api, invoker, self._limits, self._faults)
        served = ServedMetrics()
        http_app = self.serve_http(served)
        # API Gateway minds signatures and cross-origin rules, so the app does not.
        signed = IamAuthorizer(
            http_app, key_id=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"]
        )
        self.edge = Edge(gateway, sock=sock, http_app=CORSMiddleware(signed, **cross_origin_rules))
        self._exit.callback(self.edge.stop)
        self.edge.start()
        self._exit.callback(self.edge.call, http_app.close)  # else it waits for streams and polls
        metrics = MetricForwarder(served)
        self._exit.callback(metrics.stop)
        metrics.start()

    def _begin(self, done: str, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._threads.submit(self._step, done, work, *arguments)

    def _step(self, done: str, work: Callable[..., Any], *arguments: Any) -> Any:
        begun_s = time.monotonic()
        result = work(*arguments)
        self._tell(f"{done} ({time.monotonic() - begun_s:.1f} s)")
        return result


def remove(folder: Path) -> None:
    """Remove what a stack has left, its assembly included."""
    shutil.rmtree(folder, ignore_errors=True)
