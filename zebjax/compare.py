"""The command `zebjax compare`: where two players differ, what it costs, and from which trick."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zebjax import players
from zebjax.common import cli, console
from zebjax.players import spec

if TYPE_CHECKING:  # imported when a game is played, so that `--help` does not import jax
    from rich.table import Table

    from zebjax.evaluation.divergence import Result
    from zebjax.evaluation.ladder import Played

N_TRICKS = 6
"""The tricks with decisions: in the seventh every move is forced."""


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "compare",
        "Compare two players move by move. A plays paired deals against B, and at each of A's\n"
        "decisions B is asked what it would play there: how often they differ, by trick, and how\n"
        "many points A's move gains over B's, in the true deal and on average over N sampled\n"
        "worlds (E[Q]). With --takeover also matches in which B plays everything until a trick\n"
        "and A takes over one team from it on.",
        "eq:n=10 heuristic --deals 20 --n 20",
        "eq:n=10 heuristic --deals 20 --n 20 --takeover 500",
        notes=spec.help_text(),
    )
    add = made.add_argument
    add("players", nargs=2, metavar="PLAYER", help="A and B, as listed below")
    add("--deals", type=cli.integer(2, 10**7), default=100, metavar="N", help="deals (default 100)")
    add(
        "--n",
        type=cli.integer(1, spec.MAX_WORLDS),
        default=100,
        metavar="N",
        help="worlds of E[Q] (default 100)",
    )
    add(
        "--takeover",
        type=cli.integer(2, 10**7),
        metavar="N",
        help="also play N deals for each trick from which A takes over",
    )
    add("--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of deals and play (default 0)")
    add("--json", action="store_true", help="print the result as one JSON object")
    return made


def _gain(mean: float | None, ci95: tuple[float, float] | None) -> str:
    if mean is None:
        return "-"
    return f"{mean:+.2f}" + ("" if ci95 is None else f" ± {ci95[1] - mean:.2f}")


def _table(result: "Result", taken: dict[str, "Played"]) -> "Table":
    import rich.box
    from rich.table import Table

    from zebjax.evaluation import tables

    table = Table(box=rich.box.SIMPLE)
    names = ["", "decisions", "differ", "true deal", f"E[Q], N = {result.n}"]
    for name in names + ["wins from it on"] * bool(taken):
        table.add_column(name, justify="right" if name else "left")
    rows = {"all": result.all} | {f"trick {name}": one for name, one in result.by_trick.items()}
    for name, one in rows.items():
        share = f"{100 * one.differ / one.decisions:.0f} %" if one.decisions else "-"
        played = taken.get(name.removeprefix("trick "))
        table.add_row(
            name,
            f"{one.decisions:,}",
            share,
            _gain(one.in_deal, one.in_deal_ci95),
            _gain(one.by_eq, one.by_eq_ci95),
            *([tables.percent(played.result) if played else ""] * bool(taken)),
            end_section=name == "all",
        )
    return table


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.common import jax_settings
    from zebjax.evaluation import divergence, ladder

    a, b = (players.make(text) for text in arguments.players)
    with cli.progress(f"{a.spec} and {b.spec}") as show:
        result = divergence.measure(
            a,
            b,
            arguments.deals,
            jax_settings.key(arguments.seed),
            arguments.n,
            lambda done: show(done, ""),
        )
    taken: dict[str, Played] = {}
    if arguments.takeover:
        rules, cache = ladder.Rules(arguments.seed), ladder.Cache(None)
        with cli.progress("takeover") as show:
            for trick in range(1, N_TRICKS + 1):
                taken[str(trick)] = divergence.take_over(
                    a, b, trick, arguments.takeover, rules, cache
                )
                show(trick / N_TRICKS, f"from trick {trick} on")
    if arguments.json:
        wins = {trick: played.result.to_dict() for trick, played in taken.items()}
        print(json.dumps({**result.to_dict(), "takeover": wins, "seed": arguments.seed}))
        return 0
    out = console.make()
    out.print(
        f"A = {result.a}, B = {result.b}: {result.n_deals:,} deals played twice; points that A's "
        "move gains where B's is another"
    )
    out.print(_table(result, taken))
    out.print("decisions of A with more than one legal move; 95 % intervals, deals as units")
    if taken:
        out.print(
            "wins from it on: B plays all until that trick, then A one team; "
            f"{arguments.takeover:,} deals played twice"
        )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("compare", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
