"""A table as text of at most 78 columns: the head, the board, tricks, and advice."""

import textwrap
from collections.abc import Sequence
from typing import Any

from zebjax import special, tiles
from zebjax.common import bids

View = dict[str, Any]
RELATIONS = ("you", "left", "partner", "right")
_NAME = 22
RULES_OF_OPTIONS = {
    bids.NELLO: "nello: after a bid of 42 or marks, instead of trump. The bidder leads and must\n"
    "take no trick; its partner takes no part",
    bids.NELLO_DOUBLES: "nello doubles suit: the same, with the doubles as a suit of their own",
    bids.PLUNGE: "plunge: a bid of 4 marks or more with four doubles in hand. The partner names\n"
    "trump and leads, and the two must take every trick",
    bids.SPLASH: "splash: as plunge, for 2 marks or more, with three doubles in hand",
    bids.SEVENS: "sevens: after a bid of 42 or marks, instead of trump. Each plays its tile\n"
    "nearest to seven pips, the nearest wins, and the bidder's team must take all",
    bids.DOUBLES_SUIT: "doubles suit: the doubles may be declared a suit without trump power",
}
"""One sentence about each option of `common.bids`, in lines of at most 78 columns."""


def relation(view: View, seat: int) -> str:
    """A seat as the person sees it: you, left, partner or right."""
    return RELATIONS[(seat - view["seat"]) % tiles.N_PLAYERS]


def head(view: View) -> str:
    """The hand, its declaration and the score: one line, or two at a table with bids."""
    us = view["seat"] % 2
    if view["auction"]:
        return f"{_game(view)}\n{contract(view)}"
    points, won = view["points"], view["won"]
    return (
        f"hand {view['number']}   {view['declaration_name']}   "
        f"points: us {points[us]}, they {points[1 - us]}   "
        f"hands: us {won[us]}, they {won[1 - us]}"
    )


def _game(view: View) -> str:
    us, auction = view["seat"] % 2, view["auction"]
    marks, games = auction["marks"], auction["games"]
    won = f"   games: us {games[us]}, they {games[1 - us]}" if any(games) else ""
    dealer = relation(view, auction["dealer"])
    return (
        f"hand {view['number']}   marks: us {marks[us]}, they {marks[1 - us]} of "
        f"{auction['goal']}{won}   dealer: {dealer}"
    )


def contract(view: View) -> str:
    """The bids, or the contract and the points that each team has and needs; one line."""
    us, auction = view["seat"] % 2, view["auction"]
    if not auction["needs"]:
        return f"bids: {', '.join(calls(view)) or 'none yet'}"
    bid, points, needs = auction["bid"], view["points"], auction["needs"]
    who = f"{bid['name']} by {relation(view, bid['seat'])}, {view['declaration_name']}"
    if auction["special"]:
        taken = auction["tricks"]
        return f"{who}: {aim(view)}   tricks: us {taken[us]}, they {taken[1 - us]}"
    return (
        f"{who}   points: us {points[us]} of {needs[us]}, they {points[1 - us]} of {needs[1 - us]}"
    )


def aim(view: View) -> str:
    """What the bidder of nello or sevens must do."""
    who = relation(view, view["auction"]["bid"]["seat"])
    if view["silent"] >= 0:
        return f"{who} must take no trick" if who != "you" else "take no trick"
    return "every trick for the bidder's team"


def calls(view: View) -> list[str]:
    """What each seat has said, as in `left pass`."""
    auction = view["auction"]
    return [
        f"{relation(view, (auction['dealer'] + 1 + place) % tiles.N_PLAYERS)} {call}"
        for place, call in enumerate(auction["calls"])
    ]


def board(view: View) -> str:
    """The four seats around the trick on the table, or the last trick, in 8 lines; before the first
    play around what they have bid, in 6.
    """
    trick = view["tricks"][-1] if view["tricks"] else {"seats": [], "tiles": []}
    shown = {
        relation(view, seat): f"[{tiles.TILE_NAMES[tile]}]"
        for seat, tile in zip(trick["seats"], trick["tiles"], strict=False)
    }
    is_bid = view["phase"] in ("bid", "declare")
    if is_bid:
        shown = dict(said.split(" ", 1) for said in calls(view))
    tile = {name: shown.get(name, "  .  ") for name in RELATIONS}
    gap = [""] * (not is_bid)
    label = {relation(view, seat): _label(view, seat) for seat in range(4)}
    return "\n".join(
        [
            f"{label['partner']:^78}",
            f"{tile['partner']:^78}",
            *gap,
            f" {label['left']:<38}{label['right']:>38}",
            f"{tile['left']:^38}{tile['right']:^40}",
            *gap,
            f"{tile['you']:^78}",
            f"{_said(view):^78}",
        ]
    )


