"""Credentials of stores: where they are searched, and the errors that they cause.

For S3 the order is that of Amazon's own tools: environment variables, then the profile
`$AWS_PROFILE` (or `default`) in `~/.aws/credentials` and `~/.aws/config`, then the role of the
machine. obstore itself supports only the first and the last.
"""

import configparser
import datetime
import os
from pathlib import Path
from typing import Any

from zebjax.distributed.store import Refused

_KEYS = ("aws_access_key_id", "aws_secret_access_key")
_BY_OTHER_MEANS = ("sso_session", "sso_start_url", "role_arn", "credential_process")
_KEPT_S = 300.0
"""Seconds before a profile's file is read again: some tools replace its keys every hour."""
_OWN_ROLE = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_NO_ROLE = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
"""Addresses where a cloud's machines ask for their role. An error with one of them means that no
other credentials were found."""
_REFUSED = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AuthenticationFailed",
    "AuthorizationHeaderMalformed",
)
_LOOKED_FOR = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile {profile} in {files} "
    "(AWS_PROFILE chooses another), the machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, the file of `gcloud auth application-default login`, "
    "the machine's role",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, "
    "the machine's role",
}


def s3_options() -> dict[str, Any]:
    """Return arguments of obstore's `from_url` with the keys and region of an AWS profile.

    They leave out what environment variables set. Without keys in a profile obstore uses those
    variables or the machine's role.

    Raises:
        Refused: if the profile `$AWS_PROFILE` does not exist, or needs boto3, which is not
            installed.
    """
    name, chosen = _profile_name(), "AWS_PROFILE" in os.environ
    settings = _profile(name)
    if settings is None:
        if chosen and not os.environ.get("AWS_ACCESS_KEY_ID"):
            raise Refused(f"AWS_PROFILE={name}: there is no such profile in {_file_names()}")
        settings = {}
    options: dict[str, Any] = {}
    has_region = any(os.environ.get(key) for key in ("AWS_REGION", "AWS_DEFAULT_REGION"))
    if settings.get("region") and not has_region:
        options["region"] = settings["region"]
    if settings.get("endpoint_url") and not os.environ.get("AWS_ENDPOINT_URL"):
        options["endpoint"] = settings["endpoint_url"]
    if os.environ.get("AWS_ACCESS_KEY_ID") or any(os.environ.get(key) for key in _OWN_ROLE):
        return options
    if all(settings.get(key) for key in _KEYS):
        return options | {"credential_provider": FromProfile(name)}
    if any(settings.get(key) for key in _BY_OTHER_MEANS):
        return options | {"credential_provider": _by_boto3(name)}
    return options


class FromProfile:
    """A credential provider of obstore that reads an AWS profile from its files."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self) -> dict[str, Any]:
        """Read the keys from the files again.

        Raises:
            Refused: if the profile no longer has keys.
        """
        settings = _profile(self._name) or {}
        if not all(settings.get(key) for key in _KEYS):
            raise Refused(f"profile {self._name}: its keys are gone from {_file_names()}")
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=_KEPT_S)
        return {
            "access_key_id": settings["aws_access_key_id"],
            "secret_access_key": settings["aws_secret_access_key"],
            "token": settings.get("aws_session_token"),
            "expires_at": until,
        }


def _by_boto3(name: str) -> Any:
    """Return a provider for profiles without plain keys: SSO, roles, programs."""
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider(boto3.Session(profile_name=name))
    except ImportError:
        raise Refused(
            f"profile {name} in {_file_names()} uses SSO, a role or a program, which needs boto3: "
            "pip install boto3"
        ) from None
    except Exception as error:  # botocore raises many kinds
        raise Refused(f"profile {name}: boto3 gets no credentials from it ({error})") from None


def _profile_name() -> str:
    return os.environ.get("AWS_PROFILE") or "default"


def _files() -> list[Path]:
    """The files with profiles; the credentials file is read last, so its keys win."""
    own = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
    return [Path(os.environ.get(name) or usual) for name, usual in own.items()]


def _file_names() -> str:
    return " and ".join(map(str, reversed(_files())))


def _profile(name: str) -> dict[str, str] | None:
    """Return the settings of a profile from both files; None if neither has it.

    Raises:
        Refused: if an existing file is not an INI file.
    """
    found: dict[str, str] | None = None
    for place in _files():
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(place.expanduser(), encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            first_line = str(error).split("\n")[0]
            raise Refused(f"{place}: not a file of AWS profiles ({first_line})") from None
        except (OSError, RuntimeError):  # no permission to read, or no home folder
            continue
        for section in (name, f"profile {name}"):
            if parser.has_section(section):
                found = (found or {}) | dict(parser.items(section))
    return found


def trouble(url: str, error: BaseException) -> str | None:
    """Return a sentence for an error of obstore that credentials caused; None for other errors.

    It never contains a credential.
    """
    text = str(error)
    kind = url.partition("://")[0]
    if kind not in _LOOKED_FOR:
        return None
    looked_for = _LOOKED_FOR[kind].format(profile=_profile_name(), files=_file_names())
    if any(address in text for address in _NO_ROLE):
        return f"no credentials found; looked for: {looked_for}"
    from obstore import exceptions as theirs

    code = next((code for code in _REFUSED if code in text), None)
    denied = (theirs.PermissionDeniedError, theirs.UnauthenticatedError)
    if code is None and not isinstance(error, denied):
        return None
    return (
        f"the credentials are refused ({code or 'no right to do this'}); they are looked for in "
        f"this order: {looked_for}"
    )
