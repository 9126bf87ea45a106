"""The options of `zebjax arena` for games with bids; without jax, so that `--help` is fast."""

import argparse
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from zebjax.common import bids, cli, parsing

if TYPE_CHECKING:
    from rich.table import Table

    from zebjax.evaluation.ladder import Cache, Rules
    from zebjax.players import Player

THETA = 0.5
"""The default of --theta."""
DECLARE: Final = "make"
"""The default of --declare."""


def add(parser: cli.Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "--contract",
        type=cli.checked(bids.parse_contract),
        metavar="BID",
        help="every hand has a contract: the first leader must make BID, 30 to 42 points or marks "
        "as in 2m (42 points), and the other team sets it. The value is make/set, not points won. "
        "BID may be nello or nello-doubles; players then are random, eq:n=N and ext",
    )
    parser.add_argument(
        "--declare",
        choices=("make", "pips"),
        help="with --contract: the bidder's declaration, the one with the highest P(make) over "
        f"sampled worlds, or the longest suit (default {DECLARE})",
    )
    parser.add_argument(
        "--marks",
        type=cli.integer(1, 32),
        metavar="N",
        help="whole games to N marks with an auction before each hand, the same for both players; "
        "--deals is the number of games, each played twice",
    )
    parser.add_argument(
        "--theta",
        type=cli.checked(parsing.number(0, 1)),
        metavar="P",
        help="with --marks: each seat raises an opponent's bid by one if its P(make) is P or more; "
        f"if all pass, the dealer must bid 30 (default {THETA})",
    )
    parser.add_argument(
        "--special",
        type=cli.checked(bids.parse_specials),
        default=(),
        metavar="LIST",
        help=f"with --marks: contracts that may be bid too, of {','.join(bids.SPECIALS)}, with "
        "commas between (default: none). They are bid if their P(make) is --theta or more and they "
        "promise more marks. In nello a player that does not know it hands its moves to E[Q]. Such "
        "matches are not kept in the cache",
    )
    parser.add_argument(
        "--doubles-suit",
        action="store_true",
        help="with --marks: doubles may be declared a suit without trump power",
    )


def check(arguments: argparse.Namespace, others: Iterable[str]) -> None:
    """Check the options against each other.

    Args:
        arguments: parsed.
        others: the other options given that fit neither --contract nor --marks.

    Raises:
        ValueError: for one that does not fit; the message names it.
    """
    if arguments.declare and not arguments.contract:
        raise ValueError("--declare: expected --contract with it")
    if arguments.marks is None:
        for name in ("theta", "special", "doubles_suit"):
            if getattr(arguments, name) not in (None, (), False):
                raise ValueError(f"--{name.replace('_', '-')}: expected --marks with it")
        if arguments.contract is None:
            return
    elif arguments.contract:
        raise ValueError("--contract: not allowed with --marks")
    bids_by = "--contract" if arguments.marks is None else "--marks"
    for name in others:
        raise ValueError(f"{name}: not allowed with {bids_by}")


def play(
    arguments: argparse.Namespace,
    pair: tuple["Player", "Player"],
    rules: "Rules",
    cache: "Cache",
    progress: Callable[[float], None],
) -> tuple[dict[str, Any], "Table"]:
    """Play A against B with a contract in every hand, or whole games.

    Args:
        arguments: checked, with `contract` or `marks`.
        pair: A and B.
        rules: seed and batch.
        cache: finished pairs.
        progress: called with the share done.

    Returns:
        The result as plain data for JSON, and as a table.
    """
    from zebjax.evaluation import contracts, marks, tables

    if arguments.marks is None:
        bid, worth, special = arguments.contract
        terms = contracts.Terms(bid, worth, arguments.declare or DECLARE, special=special)
        one, seconds, cached = contracts.play(*pair, arguments.deals, terms, rules, cache, progress)
        result, table = one.to_dict(), tables.contract_table(one, seconds, cached)
    else:
        theta = THETA if arguments.theta is None else arguments.theta
        options = (bids.DOUBLES_SUIT,) * arguments.doubles_suit + arguments.special
        goal = marks.Terms(arguments.marks, theta, options=options)
        whole, seconds, cached = marks.play(*pair, arguments.deals, goal, rules, cache, progress)
        result, table = whole.to_dict(), tables.marks_table(whole, seconds, cached)
    return {**result, "seed": rules.seed, "seconds": seconds, "cached": cached}, table
