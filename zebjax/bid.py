"""The command `zebjax bid`: what a hand can bid, and how good that estimate is."""

import argparse
import functools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zebjax.common import bids, cli, console, parsing
from zebjax.players import spec

if TYPE_CHECKING:  # imported when it runs, so that `--help` does not import numpy
    from rich.table import Table

    from zebjax.evaluation.calibration import Group, Result
    from zebjax.players.auction import Chances
    from zebjax.players.special_bids import Offer

WORLDS, CALIBRATION_WORLDS = 200, 100
"""Defaults of --n."""
THETA, BY = 0.5, "small"


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "bid",
        "Estimate the chance to make each bid from 30 to 42 with each declaration, if the hand's\n"
        "owner leads: P(make). The other three hands are sampled N times, and every lead is\n"
        "played to the end in each of these worlds by the small network, each seat from its own\n"
        "view; or, with --by exact, solved exactly, as if all hands were known after the lead.\n"
        "--calibrate compares the estimate with what comes when contracts are played.",
        "6-6 6-5 6-4 5-5 3-2 1-0 4-4",
        "6-6 6-5 6-4 5-5 3-2 1-0 4-4 --n 1000 --plot bid.png",
        "1-0 2-0 3-1 2-1 3-2 4-0 5-1 --special nello,plunge,splash,sevens",
        "--calibrate 200 --keep deals.json --plot calibration.png",
        usage="TILE TILE TILE TILE TILE TILE TILE [options]\n--calibrate N [options]",
    )
    add = made.add_argument
    add("hand", nargs="*", metavar="TILE", help="seven tiles, as in 6-6 6-5 (or 66 65)")
    add(
        "--n",
        type=cli.integer(1, spec.MAX_WORLDS),
        metavar="N",
        help=f"worlds (default {WORLDS}; with --calibrate {CALIBRATION_WORLDS}); with 200, P(make) "
        "of a half is known to about +-7 %%",
    )
    add(
        "--by",
        default=BY,
        metavar="PATH",
        help="a small network, see `zebjax iterate`, or `exact` (default the bundled network)",
    )
    add(
        "--theta",
        type=cli.checked(parsing.number(0, 1)),
        default=THETA,
        metavar="P",
        help="bid as high as P(make) is P or more (default %(default)s)",
    )
    add(
        "--doubles-suit",
        action="store_true",
        help="also doubles as a suit without trump power, where a table allows it",
    )
    add(
        "--special",
        type=cli.checked(bids.parse_specials),
        default=(),
        metavar="LIST",
        help=f"also P(make) of these contracts, of {','.join(bids.SPECIALS)}, as the first to bid",
    )
    add(
        "--calibrate",
        type=cli.integer(1, 10**6),
        metavar="N",
        help="deal N hands, choose the best declaration for a bid, let four players "
        "eq:n=100,criterion=make play, and compare what was promised with what came",
    )
    add(
        "--bid",
        type=cli.integer(bids.MIN_BID, bids.MAX_BID),
        metavar="B",
        help="with --calibrate: the bid of every deal (default: 30 to 42 in turn)",
    )
    add(
        "--keep",
        type=functools.partial(cli.file_to_write, suffix=""),
        metavar="FILE",
        help="with --calibrate: a file of finished deals, with which the same command resumes",
    )
    add("--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of worlds and play (default 0)")
    add("--plot", type=cli.picture, metavar="FILE.png", help="draw the result")
    add("--json", action="store_true", help="print the result as one JSON object")
    return made


def read_hand(words: Sequence[str]) -> list[int]:
    """Read seven tiles.

    Args:
        words: tiles as `6-5`, `5-6` or `65`; one word may hold several, with spaces or commas.

    Returns:
        Seven different tile ids.

    Raises:
        ValueError: the message names the tile.
    """
    from zebjax import tiles

    hand: list[int] = []
    for word in re.split(r"[\s,]+", " ".join(words).strip()):
        match = re.fullmatch(r"([0-6])-?([0-6])", word)
        if not match:
            raise ValueError(f"hand: expected tiles as in 6-5, from 0-0 to 6-6, got {word!r}")
        tile = tiles.tile_id(int(match[1]), int(match[2]))
        if tile in hand:
            raise ValueError(f"hand: expected different tiles, got {tiles.TILE_NAMES[tile]} twice")
        hand.append(tile)
    if len(hand) != tiles.HAND_SIZE:
        raise ValueError(f"hand: expected {tiles.HAND_SIZE} tiles, got {len(hand)}")
    return hand


