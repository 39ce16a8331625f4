"""Deploys the CDK app to the emulator with the CDK CLI, and puts back what the emulator's CloudFormation refuses."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import boto3

from localstack.errors import StartError
from localstack.process_group import ProcessGroup
from shared.contract import METADATA_REMOVED

ROOT: Final = Path(__file__).resolve().parent.parent
STACK: Final = "TidewireLocal"
_SHOWN_LINES: Final = 30
_CDK: Final = ROOT / "node_modules" / ".bin" / "cdk"
_TOOLKIT_ENVIRONMENT: Final = "aws://000000000000/us-east-1"


class DeployError(StartError):
    """A step of the deployment failed: what it printed at the end is told as well, and where all of it is."""

    def __init__(self, step: str, output: str, log: Path) -> None:
        super().__init__(f"{step} failed\n{output}\n(all of it: {log})")


class Deployment:
    """One stack on one emulator. The assembly is kept in ``folder``, so that assets are built once.

    ``root`` is where the code is that is deployed.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *, root: Path = ROOT) -> None:
        self._root = root
        self._assembly = folder / "cdk.out"
        self._log = folder / "cdk.log"
        # The CLI needs a writable home only for notices, which it is told not to fetch.
        self._environment = {
            **os.environ,
            **environment,
            "CI": "true",
            # A local stack calls nobody; and what would, is a process of its own that outlives the command.
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        }
        self._outputs_file = folder / "outputs.json"
        self._running = ProcessGroup()

    def synthesise(self, edge_url: str, issuers: str) -> None:
        """Write the cloud assembly; issuers are JSON.

        Raises:
            DeployError: The app says no.
        """
        context = ["-c", "stage=local", "-c", f"edge_url={edge_url}", "-c", f"issuers={issuers}"]
        # The emulator judges the template itself, a moment later; CDK's own judgement doubles the time that this takes.
        self._cdk("synth", "--quiet", "--no-validation", *context, "--output", str(self._assembly))

    def deploy(self) -> dict[str, str]:
        """Bootstrap and deploy; return the stack's outputs.

        Raises:
            DeployError: The emulator says no.
        """
        self.bootstrap()
        self._cdk(
            "deploy",
            "--app",
            str(self._assembly),
            "--require-approval",
            "never",
            "--outputs-file",
            str(self._outputs_file),
            STACK,
        )
        outputs: dict[str, str] = json.loads(self._outputs_file.read_text())[STACK]
        self.put_back(outputs)
        return outputs

    def bootstrap(self) -> None:
        """Make what the CDK CLI needs in an account.

        Raises:
            DeployError: The emulator says no.
        """
        self._cdk("bootstrap", "--app", str(self._assembly), _TOOLKIT_ENVIRONMENT)

    def cross_origin_rules(self) -> dict[str, Any]:
        """Return the HTTP API's, as Starlette names them: the emulator does not tell what it was given."""
        apis = [one for one in self._template()["Resources"].values() if one["Type"] == "AWS::ApiGatewayV2::Api"]
        rules = next(
            api["Properties"]["CorsConfiguration"] for api in apis if api["Properties"]["ProtocolType"] == "HTTP"
        )
        return {
            "allow_origins": rules["AllowOrigins"],
            "allow_methods": rules["AllowMethods"],
            "allow_headers": rules["AllowHeaders"],
            "expose_headers": rules["ExposeHeaders"],
            "max_age": rules["MaxAge"],
        }

    def stop(self) -> None:
        """End the step that runs, from another thread; none begins after that."""
        self._running.end()

    def _cdk(self, command: str, *arguments: str) -> None:
        line = [str(_CDK), command, "--no-notices", "--no-color", *arguments]
        with self._log.open("ab") as log:
            begun_at = log.tell()
            self._running.start(line, cwd=self._root, environment=self._environment, output=log)
            if self._running.wait():
                said = self._log.read_bytes()[begun_at:].decode(errors="replace")
                raise DeployError(f"cdk {command}", "\n".join(said.splitlines()[-_SHOWN_LINES:]), self._log)

    def _template(self) -> dict[str, Any]:
        template: dict[str, Any] = json.loads((self._assembly / f"{STACK}.template.json").read_text())
        return template

    def put_back(self, outputs: Mapping[str, str]) -> None:
        """Make what the template does not have for the emulator's sake."""
        api_id = outputs["WebSocketApiId"]
        client = boto3.client("apigatewayv2")
        physical = {
            # The emulator's ids of routes and integrations have the API's before them.
            item["LogicalResourceId"]: item["PhysicalResourceId"].rpartition("/")[2]
            for item in boto3.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
        }
        for resource in self._template()["Metadata"][METADATA_REMOVED]:
            properties = {name: _resolved(value, physical) for name, value in resource["Properties"].items()}
            if resource["Type"] == "AWS::ApiGatewayV2::RouteResponse":
                client.create_route_response(ApiId=api_id, **properties)
            elif resource["Type"] == "AWS::ApiGatewayV2::IntegrationResponse":
                client.create_integration_response(ApiId=api_id, **properties)
            else:
                what = f"{resource['Type']} was removed, and nothing here makes it"
                raise DeployError("putting back", what, self._log)


def _resolved(value: Any, physical: Mapping[str, str]) -> Any:
    return physical[value["Ref"]] if isinstance(value, dict) and set(value) == {"Ref"} else value
