"""TypeScript on pages fits the types of the client that was built: the blocks of a page are one program."""

import json
import subprocess
from pathlib import Path
from typing import Final

from localstack.deploy import ROOT
from tests.docs import pages

# What pages take for granted, and packages that are not here.
_GIVEN: Final = """
declare const getToken: () => Promise<string>;
declare module "aws-amplify/auth";
declare module "@auth0/auth0-spa-js";
"""
_OPTIONS: Final = {
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "strict": True,
    "noEmit": True,
    "types": [],
    "paths": {"tidewire": [str(ROOT / "clients/js/dist/index.d.ts")]},
}


def test_each_pages_program_fits_the_clients_types(tmp_path: Path) -> None:
    files = ["given.d.ts"]
    (tmp_path / "given.d.ts").write_text(_GIVEN)
    for page in pages.pages():
        code = "".join(
            block.code for block in pages.blocks(page) if block.language == "ts" and "not-run" not in block.marks
        )
        if code:
            files.append(f"{page.replace('/', '_')}.ts")
            (tmp_path / files[-1]).write_text(f"{code}\nexport {{}};\n")
    assert len(files) > 10
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": _OPTIONS, "files": files}))
    command = [str(ROOT / "node_modules/.bin/tsc"), "-p", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
