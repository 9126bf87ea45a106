"""`zebjax fleet local EXPERIMENT`: start all roles of an experiment on this machine."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zebjax import experiment
from zebjax.common import cli, files, overrides, parsing
from zebjax.operations import fleets
from zebjax.training.config import Experiment

if TYPE_CHECKING:  # not where supervisor is missing
    from zebjax.operations.local import start

_MAX_WORKERS = 64


def parser(name: str = "local") -> experiment.Parser:
    """The subcommand's parser."""
    made = experiment.Parser(
        f"fleet {name}",
        "Start the learner and the workers of an experiment on this machine, as processes that\n"
        "restart when they end, and return. They go on when the terminal is closed. The same\n"
        "command again starts what has ended; of what runs it starts nothing twice.\n"
        "An experiment with eval-aux games gets one worker for them, unless --evalaux says more.",
        "quickstart --selfplay 2",
        "lb_v_eq_3740 --selfplay 2 --evalaux 1 --store /mnt/shared/store",
        "quickstart --systemd",
        usage="EXPERIMENT [--selfplay N] [--evalaux N] [--store DIR] [--FIELD VALUE ...]",
    )
    fleet = made.add_argument_group("fleet")
    count = cli.integer(0, _MAX_WORKERS)
    fleet.add_argument(
        "--selfplay", type=count, default=1, metavar="N", help="self-play workers (default 1)"
    )
    fleet.add_argument(
        "--evalaux",
        type=count,
        metavar="N",
        help="eval-aux workers (default: 1 if the experiment has eval_aux.enabled, else 0)",
    )
    fleet.add_argument(
        "--store",
        metavar="DIR",
        help="the folder or URL through which they exchange games, the same as --store.url "
        "(default: the folder `store` in the folder of all runs)",
    )
    fleet.add_argument(
        "--price-usd-per-hour",
        type=cli.checked(parsing.number(0, 10_000)),
        metavar="USD",
        help="price of this machine, for reports; each process gets an equal share of it",
    )
    fleet.add_argument(
        "--foreground",
        action="store_true",
        help="stay in the foreground until the fleet is stopped: for systemd and containers",
    )
    fleet.add_argument(
        "--systemd",
        action="store_true",
        help="start nothing; print a unit file of systemd that starts this fleet at boot",
    )
    return made.with_fields()


def changes(arguments: argparse.Namespace) -> list[str]:
    """The given overrides of fields as options, one word each."""
    return [
        f"{field.option}={getattr(arguments, field.path)}"
        for field in overrides.fields(Experiment)
        if hasattr(arguments, field.path)
    ]


def words(arguments: argparse.Namespace) -> list[str]:
    """The arguments as one would type them, without --foreground and --systemd."""
    typed = [arguments.experiment, "--selfplay", str(arguments.selfplay)]
    if arguments.evalaux is not None:
        typed += ["--evalaux", str(arguments.evalaux)]
    if arguments.price_usd_per_hour is not None:
        typed += ["--price-usd-per-hour", f"{arguments.price_usd_per_hour:g}"]
    return typed + changes(arguments)


def _take_store(arguments: argparse.Namespace) -> None:
    """Make --store a value of the field that it stands for."""
    if arguments.store is not None:
        if hasattr(arguments, "store.url"):
            raise ValueError("--store and --store.url mean the same; expected one of them")
        setattr(arguments, "store.url", arguments.store)


def _workers(arguments: argparse.Namespace, settings: Experiment) -> tuple[int, int]:
    """The numbers of self-play and eval-aux workers."""
    n_evalaux = int(settings.eval_aux.enabled) if arguments.evalaux is None else arguments.evalaux
    if n_evalaux and not settings.eval_aux.enabled:
        raise ValueError(
            "--evalaux: this experiment does not train on eval-aux games; expected 0, or add "
            "--eval-aux.enabled"
        )
    if not arguments.selfplay + n_evalaux:
        raise ValueError(
            "--selfplay: expected a worker or more; `zebjax train` does all in one process"
        )
    return arguments.selfplay, n_evalaux


def _run(arguments: argparse.Namespace) -> int:
    if sys.platform == "win32":
        raise ValueError(
            "supervisor does not run on Windows; start each role in a terminal of its own with "
            "`zebjax train EXPERIMENT --role ROLE`, or use WSL"
        )
    from zebjax.operations.local import programs, start, systemd

    _take_store(arguments)
    settings = experiment.Parser.experiment(arguments)
    n_selfplay, n_evalaux = _workers(arguments, settings)
    command = ["zebjax", "fleet", "local", *words(arguments)]
    if arguments.systemd:
        module = (sys.executable, "-m", "zebjax", "fleet", "local")
        print(systemd.unit(settings.name, [*module, *words(arguments), "--foreground"]), end="")
        return 0
    if "://" not in settings.namespace:
        files.require_folder(
            Path(settings.namespace)
        )  # or every process would fail, again and again
    made = programs.of_experiment(arguments.experiment, changes(arguments), n_selfplay, n_evalaux)
    made, notes = programs.placed(made, [] if settings.device == "cpu" else programs.gpus())
    plan = start.Plan(
        name=settings.name,
        run=settings.folder,
        namespace=settings.namespace,
        command=shlex.join(command),
        programs=made,
        cycles=settings.cycles,
        price_usd_per_hour=arguments.price_usd_per_hour,
    )
    if arguments.foreground:
        start.start_here(plan, _say)
    is_new = start.start(plan, _say)
    for line in [_began(plan, is_new), *notes, *_next(plan)]:
        print(line)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _began(plan: "start.Plan", is_new: bool) -> str:
    names = ", ".join(program.name for program in plan.programs)
    return f"{plan.name}: started {names}" if is_new else f"{plan.name}: runs already ({names})"


def _next(plan: "start.Plan") -> list[str]:
    run = fleets.shown(plan.run)
    return [
        f"  store  {plan.namespace}",
        f"  logs   {fleets.shown(plan.folder / 'logs')}",
        "",
        f"zebjax fleet status {run}",
        f"zebjax fleet logs {run} -f",
        f"zebjax fleet stop {run}",
    ]


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Run the subcommand and return its exit status; 2 after one sentence for bad input."""
    arguments = parser(name).parse(argv)
    return cli.run(f"fleet {name}", _run, arguments, compiles=False)
