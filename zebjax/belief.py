"""The command `zebjax belief`: what a network knows about hidden tiles."""

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Sequence

import jax
import numpy as np
import rich.box
from rich.console import Console
from rich.table import Table

from zebjax import network, players
from zebjax.common import cli
from zebjax.evaluation.belief import (
    DEALS_AT_ONCE,
    Comparison,
    by_trick,
    plot,
    positions_of,
    predict,
)
from zebjax.players import spec


def _parser() -> cli.Parser:
    parser = cli.Parser(
        "belief",
        "Does a network know who holds the hidden tiles better than counting tells? Scores its "
        "belief head on truly\n"
        "hidden tiles, at every decision of games that it plays on all four seats, by trick, "
        "beside the exact\n"
        "marginal over all hands that fit the voids shown. Cross-entropy in nats a tile; 95 % "
        "intervals take deals\n"
        "as units.",
        "runs/quickstart --deals 200 --plot belief.png",
        notes=spec.help_text(),
    )
    parser.add_argument(
        "path",
        metavar="PATH",
        help="a run, one of its checkpoints, or what `python -m convert` made",
    )
    parser.add_argument(
        "--deals", type=cli.integer(2, 10**6), default=200, metavar="N", help="deals (default 200)"
    )
    parser.add_argument(
        "--by", metavar="PLAYER", help="who plays the games, as listed below (default the network)"
    )
    parser.add_argument(
        "--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of deals and play (default 0)"
    )
    parser.add_argument("--plot", type=cli.picture, metavar="FILE.png", help="draw the result")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser


def _table(title: str, results: dict[str, Comparison | None]) -> Table:
    table = Table(box=rich.box.SIMPLE, title=title, title_justify="left")
    for name in (
        "trick",
        "hidden tiles",
        "",
        "accuracy %",
        "cross-entropy",
        "Brier",
        "calibration error",
        "gain, nats",
    ):
        table.add_column(name, justify="left" if name in ("trick", "") else "right")
    for trick, result in results.items():
        if result is None:
            continue
        gain = f"{result.gain:+.4f}"
        if result.gain_ci95 is not None:
            gain += f" ± {result.gain_ci95[1] - result.gain:.4f}"
        for name, scores in (("network", result.network), ("marginal", result.marginal)):
            is_first = name == "network"
            table.add_row(
                trick if is_first else "",
                f"{result.n_tiles:,}" if is_first else "",
                name,
                f"{100 * scores.accuracy:.1f}",
                f"{scores.cross_entropy:.4f}",
                f"{scores.brier:.4f}",
                f"{scores.calibration_error:.4f}",
                gain if is_first else "",
                end_section=not is_first,
            )
    return table


def _run(arguments: argparse.Namespace) -> int:
    config, params = network.load(arguments.path)
    if not config.belief_head:
        raise ValueError(
            f"{arguments.path}: this network has no belief head; `--belief-head fresh` of convert "
            "adds one"
        )
    player = players.make(arguments.by) if arguments.by else players.zeb(config, params)
    key, start, parts = jax.random.key(arguments.seed), time.perf_counter(), []
    n_batches = math.ceil(arguments.deals / DEALS_AT_ONCE)
    size = math.ceil(arguments.deals / n_batches)  # of one size, so that nothing is compiled twice
    with cli.progress(f"belief of {arguments.path}") as show:
        for index in range(n_batches):
            parts.append(positions_of(player, key, index * size, size))
            show(0.9 * (index + 1) / n_batches, "playing")
        judged = predict(
            config, params, jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
        )
        show(1.0, "judged")
    n_deals = n_batches * size
    results = by_trick(judged)
    title = f"belief of {arguments.path}, {n_deals:,} deals played by {player.spec}"
    if arguments.json:
        plain = {trick: result and dataclasses.asdict(result) for trick, result in results.items()}
        facts = {
            "path": arguments.path,
            "by": player.spec,
            "deals": n_deals,
            "seed": arguments.seed,
        }
        print(
            json.dumps(
                {**facts, "by_trick": plain, "seconds": round(time.perf_counter() - start, 3)}
            )
        )
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        console.print(_table(title, results))
        console.print(
            "gain: cross-entropy of the marginal less the network's; 95 % intervals, deals as units"
        )
    if arguments.plot is not None:
        plot(title, judged, results, arguments.plot)
        print(f"wrote {arguments.plot}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see `--help`. Returns the exit status: 0, or 2 after one sentence on stderr for
    bad input.
    """
    return cli.run("belief", _run, _parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
