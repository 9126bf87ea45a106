"""A `Position` as the arrays of `game` and `record`, and back."""

from collections.abc import Sequence

import numpy as np

from zebjax import game, record, special, tiles
from zebjax.contract import Contract
from zebjax.game import GameState
from zebjax.position import UNKNOWN, Bid, Hand, Position, four
from zebjax.record import GameRecord, TargetKind


def check_declaration(position: Position) -> None:
    """Raise ValueError for a contract that states and records cannot hold, see `special`."""
    if special.is_special(position.declaration):
        raise ValueError(
            f"declaration: {special.DECLARATION_NAMES[position.declaration]} is no game of trumps "
            "and points, which this needs; `zebjax show` shows it, a table reviews it"
        )


def full_hands(position: Position) -> tuple[Hand, Hand, Hand, Hand]:
    """All four hands, with placeholders in those that are not known.

    An unknown hand gets the tiles that its seat has played, in order, and then hidden tiles in
    ascending order. So the result depends on nothing that the position does not say. It is not a
    deal that fits the play: a player must not read it.
    """
    hidden = iter(position.hidden)
    hands = []
    for seat, hand in enumerate(position.hands):
        if not hand:
            played = position.played_by(seat)
            hand = (*played, *(next(hidden) for _ in range(tiles.HAND_SIZE - len(played))))
        hands.append(hand)
    return four(hands)


def to_state(position: Position) -> GameState:
    """The state after the plays, in NumPy arrays; see `full_hands` for unknown hands."""
    check_declaration(position)
    hands = full_hands(position)
    history = np.full(game.N_PLIES, -1, np.int8)
    history[: len(position.plays)] = position.plays
    leaders = [trick.leader for trick in position.tricks]
    if len(position.plays) % 4 == 0 and not position.is_over:
        leaders.append(position.mover)
    trick_leaders = np.full(tiles.N_TRICKS, -1, np.int8)
    trick_leaders[: len(leaders)] = leaders
    return GameState(
        hands=np.array(hands, np.int8),
        declaration=np.array(position.declaration, np.int8),
        leader=np.array(position.leader, np.int8),
        played=np.isin(hands, position.plays),
        history=history,
        trick_leaders=trick_leaders,
        ply=np.array(len(position.plays), np.int8),
        points=np.array(position.points, np.int8),
    )


def to_states(positions: Sequence[Position]) -> GameState:
    """The states of n positions, with a leading axis n; n is 1 or more."""
    states = [to_state(position) for position in positions]
    return GameState(*(np.stack(field) for field in zip(*states, strict=True)))


def of_state(state: GameState, seat: int | None = None, bid: Bid | None = None) -> Position:
    """The position of a state.

    Args:
        state: one game.
        seat: the only seat whose hand is known; None for all hands.
        bid: its contract.

    Raises:
        Impossible: if no game can lead to it.
    """
    made = Position(
        four(_ints(hand) for hand in np.asarray(state.hands)),
        int(state.declaration),
        int(state.leader),
        _ints(np.asarray(state.history)[: int(state.ply)]),
        bid,
    )
    return made if seat is None else made.seen_by(seat)


def view(state: GameState, bid: Bid | None = None) -> Position:
    """What the seat to move knows of a state, with its contract; hidden hands are not read.

    Raises:
        Impossible: if no game can lead to it.
    """
    ply = int(state.ply)
    seat = (int(state.trick_leaders[min(ply // 4, tiles.N_TRICKS - 1)]) + ply) % tiles.N_PLAYERS
    own = _ints(np.asarray(state.hands)[seat])
    return Position(
        four(own if at == seat else UNKNOWN for at in range(tiles.N_PLAYERS)),
        int(state.declaration),
        int(state.leader),
        _ints(np.asarray(state.history)[:ply]),
        bid,
    )


def contracts(positions: Sequence[Position]) -> Contract:
    """The contracts of n positions, int8 NumPy arrays `[n]`.

    Raises:
        ValueError: if a position has none.
    """
    rows = []
    for index, position in enumerate(positions):
        if position.bid is None:
            raise ValueError(f"game {index}: expected a contract")
        seat, points, marks = position.bid
        rows.append((seat, position.declaration, points, marks))
    return Contract(*np.array(rows, np.int8).reshape(-1, 4).T)


def by_contract(positions: Sequence[Position]) -> list[tuple[np.ndarray, Contract | None]]:
    """Divide n positions into those without a contract and those with one.

    Returns:
        For each part that is not empty the places of its positions, int64 `[m]`, and the contracts
        `[m]` or None.
    """
    has_bid = np.array([position.bid is not None for position in positions], bool)
    parts: list[tuple[np.ndarray, Contract | None]] = []
    if len(without := np.flatnonzero(~has_bid)):
        parts.append((without, None))
    if len(rows := np.flatnonzero(has_bid)):
        parts.append((rows, contracts([positions[row] for row in rows.tolist()])))
    return parts


def bids(contracts: Contract) -> list[Bid]:
    """The bids of n contracts; the declaration is the position's own."""
    fields = (contracts.bidder, contracts.bid, contracts.marks)
    return [Bid(*_ints(row)) for row in np.stack(fields, 1)]


def slots(position: Position) -> np.ndarray:
    """The mover's slot at each play, int8 `[plays]`."""
    hands = full_hands(position)
    return np.array(
        [
            hands[seat].index(tile)
            for seat, tile in zip(position.movers, position.plays, strict=True)
        ],
        np.int8,
    )


def to_record(games: Sequence[Position]) -> GameRecord:
    """Finished games as records `[n]`, in NumPy arrays, without policy targets.

    Raises:
        ValueError: if a game is not over, or a hand is not known.
    """
    for index, position in enumerate(games):
        check_declaration(position)
        if not position.is_over or UNKNOWN in position.hands:
            raise ValueError(f"game {index}: expected a finished game with four known hands")
    n = len(games)
    arrays: dict[str, np.ndarray] = {
        name: np.zeros((n, *shape), dtype) for name, (dtype, shape) in record.FIELDS.items()
    }
    for row, position in enumerate(games):
        arrays["hands"][row] = position.hands
        arrays["declaration"][row] = position.declaration
        arrays["leader"][row] = position.leader
        arrays["slots"][row] = slots(position)
    arrays["kind"][:] = TargetKind.NONE
    return GameRecord(**arrays)


def of_record(records: GameRecord, bids: Sequence[Bid | None] | None = None) -> list[Position]:
    """The games of n records; their policy targets are not part of a position.

    Args:
        records: `[n]`.
        bids: their contracts, if they have any.

    Raises:
        Impossible: if a game is not legal.
    """
    hands, played = np.asarray(records.hands), np.asarray(records.slots)
    made = []
    for row in range(len(hands)):
        deal = four(_ints(hand) for hand in hands[row])
        declaration, leader = int(records.declaration[row]), int(records.leader[row])
        now = Position(deal, declaration, leader, (), bids[row] if bids else None)
        # Who plays next depends on the trick before, so slots become tiles one by one.
        for slot in played[row]:
            now = now.play(deal[now.mover][int(slot)])
        made.append(now)
    return made


def _ints(values: np.ndarray) -> Hand:
    return tuple(int(value) for value in values)
