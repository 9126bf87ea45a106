"""Measure how long each player thinks at a table: the time of one decision."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import zebjax
from zebjax import bidding, players, tiles
from zebjax.common import cli
from zebjax.protocol import Request
from zebjax.table import bots, state
from zebjax.table.state import YOU, Table

from . import report

SPECS = (
    *("random", "heuristic", "small", "zeb:bundled", "zeb:bundled,sims=16,worlds=8"),
    *("eq:n=10", "eq:n=20", "eq:n=20,criterion=make", "eq:n=100", "eq:n=100,belief=small"),
    "eq:n=100,belief=imitator,adaptive=4,opening=small",
    "eq:n=100,belief=small,adaptive=4,opening=small",
    "eq:n=100,belief=small,rollouts=small,adaptive=4",
    "eq:n=100,belief=small,rollouts=small,adaptive=4,opening=small,opening_tricks=1",
)
"""Players that a person would choose at a table."""
PLAYS = "heuristic"
"""Plays the games whose decisions are timed."""
BID = 30
"""Of the games of `criterion=make`, which plays only with a contract."""

ABOUT = f"""The decisions are those of games that the player `{PLAYS}` plays with itself, without
forced moves; all players are asked at the same ones. A player is asked as at a table: one line of
JSON in, one line out. `criterion=make` has a contract of {BID} of the leader. Each player has a
process of its own with empty caches. Its first decision, mostly compilation, is `first_s`. Some
have a program for each trick, so `warm_up_cpu_s` is the first whole hand, which the table (`play`,
`serve`) plays before it deals. Then each decision is timed once: median, 95th percentile and
maximum in milliseconds of wall time, and of CPU time of all threads, which other programs on the
machine lengthen less. The table at the end is CPU time."""


def decisions(hands: int, seed: int, with_contract: bool = False) -> list[Request]:
    """What players are asked in some hands, forced moves left out.

    Args:
        hands: to play.
        seed: of the first; the next has the next number.
        with_contract: True for a contract of `BID` points of the leader, which ends the hand.
    """
    everyone = dict.fromkeys((PLAYS, YOU), players.make(PLAYS))
    asked = []
    for number in range(hands):
        table = _dealt(seed + number, with_contract)
        while not table.is_over:
            request = state.request(table)
            if len(table.game.legal) > 1:
                asked.append(request)
            name = table.game.players[table.turn]
            table = state.play(table, bots.choose(everyone[name], request))
    return asked


def _dealt(seed: int, with_contract: bool) -> Table:
    table = state.new(0, (PLAYS,) * 3, seed, with_contract)
    if with_contract:
        for call in ((BID, 1), *(bidding.PASS,) * 3):
            table = state.call(table, call)
        table = state.declare(table, tiles.NO_TRUMP)
    return table


def percentiles(seconds: Sequence[float], prefix: str = "") -> dict[str, float]:
    """Median, 95th percentile and maximum, in milliseconds.

    >>> percentiles([0.001, 0.002, 0.009], "cpu_")
    {'cpu_median_ms': 2.0, 'cpu_p95_ms': 8.3, 'cpu_max_ms': 9.0}
    """
    found = 1e3 * np.percentile(seconds, (50, 95, 100))
    names = ("median_ms", "p95_ms", "max_ms")
    return {prefix + name: round(float(each), 3) for name, each in zip(names, found, strict=True)}


def measure(spec: str, hands: int, seed: int) -> dict[str, Any]:
    """One player in this process."""
    with_contract = "criterion=make" in spec.split(",")
    asked = decisions(hands, seed, with_contract)
    player = players.make(spec)

    def timed(request: Request) -> tuple[float, float]:
        return report.wall_and_cpu_s(lambda: bots.choose(player, request))

    first, first_cpu = timed(asked[0])
    _, rest_cpu = report.wall_and_cpu_s(
        lambda: bots.warm_up({spec: player}, lambda *_: None, with_contract)
    )
    walls, cpus = zip(*map(timed, asked), strict=True)
    return {
        "player": spec,
        "contract": BID if with_contract else None,
        "decisions": len(asked),
        **percentiles(walls),
        **percentiles(cpus, "cpu_"),
        "first_s": round(first, 3),
        "first_cpu_s": round(first_cpu, 3),
        "warm_up_cpu_s": round(first_cpu + rest_cpu, 2),
    }


def measure_alone(spec: str, hands: int, seed: int) -> dict[str, Any]:
    """`measure` in a new process with empty caches of compiled programs.

    Raises:
        ValueError: if that process fails; the message has its last line.
    """
    called = [sys.executable, "-m", "zebjax", "benchmark", "latency", "--alone", "--players", spec]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
            "NUMBA_CACHE_DIR": f"{folder}/numba",
            "PYTHONPATH": str(Path(zebjax.__file__).parents[1]),
        }
        out = Path(folder) / "row.json"
        words = ["--hands", str(hands), "--seed", str(seed), "--out", str(out)]
        done = subprocess.run([*called, *words], env=environment, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise ValueError(f"{spec}: its process failed: {last}")
        row: dict[str, Any] = json.loads(out.read_text())
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """CPU time as a table of Markdown."""
    lines = ["| player | median, ms | 95 % within, ms | first hand, s |", "|---|---|---|---|"]
    lines += [
        f"| `{row['player']}` | {row['cpu_median_ms']:.1f} | {row['cpu_p95_ms']:.1f} "
        f"| {row['warm_up_cpu_s']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _parser() -> cli.Parser:
    parser = report.parser_with_json(
        "latency", f"{__doc__}\n\n{ABOUT}", "--players heuristic eq:n=20 --hands 5"
    )
    parser.add_argument(
        "--players",
        nargs="+",
        default=SPECS,
        metavar="PLAYER",
        help=f"default: {' '.join(SPECS)}",
    )
    for name, low, default, about in (
        ("--hands", 1, 10, "whose decisions are timed, about 17 each"),
        ("--seed", 0, 0, "of the first hand"),
    ):
        text = f"{about} (default {default})"
        kind = cli.integer(low, 10**6)
        parser.add_argument(name, type=kind, default=default, metavar="N", help=text)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = _parser().parse_args(argv)
    specs = args.players
    bots.check_specs(specs)
    if args.alone:
        report.write(args.out, measure(specs[0], args.hands, args.seed))
        return
    measured = []

    def rows() -> Iterator[dict[str, Any]]:
        for spec in specs:
            row = measure_alone(spec, args.hands, args.seed)
            measured.append(row)
            yield row

    report.collect("latency", args, rows(), hands=args.hands, seed=args.seed)
    print(table(measured))


if __name__ == "__main__":
    sys.exit(report.run("latency", main))
