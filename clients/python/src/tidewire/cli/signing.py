"""Tokens signed here (docs/protocol.md 4.1), and where the secret for it is."""

import os
import time
from pathlib import Path
from typing import Any, Final

import jwt

from tidewire.cli.exit_codes import CommandError, ExitCode

_SECRET_MIN_BYTES: Final = 32  # RFC 7518, section 3.2
_SECRET_OUTPUT: Final = "TokenSecretArn"


def sign(secret: str, user_id: str, caps: dict[str, list[str]], ttl_s: int) -> str:
    """Return a token for the user.

    Raises:
        CommandError: The secret is too short to be one.
    """
    if len(secret.encode()) < _SECRET_MIN_BYTES:
        raise CommandError(f"the secret has less than {_SECRET_MIN_BYTES} bytes: it is none", ExitCode.USAGE)
    now_s = int(time.time())
    return jwt.encode({"sub": user_id, "iat": now_s, "exp": now_s + ttl_s, "caps": caps}, secret, algorithm="HS256")


def secret_of_file(file: Path) -> str:
    """Return what is in the file, without the end of its last line.

    Raises:
        CommandError: It can't be read.
    """
    try:
        return file.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise CommandError(f"{file} can't be read: {error.strerror}", ExitCode.USAGE) from None
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8", ExitCode.USAGE) from None


def secret_of_stack(stack: str) -> str:
    """Return the secret of a deployed stack, with the AWS credentials that the environment has.

    Raises:
        CommandError: boto3 isn't installed, AWS refuses or can't be reached, or the stack is no Tidewire.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    except ImportError:
        raise CommandError("--stack needs boto3: pip install boto3", ExitCode.USAGE) from None
    # AWS's CLI and the CDK's read it, boto3 does not: it is what whoever has just deployed has set.
    region = os.environ.get("AWS_REGION") or None
    try:
        [described] = boto3.client("cloudformation", region_name=region).describe_stacks(StackName=stack)["Stacks"]
        outputs: list[Any] = list(described.get("Outputs", ()))
        arn = next((output["OutputValue"] for output in outputs if output["OutputKey"] == _SECRET_OUTPUT), None)
        if arn is None:
            raise CommandError(f"stack {stack} has no output {_SECRET_OUTPUT}: it is no Tidewire", ExitCode.NO_TIDEWIRE)
        secret: str = boto3.client("secretsmanager", region_name=region).get_secret_value(SecretId=arn)["SecretString"]
        return secret
    except NoCredentialsError:
        raise CommandError("AWS asks who you are: there are no credentials", ExitCode.NOT_ALLOWED) from None
    except ClientError as error:
        raise CommandError(f"AWS refuses: {error.response['Error']['Message']}", ExitCode.REFUSED) from None
    except BotoCoreError as error:
        raise CommandError(f"AWS can't be asked: {error}", ExitCode.UNREACHABLE) from None
