"""Start a local fleet: write its files, stop what an earlier one has left, start `supervisord`."""

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from zebjax.common import files, locks
from zebjax.distributed import machine
from zebjax.operations import events, fleets
from zebjax.operations.fleets import Fleet
from zebjax.operations.local import configuration, daemon, orphans
from zebjax.operations.local.configuration import Policy
from zebjax.operations.local.programs import Program


@dataclasses.dataclass(frozen=True)
class Plan:
    """A local fleet that can be started."""

    name: str
    """The run's name."""
    run: Path
    """The run's folder."""
    namespace: str
    """URL of the run's namespace in the store."""
    command: str
    """The command that starts the fleet, for messages."""
    programs: Sequence[Program]
    """The processes: the learner, and one worker or more."""
    cwd: Path = dataclasses.field(default_factory=Path.cwd)
    """The folder that they run in."""
    cycles: int | None = None
    """Number of cycles of the run; the fleet ends when the learner has done them. None: never."""
    price_usd_per_hour: float | None = None
    """Price of this machine."""
    policy: Policy = Policy()

    @property
    def folder(self) -> Path:
        """The fleet's folder, absolute and without symbolic links."""
        return self.run.resolve() / fleets.FOLDER

    def _listener(self) -> Program:
        code = (
            "import sys; from zebjax.operations.local import listener; listener.main(*sys.argv[1:])"
        )
        command = (sys.executable, "-c", code, str(self.folder))
        return Program(configuration.EVENTS, configuration.EVENTS, command)

    def _priced(self, program: Program) -> Program:
        """The program, whose heartbeats will tell its equal share of the machine's price."""
        if self.price_usd_per_hour is None:
            return program
        share = {machine.PRICE: f"{self.price_usd_per_hour / len(self.programs):g}"}
        return dataclasses.replace(program, environment={**share, **program.environment})

    def as_fleet(self, socket: Path) -> Fleet:
        """The fleet, with the facts that the commands need; `socket` is that of supervisord."""
        programs = [self._priced(program) for program in self.programs]
        facts = {
            "socket": str(socket),
            "cwd": str(self.cwd.absolute()),
            "cycles": self.cycles,
            "price_usd_per_hour": self.price_usd_per_hour,
            "policy": dataclasses.asdict(self.policy),
            # The child of this name is the listener, which is no process of the run.
            "programs": [program.to_json() for program in (*programs, self._listener())],
            "started_s": round(time.time(), 3),
        }
        return Fleet(
            folder=self.folder,
            kind="local",
            name=self.name,
            run=self.run.resolve(),
            namespace=fleets.absolute_namespace(self.namespace),
            command=self.command,
            facts=facts,
        )


def programs_of(fleet: Fleet) -> list[Program]:
    """The processes of a local fleet.

    Raises:
        ValueError: if its `fleet.json` is not that of a local fleet.
    """
    try:
        found = [Program.from_json(value) for value in fleet.facts["programs"]]
        return [program for program in found if program.name != configuration.EVENTS]
    except (KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{fleet.folder / fleets.FILE}: programs: expected those of a local fleet"
        ) from None


def policy_of(fleet: Fleet) -> Policy:
    """The limits of a local fleet."""
    known: dict[str, Any] = fleet.facts.get("policy", {})
    return Policy(**known)


def start(plan: Plan, note: Callable[[str], None]) -> bool:
    """Start the fleet in the background.

    Args:
        plan: the fleet.
        note: called with a sentence for what an earlier fleet has left.

    Returns:
        False if the same fleet runs already, and nothing was done.

    Raises:
        ValueError: if another fleet runs in this folder, or this one cannot be started.
    """
    with locks.locked(plan.folder, "another command starts this fleet; try again later", note):
        if _runs_already(plan):
            return False
        fleet = _prepare(plan, note)
        daemon.launch(fleet.folder, Path(fleet.facts["socket"]))
    return True


def start_here(plan: Plan, note: Callable[[str], None]) -> NoReturn:
    """Start the fleet and become its supervisord: for systemd and containers.

    Raises:
        ValueError: if a fleet runs in this folder, or this one cannot be started.
    """
    with locks.locked(plan.folder, "another command starts this fleet; try again later", note):
        if _runs_already(plan):
            raise ValueError(f"{plan.folder}: this fleet runs already")
        _prepare(plan, note)
    daemon.become(plan.folder)


def _runs_already(plan: Plan) -> bool:
    """True if this fleet runs; ValueError if another one runs in its folder."""
    number = daemon.pid(plan.folder)
    if number is None:
        return False
    running = fleets.read(plan.folder)
    try:
        daemon.Client(running.facts["socket"]).call("getState")
    except daemon.NoAnswer as error:
        raise ValueError(
            f"{plan.folder}: its supervisord (process {number}) does not answer ({error}); kill "
            "that process and give the command again"
        ) from None
    if programs_of(running) != list(plan.programs):
        raise ValueError(
            f"{plan.folder}: a fleet with other processes or settings runs here "
            f"({running.command}); stop it first: zebjax fleet stop {running.typed}"
        )
    return True


def _earlier(folder: Path) -> list[Program]:
    """The processes of the fleet that was started here before; none if there was no fleet."""
    try:
        return programs_of(fleets.read(folder))
    except ValueError:
        return []


def _prepare(plan: Plan, note: Callable[[str], None]) -> Fleet:
    """Write all files of the fleet, and stop the processes of a supervisord that was killed."""
    with files.writing(plan.folder / configuration.LOGS):
        (plan.folder / configuration.LOGS).mkdir(parents=True, exist_ok=True)
    roles = {program.name: program.role for program in _earlier(plan.folder)}
    left = orphans.stop(plan.folder, plan.policy, note)
    fleet = plan.as_fleet(daemon.place_of_socket(plan.folder))
    fleets.write(fleet)
    token = daemon.token(plan.folder)
    socket = Path(fleet.facts["socket"])
    with files.writing(plan.folder / configuration.FILE):
        files.write_text(
            plan.folder / configuration.FILE,
            configuration.text(plan.programs, plan.policy, socket, token),
        )
    rows = [
        events.row(roles.get(name, "unknown"), name, "stopped", "it ran without its supervisord")
        for name in left
    ]
    events.append(plan.folder, *rows, events.row(events.SUPERVISOR, events.SUPERVISOR, "started"))
    return fleet
