"""Which region of AWS is meant."""

import os
from collections.abc import Mapping

import boto3


def region_of(environment: Mapping[str, str]) -> str | None:
    """Return the region as the CDK CLI finds it; boto3 alone would not read ``AWS_REGION``.

    Raises:
        ProfileNotFound: ``AWS_PROFILE`` names none.
    """
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or boto3.Session().region_name


def settle_region() -> str | None:
    """Have boto3, the CDK CLI and whatever is started from here ask the same region; return it.

    Raises:
        ProfileNotFound: ``AWS_PROFILE`` names none.
    """
    region = region_of(os.environ)
    if region is not None:  # they read one variable each
        os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = region
    return region
