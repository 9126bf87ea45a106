"""Measure ingest: games checked per second, bytes per game, and how much it slows training."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zebjax import game, network, record, search
from zebjax.common import cli, parsing
from zebjax.distributed import ingest, open, spool
from zebjax.distributed.store_thread import Background
from zebjax.training import learner, replay, selfplay
from zebjax.training.config import SelfPlayConfig
from zebjax.training.learner_config import LearnerConfig

from . import report

ABOUT = """Plays self-play games with a tiny network, writes them as a worker does, and checks the
files as a learner does: sha256, format, every game replayed through the rules. Reports games per
second of CPU time, that is, per core. Then trains a network alternately with and without files
that arrive in a folder, and reports how much longer a cycle takes."""


def played(n: int) -> record.GameRecord:
    """Records of `n` finished games, as NumPy arrays."""
    config = SelfPlayConfig(
        lanes=64, games_per_cycle=n, search=search.SearchConfig("gumbel", sims=2)
    )
    small = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    actor = selfplay.init(config, jax.random.key(0))
    actor = selfplay.advance(config, small, network.init(small, jax.random.key(1)), actor, 0, 10**6)
    return jax.tree.map(np.asarray, selfplay.pop_finished(config, actor)[1])


def checking(data: bytes, games: int, files: int) -> dict[str, float]:
    """Games checked per second of CPU time and of wall time."""
    name = spool.object_name("w0", 1, data)
    ingest.examine(name, data)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(files):
        ingest.examine(name, data)
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - began
    return {"games_per_cpu_s": games * files / cpu_s, "games_per_s": games * files / wall_s}


class Arriving:
    """A worker that sends `games_per_s` at a steady rate, and an ingest that reads its files."""

    def __init__(self, folder: Path, data: bytes, games: int, games_per_s: float) -> None:
        self._place = open.open_store(str(folder / "store"))
        self._ingest = ingest.Ingest(self._place, folder, {})
        self._data, self._every_s, self._sent = data, games / games_per_s, 0
        self._began = time.monotonic()
        self._thread = Background(self._work, min(0.5, self._every_s))
        self._thread.start()

    def _work(self) -> bool:
        if time.monotonic() - self._began >= self._sent * self._every_s:
            self._sent += 1
            self._place.put({spool.object_name("w0", self._sent, self._data): self._data})
        self._ingest.poll()
        return False

    def take(self, ring: replay.Ring) -> tuple[replay.Ring, int]:
        """Add the arrived games to the ring; return the new ring and the number of games."""
        n = 0
        for arrived in self._ingest.pop_arrived():
            assert arrived.records is not None
            ring = replay.add_some(ring, arrived.records)
            n += len(arrived.records.slots)
        return ring, n

    def stop(self) -> None:
        """Stop sending and reading."""
        self._thread.stop()


def training(args: argparse.Namespace, data: bytes, records: record.GameRecord) -> dict[str, Any]:
    """Seconds per training cycle without and with arriving games."""
    preset = network.PRESETS[args.preset]
    config = LearnerConfig(updates_per_cycle=args.updates)
    ring = replay.add_some(replay.init(28 * len(records.slots) * 4), records)
    state = learner.init(config, preset, network.init(preset, jax.random.key(0)), jax.random.key(1))
    seconds: dict[bool, list[float]] = {False: [], True: []}
    games, with_s = 0, 0.0
    for turn in range(2 * args.turns + 1):  # the first one compiles
        is_arriving = turn % 2 == 0
        with tempfile.TemporaryDirectory() as folder:
            arriving = (
                Arriving(Path(folder), data, len(records.slots), args.rate) if is_arriving else None
            )
            for _ in range(args.cycles):
                began, n = time.perf_counter(), 0
                if arriving is not None:
                    ring, n = arriving.take(ring)
                state = learner.train(
                    config, preset, state, ring, config.updates_per_cycle // config.chunk
                )
                jax.block_until_ready(state.params)
                if turn:
                    seconds[is_arriving].append(time.perf_counter() - began)
                    games, with_s = games + n, with_s + is_arriving * seconds[is_arriving][-1]
            if arriving is not None:
                arriving.stop()
    off, on = (statistics.median(seconds[is_arriving]) for is_arriving in (False, True))
    return {
        "preset": args.preset,
        "updates_per_cycle": args.updates,
        "cycles_each": len(seconds[True]),
        "cycle_s_without": off,
        "cycle_s_with": on,
        "stall_s_per_cycle": on - off,
        "stall_percent": 100 * (on / off - 1),
        "games_per_s_taken": games / with_s,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json("ingest", f"{__doc__}\n\n{ABOUT}", "--rate 100")
    counts = {
        "--games-per-file": (128, "games per file"),
        "--files": (40, "files to check"),
        "--updates": (100, "updates per training cycle"),
        "--cycles": (5, "training cycles per turn"),
        "--turns": (4, "turns with arriving games, and as many without"),
    }
    for name, (default, about) in counts.items():
        parser.add_argument(
            name,
            type=cli.integer(1, 10**4),
            default=default,
            metavar="N",
            help=f"{about} (default {default})",
        )
    parser.add_argument(
        "--preset",
        choices=sorted(network.PRESETS),
        default="small",
        help="the network that is trained (default %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=cli.checked(parsing.number(0.1, 10**6)),
        default=50.0,
        metavar="R",
        help="games that arrive per second (default %(default)s)",
    )
    args = parser.parse_args(argv)
    records = played(args.games_per_file)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "games.safetensors"
        record.write(path, records, record.Metadata("selfplay-mcts", "w0", 0, {}))
        data = path.read_bytes()
    sizes = {"games_per_file": args.games_per_file, "plies": game.N_PLIES}
    row = {
        "bytes_per_game": len(data) / args.games_per_file,
        "megabytes_per_hour_at_10_games_per_s": 36_000 * len(data) / args.games_per_file / 1e6,
        **checking(data, args.games_per_file, args.files),
    }
    trained = training(args, data, records)
    report.show(row)
    report.show(trained)
    report.write(
        args.out or report.default_name("ingest"),
        report.surroundings(args.note) | sizes | row | trained,
    )


if __name__ == "__main__":
    sys.exit(report.run("ingest", main))
