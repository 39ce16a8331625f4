"""The command: examines a deployment step by step, whatever the steps before have found."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Any, Final

import httpx
import typer

from tidewire.cli.deployment import Given, resolve
from tidewire.cli.doctor import http_steps, push_steps
from tidewire.cli.doctor.findings import Fault, Finding, NotExaminedError, Step
from tidewire.cli.doctor.patient import Patient
from tidewire.cli.exit_codes import CommandError, ExitCode, told
from tidewire.cli.options import (
    ApiKeyOption,
    JsonOption,
    ProfileOption,
    TokenOption,
    UrlOption,
    UserOption,
    guarded,
)
from tidewire.cli.output import Output, errors, note
from tidewire.cli.values import duration_s
from tidewire.errors import FORBIDDEN, TidewireError

STEPS: Final[Sequence[Step]] = (
    *http_steps.BEFORE,
    *push_steps.WAYS_ALONE,
    *push_steps.LANES,
    *push_steps.TOGETHER,
    *http_steps.AFTER,
    *push_steps.PEERS,
    *http_steps.LAST,
)
_PATIENCE_S: Final = 15.0
# A step waits for several things one after another; none for so many.
_WAITS_MAX: Final = 8


@guarded
def doctor(
    address: Annotated[
        str | None, typer.Argument(metavar="URL", help="The deployment's origin, in place of --url.")
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(parser=duration_s, metavar="DURATION", help="How long each thing is waited for. [default: 15s]"),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    profile: ProfileOption = None,
    token: TokenOption = None,
    api_key: ApiKeyOption = None,
    user: UserOption = None,
) -> None:
    """Examine a deployment: what works, what doesn't, and where to look.

    It uses channels of its own, whose names begin with room:doctor-. What the token does not allow is not examined; an
    admin's sees the dead letters as well.
    Columns, where the output is piped: ok, fault or skipped; step; milliseconds; what was found.

    Example: tidewire doctor https://rt.example.com --profile prod
    """
    if address is not None and url is not None:
        raise CommandError("the URL as an argument or by --url: not both", ExitCode.USAGE)
    patience_s = patience or _PATIENCE_S
    output = Output(as_json=as_json)
    with resolve(Given(address or url, profile, token, api_key, user), os.environ, admin=True) as deployment:
        deployment.http.timeout = httpx.Timeout(patience_s)
        findings = asyncio.run(examine(Patient(deployment, patience_s), output))
        faults = sum(finding.outcome == "fault" for finding in findings)
        if as_json:
            steps = [finding.to_json() for finding in findings]
            output.json({"url": deployment.url, "healthy": not faults, "steps": steps})
    skipped = sum(finding.outcome == "skipped" for finding in findings)
    counts = {"well": len(findings) - faults - skipped, "faulty": faults, "not examined": skipped}
    note(", ".join(f"{count} {name}" for name, count in counts.items() if count))
    if faults:
        raise typer.Exit(ExitCode.FAULTS)


async def examine(patient: Patient, output: Output, steps: Sequence[Step] = STEPS) -> list[Finding]:
    """Take the steps one after another, and show what each finds."""
    findings: list[Finding] = []
    for step in steps:
        with _status(step.name):
            finding = await _take(step, patient)
        findings.append(finding)
        if not output.as_json:
            finding.show(output)
    return findings


async def _take(step: Step, patient: Patient) -> Finding:
    begun_s = time.monotonic()

    def found(outcome: Any, detail: str, expected: str | None = None, look_at: str | None = None) -> Finding:
        return Finding(step.name, outcome, round((time.monotonic() - begun_s) * 1000), detail, expected, look_at)

    if step.needs_answers and not patient.answers:
        return found("skipped", "nothing answers there")
    if step.needs_answers and not patient.known:
        return found("skipped", "the credential is not taken")
    try:
        async with asyncio.timeout(patient.patience_s * _WAITS_MAX):
            return found("ok", await step.work(patient))
    except Fault as fault:
        return found("fault", fault.came, fault.expected, fault.look_at or step.look_at)
    except NotExaminedError as reason:
        return found("skipped", str(reason))
    except TimeoutError:
        return found("fault", "it took too long", step.expected, step.look_at)
    except CommandError as error:
        return found("fault", str(error), step.expected, step.look_at)
    except TidewireError as error:
        if error.code == FORBIDDEN:
            return found("skipped", f"the credential does not allow it: {error}")
        return found("fault", told(error), step.expected, step.look_at)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # What was answered is not what the protocol says.
        return found("fault", f"the answer makes no sense ({type(error).__name__})", step.expected, step.look_at)


def _status(name: str) -> Any:
    return errors().status(name) if sys.stderr.isatty() else nullcontext()
