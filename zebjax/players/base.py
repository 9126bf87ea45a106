"""The interface of a player, and helpers to write one.

A player is a function from many games to one slot for each. `in_chunks` calls a compiled one.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import contract, game, tiles
from zebjax.common.arrays import check
from zebjax.common.jax_settings import PRNG
from zebjax.contract import Contract
from zebjax.game import Tree
from zebjax.position import Position

CHUNK = 64
"""Games in one compiled call on a CPU. On two cores a game takes as long with 64 as with 256, and
the last chunk has less padding."""
ACCELERATOR_CHUNK = 1024
"""Games in one compiled call on an accelerator, where each call costs more than the evaluations."""

FORFEIT = -1
"""Slot by which a player gives up a game, see `Player.may_forfeit`."""
ENOUGH = tiles.TOTAL_POINTS // 2 + 1
"""Minimum points at the end with which a team has more than the other."""

Choose = Callable[[game.GameState, np.ndarray], np.ndarray]
ChooseNeeding = Callable[[game.GameState, np.ndarray, np.ndarray | int], np.ndarray]
"""As `Player.choose`, with the points at the end with which the mover's team wins."""
ChooseSpecial = Callable[[Position, int], int]
ChooseInContract = Callable[[game.GameState, Contract, np.ndarray], np.ndarray]
PWin = Callable[[game.GameState, np.ndarray], np.ndarray]


class Judged(NamedTuple):
    """What a player knows about the moves of n decisions."""

    slots: np.ndarray
    """int32 `[n]`, what it chooses."""
    p_win: np.ndarray
    """float64 `[n, 7]`: P(the mover's team ends with more points than the other); nan where not
    legal. What a network predicts counts a tie half."""
    points: np.ndarray
    """float64 `[n, 7]`: mean points of the mover's team at the end; nan where not legal, or where
    the player does not compute them."""


Judge = Callable[[game.GameState, np.ndarray], Judged]


@dataclasses.dataclass(frozen=True)
class Player:
    """A player: its name and its choice of moves."""

    spec: str
    """Name in tables; for a player from `make`, the spec that it was made from."""
    choose: Choose
    """`choose(states, keys) -> slots`: for each of n games a legal slot 0..6 of the seat to move.

    `states` is a GameState of NumPy arrays with a leading axis n. `keys` is uint32 `[n, 2]`, one
    raw random key (`jax.random.key_data`) per game. `slots` is int `[n]`. All randomness must come
    from the keys: a game with the same key gets the same slot at any place in any batch. A player
    may read only what its seat has seen: its own hand, the plays, declaration and leader.
    """
    identity: str = ""
    """Cache key: players with the same identity choose the same slots, in one version of the code.
    Empty: unknown, so results may not be cached."""
    may_forfeit: bool = False
    """True if `choose` may return `FORFEIT`: an external program that does not answer with a legal
    move. The game then counts as lost with 0 points to 42."""
    summary: Callable[[], str] = str
    """Called after play; returns what users should be told of it, or nothing."""
    choose_in_contract: ChooseInContract | None = None
    """As `choose`, in games with a contract: `choose_in_contract(states, contracts, keys)`, the
    contracts with the same leading axis. None: the player plays every game by `choose`."""
    choose_special: ChooseSpecial | None = None
    """`choose_special(position, seed) -> tile` in nello or sevens, which a `GameState` cannot hold:
    the position as the mover sees it, with several legal tiles; one of them, or `FORFEIT`. None:
    the player does not play them."""
    prepare: Callable[[], None] = lambda: None
    """Compiles programs that few decisions need, so that a person need not wait for them later."""
    p_win: PWin | None = None
    """`p_win(states, keys)`: P(the mover's team ends with more points than the other) of every
    move in games without a contract, float64 `[n, 7]`; nan where not legal. It takes the
    arguments of `choose` and may read the same. None: the player does not know it of every move, or
    chooses by something else.
    """
    judge: Judge | None = None
    """`judge(states, keys)`: what the player chooses and what it knows of every move, for a
    teacher; arguments as for `choose`. Unlike `p_win` it may contain what a network predicts. None:
    the player does not know P(win) of every move, or does not choose by it."""
    pads_one: bool = False
    """True if `choose` compiles another program for one game than for several. A match of many
    games then asks about its last one as two, see `evaluation.turns.ask`; it costs no more, since
    both are in one chunk."""

    def slots(
        self, states: game.GameState, contracts: Contract | None, keys: np.ndarray
    ) -> np.ndarray:
        """Choose in games with contracts or, for None, without; see `choose`."""
        if contracts is None or self.choose_in_contract is None:
            return self.choose(states, keys)
        return self.choose_in_contract(states, contracts, keys)


def watch(player: Player) -> tuple[Player, list[tuple[game.GameState, np.ndarray, np.ndarray]]]:
    """Record the decisions of a player.

    Returns:
        A player with the same choices, and a list to which each call of its `choose` appends
        (states, keys, slots).
    """
    seen = []

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        slots = player.choose(states, keys)
        if len(keys) == 2 and (keys[0] == keys[1]).all():  # one game, see `pads_one`
            seen.append((gather(states, np.arange(1)), keys[:1], slots[:1]))
        else:
            seen.append((states, keys, slots))
        return slots

    return dataclasses.replace(player, choose=choose), seen


