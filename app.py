"""CDK entry: reads the context, picks the stage, synthesises its stack. Needs no AWS account."""

import aws_cdk as cdk

from infra.emulator import WithoutUnknownToEmulator
from infra.realtime_stack import RealtimeStack
from infra.stage import stage_config
from shared import namespaces
from shared.contract import STACK_NAME_PREFIX

app = cdk.App()
stage = stage_config(app.node.try_get_context("stage"), edge_url=app.node.try_get_context("edge_url"))
namespaces.load()  # a mistake in channels.toml is told here, not by a function that does not start
stack = RealtimeStack(app, f"{STACK_NAME_PREFIX}{stage.name.capitalize()}", stage=stage)
if stage.emulated:
    cdk.Aspects.of(stack).add(WithoutUnknownToEmulator(), priority=cdk.AspectPriority.MUTATING)
app.synth()
