"""What a destroyed stage leaves behind: as the deployed templates say, not as the stage does now."""

from typing import Any, Final

from botocore.exceptions import ClientError

# docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
NO_STACK: Final = "ValidationError"


def remains(cloudformation: Any, stack: str) -> list[str] | None:
    """Return what stays, as ``type name``; ``None``: there is no such stack."""
    try:
        template = cloudformation.get_template(StackName=stack)["TemplateBody"]
    except ClientError as error:
        if error.response["Error"]["Code"] != NO_STACK:
            raise
        return None
    kept = [name for name, one in template["Resources"].items() if one.get("DeletionPolicy", "Delete") != "Delete"]
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    names = {
        one["LogicalResourceId"]: one.get("PhysicalResourceId", "")
        for page in pages
        for one in page["StackResourceSummaries"]
    }
    return sorted(f"{template['Resources'][name]['Type']} {names.get(name, name)}" for name in kept)