@dataclasses.dataclass(frozen=True)
class NeedsContract:
    """`Player.choose` of a player that plays only games with a contract: it refuses the others.

    A class and no function, so that `spec.make` can give it the name that the user has written.
    """

    spec: str
    reason: str
    """What plays games with a contract."""
    expected: str

    def __call__(self, states: game.GameState, keys: np.ndarray) -> NoReturn:
        """Raise ValueError."""
        raise ValueError(
            f"player {self.spec!r}: {self.reason} plays games with a contract, and this game has "
            f"none; expected {self.expected}"
        )


def by_need(
    choose: ChooseNeeding, criterion: str, spec: str
) -> tuple[Choose, ChooseInContract | None]:
    """Return the two choices of a `Player`, without and with a contract.

    Args:
        choose: as `Player.choose`, with the points that win.
        criterion: with "make" the contract says what wins, and a game must have one; else every
            game is won by more points than the other team has.
        spec: named in errors.
    """

    def choose_by_points(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        return choose(states, keys, ENOUGH)

    def choose_in_contract(
        states: game.GameState, contracts: Contract, keys: np.ndarray
    ) -> np.ndarray:
        seats = movers(states)
        return choose(states, keys, np.asarray(contract.needs(contracts, seats)))

    if criterion != "make":
        return choose_by_points, None
    # Of the other criteria this is the one that all options allow.
    return NeedsContract(spec, "criterion=make", "criterion=win"), choose_in_contract


def one(states: game.GameState, row: int) -> game.GameState:
    """Select one game of a batch of NumPy arrays."""
    return jax.tree.map(lambda leaf: leaf[row], states)


def movers(states: game.GameState) -> np.ndarray:
    """Return the seat to move in each of n unfinished games, int64 `[n]`; on the host."""
    ply = np.asarray(states.ply).astype(np.int64)
    trick = np.minimum(ply // tiles.N_PLAYERS, tiles.N_TRICKS - 1)[:, None]
    leaders = np.take_along_axis(np.asarray(states.trick_leaders), trick, 1)[:, 0]
    return (leaders + ply) % tiles.N_PLAYERS


def gather(states: Tree, rows: np.ndarray) -> Tree:
    """Select games of a batch on the host.

    Args:
        states: games, or any tree of NumPy arrays with a leading axis n.
        rows: integers `[m]`; a row past the end gives the last game.

    Returns:
        NumPy arrays with a leading axis m.
    """
    taken: Tree = jax.tree.map(lambda leaf: np.take(leaf, rows, axis=0, mode="clip"), states)
    return taken


def chunk_size(trees: int = 1) -> int:
    """Return the number of games in one call of `in_chunks`."""
    return max(1, (CHUNK if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK) // trees)


def in_chunks(
    compiled: Callable[..., Any],
    states: game.GameState,
    keys: np.ndarray,
    trees: int = 1,
    contracts: Contract | None = None,
) -> np.ndarray:
    """Call a compiled `choose` on chunks of one fixed size, so that one program serves any n.

    Args:
        compiled: as `Player.choose`; with contracts also called with `contracts=`.
        states: NumPy arrays with a leading axis n.
        keys: uint32 `[n, 2]`.
        trees: number of search trees per game; more trees make smaller chunks.
        contracts: NumPy arrays with a leading axis n, or None.

    Returns:
        The results of all chunks, joined: `[n, ...]`.

    Raises:
        ValueError: if `keys` or a field of `states` has a wrong shape or dtype.
    """
    check("keys", keys, ("n", 2), int)
    game.check_state(states, (len(keys),), "states")
    if contracts is None:
        return by_chunk(compiled, (states, keys), trees)
    return by_chunk(
        lambda states, keys, some: compiled(states, keys, contracts=some),
        (states, keys, contracts),
        trees,
    )


def by_chunk(compiled: Callable[..., Any], arrays: tuple[Any, ...], trees: int = 1) -> np.ndarray:
    """Call a compiled function on chunks of one fixed size, and join the results, `[n, ...]`.

    Args:
        compiled: called with the rows of a chunk of each of `arrays`; those past the end repeat
            the last.
        arrays: trees of NumPy arrays with a leading axis n.
        trees: as for `in_chunks`.
    """
    chunk, n = chunk_size(trees), len(jax.tree.leaves(arrays)[0])
    results = [
        compiled(*gather(arrays, np.arange(start, start + chunk))) for start in range(0, n, chunk)
    ]
    # Fetch results after the last call, so that an accelerator works on one chunk while the host
    # prepares the next.
    return (
        np.concatenate([np.asarray(result) for result in results])[:n]
        if results
        else np.zeros(0, np.int32)
    )


def sample_slot(
    key_data: jax.Array, logits: jax.Array, legal: jax.Array, temperature: jax.Array | float
) -> jax.Array:
    """Draw a legal slot from softmax(logits / temperature).

    Args:
        key_data: uint32 `[2]`, a raw random key.
        logits: float `[7]`.
        legal: bool `[7]`.
        temperature: 0 or more; 0 gives the legal slot with the highest logit.

    Returns:
        int32, a slot.
    """
    # Gumbel-max: the argmax of logits + temperature * Gumbel noise has this distribution, without a
    # division by temperature 0. With the same key, players with nearly equal logits mostly choose
    # the same slot, which reduces the variance of paired deals.
    noise = jax.random.gumbel(jax.random.wrap_key_data(key_data, impl=PRNG), logits.shape)
    return jnp.argmax(jnp.where(legal, logits + temperature * noise, -jnp.inf)).astype(jnp.int32)
