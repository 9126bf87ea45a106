"""`zebjax fleet status|logs|stop|restart`: the subcommands that every kind of fleet has."""

import argparse
import sys
from collections.abc import Callable, Sequence

from zebjax.common import cli
from zebjax.operations import fleets

_FLEET = "the folder of the run (runs/NAME), its store, or its name"


def _parser(name: str, about: str, *examples: str) -> cli.Parser:
    made = cli.Parser(f"fleet {name}", about, *examples)
    made.add_argument("fleet", metavar="FLEET", help=_FLEET)
    return made


def status_parser() -> cli.Parser:
    """The parser of `zebjax fleet status`."""
    made = _parser(
        "status",
        "Show the processes of a fleet, and the end of the log of one that was given up.\n"
        "Exit status 0: all processes run, or the run is complete; 1: not so; 2: no such fleet.",
        "runs/quickstart",
        "s3://my-bucket/zeb/quickstart --json",
    )
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def logs_parser() -> cli.Parser:
    """The parser of `zebjax fleet logs`."""
    made = _parser(
        "logs",
        "Show the logs of a fleet's processes.",
        "runs/quickstart",
        "runs/quickstart play-1 -f",
    )
    made.add_argument("names", metavar="NAME", nargs="*", help="a process (default: all of them)")
    made.add_argument(
        "-f", "--follow", action="store_true", help="show new lines as they come, until Ctrl-C"
    )
    made.add_argument(
        "-n",
        "--lines",
        type=cli.integer(0, 100_000),
        default=20,
        metavar="N",
        help="number of old lines of each log (default 20)",
    )
    return made


def stop_parser() -> cli.Parser:
    """The parser of `zebjax fleet stop`."""
    return _parser(
        "stop",
        "Stop a fleet and wait until it has ended: each worker finishes its compiled call and\n"
        "sends its finished games, then the learner saves. The command that started the fleet\n"
        "resumes it.",
        "runs/quickstart",
    )


def restart_parser() -> cli.Parser:
    """The parser of `zebjax fleet restart`."""
    made = _parser(
        "restart",
        "Stop processes of a fleet in an orderly way, and start them again. A restarted process\n"
        "reads the experiment's file again. One that was given up gets another chance.",
        "runs/quickstart play-1",
        "runs/quickstart play-1 play-2",
    )
    made.add_argument("names", metavar="NAME", nargs="+", help="a process of the fleet")
    return made


def _status(own: argparse.Namespace) -> int:
    fleet = fleets.find(own.fleet)
    return fleets.actions(fleet).status(fleet, own.json)


def _logs(own: argparse.Namespace) -> int:
    fleet = fleets.find(own.fleet)
    return fleets.actions(fleet).logs(fleet, own.names, own.lines, own.follow)


def _stop(own: argparse.Namespace) -> int:
    fleet = fleets.find(own.fleet)
    return fleets.actions(fleet).stop(fleet)


def _restart(own: argparse.Namespace) -> int:
    fleet = fleets.find(own.fleet)
    return fleets.actions(fleet).restart(fleet, own.names)


_RUN: dict[str, tuple[Callable[[], cli.Parser], Callable[[argparse.Namespace], int]]] = {
    "status": (status_parser, _status),
    "logs": (logs_parser, _logs),
    "stop": (stop_parser, _stop),
    "restart": (restart_parser, _restart),
}


def parser(name: str) -> cli.Parser:
    """The parser of one of these subcommands."""
    return _RUN[name][0]()


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit status; 2 after one sentence for bad input."""
    words = list(sys.argv[1:] if argv is None else argv)
    return cli.run(f"fleet {name}", _RUN[name][1], parser(name).parse(words), compiles=False)
