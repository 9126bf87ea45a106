"""The command `zebjax regret`: measure the points and wins that a player's decisions lose."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zebjax import players
from zebjax.common import cli, console
from zebjax.players import spec

if TYPE_CHECKING:  # imported when a game is played, so that `--help` does not import jax
    from rich.table import Table

    from zebjax.evaluation.regret import Loss, Result


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "regret",
        "Measure the points that a player's decisions lose, by trick and by declaration, against\n"
        "the exact best move in the true deal and against the best move by mean points over N\n"
        "sampled worlds (E[Q], the exact teacher). Only decisions with more than one legal move\n"
        "count. Each deal is played twice with the teams swapped; 95 % intervals take the deal as\n"
        "the unit. E[Q] takes most of the time: one core needs about 1 s per deal at N = 100.\n"
        "With --judge also the wins lost: P(win) of the best move less that of the chosen one, as\n"
        "a stronger player judges both, on worlds that the player did not use. The best of noisy\n"
        "shares is a little too large, more so for a small n, so even a player that is its own\n"
        "judge loses a little. A judge with n=1000, belief and rollouts takes 5 s per deal.",
        "heuristic --deals 20 --n 20 --plot regret.png",
        "small --deals 20 --n 20 --judge eq:n=1000,belief=small,rollouts=small",
        notes=spec.help_text(),
    )
    made.add_argument("player", metavar="PLAYER", help="the player to analyse, as listed below")
    made.add_argument(
        "--deals", type=cli.integer(2, 10**7), default=200, metavar="N", help="deals (default 200)"
    )
    made.add_argument(
        "--n",
        type=cli.integer(1, spec.MAX_WORLDS),
        default=100,
        metavar="N",
        help="worlds of E[Q] (default 100)",
    )
    made.add_argument(
        "--opponent", default="random", metavar="PLAYER", help="the other team (default random)"
    )
    made.add_argument(
        "--judge",
        metavar="PLAYER",
        help="also wins lost, judged by eq:n=N or eq:n=N,belief=small,rollouts=small",
    )
    made.add_argument(
        "--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of deals and play (default 0)"
    )
    made.add_argument("--plot", type=cli.picture, metavar="FILE.png", help="draw the result")
    made.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return made


def _estimate(mean: float | None, ci95: tuple[float, float] | None, scale: int = 1) -> str:
    if mean is None:
        return "-"
    return f"{scale * mean:.2f}" + ("" if ci95 is None else f" ± {scale * (ci95[1] - mean):.2f}")


def _table(result: "Result") -> "Table":
    import rich.box
    from rich.table import Table

    from zebjax import tiles

    table = Table(box=rich.box.SIMPLE)
    table.add_column("")
    names = ["decisions", "against the true deal", f"against E[Q], N = {result.n}"]
    if result.judge is not None:
        names.append("wins lost in %")
    for name in names:
        table.add_column(name, justify="right")
    tricks = {f"trick {name}": loss for name, loss in result.by_trick.items()}
    for name, loss in ({"all": result.all} | tricks | result.by_declaration).items():
        table.add_row(
            name,
            f"{loss.decisions:,}",
            _estimate(loss.in_deal, loss.in_deal_ci95),
            _estimate(loss.against_eq, loss.against_eq_ci95),
            *[_estimate(loss.wins_lost, loss.wins_lost_ci95, 100)] * (result.judge is not None),
            end_section=name in ("all", f"trick {tiles.N_TRICKS - 1}"),
        )
    return table


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.common import jax_settings
    from zebjax.evaluation.regret import DEALS_AT_ONCE, JUDGED_AT_ONCE, measure, p_win_of, plot

    player, opponent = players.make(arguments.player), players.make(arguments.opponent)
    judge = None if arguments.judge is None else players.make(arguments.judge)
    if judge is not None:
        p_win_of(judge, "--judge")
    start = time.perf_counter()
    with cli.progress(f"regret of {player.spec}") as show:

        def on_batch(done: float, loss: "Loss") -> None:
            if not loss.decisions:
                show(done, "")
                return
            in_deal = _estimate(loss.in_deal, loss.in_deal_ci95)
            against_eq = _estimate(loss.against_eq, loss.against_eq_ci95)
            text = f"{in_deal} in the deal, {against_eq} against E[Q]"
            if judge is not None:
                text += f", {_estimate(loss.wins_lost, loss.wins_lost_ci95, 100)} % of wins"
            show(done, text)

        key = jax_settings.key(arguments.seed)
        most = DEALS_AT_ONCE if judge is None else JUDGED_AT_ONCE
        batch = max(1, min(most, arguments.deals // 10))
        result = measure(
            player, opponent, arguments.deals, key, arguments.n, batch, on_batch, judge
        )
    seconds = time.perf_counter() - start
    if arguments.json:
        print(
            json.dumps({**result.to_dict(), "seed": arguments.seed, "seconds": round(seconds, 3)})
        )
    else:
        out = console.make()
        what = "points" if judge is None else "points and wins"
        out.print(
            f"{what} lost per decision: {result.player} against {result.opponent}, "
            f"{result.n_deals:,} deals played twice"
        )
        out.print(_table(result))
        out.print("decisions with more than one legal move; 95 % intervals, deals as units")
        if judge is not None:
            out.print(f"wins lost: judged by {judge.spec}; a win is 100 %")
    if arguments.plot is not None:
        plot(result, arguments.plot)
        print(f"wrote {arguments.plot}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("regret", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
