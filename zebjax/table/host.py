"""What serves a table: the players, advice, and the folder of finished hands."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zebjax import special, tiles
from zebjax.common import bids
from zebjax.players import special as player
from zebjax.players import special_bids
from zebjax.players.auction import Bidder
from zebjax.table import BID_WORLDS, HINT_WORLDS, advice, bots, saving, state
from zebjax.table.advice import Believer
from zebjax.table.bots import Bots
from zebjax.table.state import Table

Show = Callable[[float, str], None]
"""Called with the share that is done, 0 to 1, and what is being done."""


@dataclasses.dataclass(frozen=True)
class Host:
    """The players that are loaded, and the settings of advice. It has no state of a table."""

    bots: Bots
    believer: Believer | None
    worlds: int = HINT_WORLDS
    """Of a hint and of a review."""
    games: Path | None = None
    """Folder of finished hands; None: they are not saved."""
    bidder: Bidder | None = None
    """Bids and declares for the players; None: tables without bids."""
    options: tuple[str, ...] = ()
    """With bids: what the tables allow, of `common.bids.OPTIONS`."""

    @property
    def notice(self) -> str:
        """What a person should know of the players before bidding; empty if nothing."""
        if self.bidder is None:
            return ""
        return "; ".join(filter(None, (bots.about_contracts(self.bots), about(self.options))))

    def step(self, table: Table) -> Table:
        """See `bots.step`."""
        return bots.step(table, self.bots, self.bidder)

    def hint(self, table: Table) -> dict[str, Any]:
        """See `advice.hint` and, before the first play, `advice.bid_hint`.

        Raises:
            ValueError: if it is not the person's turn.
        """
        self._check_turn(table, "hint")
        request = state.request(table)
        if request.auction is not None:
            theta = (self.bidder or Bidder()).theta
            return advice.bid_hint(request, theta, min(self.worlds, BID_WORLDS))
        return advice.hint(request, self.worlds)

    def beliefs(self, table: Table) -> dict[str, Any]:
        """See `advice.beliefs`.

        Raises:
            ValueError: if it is not the person's turn to play a tile.
        """
        self._check_turn(table, "beliefs")
        if table.phase != "play":
            raise ValueError("beliefs: nobody has played, so every seat is equally likely")
        return advice.beliefs(state.request(table), self.believer, self.worlds)

    def review(self, table: Table) -> dict[str, Any]:
        """See `advice.review`; raises ValueError if the hand is not over."""
        return advice.review(table, self.worlds)

    def save(self, table: Table, earlier: Path | None = None) -> Path | None:
        """Save a finished hand; the path of its text, or None if hands are not saved.

        `earlier` is that path if the hand was over before and its end was taken back.
        """
        return None if self.games is None else saving.save(table, self.games, earlier)

    @staticmethod
    def _check_turn(table: Table, what: str) -> None:
        if table.is_over:
            raise ValueError(f"{what}: the hand is over; the review says what each move has cost")
        if not table.is_turn:
            raise ValueError(f"{what}: it is not your turn")


def about(options: tuple[str, ...]) -> str:
    """One sentence about the special contracts of a table; empty if it has none."""
    names = [each for each in options if each != bids.DOUBLES_SUIT]
    if not names:
        return ""
    said = f"special contracts: {', '.join(names)}"
    if any(special.is_special(special.OF_OPTION.get(each, 0)) for each in names):
        return f"{said}; in nello and sevens all others play by E[Q] of {player.WORLDS} worlds"
    return said


def open_host(specs: list[str], host: Host, show: Show) -> Host:
    """Load players into a host and have them, and the advice, compile their programs.

    Args:
        specs: player specs; a repeated one is loaded once.
        host: its `bots` are replaced.
        show: is told the progress.

    Raises:
        ValueError: for a wrong spec, or a player that reads hidden hands.
    """
    loaded = bots.load(specs)
    host = dataclasses.replace(host, bots=loaded)
    parts = len(loaded) + 1

    def on_player(spec: str, done: int, all_plies: int) -> None:
        place = list(loaded).index(spec)
        show((place + done / all_plies) / parts, f"{spec} plays a hand")

    bots.warm_up(loaded, on_player, host.bidder is not None)
    show(len(loaded) / parts, "hint and beliefs")
    if host.bidder is not None:
        first = state.request(state.new(0, tuple(specs[:1]) * 3, 0, True, host.options))
        assert first.auction is not None
        host.bidder.call(first.auction, first.seed)
        if host.options:  # the solver, with which a partner declares
            hand = tuple(range(tiles.HAND_SIZE))
            special_bids.declare_for_partner(hand, bids.SPLASH, 1, np.random.default_rng(0))
    table = state.new(0, tuple(specs[:1]) * 3, seed=0)
    advice.hint(state.request(table), host.worlds)
    advice.beliefs(state.request(table), host.believer, host.worlds)
    show(1.0, "ready")
    return host
