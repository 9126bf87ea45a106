"""The main command: `python -m zebjax.train EXPERIMENT.py [--overrides]`."""

import argparse
import re
import signal
import socket
import sys
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

_USAGE = """usage: python -m zebjax.train EXPERIMENT.py [--role ROLE] [--overrides]

Train a network by self-play as an experiment file says: play, learn, judge against random, save.
Starting the same command again continues the run. Ctrl-C finishes the compiled call under way, saves, and exits.

Several processes, on one machine or many, share a run by way of a store (--store.url; a folder if you name none):
  --role learner               trains on what workers send, and publishes its weights; --take-over ends another's claim
  --role selfplay              plays with the newest weights and sends the games
  --role evalaux               plays E[Q] against the newest weights and sends the games
  --worker-id ID               a worker's name, one each (default: the role and the machine's name)
  --max-games N, --once        a worker stops when it has sent N games, in whole files; or after one file

example:
  python -m zebjax.train experiments/quickstart.py
  python -m zebjax.train experiments/quickstart.py --name mine --learner.lr 5e-3
  python -m zebjax.train experiments/quickstart.py --help     every field that can be overridden
"""


def _split(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """What says who this process is, and the overrides of the experiment."""
    parser = argparse.ArgumentParser(
        prog="python -m zebjax.train", add_help=False, allow_abbrev=False
    )
    parser.add_argument("--role", choices=("all", "learner", "selfplay", "evalaux"), default="all")
    parser.add_argument("--worker-id", default=None)
    parser.add_argument("--max-games", type=int, default=None)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--take-over", action="store_true")
    own, overrides = parser.parse_known_args(arguments)
    if own.role in ("all", "learner"):
        for name in ("worker_id", "max_games", "once"):
            if getattr(own, name):
                parser.error(
                    f"--{name.replace('_', '-')} is for --role selfplay and --role evalaux"
                )
    if own.take_over and own.role != "learner":
        parser.error("--take-over is for --role learner")
    if own.max_games is not None and own.max_games < 1:
        parser.error(f"--max-games: expected 1 or more, got {own.max_games}")
    return own, overrides


def _worker_job(own: argparse.Namespace, settings: Any) -> Any:
    from zebjax.distributed import spool, worker

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
    return worker.Job(own.role, worker_id, own.max_games or (one_file if own.once else None))


class _Stop:
    """Set by the first Ctrl-C or SIGTERM; a second one ends the process at once."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.asked = True
        print(
            "\nstopping: finishing the call under way, then saving (again: stop at once)",
            file=sys.stderr,
        )


def main(arguments: list[str]) -> int:
    """Run the command; the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0 if arguments else 2
    if arguments[0].startswith("-"):
        print(
            f"error: expected an experiment file first, got {arguments[0]}\n\n{_USAGE}",
            end="",
            file=sys.stderr,
        )
        return 2
    own, overrides = _split(arguments[1:])
    # Imported only now, so that help and a missing argument answer at once.
    from zebjax import experiment
    from zebjax.common import checkpoint, compilation_cache, console
    from zebjax.training.session import Stopped

    compilation_cache.keep()
    try:
        settings = experiment.load(Path(arguments[0]), overrides)
        stop = _Stop()
        shown = (
            console.LiveReporter(settings.name)
            if console.is_terminal()
            else nullcontext(console.PlainReporter())
        )
        with shown as report:
            if own.role in ("all", "learner"):
                from zebjax.distributed import worker_source
                from zebjax.training import run as training

                with checkpoint.locked(settings.folder, "stop it or choose another --name"):
                    source = None
                    if own.role == "learner":
                        source = worker_source.WorkerSource(
                            settings, report, own.take_over, lambda: stop.asked
                        )
                    training.Run(settings, report, lambda: stop.asked, source).go()
            else:
                from zebjax.distributed import worker

                job = _worker_job(own, settings)
                folder = settings.folder / "workers" / job.worker_id
                with checkpoint.locked(folder, "give this worker a --worker-id of its own"):
                    worker.work(settings, job, report, lambda: stop.asked)
    except Stopped:
        print("stopped before it began")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
