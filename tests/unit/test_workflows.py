"""GitHub's workflows: pinned actions, no keys, roles where they are needed; and the policies of these roles."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
POLICIES: Final = ROOT / "docs" / "deploying"
_PINNED: Final = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")


def workflow(name: str) -> dict[str, Any]:
    # As strings: YAML 1.1 has "on" for true.
    loaded: dict[str, Any] = yaml.load((ROOT / ".github" / "workflows" / name).read_text(), yaml.BaseLoader)
    return loaded


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", [path.name for path in WORKFLOWS])
def test_a_workflow_is_whole_and_its_actions_are_pinned(name: str) -> None:
    document = workflow(name)
    assert {"name", "on", "permissions", "jobs"} <= set(document)
    assert document["permissions"] == {"contents": "read"}
    for job in document["jobs"].values():
        assert {"runs-on", "timeout-minutes", "steps"} <= set(job)
    for step in steps(name):
        assert ("uses" in step) != ("run" in step)
        assert "uses" not in step or _PINNED.fullmatch(step["uses"]), step
        # What somebody else chooses is never part of a script.
        assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("name", [path.name for path in WORKFLOWS])
def test_no_key_is_stored_and_nobody_runs_with_the_rights_of_the_target(name: str) -> None:
    text = (ROOT / ".github" / "workflows" / name).read_text()
    assert "secrets." not in text
    assert "access-key" not in text
    assert "pull_request_target" not in text


@pytest.mark.parametrize("name", ["preview.yml", "deploy.yml"])
def test_a_role_is_taken_by_oidc_in_an_environment_after_set_up(name: str) -> None:
    [job] = workflow(name)["jobs"].values()
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    assert job["environment"] in ("preview", "${{ inputs.stage || 'dev' }}")
    taken = next(
        index for index, step in enumerate(job["steps"]) if "configure-aws-credentials" in str(step.get("uses"))
    )
    assert job["steps"][taken]["with"]["role-to-assume"] == "${{ vars.AWS_ROLE_ARN }}"
    assert job["steps"][taken - 1]["run"] == "make deploy-set-up"


def test_tests_are_those_of_the_repository_and_without_a_role() -> None:
    assert steps("test.yml")[-1]["run"] == ".ci/run"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert "id-token" not in str(workflow("test.yml"))


def test_the_deployment_is_the_target_that_everybody_uses() -> None:
    deployed = workflow("deploy.yml")
    assert steps("deploy.yml")[-1]["run"] == 'make deploy STAGE="$STAGE"'
    assert deployed["on"]["workflow_run"]["workflows"] == [workflow("test.yml")["name"]]
    assert deployed["on"]["workflow_dispatch"]["inputs"]["stage"]["options"] == ["dev", "prod"]


def test_a_role_is_trusted_for_one_environment_of_one_repository() -> None:
    [statement] = json.loads((POLICIES / "trust-policy.json").read_text())["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    condition = statement["Condition"]["StringEquals"]
    assert condition["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    assert condition["token.actions.githubusercontent.com:sub"] == "repo:OWNER/REPOSITORY:environment:ENVIRONMENT"
    assert "*" not in json.dumps(statement)


@pytest.mark.parametrize("name", ["deploy-policy.json", "preview-policy.json"])
def test_a_role_may_do_what_is_named_and_no_more(name: str) -> None:
    for statement in json.loads((POLICIES / name).read_text())["Statement"]:
        assert statement["Effect"] == "Allow"
        assert "*" not in str(statement["Action"])
        # It has no resources: docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
        assert statement["Resource"] != "*" or statement["Action"] == "lambda:GetAccountSettings"


def test_the_document_names_every_policy_and_workflow() -> None:
    text = (ROOT / "docs" / "deploying.md").read_text()
    for path in (*WORKFLOWS, *POLICIES.glob("*.json")):
        assert path.name in text
