"""What a function takes until it is ready for its first event, beside boto3 with one client."""

import json
import statistics
import subprocess
import sys
from typing import Final

from bench.results import Bar, NotMeasuredError, Plot, Report, Row
from localstack.deploy import ROOT
from tests.perf.test_imports import LAMBDA

ROUNDS: Final = 7
BAR: Final = 2.0
WEBSOCKET: Final = ("ws_connect", "ws_message", "ws_disconnect")
BOTO3: Final = "boto3, one client"
_BOTO3: Final = "import boto3; boto3.client('dynamodb')"
# The layer has no cryptography; here moto brings it.
_BEGIN: Final = (
    "import json, sys, time; sys.modules['cryptography'] = None; wall, cpu = time.perf_counter(), time.process_time(); "
)
# The runtime's boto3 has its bytecode; what is loaded behind it is compiled, as where a zip has none.
_COMPILED: Final = f"{_BOTO3}; sys.dont_write_bytecode, sys.pycache_prefix = True, '/nowhere'; "
_END: Final = "; print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, len(sys.modules)]))"


def run() -> Report:
    """Start each in turn, again and again, so that whatever else goes on meets all of them."""
    functions = sorted(path.parent.name for path in (ROOT / "functions").glob("*/handler.py"))
    programs = {BOTO3: _BOTO3}
    for function in functions:
        programs[function] = f"import functions.{function}.handler"
        programs[_compiled(function)] = f"{_COMPILED}{programs[function]}"
    started: dict[str, list[list[float]]] = {name: [] for name in programs}
    for number in range(1 + ROUNDS):  # the first one writes bytecode, and counts for nothing
        for name, program in programs.items():
            started[name] += [_start(program)] if number else []
    medians = {
        name: [statistics.median(one[part] for one in ones) for part in range(3)] for name, ones in started.items()
    }
    boto3_s = medians[BOTO3][1]
    rows = []
    for name in (BOTO3, *functions):
        (wall_s, cpu_s, modules), (_, compiled_s, _) = medians[name], medians.get(_compiled(name), medians[name])
        values = {"wall ms": wall_s * 1000, "CPU ms": cpu_s * 1000, "beside boto3": cpu_s / boto3_s}
        rows.append(Row(name, {**values, "modules": int(modules), "CPU ms, not compiled": compiled_s * 1000}))
    return Report(
        name="cold_start",
        title="Import of each function, beside boto3 with one client",
        setting=f"Median of {ROUNDS} fresh interpreters each, interleaved; environment and services as in Lambda",
        rows=rows,
        bars=[
            Bar(f"import of `{row.name}` beside boto3 with one client, times:", row.values["beside boto3"], BAR)
            for row in rows
            if row.name in WEBSOCKET
        ],
        plot=Plot(
            "bars",
            "function",
            "CPU, ms",
            {
                "with bytecode": {row.name: row.values["CPU ms"] for row in rows},
                "compiled at each start": {row.name: row.values["CPU ms, not compiled"] for row in rows[1:]},
            },
            limit=BAR * boto3_s * 1000,
        ),
    )


def _compiled(function: str) -> str:
    return f"{function}, compiled"


def _start(program: str) -> list[float]:
    """Return the wall and CPU seconds that it took, and how many modules there are."""
    command = [sys.executable, "-c", f"{_BEGIN}{program}{_END}"]
    environment = {"PATH": "/usr/bin:/bin"} | LAMBDA
    done = subprocess.run(  # nosec B603 # our own programs
        command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    if done.returncode:
        raise NotMeasuredError(f"{program}: {done.stderr}")
    figures: list[float] = json.loads(done.stdout)
    return figures
