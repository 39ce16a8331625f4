"""The CDK CLI: what it says is passed on as it comes, and read for what it means."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_CLI: Final = ROOT / "node_modules" / ".bin" / "cdk"
_DONE: Final = "✅"
_SAME: Final = "(no changes)"


class CdkError(Exception):
    """It has failed, and has said why."""


class CdkInterruptedError(CdkError):
    """Somebody has interrupted it; CloudFormation does not know."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deployment has come to: whether anything was changed, and the stack's outputs."""

    changed: bool
    outputs: dict[str, str]


def deploy(stack: str, context: Sequence[str], outputs_file: Path) -> Deployed:
    """Deploy all stacks of the stage; the outputs are of the one that is named.

    Raises:
        CdkError: One was refused.
    """
    outputs_file.parent.mkdir(parents=True, exist_ok=True)
    said = _cdk(stack, "deploy", *context, "--require-approval", "never", "--outputs-file", str(outputs_file))
    return Deployed(changed(said), json.loads(outputs_file.read_text())[stack])


def destroy(stack: str, context: Sequence[str]) -> None:
    """Destroy all stacks of the stage; whoever calls has asked.

    Raises:
        CdkError: One was refused.
    """
    _cdk(stack, "destroy", *context, "--force")


def changed(said: Sequence[str]) -> bool:
    """Tell from what the CLI says whether a stack was changed: it has a line for each that is through."""
    done = [line for line in said if _DONE in line and "time" not in line]
    return not done or any(_SAME not in line for line in done)


def _cdk(stack: str, command: str, *arguments: str) -> list[str]:
    try:
        status, said = run([str(_CLI), command, "--all", "--no-notices", *arguments])
    except KeyboardInterrupt:
        # The CLI only stops watching: it cancels nothing.
        raise CdkInterruptedError(
            f"interrupted, and CloudFormation goes on with what it has begun: `aws cloudformation describe-stacks "
            f"--stack-name {stack}` has its status; once that ends in COMPLETE, do the same again"
        ) from None
    if status:
        raise CdkError(f"cdk {command} failed; what it says is above")
    return said


def run(line: Sequence[str]) -> tuple[int, list[str]]:
    """Run a command, and pass on what it says; return its exit code, and what it said.

    Raises:
        KeyboardInterrupt: Somebody interrupts this; the command has ended then, too.
    """
    said: list[str] = []
    # Our own CLI, and arguments that are a stage's name and paths
    with subprocess.Popen(  # nosec B603
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        try:
            for text in running.stdout:
                sys.stdout.write(text)
                sys.stdout.flush()
                said.append(text)
        except KeyboardInterrupt:
            running.send_signal(signal.SIGINT)  # a terminal tells both of us; who else interrupts tells only this one
            running.wait()
            raise
    return running.returncode, said
