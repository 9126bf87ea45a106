"""Measure the strength beyond E[Q]: weighted worlds, rollouts and the small network, in pairs."""

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zebjax import players
from zebjax.common import cli, files
from zebjax.evaluation import matches

from . import report

WEIGHTED = "eq:n=100,belief=small"
PAIRS = (
    ("small", "random"),
    ("small", "eq:n=10"),
    ("small", "eq:n=100"),
    ("eq:n=100,points=0.02", "eq:n=100"),
    (WEIGHTED, "eq:n=100"),
    (f"{WEIGHTED},rollouts=small,blend=0.5", "eq:n=100"),
)
ABOUT = """Plays pairs of players on the same deals, each deal twice with the teams swapped, a few
deals of each pair in turn. The margins of finished deals are kept in --keep, so the same command
resumes, and a larger --deals adds deals after the same first ones. CPU seconds are those of this
process, of both players together; with other programs on the machine they are too high."""


def keep_file(keep: Path, a: str, b: str, seed: int) -> Path:
    """The file of one pair's margins. It is another one when a network has changed."""
    identities = [players.make(spec).identity for spec in (a, b)]
    name = hashlib.sha256(repr((identities, seed, matches.VERSION)).encode()).hexdigest()[:16]
    return keep / f"{name}.json"


def play_some(pair: tuple[str, str], key: jax.Array, file: Path, batch: int) -> dict[str, Any]:
    """Play the next deals of a pair, add them to its file, and return its contents."""
    kept = files.read_json(file) if file.exists() else {"margins": [], "cpu_s": 0.0}
    start = time.process_time()
    a, b = (players.make(spec) for spec in pair)
    margins = matches.play_deals(a, b, key, len(kept["margins"]), batch)
    kept["cpu_s"] += time.process_time() - start
    kept["margins"] += margins.tolist()
    files.write_json(file, kept)
    return dict(kept)


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
        "cpu_s_per_game": round(kept["cpu_s"] / (2 * result.n_deals), 3),
    }


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
        help="two players; may be given several times (default: the pairs of the README)",
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
        type=Path,
        default=Path("runs/strength"),
        metavar="DIR",
        help="folder of finished deals (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=cli.integer(0, 2**31), default=0, help="of deals and play (default 0)"
    )
    args = parser.parse_args(argv)
    args.keep.mkdir(parents=True, exist_ok=True)
    key, result = jax.random.key(args.seed), report.surroundings(args.note)
    pairs = [tuple(pair) for pair in args.pair or PAIRS]
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for last in range(args.batch, args.deals + args.batch, args.batch):
        for pair in pairs:
            file = keep_file(args.keep, *pair, args.seed)
            kept = files.read_json(file) if file.exists() else {"margins": []}
            if len(kept["margins"]) < min(last, args.deals):
                kept = play_some(pair, key, file, min(args.batch, args.deals))
                report.show(row_of(pair, kept))
            rows[pair] = row_of(pair, kept)
    report.write(
        args.out or report.default_name("strength"), result | {"pairs": list(rows.values())}
    )


if __name__ == "__main__":
    sys.exit(report.run("strength", main))