def _label(view: View, seat: int) -> str:
    name = view["players"][seat]
    short = name if len(name) <= _NAME else name[: _NAME - 3] + "..."
    turn = "> " if view["turn"] == seat else ""
    left = "takes no part" if seat == view["silent"] else f"{view['counts'][seat]} left"
    return f"{turn}{relation(view, seat)}: {short}, {left}"


def outcome(view: View) -> str:
    """How a hand with a contract has ended, and the game if it has; one line."""
    us, auction = view["seat"] % 2, view["auction"]
    bid, ours = auction["bid"], auction["winner"] == us
    who = relation(view, bid["seat"])
    end = f"{_count(bid['marks'], 'mark')} for {'us' if ours else 'them'}"
    if auction["game_winner"] is not None:
        end = f"{'you win' if auction['game_winner'] == us else 'they win'} the game"
    taken = _count(view["points"][bid["seat"] % 2], "point")
    if auction["special"]:
        n = auction["tricks"][bid["seat"] % 2]
        taken = f"{_count(n, 'trick')} in {auction['special']}"
    return f"{who} bid {bid['name']}, took {taken}: {auction['result']}, {end}"


def _count(n: int, what: str) -> str:
    """A number of things, as in `1 point` and `no tricks`."""
    return f"{n or 'no'} {what}{'s' * (n != 1)}"


def _said_of_bids(view: View) -> str:
    who, auction = relation(view, view["turn"]), view["auction"]
    if view["phase"] == "declare":
        if auction["kind"]:
            bidder = relation(view, auction["bid"]["seat"])
            said = f"{bidder} bid {auction['bid']['name']}: "
            return said + ("you name trump and lead" if who == "you" else f"{who} names trump")
        return "your bid is the highest: name trump" if who == "you" else f"{who} names trump"
    if who != "you":
        return f"{who} is thinking of a bid"
    if "pass" not in auction["allowed"]:
        return "all have passed: you must bid"
    allowed = auction["allowed"][1:]
    if not allowed:
        return "no bid is higher: pass"
    others = [call for call in allowed if call.partition(" ")[0] in special.DOUBLES_NEEDED]
    plain = [call for call in allowed if call not in others]
    lowest = [plain[0] + " or more" * (len(plain) > 1)] if plain else []
    return f"your bid: {', '.join([*lowest, *others])}, or pass"


def _said(view: View) -> str:
    if view["phase"] in ("bid", "declare"):
        return _said_of_bids(view)
    if view["phase"] == "over" and view["auction"]:
        return outcome(view)
    if view["phase"] == "over":
        us = view["seat"] % 2
        ours, theirs = view["points"][us], view["points"][1 - us]
        result = "you win" if ours > theirs else "they win" if theirs > ours else "a tie"
        return f"{result}, {max(ours, theirs)} points to {min(ours, theirs)}"
    trick = view["tricks"][-1] if view["tricks"] else None
    won = ""
    if trick and trick["winner"] is not None:
        points = "" if _has_no_points(view) else f", {_count(trick['points'], 'point')}"
        won = f"{relation(view, trick['winner'])} took the trick{points}; "
    if view["turn"] != view["seat"]:
        return f"{won}{relation(view, view['turn'])} is thinking"
    leads = not trick or trick["winner"] is not None
    return f"{won}you {'lead' if leads else 'follow'}"


def _has_no_points(view: View) -> bool:
    """True in nello and sevens, where tricks count and not points."""
    return bool(view["auction"] and view["auction"]["special"])


def tricks(view: View) -> str:
    """The finished tricks of this hand as a table; empty if there are none."""
    done = [trick for trick in view["tricks"] if trick["winner"] is not None]
    counts = not _has_no_points(view)
    rows = [["trick", "led by", *RELATIONS, "taken by", *["points"] * counts]]
    for number, trick in enumerate(done, 1):
        played = {
            relation(view, seat): tiles.TILE_NAMES[tile]
            for seat, tile in zip(trick["seats"], trick["tiles"], strict=True)
        }
        shown = (played.get(name, "-") for name in RELATIONS)
        ends = relation(view, trick["leader"]), relation(view, trick["winner"])
        points = [str(trick["points"])] * counts
        rows.append([str(number), ends[0], *shown, ends[1], *points])
    return "\n".join(_table(rows)) if done else ""


