"""Advice to the person as JSON data: hint, beliefs, and the review of a finished hand.

Hint and beliefs use only what the person's seat has seen. All numbers are those of `study`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from zebjax import bidding, contract, suits
from zebjax import special as special_rules
from zebjax.players import auction, special, special_bids
from zebjax.players.special_bids import Offer
from zebjax.position import Position
from zebjax.protocol import Request
from zebjax.solver import special as exact_special
from zebjax.study import analysis
from zebjax.study import review as reviews
from zebjax.study.analysis import Analysis, Network
from zebjax.table import BID_WORLDS, HINT_WORLDS, state
from zebjax.table.state import Table


@dataclasses.dataclass(frozen=True)
class Believer:
    """A network with a belief head."""

    name: str
    network: Network


def believer(path: str) -> Believer:
    """Load the network whose beliefs are shown.

    Raises:
        ValueError: if there is no network at `path`, or it has no belief head.
    """
    loaded = analysis.load(path)
    if not loaded.config.belief_head:
        raise ValueError(f"{path}: this network has no belief head")
    return Believer(path, loaded)


def _analysed(asked: Request, n: int, by: Network | None = None) -> Analysis:
    assert asked.position is not None
    (found,) = analysis.analyse([asked.position], [asked.seed], n, by)
    return found


def hint(asked: Request, n: int = HINT_WORLDS) -> dict[str, Any]:
    """The value of each tile that may be played, by E[Q].

    Args:
        asked: the decision.
        n: worlds; all of them if there are fewer.

    Returns:
        `worlds`: their number. `value`: what P(win) is, "win", or with a contract "make" or
        "set". `tiles`: for each legal tile, the best first, its `tile`, `p_win`
        (probability of more points than the other team, or of making or setting), `points` (mean
        points of the own team at the end; None in nello and sevens) and `best` (True if no tile is
        better). `has_points`: False in nello and sevens, and then a `caption` says what is counted.
        `is_open`: True if `p_win` is that of open hands, which is not what comes at a table.
    """
    if asked.position is not None and special.is_known(asked.position):
        return _special_hint(asked, n)
    found = _analysed(asked, n)
    top, bid = found.moves[0], found.position.bid
    is_ours = bid is not None and bid.seat % 2 == found.position.mover % 2
    return {
        "worlds": found.n_worlds,
        "has_points": True,
        "is_open": False,
        "value": "win" if bid is None else "make" if is_ours else "set",
        "tiles": [
            {
                "tile": move.tile,
                "p_win": move.p_win,
                "points": move.points,
                "best": (move.p_win, move.points) == (top.p_win, top.points),
            }
            for move in found.moves
        ],
    }


def _special_hint(asked: Request, n: int) -> dict[str, Any]:
    here = asked.position
    assert here is not None and here.bid is not None
    found = special.values(here, asked.seed, n)
    rows = [
        {"tile": tile, "p_win": p_win, "points": None, "best": p_win == max(found.p_win)}
        for tile, p_win in zip(found.moves, found.p_win, strict=True)
    ]
    about = f"over {found.n_worlds:,} deals, each played on with all hands open"
    is_open = special_rules.is_nello(here.declaration)
    if is_open:
        about += _at_the_table(here, asked.seed, n)
    return {
        "worlds": found.n_worlds,
        "has_points": False,
        "is_open": is_open,
        "caption": about,
        "value": "make" if here.bid.seat % 2 == here.mover % 2 else "set",
        "tiles": sorted(rows, key=lambda row: -row["p_win"]),
    }


def _at_the_table(here: Position, seed: int, n: int) -> str:
    """What shares with open hands say of nello, whose bidder is in truth not seen by the others."""
    assert here.bid is not None
    if here.plays:
        return ".\nCompare the tiles by it; at the table nello is made more often"
    hand = here.hands[here.bid.seat]
    p_make = special.p_make(hand, here.declaration, seed, n)
    return (
        ", where the others see yours. Compare\nthe tiles by it; reckoned as at the bid, the best "
        f"lead makes it in {100 * p_make:.0f} % at the table"
    )


def bid_hint(asked: Request, theta: float, n: int = BID_WORLDS) -> dict[str, Any]:
    """P(make) of each declaration and bid if the seat leads, see `auction.chances`.

    Args:
        asked: a bid or a declaration; the hand alone is used.
        theta: bids with this P(make) or more are advised.
        n: worlds.

    Returns:
        `worlds`: their number; after a plunge or splash the partner holds its doubles in all of
        them. `bids`: the points 30 to 42. `rows`: for each declaration, the best for the
        lowest bid first, its `declaration` and `name`, `p_make` (by bid) and `points` (mean points
        of the team). `lowest`: place in `bids` of the lowest bid that is allowed now, or of the
        contract's; None if no bid of points is. `theta`. `advice`: the highest bid with P(make) of
        theta or more as `bid`, `name` of the declaration and `p_make`; None for a pass, also if
        that bid may not be made any more, and after the bids. `stands`: the contract's bid, if the
        declaration is to be chosen; else None. `must`: what to do if nothing reaches theta and a
        pass is not possible: the lowest bid or the contract's as `bid`, the best declaration for it
        as `name` and `phrase`, and `p_make`; None if a pass is possible.
        `special`: the special contracts that may be had now, each with `name`, the `call` for it,
        what that is worth as `bid`, and `p_make`. `best_special`: one of them, if it is better than
        all other bids, see `best_special`; or None.
    """
    assert asked.auction is not None
    said = asked.auction.bidding
    rng, policy = np.random.default_rng(asked.seed), auction.policy_of(auction.BY)
    hand = asked.auction.hand
    if said.kind and said.is_over:
        worlds = special_bids.worlds_of_partner(hand, said.kind, n, rng)
        found = auction.chances_in(worlds, rng, policy)
    else:
        found = auction.chances(np.array(hand), n, rng, policy)
    points = [call[0] for call in said.allowed if call is not None and call[1] == 1]
    if said.winner is not None:
        points = [said.winner.points]
    place = auction.BIDS.index(points[0]) if points else None
    rows = [
        {
            "declaration": declaration,
            "name": suits.NAMES[declaration],
            "p_make": [float(share) for share in p_make],
            "points": float(mean),
        }
        for declaration, p_make, mean in zip(
            found.declarations, found.p_make, found.mean_points, strict=True
        )
    ]
    highest = None if said.is_over else auction.highest_bid(found, theta)
    if highest is not None and (place is None or highest[0] < auction.BIDS[place]):
        highest = None  # others have bid more
    offers = special_bids.offers(asked.auction, asked.seed, n) if said.options else []
    lowest = None if place is None else float(found.p_make[:, place].max())
    if said.winner is None:
        best = best_special(offers, theta, lowest)
    else:  # something must be named, so no P(make) is too low
        best = best_special(offers, 0.0, lowest, said.winner.marks)
    # The declaration that the advice names comes first; others may be made as often.
    first, _, p_make = found.best(auction.BIDS[place or 0])
    must = None
    if place is not None and bidding.PASS not in said.allowed:
        must = {
            "bid": said.high_name or str(auction.BIDS[place]),
            "name": suits.NAMES[first],
            "phrase": suits.phrase(first),
            "p_make": p_make,
        }
    return {
        "special": [offer(each) for each in offers],
        "best_special": None if best is None else offer(best),
        "worlds": found.n_worlds,
        "bids": list(auction.BIDS),
        "rows": sorted(
            rows,
            key=lambda row: (
                -row["p_make"][place or 0],
                row["declaration"] != first,
                -row["points"],
            ),
        ),
        "lowest": place,
        "theta": theta,
        "stands": said.high_name if said.is_over else None,
        "must": must,
        "advice": highest
        and {"bid": highest[0], "name": suits.NAMES[highest[1]], "p_make": highest[2]},
    }


def best_special(
    offers: Sequence[Offer], theta: float, p_make: float | None, marks: int = 1
) -> Offer | None:
    """The special contract that a hand should choose, or None.

    As `special_bids.SpecialBidder` does it takes that of the most mean marks, if it is made in
    `theta` of the deals or more and no lowest bid of points promises as many.

    Args:
        offers: those that may be had.
        theta: least P(make).
        p_make: of the lowest bid of points that may be made, or of the contract, with its best
            trump; None if there is none.
        marks: what that bid is worth.
    """
    usual = -math.inf if p_make is None or p_make < theta else marks * (2 * p_make - 1)
    found = [each for each in offers if each.p_make >= theta and each.mean_marks > usual]
    return max(found, key=lambda each: each.mean_marks, default=None)


def offer(made: Offer) -> dict[str, Any]:
    """A special contract as JSON data, see `bid_hint`."""
    assert made.call is not None
    name = made.name
    if name in special_rules.DECLARATION_NAMES:
        name = suits.NAMES[special_rules.DECLARATION_NAMES.index(name)]
    worth = bidding.name(made.call[:2])
    return {"name": name, "call": bidding.name(made.call), "bid": worth, "p_make": made.p_make}


def beliefs(asked: Request, by: Believer | None, n: int = HINT_WORLDS) -> dict[str, Any]:
    """Who may hold each hidden tile, as far as the seat can know.

    Args:
        asked: the decision.
        by: a network, or None for exact counting alone.
        n: as of `hint`, so that one compiled program serves both; it does not change the result.

    Returns:
        `worlds`: number of ways to deal the hidden tiles. `seats`: the seats left, partner and
        right. `network`: name of the network, or None. `tiles`: for each hidden tile its `tile`,
        `exact` (probability by seat, all consistent worlds equally likely) and `network` (the
        same by the belief head, or None).
    """
    if asked.position is not None and special.is_known(asked.position):
        return _special_beliefs(asked.position)
    found = _analysed(asked, n, None if by is None else by.network)
    seat = found.position.mover
    return {
        "worlds": found.all_worlds,
        "seats": [(seat + step) % 4 for step in (1, 2, 3)],
        "network": None if by is None else by.name,
        "tiles": [
            {"tile": each.tile, "exact": each.marginal, "network": each.network}
            for each in found.holders
        ],
    }


def _special_beliefs(here: Position) -> dict[str, Any]:
    """By exact counting alone: no network knows these contracts."""
    worlds, shares = special.beliefs(here)
    return {
        "worlds": worlds,
        "seats": [(here.mover + step) % 4 for step in (1, 2, 3)],
        "network": None,
        "tiles": [
            {"tile": tile, "exact": exact, "network": None}
            for tile, exact in zip(here.hidden, shares, strict=True)
        ],
    }


def review(table: Table, n: int = HINT_WORLDS) -> dict[str, Any]:
    """What each move of a finished hand that had an alternative has cost; see `study.review`.

    Args:
        table: its hand must be over.
        n: worlds per decision.

    Returns:
        `worlds`: n. `value`: "win", or with a contract "make/set", which `p_win_loss` then is of.
        `result`: "made", "set" or None. `has_points`: False in nello and sevens, where
        `points_loss` is None and `deal_loss` is 1 if the move has lost the contract in the true
        deal. `moves`: for each decision `ply`, `seat`, `tile`; `best`,
        the best tile by what the seat could know; `p_win_loss` and `points_loss`, what the tile
        played is worth less by the same worlds; `deal_best` and `deal_loss`, the best tile and the
        points lost in the true deal.

    Raises:
        ValueError: if the hand is not over.
    """
    if not table.is_over:
        raise ValueError("review: this hand is not over")
    if special.is_known(table.game):
        return _special_review(table, n)
    moves = [
        {
            "ply": each.ply,
            "seat": each.seat,
            "tile": each.played.tile,
            "best": each.best.tile,
            "p_win_loss": each.p_win_lost,
            "points_loss": each.points_lost,
            "deal_best": each.deal_best.tile,
            "deal_loss": each.deal_lost,
        }
        for each in reviews.review(table.game, n, state.decision_seed(table, 0))
    ]
    return {
        "worlds": n,
        "value": "win" if table.game.bid is None else contract.VALUE,
        "result": bidding.result(table.game),
        "has_points": True,
        "moves": moves,
    }


def _special_review(table: Table, n: int) -> dict[str, Any]:
    game, seed = table.game, state.decision_seed(table, 0)
    deal = np.array([game.hands])
    moves = []
    for ply, tile in enumerate(game.plays):
        here = game.before(ply)
        if len(here.legal) < 2 or bidding.winner(here) is not None:
            continue
        found, played = special.values(here, seed, n), here.legal.index(tile)
        assert here.bid is not None
        is_bidders = here.bid.seat % 2 == here.mover % 2
        wins = [bool(made) == is_bidders for made in exact_special.makes(here, deal)[0]]
        # The tile that was played wins ties.
        best = max(
            found.moves, key=lambda each: (found.p_win[found.moves.index(each)], each == tile)
        )
        right = tile if wins[played] or True not in wins else here.legal[wins.index(True)]
        moves.append(
            {
                "ply": ply,
                "seat": here.mover,
                "tile": tile,
                "best": best,
                "p_win_loss": max(found.p_win) - found.p_win[played],
                "points_loss": None,
                "deal_best": right,
                "deal_loss": int(right != tile),
            }
        )
    return {
        "worlds": n,
        "value": contract.VALUE,
        "result": bidding.result(game),
        "has_points": False,
        "moves": moves,
    }
