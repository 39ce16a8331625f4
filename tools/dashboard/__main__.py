"""Draws the stack's dashboard: asks CloudWatch of the account that the environment names, or of the emulator, all that
its widgets ask. Each metric that is asked for is paid for, and what log queries read (docs/observability.md).
"""

import argparse
import time
from pathlib import Path

import boto3

from shared.contract import OUTPUT_DASHBOARD_NAME
from tools.aws_region import settle_region
from tools.dashboard.answers import Span, answers
from tools.dashboard.draw import draw


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tools.dashboard", description=__doc__)
    parser.add_argument("stack", help="the CloudFormation stack: TidewireDev, TidewireLocal, …")
    parser.add_argument("to", type=Path, help="the picture: a .png or an .svg")
    parser.add_argument("--minutes", type=int, default=180, help="how long back (180)")
    parser.add_argument("--period-s", type=int, default=60, help="of how many seconds one value is (60)")
    options = parser.parse_args()
    settle_region()
    session = boto3.Session()
    (stack,) = session.client("cloudformation").describe_stacks(StackName=options.stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    span = Span.last(options.minutes, period_s=options.period_s, now_s=time.time())
    draw(answers(session, outputs[OUTPUT_DASHBOARD_NAME], span), span, options.to)


if __name__ == "__main__":
    main()