def _table(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        gap.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def hint(found: dict[str, Any]) -> str:
    """A hint as a table."""
    share = "open hands" if found["is_open"] else f"P({found['value']})"
    rows = [["tile", share, "points" * found["has_points"], ""]]
    for row in sorted(found["tiles"], key=lambda row: (-row["p_win"], -(row["points"] or 0))):
        best = "best" if row["best"] else ""
        rows.append(
            [
                tiles.TILE_NAMES[row["tile"]],
                f"{100 * row['p_win']:.0f} %",
                f"{row['points']:.1f}" if found["has_points"] else "",
                best,
            ]
        )
    about = found.get("caption", f"over {found['worlds']:,} deals of the hidden tiles")
    return "\n".join([about, *_table(rows)])


def bid_hint(found: dict[str, Any]) -> str:
    """P(make) of declarations and bids as a table, and what to say; after the bids of the
    contract's alone.
    """
    stands = found["stands"]
    places = [found["lowest"]] if stands else list(range(len(found["bids"])))
    rows = [["", *([stands] if stands else map(str, found["bids"])), "pts"]]
    for row in found["rows"]:
        shares = (f"{100 * row['p_make'][at]:.0f}" for at in places)
        rows.append([row["name"], *shares, f"{row['points']:.0f}"])
    marks = "" if stands else "; marks as 42"
    about = f"P(make) in % if you lead, over {found['worlds']} deals of the others{marks}"
    each_special = [
        f"{each['name']} for {each['bid']} {_percent(each['p_make'])}" for each in found["special"]
    ]
    # Few lines before the table: of the panel, a small terminal shows six.
    others = textwrap.wrap(f"P(make) of {', '.join(each_special)}", 76) if each_special else []
    return "\n".join([_bid_advice(found), *others, about, *_table(rows, " ")])


def _bid_advice(found: dict[str, Any]) -> str:
    share, must, special = found["advice"], found["must"], found["best_special"]
    if special:
        return f"{special['name']} for {special['bid']}: the best of these"
    if share:
        return f"up to {share['bid']} with {share['name']}: P(make) {_percent(share['p_make'])}"
    if must and found["stands"]:
        return f"{must['phrase']}, made in {_percent(must['p_make'])}"
    if must:
        return f"{must['bid']} with {must['name']}: P(make) {_percent(must['p_make'])}"
    return f"pass: no bid that is left has P(make) of {_percent(found['theta'])} or more"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def beliefs(view: View, found: dict[str, Any]) -> str:
    """Beliefs as a table: for each hidden tile and seat exact counting, and the network's."""
    names = [relation(view, seat) for seat in found["seats"]]
    rows = [["tile", *names, *(f"{name}*" for name in names if found["network"])]]
    for row in found["tiles"]:
        shares = [*row["exact"], *(row["network"] or [])]
        rows.append([tiles.TILE_NAMES[row["tile"]], *(f"{100 * each:.0f}" for each in shares)])
    lines = [f"who holds a hidden tile, in %; {found['worlds']:,} deals are possible"]
    if found["network"]:
        lines.append(f"left columns: exact counting; *: the network {found['network']}")
    return "\n".join([*lines, *_table(rows)])


def _trick_number(view: View, ply: int) -> int:
    return ply // len(view["tricks"][0]["seats"]) + 1


def _lost(move: dict[str, Any]) -> str:
    return "the hand" if move["deal_loss"] else ""


def review(view: View, found: dict[str, Any]) -> str:
    """A review as a table, one row for each decision."""
    lost = f"P({found['value']}) lost"
    points = ["points lost"] if found["has_points"] else []
    rows = [["trick", "", "played", "best", lost, *points, "in the deal", "lost"]]
    for move in found["moves"]:
        who = relation(view, move["seat"])
        rows.append(
            [
                str(_trick_number(view, move["ply"])),
                who,
                tiles.TILE_NAMES[move["tile"]],
                tiles.TILE_NAMES[move["best"]],
                f"{100 * move['p_win_loss']:.0f} %",
                *([f"{move['points_loss']:.1f}"] if found["has_points"] else []),
                tiles.TILE_NAMES[move["deal_best"]],
                f"{move['deal_loss']:.0f}" if found["has_points"] else _lost(move),
            ]
        )
    lines = [
        f"best: by what the seat could know, over {found['worlds']} deals",
        "in the deal: the best move with all hands known",
    ]
    hands = view["hands"] or []
    shown = [
        f"{relation(view, seat):>8}: {' '.join(tiles.TILE_NAMES[tile] for tile in hand)}"
        for seat, hand in enumerate(hands)
    ]
    if view["auction"]:
        lines = [f"{outcome(view)}; bids: {', '.join(calls(view))}", *lines]
    return "\n".join([*lines, *_table(rows), "", *shown])
