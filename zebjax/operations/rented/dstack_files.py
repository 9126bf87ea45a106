"""The configuration files for dstack: one of the fleet, one of each role's worker.

They hold the names of secrets, never a value: dstack's server puts the values into a worker's
environment, from secrets that its user has set.
"""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from zebjax.common import files
from zebjax.operations.rented.model import DOCTOR_FAILED, ROLES
from zebjax.operations.rented.spec import Spec

FLEET, HOSTS = "cloud.dstack.yml", "hosts.dstack.yml"
_RUN_NAME = re.compile(r"[a-z][a-z0-9-]{1,40}")
"""dstack's parser does not check this, its server does."""
_MAX_NODES = 100
OWN_HOSTS = "remote"
"""The backend of one's own hosts."""
_PYTHON = "3.12"


def fleets(spec: Spec) -> dict[str, dict[str, Any]]:
    """File name -> configuration of dstack's fleets: in the cloud, and of one's own hosts."""
    machines, found = spec.machines, {}
    if machines.backends:
        found[FLEET] = {
            "type": "fleet",
            "name": spec.name,
            "nodes": f"0..{_MAX_NODES}",
            **_placement(spec),
        }
    if machines.ssh_hosts:
        hosts = [
            dict(zip(("user", "hostname"), h.split("@", 1), strict=True))
            for h in machines.ssh_hosts
        ]
        config: dict[str, Any] = {"hosts": hosts}
        if machines.ssh_key:
            config["identity_file"] = machines.ssh_key
        found[HOSTS] = {"type": "fleet", "name": f"{spec.name}-hosts", "ssh_config": config}
    return found


def task(spec: Spec, role: str, name: str) -> dict[str, Any]:
    """The configuration of one worker.

    dstack retries nothing: what to do after an end is the guard's decision.

    Args:
        spec: of the fleet.
        role: of the worker.
        name: of the run, which is also the worker's id.
    """
    machines = spec.machines
    options = [*spec.options, "--name", spec.run]
    if not any(option.startswith("--device=") for option in spec.options):
        options += ["--device", "gpu"]  # one whose GPU does not work must not play on its CPU
    words = [_experiment_there(spec), *options]
    doctor = shlex.join(["zebjax", "doctor", *words])
    # The run's own name, so that a file that is applied by hand works under any name.
    train = shlex.join(
        ["zebjax", "train", *words, "--role", role, "--wait-for-weights", "--worker-id"]
    )
    commands = []
    if not machines.image:
        wheel = Path(machines.package).name
        extra = "cuda12,hub" if spec.namespace.startswith("hf://") else "cuda12"
        commands.append(shlex.join(["pip", "install", "-q", f"./{wheel}[{extra}]"]))
    commands += [f"{doctor} || exit {DOCTOR_FAILED}", f'exec {train} "$DSTACK_RUN_NAME"']
    placement = _placement(spec)
    if machines.ssh_hosts:
        placement["backends"] = [*machines.backends, OWN_HOSTS]
    made: dict[str, Any] = {
        "type": "task",
        "name": name,
        **({"image": machines.image} if machines.image else {"python": _PYTHON}),
        "env": [f"{variable}=${{{{ secrets.{secret} }}}}" for variable, secret in spec.secrets],
        "files": _uploads(spec),
        "commands": commands,
        "fleets": [configuration["name"] for configuration in fleets(spec).values()],
        "max_duration": "off",
        "stop_duration": "2m",  # a worker ships its finished games
        **placement,
    }
    return {key: value for key, value in made.items() if value not in ([], {})}


def _placement(spec: Spec) -> dict[str, Any]:
    """The fields that fleets and tasks share: where, at what price, on which machines."""
    machines = spec.machines
    gpu: dict[str, Any] = {"count": 1}
    if machines.gpus:
        gpu["name"] = list(machines.gpus)
    placed: dict[str, Any] = {
        "spot_policy": "auto" if machines.spot else "on-demand",
        "max_price": spec.rules.max_price,
        "resources": {
            "gpu": gpu,
            "cpu": f"{machines.cpus}..",
            "memory": f"{machines.memory_gb}GB..",
            "disk": f"{machines.disk_gb}GB..",
        },
    }
    if machines.backends:
        placed["backends"] = [*machines.backends]
    if "vastai" in machines.backends:
        placed["backend_options"] = [
            {
                "type": "vastai",
                "offer_order": "price",
                "min_reliability": machines.min_reliability,
            }
        ]
    return placed


def _uploads(spec: Spec) -> list[str]:
    """Files of this machine that a worker needs, as LOCAL:THERE."""
    found = []
    if not spec.machines.image:
        package = Path(spec.machines.package).absolute()
        found.append(f"{package}:{package.name}")
    if spec.experiment.endswith(".py"):
        experiment = Path(spec.experiment).absolute()
        found.append(f"{experiment}:{experiment.name}")
    return found


def _experiment_there(spec: Spec) -> str:
    is_file = spec.experiment.endswith(".py")
    return Path(spec.experiment).name if is_file else spec.experiment


def parse(configuration: Mapping[str, Any]) -> Any:
    """Parse a configuration with dstack's own parser.

    Raises:
        ValueError: if dstack is not installed or refuses it.
    """
    try:
        from dstack._internal.core.errors import ConfigurationError
        from dstack._internal.core.models.configurations import parse_apply_configuration
    except ImportError as error:
        raise ValueError(
            f"a rented fleet needs dstack ({error}): pip install 'zebjax[fleet]'"
        ) from None
    name = configuration["name"]
    if not _RUN_NAME.fullmatch(name):
        raise ValueError(f"{name}: dstack accepts names of 2 to 41 letters, digits and '-'")
    try:
        return parse_apply_configuration(dict(configuration))
    except (ConfigurationError, ValueError) as error:
        raise ValueError(f"dstack refuses the configuration {name}: {error}") from None


def write(folder: Path, spec: Spec) -> list[Path]:
    """Write all configurations of a fleet, after dstack has accepted them.

    Returns:
        The files.

    Raises:
        ValueError: if dstack is not installed or refuses one.
        OSError: if one cannot be written.
    """
    made = fleets(spec) | {
        f"{role}.dstack.yml": task(spec, role, f"{spec.name}-{role}-0") for role in ROLES
    }
    texts = {name: yaml.safe_dump(made[name], sort_keys=False, width=1000) for name in made}
    for text in texts.values():
        parse(yaml.safe_load(text))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        files.write_text(folder / name, text)
    return [folder / name for name in texts]
