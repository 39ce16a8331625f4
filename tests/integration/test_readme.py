"""README's first program is run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from localstack.deploy import ROOT
from localstack.stack import LocalStack


def test_the_program_in_the_readme_speaks_the_protocol(stack: LocalStack, tmp_path: Path) -> None:
    [program] = re.findall(r"^```python\n(.+?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    origin = stack.url.removeprefix("http://")
    (tmp_path / "hello.py").write_text(program.replace("localhost:8080", origin))
    done = subprocess.run(
        [sys.executable, "hello.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    replies, event = done.stdout.splitlines() or [done.stderr, ""]
    assert re.fullmatch(r'replies: \[(.*"result".*){3}\]', replies)
    assert event.startswith('event: {"type":"event","channel":"room:lobby"') and '"text":"Hello"' in event
