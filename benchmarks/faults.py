"""Kill the processes of a run at random, and check that no game is lost or counted twice."""

import contextlib
import dataclasses
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zebjax import record
from zebjax.common import checkpoint, cli, files, parsing
from zebjax.distributed import open, spool

from . import report

ABOUT = """Runs a learner, two self-play workers and an eval-aux worker with a tiny network and a
store in a folder. Repeatedly kills one of them with SIGKILL at random moments (the learner, which
takes longer to start, one time in ten) and starts it again. Then makes the store unavailable for a
minute while all four run. At the end stops all, lets a last learner read the rest, and compares:
every game that was ever in the store must be counted exactly once, and no file may be refused. The
learner prunes the store during the run; this program lists it often enough to see every file
before."""

EXPERIMENT = """
from zebjax.experiment import *

experiment = Experiment(
    name="faults",
    cycles=1_000_000,
    network=ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16),
    selfplay=SelfPlayConfig(lanes=8, games_per_cycle=8, search=SearchConfig("gumbel", sims=2)),
    replay=ReplayConfig(capacity_examples=28 * 1000, min_buffer=28 * 8),
    learner=LearnerConfig(batch=8, updates_per_cycle=20, updates_per_call=20),
    evaluation=EvaluationConfig(every_cycles=1_000_000, deals=2),
    save=SaveConfig(keep_every_cycles=1000),
    eval_aux=EvalAuxConfig(
        enabled=True, worlds=1, games_per_file=4, max_model_lag=-1, lag_half_life=0
    ),
    store=StoreConfig(games_per_file=8, publish_every_cycles=20, poll_s=0.5, keep_examples=3000),
)
"""
_GONE_S = 60.0
ROLES = (("learner", None), ("selfplay", "play-1"), ("selfplay", "play-2"), ("evalaux", "eq-1"))


@dataclasses.dataclass
class Process:
    """One of the four processes, and the number of times it was killed."""

    role: str
    worker: str | None
    folder: Path
    running: subprocess.Popen | None = None
    kills: int = 0

    def start(self, *more: str) -> None:
        """Start it; its output is appended to a log file."""
        identity = ["--worker-id", self.worker] if self.worker else []
        command = [
            sys.executable,
            "-m",
            "zebjax",
            "train",
            str(self.folder / "faults.py"),
            "--role",
            self.role,
            *identity,
        ]
        with (self.folder / f"{self.worker or self.role}.log").open("a") as log:
            runs = ["--runs", str(self.folder / "runs")]
            self.running = subprocess.Popen([*command, *runs, *more], stdout=log, stderr=log)

    def is_running(self) -> bool:
        """True if it runs."""
        return self.running is not None and self.running.poll() is None

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self.running is not None
        self.running.kill()
        self.running.wait()
        self.kills += 1

    def stop(self) -> int:
        """Send SIGTERM, wait for its end, and return its exit status."""
        assert self.running is not None
        self.running.send_signal(signal.SIGTERM)
        return self.running.wait(120)


