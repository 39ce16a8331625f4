"""CDK entry: reads the context, picks the stage, describes its stack. Needs no AWS account."""

import importlib
import os

import aws_cdk as cdk

from infra import environment_size
from infra.emulator import WithoutUnknownToEmulator
from infra.one_origin_stacks import add_stacks
from infra.realtime_stack import RealtimeStack
from infra.stage import stage_config
from shared import namespaces
from shared.contract import COMMANDS_MODULE, DOCUMENTS_MODULE, PROCESSORS_MODULE, STACK_NAME_PREFIX
from shared.domain.commands import catalogue
from shared.errors import ConfigError
from shared.protocol.command_data import described


def add_stack(app: cdk.App) -> RealtimeStack:
    """Add the stack of the stage that the app's context names.

    Raises:
        SystemExit: The context, channels.toml or what the user has in functions/ is wrong.
    """
    context = app.node.try_get_context
    stage = stage_config(context("stage"), edge_url=context("edge_url"), issuers=context("issuers"))
    try:
        settings = namespaces.load()  # a mistake in channels.toml is told here, not by a function that does not start
    except namespaces.ChannelsFileError as error:
        raise SystemExit(str(error)) from error
    _check_extensions(settings)
    # The CDK CLI's, from the AWS credentials: docs.aws.amazon.com/cdk/v2/guide/environments.html
    region = os.environ.get("CDK_DEFAULT_REGION")
    stack = add_stacks(app, f"{STACK_NAME_PREFIX}{stage.name.capitalize()}", stage=stage, region=region)
    if stage.emulated:
        cdk.Aspects.of(stack).add(WithoutUnknownToEmulator(), priority=cdk.AspectPriority.MUTATING)
    else:
        nag = importlib.import_module("infra.nag")  # takes a second, which the local stack does without
        for one in app.node.children:
            if isinstance(one, cdk.Stack):
                nag.watch(one)
    return stack


def _check_extensions(settings: namespaces.Namespaces) -> None:
    """Load what the user has put into functions/, as a function does that starts.

    Raises:
        SystemExit: Something there is wrong.
    """
    try:
        for module in (PROCESSORS_MODULE, DOCUMENTS_MODULE, COMMANDS_MODULE):
            importlib.import_module(module)
        for command in catalogue(importlib.import_module(COMMANDS_MODULE).COMMANDS).values():
            described(command)
    except ConfigError as error:
        raise SystemExit(f"{module.replace('.', '/')}: {error}") from error
    resolvers = importlib.import_module(DOCUMENTS_MODULE).RESOLVERS
    for name in settings.resolved():
        if name not in resolvers:
            raise SystemExit(f"channels.toml: {name}: functions/documents has no resolver for it")


if __name__ == "__main__":
    app = cdk.App()
    add_stack(app)
    for synthesised in app.synth().stacks:
        environment_size.check(synthesised.template, stack=synthesised.stack_name, stage=app.node.get_context("stage"))
