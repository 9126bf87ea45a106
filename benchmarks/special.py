"""Measure the player of nello and sevens: how often it makes and sets them, and its CPU time."""

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from zebjax import bidding, special, tiles
from zebjax.common import cli
from zebjax.evaluation.intervals import Z95
from zebjax.players import special as player
from zebjax.position import Bid, Position, four

from . import report

ABOUT = """Deals hands and gives the contract to the seat whose P(make) is highest, as an auction
would. Each deal is then played four times: the bidder's side and the others each by E[Q] of N
worlds or by random legal tiles. `promised` is the mean P(make), `brier` its Brier score where all
play by E[Q].
`set_more` and `make_more` compare two of them on the same deals.
In sevens no choice changes a trick, so all four agree, and only P(make) is measured."""

Choose = Callable[[Position, int], int]
SIDES = (("E[Q]", "E[Q]"), ("E[Q]", "random"), ("random", "E[Q]"), ("random", "random"))
"""The bidder's side and the others."""


def _dealt(seed: int) -> tuple[tuple[int, ...], ...]:
    ids = list(range(tiles.N_TILES))
    random.Random(seed).shuffle(ids)
    return tuple(tuple(ids[at : at + tiles.HAND_SIZE]) for at in range(0, tiles.N_TILES, 7))


def _randomly(rng: random.Random) -> Choose:
    return lambda game, seed: rng.choice(game.legal)


def _play(start: Position, seed: int, sides: tuple[Choose, Choose]) -> bool:
    """True if the bidder's side, the first of `sides`, makes the contract."""
    game = start
    while bidding.winner(game) is None:
        choose = sides[(game.mover - start.leader) % 2]
        game = game.play(choose(game.seen_by(game.mover), seed))
    return bidding.result(game) == bidding.MADE


def _difference(first: list[bool], second: list[bool]) -> tuple[float, float]:
    """Mean difference of two results of the same deals, and half its 95 % interval."""
    gaps = np.array(first, float) - np.array(second, float)
    return float(gaps.mean()), Z95 * float(gaps.std(ddof=1)) / len(gaps) ** 0.5


def measure(declaration: int, deals: int, worlds: int) -> dict[str, Any]:
    """One contract over some deals."""
    results: dict[tuple[str, str], list[bool]] = {sides: [] for sides in SIDES}
    promised, spent = [], []

    def by_player(game: Position, seed: int) -> int:
        began = time.process_time()
        tile = player.choose(game, seed, worlds)
        if len(game.legal) > 1:
            spent.append(time.process_time() - began)
        return tile

    for seed in range(deals):
        hands = four(_dealt(seed))
        chances = [player.p_make(hand, declaration, seed, worlds) for hand in hands]
        bidder = int(np.argmax(chances))
        promised.append(chances[bidder])
        start = Position(hands, declaration, bidder, (), Bid(bidder, tiles.TOTAL_POINTS))
        kinds: dict[str, Choose] = {"E[Q]": by_player, "random": _randomly(random.Random(seed))}
        for ours, theirs in SIDES:
            made = _play(start, seed, (kinds[ours], kinds[theirs]))
            results[ours, theirs].append(made)
    make_more = _difference(results["E[Q]", "random"], results["random", "random"])
    set_more = _difference(results["random", "random"], results["random", "E[Q]"])
    return {
        "contract": special.DECLARATION_NAMES[declaration],
        "deals": deals,
        "worlds": worlds,
        "promised": round(float(np.mean(promised)), 3),
        "brier": round(float(np.mean((np.array(promised) - results["E[Q]", "E[Q]"]) ** 2)), 3),
        **{f"made: {a} vs {b}": round(float(np.mean(results[a, b])), 3) for a, b in SIDES},
        "make_more": [round(each, 3) for each in make_more],
        "set_more": [round(each, 3) for each in set_more],
        "cpu_ms_a_decision": round(1000 * float(np.mean(spent)), 1) if spent else 0.0,
        "cpu_ms_slowest": round(1000 * max(spent, default=0.0), 1),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json("special", f"{__doc__}\n\n{ABOUT}", "--deals 300")
    for name, most, default, about in (
        ("--deals", 10**6, 300, "deals of each contract"),
        ("--worlds", 10**5, player.WORLDS, "worlds of a decision and of P(make)"),
    ):
        kind = cli.integer(2, most)
        text = f"{about} (default {default})"
        parser.add_argument(name, type=kind, default=default, metavar="N", help=text)
    args = parser.parse_args(argv)
    declarations = (special.NELLO, special.NELLO_DOUBLES, special.SEVENS)

    def rows() -> Iterator[dict[str, Any]]:
        for declaration in declarations:
            yield measure(declaration, args.deals, args.worlds)

    report.collect("special", args, rows())


if __name__ == "__main__":
    sys.exit(report.run("special", main))
