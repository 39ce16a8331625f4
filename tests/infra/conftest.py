"""Every stage, synthesised once a run by the real app.py; layers are not built, which one test does for itself."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.infra.one_origin import CERTIFICATE, DOMAIN, OneOrigin, synthesise_one_origin
from tests.infra.template import CANARY, EDGE_URL, Synthesised

Synthesise = Callable[[str], Synthesised]


@pytest.fixture(scope="session")
def synthesise(tmp_path_factory: pytest.TempPathFactory) -> Synthesise:
    """Return what synthesises a stage when it is first asked for."""

    @cache
    def synthesised(stage: str) -> Synthesised:
        import aws_cdk as cdk  # starts a Node process: only for those who ask for it

        from app import add_stack

        app = cdk.App(
            outdir=str(tmp_path_factory.mktemp(stage)),
            context={"stage": stage, "edge_url": EDGE_URL, "aws:cdk:bundling-stacks": []},
            builtin_cloud_formation_validation=False,  # 5 s; the test that runs the CDK CLI has it
        )
        return Synthesised.of(stage, add_stack(app))

    return synthesised


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what asks each stage for each function, where stage dev has no canary."""
    left_out = [item for item in items if _asked_of(item, "stage", "name") == ("dev", CANARY)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _asked_of(item: pytest.Item, *parameters: str) -> tuple[object, ...]:
    asked = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return tuple(asked.get(parameter) for parameter in parameters)


@pytest.fixture(params=["dev", "prod", "local"])
def stage(request: pytest.FixtureRequest, synthesise: Synthesise) -> Synthesised:
    """Return each stage in turn."""
    return synthesise(request.param)


@pytest.fixture
def dev(synthesise: Synthesise) -> Synthesised:
    return synthesise("dev")


@pytest.fixture
def prod(synthesise: Synthesise) -> Synthesised:
    return synthesise("prod")


@pytest.fixture
def local(synthesise: Synthesise) -> Synthesised:
    return synthesise("local")


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> OneOrigin:
    """With a domain, in another region than CloudFront's."""
    options = {"domain": DOMAIN, "certificate_arn": CERTIFICATE, "hosted_zone_id": "Z1", "secret_version": "v-2"}
    return synthesise_one_origin(tmp_path_factory.mktemp("one"), "eu-central-1", **options)


@pytest.fixture(scope="session")
def nameless(tmp_path_factory: pytest.TempPathFactory) -> OneOrigin:
    """Without a domain, in CloudFront's region."""
    return synthesise_one_origin(tmp_path_factory.mktemp("nameless"), "us-east-1")
