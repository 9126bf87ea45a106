"""The subcommands `up` and `down` of `zebjax fleet`."""

import argparse
import time
from pathlib import Path

from zebjax import experiment
from zebjax.common import cli, console, locks, parsing
from zebjax.operations.rented import spec
from zebjax.operations.rented.command_line import ADVICE, fleet_parser, folder_of, guard_runs

_STILL_RUNS = 1
"""Exit status of `down` if something is left."""


def _setting(folder: Path) -> str:
    from zebjax.operations.rented.speeds import setting_of

    made = spec.read(folder)
    return setting_of(experiment.load(made.experiment, [*made.options, "--name", made.run]))


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def up(arguments: argparse.Namespace) -> int:
    """Rent the workers of a planned fleet and hold them there."""
    from zebjax.common.stop_signal import StopSignal
    from zebjax.operations.rented import running
    from zebjax.operations.rented.dstack_provider import DstackProvider
    from zebjax.operations.rented.guard import describe, load_memory

    folder = folder_of(arguments.fleet)
    made = spec.read(folder)
    provider = DstackProvider(made)
    if arguments.dry_run:
        guard = running.make_guard(folder, provider, _setting(folder), _say)
        for action in guard.step(dry_run=True):
            print(describe(action))
        return 0
    if missing := provider.missing_secrets():
        raise ValueError(
            f"dstack's server lacks the secrets {', '.join(missing)}; set each with `dstack secret "
            "set NAME VALUE`, from a credential that may only write examples and read weights"
        )
    with locks.locked(folder, ADVICE):
        going_down = load_memory(folder).going_down
        was_down = spec.read_wanted(folder).down
        if going_down and not was_down and not arguments.resume:
            raise ValueError(
                f"{folder}: {going_down}; give a higher --budget to `zebjax fleet plan`, then "
                "`zebjax fleet up --resume`"
            )
        if arguments.resume or was_down:
            with spec.changing(folder) as wanted:
                wanted |= {"down": False, "cull": (), "resume": wanted["resume"] + 1}
        provider.open(folder)
        stop = StopSignal()
        guard = running.make_guard(folder, provider, _setting(folder), _say)
        if running.hold(guard, provider, lambda: stop.asked, arguments.poll_s):
            print(f"{guard.memory.going_down}: the provider lists nothing")
            return 0
    workers = guard.memory.workers
    usd = sum(worker.usd_per_hour for worker in workers)
    print(
        f"the guard stops; still rented: {console.counted(len(workers), 'worker')}, {usd:.3f} USD "
        "per hour; "
        f"`zebjax fleet up {arguments.fleet}` takes them over, `zebjax fleet down` ends them"
    )
    return 0


def up_parser() -> cli.Parser:
    """The parser of `zebjax fleet up`."""
    made = fleet_parser(
        "up",
        "Rent the workers of a planned fleet and hold them there, until Ctrl-C or `down`. Ctrl-C\n"
        "stops the guard only: start it again and it takes over what is there. One guard a fleet:\n"
        "a lock keeps a second one out of the folder; on another machine nothing does.",
        "lb-v-eq-3740",
        "lb-v-eq-3740 --dry-run",
    )
    made.add_argument("--dry-run", action="store_true", help="print what would be done now")
    made.add_argument(
        "--resume", action="store_true", help="also after a spent budget or a crashing program"
    )
    made.add_argument(
        "--poll-s",
        type=cli.checked(parsing.number(0.1, 600)),
        default=15.0,
        metavar="S",
        help="seconds between two decisions (default %(default)g)",
    )
    return made


def down(arguments: argparse.Namespace) -> int:
    """End all workers, wait until the provider lists nothing; exit status 1 if it still does."""
    from zebjax.common.stop_signal import StopSignal
    from zebjax.operations.rented import running
    from zebjax.operations.rented.dstack_provider import DstackProvider

    folder = folder_of(arguments.fleet)
    provider = DstackProvider(spec.read(folder))
    with spec.changing(folder) as wanted:
        wanted["down"] = True
    stop, until = StopSignal(), time.monotonic() + arguments.wait_s

    def enough() -> bool:
        return stop.asked or time.monotonic() >= until

    if guard_runs(folder):
        print("the guard that runs ends everything", flush=True)
        is_over = running.wait_until_empty(provider, arguments.wait_s, lambda: stop.asked)
    else:
        with locks.locked(folder, ADVICE):
            guard = running.make_guard(folder, provider, "", _say)
            is_over = running.hold(guard, provider, enough, 5.0)
    if not is_over:
        left = ", ".join(provider.list_machines()) or "unknown"
        cli.complain("fleet down", f"the provider still lists: {left}; run it again, or end them")
        return _STILL_RUNS
    print("the provider lists nothing")
    return 0


def down_parser() -> cli.Parser:
    """The parser of `zebjax fleet down`."""
    made = fleet_parser(
        "down",
        "End all workers of a fleet, and wait until the provider lists nothing. Exit status 0:\n"
        "nothing is left; 1: something is.",
        "lb-v-eq-3740",
    )
    made.add_argument(
        "--wait-s",
        type=cli.checked(parsing.number(1, 86400)),
        default=1800.0,
        metavar="S",
        help="seconds to wait at most (default %(default)g)",
    )
    return made
