"""What the document has one type deploys a clone to an empty emulator; typed again it says that nothing has changed.
make destroy then asks, and destroys it when it is told so.

Shared with this checkout, since it takes minutes to make: the installed packages (Python's, the emulator's, Node's) and
the built pages. The account is bootstrapped, as the document asks. All else is the clone's.
"""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import boto3
import pytest

from localstack.deploy import ROOT, STACK, Deployment
from localstack.stack import LocalStack

_TYPED_MAX: Final = 3
_SHARED: Final = (".venv", "node_modules", "localstack/emulator/.venv", "web/dist")
_STAMPS: Final = ("tools", "python", "emulator", "node")


def typed() -> list[str]:
    """Return the lines of the document's first example."""
    [block, *_] = re.findall(
        r"^```sh\n(.+?)^```$", (ROOT / "docs" / "deploying.md").read_text(), re.DOTALL | re.MULTILINE
    )
    lines: list[str] = block.splitlines()
    return lines


def share_set_up(clone: Path) -> None:
    for name in _SHARED:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).symlink_to((ROOT / name).resolve())
    stamps = clone / ".local" / "setup"
    stamps.mkdir(parents=True)
    for name in _STAMPS:
        (stamps / name).touch()
    (clone / "web" / "dist" / "demo" / "index.html").resolve(strict=True).touch()


class Typed(Deployment):
    """Deploys by the commands that somebody types; doctor looks while the edge opens."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], type_: Callable[[], "subprocess.Popen[str]"]
    ) -> None:
        super().__init__(folder, environment)
        self._type = type_

    def deploy(self) -> dict[str, str]:
        """Have them typed, up to the URLs."""
        self.bootstrap()
        running = self._type()
        assert running.stdout is not None
        for line in running.stdout:
            if "WebSocket: " in line:
                break
        else:
            raise AssertionError(f"it has ended without URLs, with {running.wait()}")
        [described] = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
        self.put_back(outputs)
        return outputs


@pytest.mark.timeout(300)
def test_three_commands_deploy_and_examine_a_stage(tmp_path: Path) -> None:
    clone, inside, deploy = typed()
    assert len(typed()) <= _TYPED_MAX
    clone = re.sub(r"https://\S+", f"{ROOT} tidewire", clone)
    subprocess.run(clone, shell=True, cwd=tmp_path, check=True)
    share_set_up(tmp_path / "tidewire")
    begun: list[subprocess.Popen[str]] = []

    def type_(command: str = deploy) -> "subprocess.Popen[str]":
        # The emulator's address and credentials are in the environment, as those of AWS would be.
        environment = {**os.environ, "EDGE_URL": stack.url, "CDK_DISABLE_CLI_TELEMETRY": "true"}
        process = subprocess.Popen(
            f"{inside} && {command.replace('STAGE=dev', 'STAGE=local')}",
            shell=True,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        begun.append(process)
        return process

    stack = LocalStack(tmp_path / "run", deployment=lambda folder, environment: Typed(folder, environment, type_))
    with stack:
        said, _ = begun[0].communicate()
        assert begun[0].returncode == 0, said
        assert re.search(r"\d\d well", said), said
        again = type_()
        said, _ = again.communicate()
        assert again.returncode == 0, said
        assert "nothing has changed" in said
        for answer, told in (
            ("", "nobody answered: nothing was destroyed"),
            ("dev\n", "that is not local: nothing was"),
        ):
            said, _ = (asked := type_("make destroy STAGE=dev")).communicate(answer)
            assert asked.returncode != 0, said
            assert told in said
            assert "Nothing stays." in said
        assert boto3.client("lambda").list_functions()["Functions"]
        said, _ = (asked := type_("make destroy STAGE=dev")).communicate("local\n")
        assert asked.returncode == 0, said
        assert boto3.client("lambda").list_functions()["Functions"] == []