def table(chances: "Chances", hand: Sequence[int]) -> "Table":
    """Make a table of P(make) in percent, best declaration first; it fits 80 columns."""
    import rich.box
    from rich.table import Table

    from zebjax import suits, tiles
    from zebjax.players import auction

    made = Table(box=rich.box.SIMPLE, padding=0, pad_edge=False)
    made.add_column("")
    made.add_column("lead")
    for bid in auction.BIDS:
        made.add_column(str(bid), justify="right")
    made.add_column("pts", justify="right")
    order = sorted(
        range(len(chances.declarations)),
        key=lambda row: (-chances.p_make[row, 0], -chances.mean_points[row]),
    )
    for row in order:
        lead = hand[int(chances.by_lead[row, :, 0].argmax())]
        made.add_row(
            suits.NAMES[chances.declarations[row]],
            tiles.TILE_NAMES[lead],
            *(f"{100 * share:.0f}" for share in chances.p_make[row]),
            f"{chances.mean_points[row]:.1f}",
        )
    return made


def _plot(chances: "Chances", title: str, path: Path) -> None:
    from zebjax import suits
    from zebjax.common import charts
    from zebjax.players import auction

    figure = charts.new_figure(9, 4.5)
    axes = figure.subplots()
    shares = 100 * chances.p_make
    axes.imshow(shares, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    for row, column in ((r, c) for r in range(len(shares)) for c in range(len(auction.BIDS))):
        share = shares[row, column]
        color = "white" if share < 60 else "black"
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize=9)
    names = [suits.NAMES[declaration] for declaration in chances.declarations]
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(auction.BIDS)), [str(bid) for bid in auction.BIDS])
    axes.set(xlabel="bid", title=title)
    charts.save_figure(figure, path)


def _hand(arguments: argparse.Namespace) -> int:
    """Estimate one hand and print the table."""
    hand = read_hand(arguments.hand)
    import numpy as np

    from zebjax import contract, tiles
    from zebjax.players import auction
    from zebjax.table import advice

    declarations = list(contract.DECLARATIONS)
    if arguments.doubles_suit:
        declarations.insert(-1, tiles.DOUBLES_SUIT)
    n = arguments.n or WORLDS
    rng = np.random.default_rng(arguments.seed)
    with cli.names_option("--by"):
        policy = auction.policy_of(arguments.by)
    chances = auction.chances(np.array(hand), n, rng, policy, declarations)
    names = " ".join(tiles.TILE_NAMES[tile] for tile in hand)
    highest = auction.highest_bid(chances, arguments.theta)
    offers = _offers(hand, arguments, n)
    best = advice.best_special(offers, arguments.theta, float(chances.p_make[:, 0].max()))
    if arguments.json:
        print(
            json.dumps(
                _plain(chances, names, highest)
                | {"seed": arguments.seed, "by": arguments.by}
                | {"special": [advice.offer(each) for each in offers]}
                | {"best_special": best and advice.offer(best)}
            )
        )
    else:
        out = console.make()
        out.print(f"P(make) in %, {names}, {n:,} worlds")
        out.print(table(chances, hand))
        out.print("lead: the best for 30; pts: most mean points of the team with any lead")
        out.print("2 marks (84) and more need all 42 points: their P(make) is that of 42")
        for each in map(advice.offer, offers):
            out.print(f"{each['name']} for {each['bid']}: P(make) {100 * each['p_make']:.0f} %")
        out.print(_advice(arguments.theta, highest, best and advice.offer(best)))
    if arguments.plot:
        _plot(chances, f"P(make) in %: {names}, {n:,} worlds", arguments.plot)
        print(f"wrote {arguments.plot}", file=sys.stderr)
    return 0


def _offers(hand: list[int], arguments: argparse.Namespace, n: int) -> list["Offer"]:
    """The special contracts that a hand may bid which speaks first."""
    from zebjax.bidding import Bidding, Seen
    from zebjax.players import special_bids

    if not arguments.special:
        return []
    seen = Seen(tuple(hand), Bidding(3, (), arguments.special))
    return special_bids.offers(seen, arguments.seed, n, arguments.by)


