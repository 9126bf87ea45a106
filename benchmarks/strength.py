"""Measure the strength beyond E[Q]: weighted worlds, rollouts and the small network, in pairs."""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zebjax import game, players
from zebjax.common import charts, cli, files
from zebjax.evaluation import matches
from zebjax.players.base import NeedsContract

from . import report

WEIGHTED = "eq:n=100,belief=small"
PAIRS = (
    ("small", "random"),
    ("small", "eq:n=10"),
    ("small", "eq:n=100"),
    ("eq:n=100,belief=imitator,adaptive=4,opening=small", "eq:n=100"),
    (f"{WEIGHTED},adaptive=4,opening=small", "eq:n=100"),
    (f"{WEIGHTED},rollouts=small,adaptive=4", "eq:n=100"),
    (f"{WEIGHTED},rollouts=small,adaptive=4,opening=small,opening_tricks=1", "eq:n=100"),
)
_DEALS_AT_ONCE = 50  # what an interruption loses of a match
ABOUT = """Plays pairs of players on the same deals, each deal twice with the teams swapped, a few
deals of each pair in turn. The margins of finished deals are kept in --keep, so the same command
resumes, and a larger --deals adds deals after the same first ones. Times are CPU time of this
process in A's decisions, those without a choice excluded; with other programs on the machine they
are too high. --plot draws strength against time for the pairs that have the most common B."""


def keep_file(keep: Path, a: str, b: str, seed: int) -> Path:
    """The file of one pair's margins. It is another one when a network has changed.

    A player without an identity, such as an external program, is known by its spec.
    """
    identities = [players.make(spec).identity or spec for spec in (a, b)]
    return keep / f"{report.digest_of(identities, seed, matches.VERSION)}.json"


class Timed:
    """A player, and the CPU time of its decisions."""

    def __init__(self, spec: str):
        made = players.make(spec)
        self.seconds, self.decisions, self._choose = 0.0, 0, made.choose
        self.player = dataclasses.replace(made, choose=self._timed)

    def _timed(self, states: game.GameState, keys: np.ndarray) -> np.ndarray:
        start = time.process_time()
        slots = self._choose(states, keys)
        self.seconds += time.process_time() - start
        self.decisions += len(keys)
        return slots


def play_some(pair: tuple[str, str], key: jax.Array, file: Path, batch: int) -> dict[str, Any]:
    """Play the next deals of a pair, add them to its file, and return its contents."""
    kept = read(file)
    first = len(kept["margins"])
    a, b = Timed(pair[0]), players.make(pair[1])
    _compiled(*pair)
    kept["margins"] += matches.play_deals(a.player, b, key, first, batch).tolist()
    kept["a_cpu_s"] += a.seconds
    kept["a_decisions"] += a.decisions
    files.write_json(file, kept)
    return kept


def play_rest(
    pair: tuple[str, str], keep: Path, deals: int, seed: int, show: Callable[[float, str], None]
) -> dict[str, Any]:
    """Return what is kept of a pair's first deals (`read`), after playing the rest.

    Args:
        pair: specs of the players.
        keep: folder of finished deals.
        deals: number of deals.
        seed: of deals and play.
        show: is told of the progress.
    """
    file = keep_file(keep, *pair, seed)
    kept = read(file)
    while (n := len(kept["margins"])) < deals:
        kept = play_some(pair, jax.random.key(seed), file, min(_DEALS_AT_ONCE, deals - n))
        show(len(kept["margins"]) / deals, f"{len(kept['margins']):,} deals")
    return kept | {"margins": kept["margins"][:deals]}


def check_opponent(spec: str) -> None:
    """Raise ValueError, naming --against, for a player that plays only with a contract."""
    if isinstance(players.make(spec).choose, NeedsContract):
        raise ValueError(f"--against {spec}: it plays only games with a contract")


def read(file: Path) -> dict[str, Any]:
    """The finished deals of a pair; none if the file does not exist."""
    empty = {"margins": [], "a_cpu_s": 0.0, "a_decisions": 0}
    found = files.read_json(file) if file.exists() else empty
    if not isinstance(found, dict) or set(found) != set(empty):
        raise ValueError(f"{file}: expected finished deals; delete it to play them again")
    return found