class Ledger:
    """A record of every example file that was seen in the store, and its number of games."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "runs" / "store" / "faults"
        self._state = folder / "runs" / "faults" / "state"
        self._workers = folder / "runs" / "faults" / "workers"
        self.games: dict[str, int] = {}
        self.spooled: set[str] = set()
        self.here: set[str] = set()

    def look(self) -> None:
        """Record the new files in the store."""
        names = {entry.name for entry in open.open_store(str(self._root)).entries("examples")}
        self.here = {name for name in names if spool.parse_name(name)}
        for name in self.here - self.games.keys():
            # The learner may prune a file between the listing and the reading.
            with contextlib.suppress(record.InvalidRecords):
                self.games[name] = record.peek(self._root / name).games

    def look_into_spool(self, worker: str) -> None:
        """Record the files that a killed worker had not sent yet; all must arrive later."""
        files = (self._workers / worker / "spool").glob("*.safetensors")
        self.spooled |= {f"examples/{worker}/{file.name}" for file in files}

    def workers(self) -> set[str]:
        """The workers whose games were seen."""
        return {name.split("/")[1] for name in self.games}

    def books(self) -> dict[str, int]:
        """Return the counts of the files seen, and those in the learner's newest state."""
        self.look()
        progress: dict[str, Any] = {"cursor": {}, "total_games": 0, "cycle": 0, "quarantined": 0}
        if steps := checkpoint.steps(self._state):
            progress = files.read_json(
                checkpoint.step_folder(self._state, steps[-1]) / "progress.json"
            )
        spools = self._workers.glob("*/spool/*.safetensors")
        noted = [int(files.read_json(file)) for file in self._workers.glob("*/spool/sequence.json")]
        taken = [
            n
            for name, n in self.games.items()
            if name <= progress["cursor"].get(name.split("/")[1], "")
        ]
        sequences = {spool.parse_name(name)[:2] for name in self.games}  # type: ignore[index]
        return {
            "files": len(self.games),
            "files_pruned": len(self.games) - len(self.here),
            "numbers_used_twice": len(self.games) - len(sequences),
            # A worker records a number just before it writes the file, so a kill between the two
            # leaves the number unused.
            "numbers_not_used": sum(noted) - len(self.games),
            "files_waiting_at_kills": len(self.spooled),
            "of_these_lost": len(self.spooled - self.games.keys()),
            "files_not_sent": len(list(spools)),
            "games": sum(self.games.values()),
            "games_up_to_the_cursor": sum(taken),
            "games_counted": progress["total_games"],
            "cycles": progress["cycle"],
            "quarantined": progress["quarantined"],
        }

    def pause(self, seconds: float) -> None:
        """Wait, and list the store every five seconds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(5.0, left))
            self.look()


def start_all(processes: list[Process], ledger: Ledger) -> None:
    """Start the learner, then the workers, and wait until each of them has sent games."""
    learner, *workers = processes
    learner.start()
    newest = learner.folder / "runs" / "store" / "faults" / "weights" / "newest.json"
    while not newest.exists():
        time.sleep(1)
    for process in workers:
        process.start()
    while ledger.workers() != {process.worker for process in workers}:
        ledger.pause(1)


def take_what_is_left(learner: Process, ledger: Ledger) -> int:
    """Run the learner until it has read the whole store, at most ten minutes; return its exit
    status.
    """
    learner.start()
    until = time.monotonic() + 600
    while time.monotonic() < until:
        ledger.pause(5)
        now = ledger.books()
        if now["games_up_to_the_cursor"] == now["games"]:
            break
    return learner.stop()


def kill_at_random(
    processes: list[Process], ledger: Ledger, dice: random.Random, kills: int, gap_s: float
) -> list[int]:
    """Kill a process `kills` times, every `gap_s` seconds on average, and start it again.

    Returns:
        The exit statuses of processes that ended by themselves; the list should be empty.
    """
    ended = []
    for kill in range(kills):
        for process in processes:
            if not process.is_running():
                if process.running is not None and process.running.returncode != -signal.SIGKILL:
                    ended.append(process.running.returncode)
                process.start()
        ledger.pause(dice.expovariate(1 / gap_s))
        alive = [process for process in processes if process.is_running()]
        victim = dice.choices(alive, [1 if process.worker is None else 3 for process in alive])[0]
        victim.kill()
        if victim.worker is not None:
            ledger.look_into_spool(victim.worker)
        if kill % 10 == 9:
            print(f"{kill + 1} kills; {json.dumps(ledger.books())}", flush=True)
    return ended


def make_store_unavailable(folder: Path, seconds: float) -> None:
    """Make the store unreadable and unwritable for a time."""
    place = folder / "runs" / "store"
    away = place.rename(folder / "store-away")
    place.touch()
    time.sleep(seconds)
    place.unlink()
    away.rename(place)


def settle(processes: list[Process], ledger: Ledger) -> list[int]:
    """Make the store unavailable while all run, stop all, and let a last learner read the rest.

    Returns:
        The exit statuses of the workers, the learner and the last learner.
    """
    learner, *workers = processes
    for process in processes:
        if not process.is_running():
            process.start()
    ledger.pause(60)
    make_store_unavailable(learner.folder, _GONE_S)
    ledger.pause(60)
    statuses = [process.stop() for process in workers]
    statuses.append(learner.stop())
    return [*statuses, take_what_is_left(learner, ledger)]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json("faults", f"{__doc__}\n\n{ABOUT}", "--kills 200")
    parser.add_argument(
        "--kills",
        type=cli.integer(0, 10**6),
        default=200,
        metavar="N",
        help="total number of kills (default %(default)s)",
    )
    parser.add_argument(
        "--gap-s",
        type=cli.checked(parsing.number(0.1, 3600)),
        default=6.0,
        metavar="S",
        help="mean seconds between two kills (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=cli.integer(0, 2**31), default=0, help="seed of the moments (default 0)"
    )
    parser.add_argument(
        "--folder",
        type=cli.folder,
        metavar="DIR",
        help="folder of the run (default: a temporary one)",
    )
    args = parser.parse_args(argv)
    folder = args.folder or Path(tempfile.mkdtemp(prefix="zebjax-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.py").write_text(EXPERIMENT)
    processes = [Process(role, worker, folder) for role, worker in ROLES]
    ledger = Ledger(folder)
    try:
        start_all(processes, ledger)
        ended = kill_at_random(processes, ledger, random.Random(args.seed), args.kills, args.gap_s)
        statuses = settle(processes, ledger)
    finally:
        for process in processes:
            if process.is_running():
                process.kill()
    books = ledger.books()
    kills = {process.worker or process.role: process.kills for process in processes}
    result = report.surroundings(args.note) | books
    result |= {
        "store_gone_s": _GONE_S,
        "kills": kills,
        "ended_by_themselves": ended,
        "exit_statuses": statuses,
    }
    report.show({**books, "kills": kills})
    report.write(args.out or report.default_name("faults"), result)
    is_right = (
        books["games"] == books["games_counted"]
        and books["numbers_not_used"] <= sum(kills.values())
        and not any(
            books[name]
            for name in ("quarantined", "numbers_used_twice", "files_not_sent", "of_these_lost")
        )
    )
    if not is_right or ended or any(statuses):
        sys.exit(f"faults: the counts do not agree; the logs of the processes are in {folder}")


if __name__ == "__main__":
    sys.exit(report.run("faults", main))
