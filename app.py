"""CDK entry: reads the context, picks the stage, describes its stack. Needs no AWS account."""

import importlib

import aws_cdk as cdk

from infra.emulator import WithoutUnknownToEmulator
from infra.realtime_stack import RealtimeStack
from infra.stage import stage_config
from shared import namespaces
from shared.contract import COMMANDS_MODULE, PROCESSORS_MODULE, STACK_NAME_PREFIX
from shared.domain.commands import CommandConfigError, catalogue
from shared.domain.processing import ProcessorConfigError
from shared.protocol.command_data import described


def add_stack(app: cdk.App) -> RealtimeStack:
    """Add the stack of the stage that the app's context names.

    Raises:
        SystemExit: The context, channels.toml, a processor or a command is wrong.
    """
    stage = stage_config(app.node.try_get_context("stage"), edge_url=app.node.try_get_context("edge_url"))
    try:
        namespaces.load()  # a mistake in channels.toml is told here, not by a function that does not start
    except namespaces.ChannelsFileError as error:
        raise SystemExit(str(error)) from error
    try:
        importlib.import_module(PROCESSORS_MODULE)
    except ProcessorConfigError as error:
        raise SystemExit(f"functions/processors: {error}") from error
    try:
        for command in catalogue(importlib.import_module(COMMANDS_MODULE).COMMANDS).values():
            described(command)
    except CommandConfigError as error:
        raise SystemExit(f"functions/commands: {error}") from error
    stack = RealtimeStack(app, f"{STACK_NAME_PREFIX}{stage.name.capitalize()}", stage=stage)
    if stage.emulated:
        cdk.Aspects.of(stack).add(WithoutUnknownToEmulator(), priority=cdk.AspectPriority.MUTATING)
    return stack


if __name__ == "__main__":
    app = cdk.App()
    add_stack(app)
    app.synth()
