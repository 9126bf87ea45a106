"""What a position is worth: each move by E[Q], the network's policy, who holds the hidden tiles.

All of it uses only what the seat to move knows, also where all four hands are given.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from zebjax import game, network, observe, position_arrays, solver, tiles, worlds
from zebjax.contract import Contract
from zebjax.players import Player, base, exact
from zebjax.position import Position, four

MAX_WORLDS = 10_000


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that gives policies and beliefs."""

    config: network.ZebConfig
    params: network.Params


@dataclasses.dataclass(frozen=True)
class Move:
    """One legal move. Probabilities and points are those of the mover's team."""

    tile: int
    p_win: float
    """P(more points than the other team); with a contract, P(make) or P(set)."""
    points: float
    """Mean points at the end."""
    policy: float | None
    """Probability by the network's policy, or None without a network."""


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who holds one hidden tile: probabilities of the seats left, partner and right."""

    tile: int
    marginal: tuple[float, ...]
    """All consistent worlds equally likely: exact counting."""
    network: tuple[float, ...] | None
    """By the belief head; None without one."""


@dataclasses.dataclass(frozen=True)
class Analysis:
    """One position."""

    position: Position
    moves: tuple[Move, ...]
    """The best first: by P(win), then by points, then by slot."""
    n_worlds: int
    """Worlds that E[Q] has solved."""
    all_worlds: int
    """Worlds that fit what the mover has seen."""
    holders: tuple[Holder, ...]
    choices: Mapping[str, int]
    """The tile that each of some players would play, by spec."""


def load(path: str) -> Network:
    """Load a network.

    Raises:
        ValueError: if there is none at `path`.
    """
    return Network(*network.load(path))


@jax.jit
def _counted(states: game.GameState, keys: jax.Array) -> jax.Array:
    """Marginals and the number of worlds, float32 `[n, 85]`."""

    def one(state: game.GameState) -> jax.Array:
        counted = worlds.count(state).astype(np.float32)
        return jax.numpy.append(worlds.marginals(state).reshape(-1), counted)

    return jax.vmap(one)(states)


@functools.partial(jax.jit, static_argnames="config")
def _evaluated(
    states: game.GameState,
    keys: jax.Array,
    params: network.Params,
    config: network.ZebConfig,
    contracts: Contract | None = None,
) -> jax.Array:
    """Policy `[n, 7]` over legal slots, and beliefs `[n, 28 * 3]` if the network has any."""
    see = functools.partial(observe.observe, tokenizer=config.tokenizer)
    seen = jax.vmap(lambda state, terms: see(state, contract=terms))(states, contracts)
    output = network.apply(config, params, seen)
    legal = jax.vmap(game.legal_slots)(states)
    policy = jax.nn.softmax(jax.numpy.where(legal, output.policy_logits, -jax.numpy.inf))
    if output.belief_logits is None:
        return policy
    marginal = jax.vmap(worlds.marginals)(states)
    logits = network.corrected_beliefs(config, output.belief_logits, marginal)
    belief = jax.nn.softmax(logits).reshape(len(policy), -1)
    return jax.numpy.concatenate([policy, belief], 1)


def needed(position: Position) -> int:
    """The points with which the mover's team wins: more than the other, or its contract."""
    if position.bid is None:
        return exact.ENOUGH
    ours = position.bid.seat % 2 == position.mover % 2
    return position.bid.points if ours else tiles.TOTAL_POINTS + 1 - position.bid.points


def raw_keys(seeds: Sequence[int]) -> np.ndarray:
    """One raw random key of each seed 0..2**32 - 1, uint32 `[n, 2]`."""
    return np.array([(0, seed) for seed in seeds], np.uint32).reshape(-1, 2)


def win_shares(values: exact.Values, positions: Sequence[Position]) -> np.ndarray:
    """P(win) of each slot, see `Move.p_win`; float64 `[n, 7]`, nan where not legal."""
    # Not Values.p_win: with a contract other points are enough.
    enough = np.array([needed(position) for position in positions])
    wins = values.wins_with(enough)
    return np.where(values.legal, wins / np.maximum(values.n_worlds, 1)[:, None], np.nan)


