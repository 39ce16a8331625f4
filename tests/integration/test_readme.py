"""README's example for Python is run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from localstack.deploy import ROOT
from localstack.stack import LocalStack
from tests.integration.command_line import environment, run

_LINES_MAX: Final = 13  # an example that is read at a glance


def test_the_example_in_the_readme_says_and_hears(warm_stack: LocalStack, tmp_path: Path) -> None:
    [program] = re.findall(r"^```python\n(.+?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(program.splitlines()) <= _LINES_MAX + 2
    token = run(tmp_path, "token", "--user", "ann", "--url", warm_stack.url).stdout.strip()
    (tmp_path / "hello.py").write_text(program.replace("http://localhost:8080", warm_stack.url))
    with subprocess.Popen(
        [sys.executable, "-u", "hello.py"],
        cwd=tmp_path,
        env={**os.environ, **environment(tmp_path), "TOKEN": token},
        stdout=subprocess.PIPE,
        text=True,
    ) as hello:
        assert hello.stdout is not None
        said = hello.stdout.readline()
        hello.terminate()
    assert said == "ann: Hello\n"
