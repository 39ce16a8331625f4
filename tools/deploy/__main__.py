"""``python -m tools.deploy STAGE``, ``python -m tools.deploy --destroy STAGE``: make deploy and make destroy."""

import os
import subprocess
import sys
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from infra.stage import StageConfig, stage_config
from shared import contract
from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.identity import EVERYTHING
from tidewire.cli.signing import secret_of_stack, sign
from tools.aws_region import settle_region
from tools.deploy import cdk, preflight
from tools.deploy.remains import remains

_TOKEN_TTL_S: Final = 600
_URLS: Final = {"pages and HTTP": contract.OUTPUT_HTTP_URL, "WebSocket": contract.OUTPUT_WEBSOCKET_URL}


def main(arguments: list[str]) -> int:
    """Deploy a stage, or destroy it; return the exit code."""
    destroying = arguments[:1] == ["--destroy"]
    name = arguments[-1] if len(arguments) > destroying else ""
    edge_url = os.environ.get("EDGE_URL")
    try:
        stage = stage_config(name, edge_url=edge_url or ("http://localhost" if name == "local" else None))
        region = settle_region()
        stack = f"{contract.STACK_NAME_PREFIX}{stage.name.capitalize()}"
        context = ["-c", f"stage={stage.name}", *(["-c", f"edge_url={edge_url}"] if edge_url else [])]
        return (_destroy if destroying else _deploy)(stage, stack, context, region)
    except ProfileNotFound:
        return _refuse([preflight.NO_PROFILE])
    except cdk.CdkInterruptedError as error:
        _refuse([str(error)])
        return ExitCode.INTERRUPTED
    except (cdk.CdkError, preflight.NobodyError, CommandError, BotoCoreError, ClientError, SystemExit) as error:
        return _refuse([str(error)])
    except KeyboardInterrupt:
        _refuse(["interrupted"])
        return ExitCode.INTERRUPTED


def _client(service: str, region: str) -> Any:
    return boto3.Session().client(service, region_name=region)  # type: ignore[call-overload]


def _deploy(stage: StageConfig, stack: str, context: list[str], region: str | None) -> int:
    found = preflight.examine(
        stage,
        stack,
        environment=os.environ,
        region=region,
        client=_client,
        small_quota=bool(os.environ.get("SMALL_QUOTA")),
    )
    for line in found.unseen:
        sys.stderr.write(f"tidewire: {line}\n")
    if found.missing:
        return _refuse(list(found.missing))
    deployed = cdk.deploy(stack, context, cdk.ROOT / ".local" / "deploy" / f"{stage.name}.json")
    changed = "deployed" if deployed.changed else "nothing has changed; it was deployed before"
    _say(f"\nTidewire, stage {stage.name}: {changed}")
    for what, output in _URLS.items():
        _say(f"  {what}: {deployed.outputs[output]}")
    _say(f"  a token for ann: .venv/bin/tidewire token --user ann --allow 'room:*=subscribe,publish' --stack {stack}\n")
    # By the environment: arguments are seen by everybody on this machine.
    token = sign(secret_of_stack(stack), "deployer", {"*": [*EVERYTHING, "admin"]}, _TOKEN_TTL_S)
    doctor = [sys.executable, "-m", "tidewire.cli.main", "doctor", deployed.outputs[contract.OUTPUT_HTTP_URL]]
    return subprocess.run(doctor, env={**os.environ, "TIDEWIRE_TOKEN": token}, check=False).returncode  # nosec B603


def _destroy(stage: StageConfig, stack: str, context: list[str], region: str | None) -> int:
    preflight.account_of(region, _client)
    kept = remains(boto3.client("cloudformation"), stack)
    if kept is None:
        return _refuse([f"there is no stack {stack} in {region}: nothing to destroy"])
    _say(f"{stack} will be destroyed: its URLs, queues and what waits in them, and all data but what is named here.")
    for one in kept:
        _say(f"  stays: {one}")
    if not kept:
        _say("  Nothing stays.")
    try:
        answer = input(f"Type {stage.name} to destroy it: ")
    except (EOFError, KeyboardInterrupt):
        _say("")
        return _refuse(["nobody answered: nothing was destroyed"])
    if answer != stage.name:
        return _refuse([f"that is not {stage.name}: nothing was destroyed"])
    cdk.destroy(stack, context)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _refuse(lines: list[str]) -> int:
    for line in lines:
        sys.stderr.write(f"tidewire: {line}\n")
    return 1


if __name__ == "__main__":
    status = main(sys.argv[1:])
    if status == ExitCode.INTERRUPTED:
        os._exit(status)  # CDK's process was interrupted as well: to end it in order is another traceback
    sys.exit(status)