def _advice(
    theta: float, highest: tuple[int, int, float] | None, best: dict[str, Any] | None
) -> str:
    """What to bid, in one line."""
    from zebjax import suits

    if best:
        return f"bid {best['name']} for {best['bid']}: P(make) {100 * best['p_make']:.0f} %"
    if highest is None:
        return f"pass: no bid has P(make) of {theta:g} or more"
    name = suits.NAMES[highest[1]]
    return f"bid up to {highest[0]} with {name}: P(make) {100 * highest[2]:.0f} %"


def _plain(
    chances: "Chances", names: str, highest: tuple[int, int, float] | None
) -> dict[str, object]:
    """Return the result as plain data for JSON."""
    from zebjax import contract, tiles
    from zebjax.players import auction

    return {
        "hand": names,
        "value": contract.VALUE,
        "worlds": chances.n_worlds,
        "bids": list(auction.BIDS),
        "p_make": {
            tiles.DECLARATION_NAMES[declaration]: row.tolist()
            for declaration, row in zip(chances.declarations, chances.p_make, strict=True)
        },
        "mean_points": {
            tiles.DECLARATION_NAMES[declaration]: float(points)
            for declaration, points in zip(chances.declarations, chances.mean_points, strict=True)
        },
        "bid": None
        if highest is None
        else {
            "bid": highest[0],
            "declaration": tiles.DECLARATION_NAMES[highest[1]],
            "p_make": highest[2],
        },
    }


def _calibration_table(result: "Result") -> "Table":
    import rich.box
    from rich.table import Table

    made = Table(box=rich.box.SIMPLE)
    made.add_column("promised")
    for name in ("deals", "promised %", "fresh worlds %", "made %", "95 % interval"):
        made.add_column(name, justify="right")

    def add(group: "Group", name: str, end: bool = False) -> None:
        low, high = group.made_ci95
        made.add_row(
            name,
            f"{group.n_deals:,}",
            f"{100 * group.promised:.1f}",
            f"{100 * group.fresh:.1f}",
            f"{100 * group.made:.1f}",
            f"[{100 * low:.1f}, {100 * high:.1f}]",
            end_section=end,
        )

    add(result.all, "all", end=True)
    for index, group in enumerate(result.by_promise, 1):
        add(group, group.name, end=index == len(result.by_promise))
    for group in result.by_bid:
        add(group, f"bid {group.name}")
    return made


def _calibrate(arguments: argparse.Namespace) -> int:
    """Play contracts out and print what was promised and what came."""
    from zebjax.evaluation import calibration
    from zebjax.players import auction

    with cli.names_option("--by"):  # before the first deal
        auction.policy_of(arguments.by)
    settings = calibration.Settings(
        n=arguments.n or CALIBRATION_WORLDS,
        bid=arguments.bid,
        seed=arguments.seed,
        by=arguments.by,
    )
    with cli.progress("calibration of P(make)") as show:
        result = calibration.measure(
            settings, arguments.calibrate, arguments.keep, lambda done: show(done, "")
        )
    if arguments.json:
        print(json.dumps(result.to_dict()))
    else:
        out = console.make()
        out.print(_calibration_table(result))
        out.print(
            "promised: over the worlds that chose declaration and lead; fresh: over others; the "
            "tenths are of the latter"
        )
        out.print(f"Brier score {result.brier:.3f}; of the overall rate {result.brier_of_rate:.3f}")
    if arguments.plot:
        calibration.plot(result, arguments.plot)
        print(f"wrote {arguments.plot}", file=sys.stderr)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = parser()
    arguments = made.parse(argv)
    if arguments.calibrate is None:
        for name in ("bid", "keep"):
            if getattr(arguments, name) is not None:
                made.error(f"--{name}: expected --calibrate with it")
        if not arguments.hand:
            made.error("expected seven tiles or --calibrate N; see zebjax bid --help")
    elif arguments.special:
        made.error("--special: expected a hand with it, and no --calibrate")
    elif arguments.hand:
        made.error(f"--calibrate: expected no hand with it, got {' '.join(arguments.hand)!r}")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    arguments = _parse(argv)
    return cli.run("bid", _hand if arguments.calibrate is None else _calibrate, arguments)


if __name__ == "__main__":
    sys.exit(main())