def analyse(
    positions: Sequence[Position],
    seeds: Sequence[int],
    n: int,
    by: Network | None = None,
    players: Sequence[Player] = (),
) -> list[Analysis]:
    """Analyse many positions together.

    Args:
        positions: the mover's hand must be known, and no game may be over.
        seeds: one 0..2**32 - 1 for each: of its worlds and of the players' choices.
        n: worlds of E[Q]; all if there are fewer.
        by: gives policy and beliefs. One of points does not see contracts; one of make/set needs
            them.
        players: whose choices are asked for.

    Raises:
        ValueError: if a game is over, the mover's hand is not known, or the network is one of
            make/set and a game has no contract.
    """
    if not positions:
        return []
    for each in positions:
        check(each)
    views = [each.seen_by(each.mover) for each in positions]
    states, keys = position_arrays.to_states(views), raw_keys(seeds)
    values = exact.eq_values(states, keys, n)
    shares, mean_points = win_shares(values, views), values.mean_points
    counted = base.in_chunks(_counted, states, keys)
    outputs = None
    if by is not None:
        compiled = functools.partial(_evaluated, params=by.params, config=by.config)
        outputs = base.in_chunks(compiled, states, keys, contracts=_terms(by, views))
    chosen = {player.spec: np.zeros(len(keys), np.int64) for player in players}
    for player in players:
        for rows, contracts in position_arrays.by_contract(views):
            some = base.gather(states, rows)
            chosen[player.spec][rows] = player.slots(some, contracts, keys[rows])
    made = []
    for row, (position, view) in enumerate(zip(positions, views, strict=True)):
        hand = view.hands[view.mover]
        moves = [
            Move(
                tile,
                float(shares[row, slot]),
                float(mean_points[row, slot]),
                None if outputs is None else float(outputs[row, slot]),
            )
            for slot, tile in enumerate(hand)
            if tile in view.legal
        ]
        beliefs = None if outputs is None else outputs[row, tiles.HAND_SIZE :]
        made.append(
            Analysis(
                position,
                tuple(sorted(moves, key=lambda move: (-move.p_win, -move.points))),
                int(values.n_worlds[row]),
                int(counted[row, -1]),
                _holders(view, counted[row, :-1], beliefs),
                {spec: hand[int(slots[row])] for spec, slots in chosen.items()},
            )
        )
    return made


def _terms(by: Network, views: Sequence[Position]) -> Contract | None:
    """The contracts that a network sees."""
    if not by.config.plays_contracts:
        return None
    if any(view.bid is None for view in views):
        raise ValueError(
            "position: its game has no contract, and the network is trained for make/set; expected "
            "a network trained for points"
        )
    return position_arrays.contracts(views)


def check(position: Position) -> None:
    """Raise ValueError unless a position can be analysed."""
    position_arrays.check_declaration(position)
    if position.is_over:
        raise ValueError("position: the game is over; expected one with a move to play")
    if not position.hands[position.mover]:
        raise ValueError(
            f"position: seat {position.mover} is to play; expected its hand, which is not known"
        )


def _holders(view: Position, marginals: np.ndarray, beliefs: np.ndarray | None) -> tuple:
    marginals = marginals.reshape(tiles.N_TILES, 3)
    beliefs = beliefs.reshape(tiles.N_TILES, 3) if beliefs is not None and len(beliefs) else None
    return tuple(
        Holder(
            tile,
            tuple(float(share) for share in marginals[tile]),
            None if beliefs is None else tuple(float(share) for share in beliefs[tile]),
        )
        for tile in view.hidden
    )


def a_world(position: Position, seed: int, n: int) -> Position:
    """A position with all hands known: itself, or the first of the n worlds that `analyse` solves
    with this seed.
    """
    if all(position.hands):
        return position
    state = position_arrays.to_states([position.seen_by(position.mover)])
    _, world = next(exact.worlds_of(state, raw_keys([seed]), n))
    hands = four(tuple(int(tile) for tile in hand) for hand in np.asarray(world.hands)[0])
    return dataclasses.replace(position, hands=hands)


def line(position: Position, first: int) -> tuple[int, ...]:
    """The plays from a position to the end: a first tile, then perfect play with all hands known.

    Args:
        position: all hands must be known.
        first: the first tile.
    """
    now = position.play(first)
    while not now.is_over:
        # One thread: a single position cannot be divided.
        values = solver.solve(position_arrays.to_states([now]), threads=1)[0]
        now = now.play(now.hands[now.mover][int(np.nanargmax(values))])
    return now.plays[len(position.plays) :]
