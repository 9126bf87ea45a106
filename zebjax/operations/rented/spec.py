"""A rented fleet's files: what `plan` writes, and what the other commands read."""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from zebjax.common import checks, files, hub
from zebjax.operations import fleets
from zebjax.operations.rented.settings import Config, Rules, Wanted
from zebjax.training.config import Experiment

SPEC, WANTED, KIND = fleets.FILE, "wanted.json", "rented"
_MAX_BYTES = 1 << 20
_SCHEMES = ("s3", "gs", "az", "hf")
_SECRETS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"),
    "gs": ("GOOGLE_SERVICE_ACCOUNT_KEY",),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_SAS_TOKEN"),
    "hf": ("HF_TOKEN",),
}
"""Environment variables with which a worker opens the store."""
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,200}")


@dataclasses.dataclass(frozen=True)
class Machines:
    """The machines that may be rented, and what runs on them."""

    gpus: tuple[str, ...] = ()
    """Names as dstack writes them, such as RTX4070Ti; empty: any GPU."""
    backends: tuple[str, ...] = ("vastai",)
    spot: bool = False
    """True to bid for machines that another renter may take over."""
    cpus: int = 4
    memory_gb: int = 8
    disk_gb: int = 20
    min_reliability: float = 0.95
    """Of a host, on Vast.ai."""
    ssh_hosts: tuple[str, ...] = ()
    """Machines of one's own, as USER@HOST."""
    ssh_key: str = ""
    """The private key's file for those."""
    image: str = ""
    """A Docker image with zebjax in it; empty: `package` is installed."""
    package: str = ""
    """A wheel of zebjax."""

    def __post_init__(self) -> None:
        checks.check(self, "fleet")
        checks.at_least(self, "fleet", 1, "cpus", "memory_gb", "disk_gb")
        if not 0 <= self.min_reliability <= 1:
            raise ValueError(f"fleet.min_reliability: expected 0 to 1, got {self.min_reliability}")
        for host in self.ssh_hosts:
            if not re.fullmatch(r"[^@\s]+@[^@\s]+", host):
                raise ValueError(f"--ssh-host: expected USER@HOST, got {host!r}")
        if not self.image and not self.package:
            raise ValueError(
                "expected --package WHEEL or --image IMAGE: a rented machine needs zebjax; "
                "`pip wheel --no-deps .` makes a wheel"
            )


@dataclasses.dataclass(frozen=True)
class Spec:
    """Everything about a fleet that stays the same while it runs."""

    name: str
    """Prefix of all names at the provider."""
    experiment: str
    """The experiment's name, or the path of its file."""
    options: tuple[str, ...]
    """Overrides of the experiment, as on the command line."""
    namespace: str
    """URL of the run's namespace in the store."""
    run: str
    """The run's name."""
    rules: Rules
    machines: Machines
    secrets: tuple[tuple[str, str], ...] = ()
    """Environment variable and name of the secret that holds its value, of the workers."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,25}", self.name):
            raise ValueError(
                "--fleet-name: expected a lower-case letter, then up to 25 letters, digits and "
                f"'-', got {self.name!r}"
            )
        for variable, secret in self.secrets:
            if not _VARIABLE.fullmatch(variable) or not _SECRET.fullmatch(secret):
                raise ValueError(
                    "--secret: expected VARIABLE or VARIABLE=NAME_OF_A_SECRET, never a value"
                )


def check_store(settings: Experiment) -> str:
    """Return the kind of the run's store.

    Raises:
        ValueError: if a rented machine cannot reach it.
    """
    url = settings.store.url
    kind = "hf" if hub.is_hub(url) else url.partition("://")[0]
    if "://" not in url or kind not in _SCHEMES:
        raise ValueError(
            f"store.url: a rented machine cannot reach the folder {url or 'runs/store'}; expected "
            "s3://BUCKET/PREFIX (gs://, az://) or hf://USER/REPO"
        )
    return kind


def default_secrets(kind: str) -> tuple[tuple[str, str], ...]:
    """The variables that a store of this kind needs, and the usual names of their secrets.

    The names say that they are the workers': the learner's own keys can do more.
    """
    return tuple((name, f"zebjax_worker_{name.lower()}") for name in _SECRETS[kind])


def parse_secret(text: str) -> tuple[str, str]:
    """Parse VARIABLE or VARIABLE=NAME_OF_A_SECRET."""
    variable, _, secret = text.partition("=")
    return variable, secret or f"zebjax_worker_{variable.lower()}"


def fleet_name(run: str) -> str:
    """A name for the fleet of a run that providers accept."""
    word = re.sub(r"[^a-z0-9]+", "-", run.lower()).strip("-")
    return (word if word[:1].isalpha() else f"z-{word}")[:26].rstrip("-")


# ---- files


def write(folder: Path, spec: Spec) -> None:
    """Write the fleet's file.

    Raises:
        OSError: if it cannot be written.
    """
    folder = folder.resolve()
    fleets.write(
        fleets.Fleet(
            folder=folder,
            kind=KIND,
            name=spec.run,
            run=folder.parent,
            namespace=spec.namespace,
            command=f"zebjax fleet up {spec.run}",
            facts={KIND: dataclasses.asdict(spec)},
        )
    )


def read(folder: Path) -> Spec:
    """Read the fleet's file.

    Raises:
        ValueError: if it is missing, or not that of a rented fleet.
    """
    path = folder / SPEC
    if not path.is_file():
        raise ValueError(f"{folder}: there is no fleet here; expected one that `plan` has written")
    found = files.read_json(path, _MAX_BYTES)
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ValueError(f"{path}: not a rented fleet; expected kind {KIND!r}")
    try:
        plain: dict[str, Any] = dict(found[KIND])
        plain["rules"] = Rules(**{**plain["rules"], "allow": tuple(plain["rules"]["allow"])})
        machines: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in plain["machines"].items()
        }
        plain["machines"] = Machines(**machines)
        plain["secrets"] = tuple((variable, secret) for variable, secret in plain["secrets"])
        return Spec(**plain | {"options": tuple(plain["options"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path}: not a rented fleet's file ({error})") from None


def read_wanted(folder: Path) -> Wanted:
    """Read what the user wants of the fleet.

    Raises:
        ValueError: if the file is not readable or not one.
    """
    path = folder / WANTED
    if not path.exists():
        return Wanted()
    found = files.read_json(path, _MAX_BYTES)
    try:
        return Wanted(**{**found, "cull": tuple(found["cull"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path}: not what is wanted of a fleet ({error})") from None


@contextmanager
def changing(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the fields of `Wanted` for the block to change; two commands wait for each other.

    Raises:
        ValueError: if the new values are not allowed; the file is then unchanged.
    """
    with filelock.FileLock(folder / f"{WANTED}.lock", timeout=30):
        fields = dataclasses.asdict(read_wanted(folder))
        yield fields
        files.write_json(folder / WANTED, dataclasses.asdict(Wanted(**fields)))


def config(folder: Path, speeds: dict[str, float]) -> Config:
    """The guard's settings, as the folder's files are now.

    Raises:
        ValueError: if a file is missing or not readable.
    """
    spec = read(folder)
    return Config(spec.name, spec.rules, read_wanted(folder), speeds)
