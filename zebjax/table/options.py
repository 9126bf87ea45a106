"""Options that the programs of a table share. It imports no jax, so that `--help` is fast."""

import argparse
import importlib.util
import secrets
from typing import TYPE_CHECKING

from zebjax.common import bids, cli, parsing
from zebjax.players import spec
from zebjax.table import HINT_WORLDS, MAX_SEED

if TYPE_CHECKING:
    from zebjax.table.host import Host

THETA = 0.5
"""The default of --theta."""
BIDDING_PLAYER = "eq:n=20,criterion=make"
"""The default player with --bid: it plays to make or set."""


def add(parser: cli.Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "--worlds",
        type=cli.integer(1, spec.MAX_WORLDS),
        default=HINT_WORLDS,
        metavar="N",
        help=f"sampled deals of a hint and of a review (default {HINT_WORLDS})",
    )
    parser.add_argument(
        "--beliefs",
        default="bundled",
        metavar="PATH",
        help="network whose beliefs are shown beside exact counting (default bundled)",
    )
    parser.add_argument(
        "--games",
        type=cli.folder,
        metavar="FOLDER",
        help="save each finished hand there, as a record and as text",
    )
    parser.add_argument(
        "--bid",
        action="store_true",
        help="whole games to 7 marks: one round of bids before each hand, and the highest bidder "
        "must make its bid. Without it the declaration is drawn and more points win",
    )
    parser.add_argument(
        "--special",
        type=cli.checked(bids.parse_specials),
        default=(),
        metavar="LIST",
        help=f"with --bid: contracts that the table allows, of {','.join(bids.SPECIALS)}, with "
        "commas between (default: none)",
    )
    parser.add_argument(
        "--doubles-suit",
        action="store_true",
        help="with --bid: doubles may be declared a suit without trump power",
    )
    parser.add_argument(
        "--theta",
        type=cli.checked(parsing.number(0, 1)),
        metavar="P",
        help=f"with --bid: the others raise by one if their P(make) is P or more (default {THETA})",
    )
    parser.add_argument(
        "--seed",
        type=cli.integer(0, MAX_SEED),
        metavar="N",
        help="of the first hand; the next hand has the next number (default: drawn anew)",
    )


def need_extra(command: str, *modules: str) -> None:
    """Raise ValueError, which names the extra to install, unless all these modules are there."""
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise ValueError(f'it needs the extra "{command}": pip install "zebjax[{command}]"')


def seed_of(arguments: argparse.Namespace) -> int:
    """The seed of the first hand: the one given, or one from the operating system."""
    return secrets.randbelow(MAX_SEED + 1) if arguments.seed is None else arguments.seed


def open_host(arguments: argparse.Namespace, specs: list[str]) -> "Host":
    """Load and warm up the players and the network of beliefs, with progress on stderr.

    Raises:
        ValueError: for a player or a network that cannot be loaded, or a folder of games that
            cannot be made.
    """
    from zebjax.common import console, files
    from zebjax.players.special_bids import SpecialBidder
    from zebjax.table import advice, bots, host

    for name in ("theta", "special", "doubles_suit"):
        if getattr(arguments, name) not in (None, (), False) and not arguments.bid:
            raise ValueError(f"--{name.replace('_', '-')}: expected --bid with it")
    bots.check_specs(specs)
    with cli.names_option("--beliefs"):
        believer = advice.believer(arguments.beliefs)
    theta = THETA if arguments.theta is None else arguments.theta
    bidder = SpecialBidder(theta) if arguments.bid else None
    allowed = (bids.DOUBLES_SUIT,) * arguments.doubles_suit + arguments.special
    empty = host.Host({}, believer, arguments.worlds, arguments.games, bidder, allowed)
    with cli.progress("warming up") as show:
        made = host.open_host(specs, empty, show)
    if arguments.games is not None:
        with files.writing(arguments.games):  # now, not after the first hand
            arguments.games.mkdir(parents=True, exist_ok=True)
    if made.notice:
        console.warn(made.notice)
    return made