@functools.cache
def _compiled(a: str, b: str) -> None:
    """Compile what a pair needs, once a process, so that it is not in the times."""
    matches.play_deals(players.make(a), players.make(b), jax.random.key(0), 0, 2)


def row_of(pair: tuple[str, str], kept: dict[str, Any]) -> dict[str, Any]:
    """One row of the result."""
    result = matches.summarise(*pair, np.array(kept["margins"]))
    return {
        "a": result.a,
        "b": result.b,
        "deals": result.n_deals,
        "win_rate": round(result.win_rate, 4),
        "win_rate_ci95": [round(bound, 4) for bound in result.win_rate_ci95],
        "margin": round(result.margin, 3),
        "margin_ci95": [round(bound, 3) for bound in result.margin_ci95],
        "ms_per_decision": round(1000 * kept["a_cpu_s"] / max(1, kept["a_decisions"]), 3),
    }


def plot(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Draw win rates against the most common opponent over the time of a decision, as PNG."""
    opponents = [row["b"] for row in rows]
    opponent = max(opponents, key=opponents.count)
    shown = [row for row in rows if row["b"] == opponent]
    # Names are long: they are below the axes, and each takes a line.
    figure = charts.new_figure(8, 4.5 + 0.18 * len(shown))
    axes = figure.subplots()
    for row in shown:
        rate, (low, high) = 100 * row["win_rate"], row["win_rate_ci95"]
        sides = [[max(0.0, rate - 100 * low)], [max(0.0, 100 * high - rate)]]
        place = max(row["ms_per_decision"], 1e-3)
        axes.errorbar(place, rate, yerr=sides, fmt="o", capsize=3, label=row["a"])
    axes.axhline(50, color="gray", linewidth=0.8)
    axes.set(
        xscale="log",
        xlabel="CPU time of a decision, ms",
        ylabel=f"wins against {opponent}, %",
        title="Strength and time; 95 % intervals, paired deals",
    )
    figure.legend(fontsize=8, loc="outside lower left")
    charts.save_figure(figure, path)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json(
        "strength", f"{__doc__}\n\n{ABOUT}", "--deals 20 --pair small random"
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        metavar=("A", "B"),
        help="two players; may be given several times (default: the main pairs of the README)",
    )
    parser.add_argument(
        "--deals",
        type=cli.integer(2, 10**6),
        default=400,
        metavar="N",
        help="deals of each pair (default %(default)s)",
    )
    parser.add_argument(
        "--batch",
        type=cli.integer(2, 10**4),
        default=20,
        metavar="N",
        help="deals of a pair in turn (default %(default)s)",
    )
    parser.add_argument(
        "--keep",
        type=cli.folder,
        default=Path("runs/strength"),
        metavar="DIR",
        help="folder of finished deals (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=cli.integer(0, 2**31), default=0, help="of deals and play (default 0)"
    )
    parser.add_argument("--plot", type=cli.picture, metavar="FILE.png", help="draw the result")
    args = parser.parse_args(argv)
    args.keep.mkdir(parents=True, exist_ok=True)
    key, result = jax.random.key(args.seed), report.surroundings(args.note)
    pairs = [tuple(pair) for pair in args.pair or PAIRS]
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for last in range(args.batch, args.deals + args.batch, args.batch):
        for pair in pairs:
            file = keep_file(args.keep, *pair, args.seed)
            kept = read(file)
            if (left := min(last, args.deals) - len(kept["margins"])) > 0:
                kept = play_some(pair, key, file, left)
                report.show(row_of(pair, kept))
            rows[pair] = row_of(pair, kept)
    report.write(
        args.out or report.default_name("strength"), result | {"pairs": list(rows.values())}
    )
    if args.plot:
        plot(args.plot, list(rows.values()))


if __name__ == "__main__":
    sys.exit(report.run("strength", main))
