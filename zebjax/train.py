"""The command `zebjax train`: train an experiment, alone or as one process of a run."""

import argparse
import re
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from zebjax import experiment
from zebjax.common import cli, locks
from zebjax.training.config import Experiment

if TYPE_CHECKING:
    from zebjax.distributed.worker_link import Job

ROLES = ("all", "learner", "selfplay", "evalaux")


def parser() -> experiment.Parser:
    """The command's parser."""
    made = experiment.Parser(
        "train",
        "Train a network by self-play as an experiment says: play, learn, evaluate against\n"
        "random, save. The same command resumes the run. Ctrl-C finishes the current compiled\n"
        "call, saves and exits; a second Ctrl-C exits at once.\n\n"
        "Several processes, on one machine or many, can share a run: give each a --role.",
        "quickstart",
        "quickstart --name mine --learner.lr 5e-3",
        "lb_v_eq_3740 --role selfplay --store.url s3://my-bucket/zeb",
        usage="EXPERIMENT [--role ROLE] [--FIELD VALUE ...]",
    )
    roles = made.add_argument_group(
        "processes", "They exchange weights and games through a store, see --store.url."
    )
    roles.add_argument(
        "--role",
        choices=ROLES,
        default="all",
        metavar="ROLE",
        help="all: one process does everything (the default); learner: trains on the games that "
        "workers send and publishes its weights; selfplay: plays with the newest weights and "
        "sends the games; evalaux: plays E[Q] against the newest weights and sends the games",
    )
    roles.add_argument(
        "--worker-id",
        metavar="ID",
        help="a worker's name, different for each (default: its role and machine)",
    )
    roles.add_argument(
        "--max-games",
        type=cli.integer(1, 10**12),
        metavar="N",
        help="a worker stops when it has sent N games, rounded up to whole files",
    )
    roles.add_argument("--once", action="store_true", help="a worker stops after one file")
    roles.add_argument(
        "--wait-for-weights",
        action="store_true",
        help="a worker that finds no published weights waits for the learner (otherwise it exits)",
    )
    roles.add_argument(
        "--take-over",
        action="store_true",
        help="become the learner although the store belongs to another one, which then stops",
    )
    return made.with_fields()


def _check(arguments: argparse.Namespace, error: cli.Parser) -> None:
    """Refuse options that belong to another role."""
    if arguments.role in ("all", "learner"):
        for name in ("worker_id", "max_games", "once", "wait_for_weights"):
            if getattr(arguments, name):
                error.error(f"--{name.replace('_', '-')} is for --role selfplay and --role evalaux")
    if arguments.take_over and arguments.role != "learner":
        error.error("--take-over is for --role learner")


def _worker_job(own: argparse.Namespace, settings: Experiment) -> "Job":
    from zebjax.distributed import spool, worker_link

    default = f"{own.role}-{re.sub('[^A-Za-z0-9_-]', '-', socket.gethostname())[:40]}"
    worker_id = default if own.worker_id is None else own.worker_id
    if not spool.WORKER_ID.fullmatch(worker_id):
        raise ValueError(
            f"--worker-id: expected letters, digits, '_' and '-', at most 64, got {worker_id!r}"
        )
    one_file = (
        settings.store.games_per_file
        if own.role == "selfplay"
        else settings.eval_aux.games_per_file
    )
    max_games = own.max_games or (one_file if own.once else None)
    return worker_link.Job(own.role, worker_id, max_games, own.wait_for_weights)


def _note_new(experiment: str, settings: Experiment, note: Callable[[str], None]) -> None:
    """Say where a new run writes: a folder with the run's name, which is not that of the file."""
    from zebjax.common import checkpoint

    if not checkpoint.steps(settings.folder / "state"):
        note(f"new run: {experiment} writes to {settings.folder}; --name gives it another folder")


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.common import console, devices, files, streams
    from zebjax.common.stop_signal import StopSignal
    from zebjax.training.session import Stopped

    settings = experiment.Parser.experiment(arguments)
    streams.forgive()  # a terminal that closes must not end the run
    shown = (
        console.LiveReporter(settings.name)
        if console.is_terminal()
        else nullcontext(console.PlainReporter())
    )
    store = Path(settings.namespace.removeprefix("file://"))  # on this machine, if it is a folder
    try:
        with shown as report, files.nothing_left(store):
            # Above the live table, which would draw over it.
            stop = StopSignal(report.note) if console.is_terminal() else StopSignal()
            if arguments.role in ("all", "learner"):
                from zebjax.distributed import worker_source
                from zebjax.training import by_device, memory
                from zebjax.training import run as training

                devices.check(settings.device, report.note)
                _note_new(arguments.experiment, settings, report.note)
                settings = by_device.resolve(settings, arguments.role, report.note)
                with (
                    locks.locked(settings.folder, "stop it or choose another --name", report.note),
                    memory.guarded(settings, arguments.role, report.note),
                ):
                    source = None
                    if arguments.role == "learner":
                        source = worker_source.WorkerSource(
                            settings, report, arguments.take_over, lambda: stop.asked
                        )
                    training.Run(settings, report, lambda: stop.asked, source).go()
            else:
                from zebjax.distributed import worker

                job = _worker_job(arguments, settings)
                folder = settings.folder / "workers" / job.worker_id
                with locks.locked(folder, "give this worker a --worker-id of its own", report.note):
                    worker.work(settings, job, report, lambda: stop.asked)
    except Stopped:
        print("stopped before the start")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    made = parser()
    arguments = made.parse(argv)
    _check(arguments, made)
    return cli.run("train", _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
