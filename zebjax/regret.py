"""The command `zebjax regret`: what a player's decisions cost, in points."""

import argparse
import json
import sys
import time
from collections.abc import Sequence

import jax
import rich.box
from rich.console import Console
from rich.table import Table

from zebjax import players, tiles
from zebjax.common import cli
from zebjax.evaluation.regret import DEALS_AT_ONCE, Loss, Result, measure, plot
from zebjax.players import spec


def _parser() -> cli.Parser:
    parser = cli.Parser(
        "regret",
        "What a player's decisions cost, in points, against the exact best move in the true deal "
        "and against the best\n"
        "move by mean points over N sampled worlds (E[Q]), by trick and by declaration. Only real "
        "decisions count,\n"
        "those with more than one legal move. Each deal is played twice with the teams swapped; "
        "95 % intervals take\n"
        "the deal as the unit. The price is in E[Q]: about 1 s of a core a deal at N = 100.",
        "heuristic --deals 20 --n 20 --plot regret.png",
        notes=spec.help_text(),
    )
    parser.add_argument("player", metavar="PLAYER", help="the player to judge, as listed below")
    parser.add_argument(
        "--deals", type=cli.integer(2, 10**7), default=200, metavar="N", help="deals (default 200)"
    )
    parser.add_argument(
        "--n",
        type=cli.integer(1, spec.MOST_WORLDS),
        default=100,
        metavar="N",
        help="worlds of E[Q] (default 100)",
    )
    parser.add_argument(
        "--opponent", default="random", metavar="PLAYER", help="the other team (default random)"
    )
    parser.add_argument(
        "--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of deals and play (default 0)"
    )
    parser.add_argument("--plot", type=cli.picture, metavar="FILE.png", help="draw the result")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser


def _estimate(mean: float | None, ci95: tuple[float, float] | None) -> str:
    if mean is None:
        return "-"
    return f"{mean:.2f}" + ("" if ci95 is None else f" ± {ci95[1] - mean:.2f}")


def _table(result: Result) -> Table:
    table = Table(box=rich.box.SIMPLE)
    table.add_column("")
    for name in ("decisions", "against the true deal", f"against E[Q], N = {result.n}"):
        table.add_column(name, justify="right")
    tricks = {f"trick {name}": loss for name, loss in result.by_trick.items()}
    for name, loss in ({"all": result.all} | tricks | result.by_declaration).items():
        table.add_row(
            name,
            f"{loss.decisions:,}",
            _estimate(loss.in_deal, loss.in_deal_ci95),
            _estimate(loss.against_eq, loss.against_eq_ci95),
            end_section=name in ("all", f"trick {tiles.N_TRICKS - 1}"),
        )
    return table


def _run(arguments: argparse.Namespace) -> int:
    player, opponent = players.make(arguments.player), players.make(arguments.opponent)
    start = time.perf_counter()
    with cli.progress(f"regret of {player.spec}") as show:

        def on_batch(done: float, loss: Loss) -> None:
            in_deal = _estimate(loss.in_deal, loss.in_deal_ci95)
            show(
                done,
                f"{in_deal} in the deal, {_estimate(loss.against_eq, loss.against_eq_ci95)} "
                "against E[Q]",
            )

        key = jax.random.key(arguments.seed)
        batch = max(1, min(DEALS_AT_ONCE, arguments.deals // 10))
        result = measure(player, opponent, arguments.deals, key, arguments.n, batch, on_batch)
    seconds = time.perf_counter() - start
    if arguments.json:
        print(
            json.dumps({**result.to_dict(), "seed": arguments.seed, "seconds": round(seconds, 3)})
        )
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        title = f"points lost a decision: {result.player} against {result.opponent}, {result.n_deals:,} deals played twice"
        console.print(title, highlight=False, markup=False)
        console.print(_table(result))
        console.print(
            "real decisions only (more than one legal move); 95 % intervals, deals as units",
            highlight=False,
        )
    if arguments.plot is not None:
        plot(result, arguments.plot)
        print(f"wrote {arguments.plot}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see `--help`. Returns the exit status: 0, or 2 after one sentence on stderr for
    bad input.
    """
    return cli.run("regret", _run, _parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
