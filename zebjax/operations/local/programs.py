"""The processes of a local fleet: what each one runs, and which GPU it uses."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

LEARNER = "learner"
WORKER_NAMES = {"selfplay": "play", "evalaux": "evalaux"}
"""Role -> the name of its workers before the number: play-1, play-2, evalaux-1."""
_USED = 0.9
"""Share of a GPU's memory that the processes on it may use together: each also needs a CUDA
context, which the limit does not count."""
_FRACTION_NAMES = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
"""JAX's variable for that share, and its old name. JAX refuses both together."""
_PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"
_SMI = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
_SMI_S = 20.0


@dataclasses.dataclass(frozen=True)
class Program:
    """One process of a fleet."""

    name: str
    """Letters, digits, `_` and `-`."""
    role: str
    """`learner`, or the role of a worker."""
    command: tuple[str, ...]
    """The program and its arguments."""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Variables besides those that the fleet is started with. They are written to a file: nothing
    secret."""
    gpu: str | None = None
    """Name of the GPU that it uses; None without one."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self) | {"command": list(self.command)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        return cls(**{**value, "command": tuple(value["command"])})


def of_experiment(
    experiment: str, changes: Sequence[str], n_selfplay: int, n_evalaux: int
) -> list[Program]:
    """The programs of a fleet: `zebjax train` with each role.

    Args:
        experiment: the name or file of the experiment, as the user gave it.
        changes: options that override its fields, the same for all roles.
        n_selfplay: number of self-play workers.
        n_evalaux: number of eval-aux workers.
    """
    train = (sys.executable, "-m", "zebjax", "train", experiment, *changes)
    made = [Program(LEARNER, LEARNER, (*train, "--role", LEARNER))]
    for role, n in (("selfplay", n_selfplay), ("evalaux", n_evalaux)):
        for number in range(1, n + 1):
            name = f"{WORKER_NAMES[role]}-{number}"
            # All roles start together, so a worker may come before the first weights.
            own = ("--role", role, "--worker-id", name, "--wait-for-weights")
            made.append(Program(name, role, (*train, *own)))
    return made


class Gpu(NamedTuple):
    """A GPU of this machine."""

    identity: str
    """What CUDA_VISIBLE_DEVICES calls it."""
    name: str


def gpus(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The NVIDIA GPUs that a process of this environment sees, without asking JAX."""
    if environment.get("JAX_PLATFORMS", "").split(",")[0] == "cpu" or not shutil.which(_SMI[0]):
        return []
    try:
        done = subprocess.run(
            _SMI, capture_output=True, text=True, timeout=_SMI_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return visible([line.strip() for line in done.splitlines() if line.strip()], environment)


def visible(names: Sequence[str], environment: Mapping[str, str]) -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves.

    Args:
        names: names of all GPUs, in the order of their numbers.
        environment: of the processes.
    """
    wanted = environment.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return [Gpu(str(number), name) for number, name in enumerate(names)]
    found = []
    for word in (word.strip() for word in wanted.split(",")):
        is_number = word.isdigit() and int(word) < len(names)
        if not is_number and not word.startswith(("GPU-", "MIG-")):
            break  # as CUDA does: what follows something invalid is not visible
        found.append(Gpu(word, names[int(word)] if is_number else "GPU"))
    return found


def placed(
    programs: Sequence[Program], found: Sequence[Gpu], environment: Mapping[str, str] = os.environ
) -> tuple[list[Program], list[str]]:
    """Give each program a GPU, and the programs that share one an equal part of its memory.

    JAX reserves three quarters of a GPU for each process, so a second one would find nothing. With
    equal limits a process that does not fit says so whenever it starts, whatever the others use.

    Args:
        programs: the programs of a fleet.
        found: the GPUs.
        environment: of the processes; what the user has set there is not changed.

    Returns:
        The programs with their variables, and sentences about the GPUs for the user.
    """
    if not found:
        return list(programs), []
    own_limit = any(environment.get(name) for name in (*_FRACTION_NAMES, _PREALLOCATE))
    users = [programs[first :: len(found)] for first in range(len(found))]
    made, notes = {}, []
    for gpu, sharing in zip(found, users, strict=True):
        variables = {"CUDA_VISIBLE_DEVICES": gpu.identity} if len(found) > 1 else {}
        names = ", ".join(program.name for program in sharing)
        if len(sharing) > 1 and not own_limit:
            share = _USED / len(sharing)
            variables |= {_PREALLOCATE: "false", _FRACTION_NAMES[0]: f"{share:.3f}"}
            notes.append(
                f"{names} share GPU {gpu.identity} ({gpu.name}): each may use {share:.0%} of its "
                "memory, and takes it as needed"
            )
        elif sharing:
            notes.append(f"{names} on GPU {gpu.identity} ({gpu.name})")
        else:
            notes.append(f"GPU {gpu.identity} ({gpu.name}) is not used; more --selfplay would")
        for program in sharing:
            made[program.name] = dataclasses.replace(
                program, environment={**program.environment, **variables}, gpu=gpu.name
            )
    return [made[program.name] for program in programs], notes
