"""A transformer as a model of the others and as the policy of rollouts, in JAX.

`small.batch` does the same with the small network in numba. A transformer costs some hundred times
as much, so this is for accelerators, and for single decisions on a CPU.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, network, observe, tiles
from zebjax.common import devices
from zebjax.common.arrays import Scalar
from zebjax.common.jax_settings import PRNG
from zebjax.players import base, exact, neural

PREFIX = "zeb:"
"""Of a path that names a transformer, as in the spec of a player."""
_TEMPERATURE = 0.1
"""Of moves in rollouts, on logits: that of the player `zeb:PATH`."""
_LAST_TRICKS = (1, 3, 5)
"""The last trick, from 0, of each stage. In a stage games of two tricks are evaluated, with as many
tokens as they can have; in the seventh trick nobody has a choice."""


def is_named(path: str) -> bool:
    """True if the path of a network names a transformer."""
    return path.startswith(PREFIX)


class Transformer(NamedTuple):
    """A network with a policy."""

    config: network.ZebConfig
    params: network.Params

    @property
    def digest(self) -> str:
        """The sha256 of its config and arrays."""
        return neural.digest(self.config, self.params)


def load(path: str) -> Transformer:
    """Read a network that plays for points.

    Args:
        path: as for the player `zeb:PATH`.

    Raises:
        ValueError: if there is none, or it plays contracts.
    """
    config, params = neural.read(path)
    if config.plays_contracts:
        raise ValueError(
            f"{PREFIX}{path}: trained for contracts; expected a network trained for points"
        )
    return Transformer(config, params)


def log_likelihoods(
    model: Transformer,
    states: game.GameState,
    worlds: np.ndarray,
    counts: np.ndarray,
    floor: float,
    whose: Sequence[int] = (0, 1, 2),
) -> np.ndarray:
    """Return how likely worlds make the others' past plays; as `batch.log_likelihoods`.

    What a seat's plays tell depends on its own hand alone, so each hand is evaluated once.

    Args:
        model: its policy is taken as it is, softmax(logits).
        states: N games, NumPy arrays; only what the mover has seen is read.
        worlds: int8 `[N, C, 4, 7]`, dealt hands.
        counts: integers `[N]`, the number of worlds of each game; the rest are not read.
        floor: share of uniformly random plays.
        whose: whose plays count: 0 is the seat to the left of the mover, 1 the partner, 2 the
            seat to the right.

    Returns:
        float64 `[N, C, 4]`: of the partner's and the opponents' plays by the model, and the same
        if they played at random.
    """
    found = np.zeros((*worlds.shape[:2], 4))
    asked, hands_of = _hands_to_ask(states, worlds, counts, whose)
    p, n_legal = _chances(model, asked)
    with np.errstate(divide="ignore"):  # without a floor a play may be impossible
        by_model, at_random = np.log((1 - floor) * p + floor / n_legal), -np.log(n_legal)
    for row, seat, which, part in hands_of:
        group = 0 if seat == 1 else 1
        for column, logs in ((group, by_model), (2 + group, at_random)):
            by_hand = logs[part].reshape(which.max() + 1, -1).sum(1)
            found[row, : counts[row], column] += by_hand[which]
    return found


def _hands_to_ask(
    states: game.GameState, worlds: np.ndarray, counts: np.ndarray, whose: Sequence[int]
) -> tuple[game.GameState, list[tuple[int, int, np.ndarray, slice]]]:
    """Return each past play of the seats `whose` with each hand that the worlds give it.

    Returns:
        Games with the whole history, whose `ply` is that of the play; and for each game and seat:
        its number, the seat from the left of the mover on, the hand of each world, and which of
        the games these are, by hand and then by play.
    """
    by_ply = np.repeat(np.asarray(states.trick_leaders), tiles.N_PLAYERS, 1).astype(np.int64)
    by_ply = (by_ply + np.arange(game.N_PLIES)) % tiles.N_PLAYERS
    rows, hands_of, total = [np.zeros((3, 0), np.int64)], [], 0
    for row, me in enumerate(base.movers(states)):
        for other in whose:
            seat = (me + 1 + other) % tiles.N_PLAYERS
            own = np.sort(worlds[row, : counts[row], seat], 1)
            _, first, which = np.unique(own, axis=0, return_index=True, return_inverse=True)
            plies = np.flatnonzero(by_ply[row, : states.ply[row]] == seat)
            world, ply = (part.ravel() for part in np.meshgrid(first, plies, indexing="ij"))
            rows.append(np.stack([np.full(len(world), row), world, ply]))
            hands_of.append((row, other, which.ravel(), slice(total, total + len(world))))
            total += len(world)
    number, world, ply = np.concatenate(rows, 1)
    # Sorted: in which slot somebody holds a tile is nothing that the mover has seen.
    hands = np.sort(worlds[number, world], -1)
    return base.gather(states, number)._replace(hands=hands, ply=ply.astype(np.int8)), hands_of


def _chances(model: Transformer, asked: game.GameState) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each play, and how many tiles were legal, float64 `[n]` each."""
    p = np.ones(len(asked.ply))
    n_legal = base.by_chunk(_n_legal, (asked,)).astype(np.float64)
    of_trick = asked.ply // tiles.N_PLAYERS
    for last in _LAST_TRICKS:
        some = np.flatnonzero((n_legal > 1) & (of_trick <= last) & (of_trick > last - 2))
        if len(some):
            compiled = functools.partial(_chance, model.params, model.config, last)
            p[some] = base.by_chunk(compiled, (base.gather(asked, some),))
    return p, n_legal


def _at_the_play(asked: game.GameState) -> tuple[game.GameState, jax.Array]:
    """Return a game of `_hands_to_ask` before the play at `ply`, and the slot that was played."""
    holds = jnp.asarray(asked.hands).reshape(1, -1) == jnp.asarray(asked.history)[:, None]
    slots = jnp.argmax(holds, 1) % tiles.HAND_SIZE
    state = game.replay(asked.hands, asked.declaration, asked.leader, slots, asked.ply)
    return state, slots[asked.ply].astype(jnp.int32)


@jax.jit
def _n_legal(asked: game.GameState) -> jax.Array:
    """Return the number of legal tiles at each play, integers `[n]`."""
    return jax.vmap(lambda one: game.legal_slots(_at_the_play(one)[0]).sum())(asked)


@functools.partial(jax.jit, static_argnums=(1, 2), compiler_options=devices.GPU_OPTIONS)
def _chance(
    params: network.Params, config: network.ZebConfig, last_trick: int, asked: game.GameState
) -> jax.Array:
    """Return P(the play at `ply`), float32 `[n]`; none is of a trick after `last_trick`."""
    states, slots = jax.vmap(_at_the_play)(asked)
    legal = jax.vmap(game.legal_slots)(states)
    logits = _logits(states, network.prepare(config, params), config, last_trick)
    policy = jax.nn.softmax(jnp.where(legal, logits, -jnp.inf))
    return jnp.take_along_axis(policy, slots[:, None], 1)[:, 0]


def _logits(
    states: game.GameState, weights: network.Prepared, config: network.ZebConfig, last_trick: int
) -> jax.Array:
    """Return logits by slot of games that are in no later trick, float32 `[n, 7]`."""
    lengths = observe.tokenizer(config.tokenizer).lengths
    return neural.logits(states, weights, config, lengths[last_trick])


class Policies(NamedTuple):
    """Who plays a game to its end, see `small.policy.Policies`."""

    own: Transformer
    others: Transformer


def rollouts(
    policies: Policies, states: game.GameState, seeds: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Play each legal move that is asked for, and then the game to its end; as `batch.rollouts`.

    Slots of the other seats mean nothing. With two networks both evaluate every game.

    Args:
        policies: of the mover's team, and of its opponents.
        states: N games, NumPy arrays with all hands.
        seeds: uint64 `[N]`; all moves of a game have the same random numbers.
        asked: bool `[N, 7]`, by slot.

    Returns:
        int8 `[N, 7]`, points of the mover's team at the end; -1 where not legal or not asked for.
    """
    found = np.full(asked.shape, -1, np.int8)
    keys = np.stack([seeds >> np.uint64(32), seeds & np.uint64(0xFFFFFFFF)], -1).astype(np.uint32)
    row, slot = np.nonzero(asked & base.in_chunks(exact.legal_slots, states, keys))
    nets = policies[:1] if policies.own is policies.others else policies
    compiled = functools.partial(
        _play_out, tuple(net.params for net in nets), tuple(net.config for net in nets)
    )
    arrays = base.gather(_with_sorted_hands(states), row), slot, keys[row]
    found[row, slot] = base.by_chunk(compiled, arrays)
    return found


def _with_sorted_hands(states: game.GameState) -> game.GameState:
    """Return the games with the tiles of all seats but the mover in ascending order."""
    order = np.argsort(states.hands, -1)
    order[np.arange(len(order)), base.movers(states)] = np.arange(tiles.HAND_SIZE)
    return states._replace(
        hands=np.take_along_axis(states.hands, order, -1),
        played=np.take_along_axis(states.played, order, -1),
    )


def _trick(states: game.GameState) -> jax.Array:
    """Return the number of the trick, from 0; 7 after the end."""
    return jnp.asarray(states.ply) // tiles.N_PLAYERS


def _any_is_in(last_trick: int, states: game.GameState) -> jax.Array:
    return (_trick(states) <= last_trick).any()


@functools.partial(jax.jit, static_argnums=1, compiler_options=devices.GPU_OPTIONS)
def _play_out(
    params: tuple[network.Params, ...],
    configs: tuple[network.ZebConfig, ...],
    states: game.GameState,
    slots: jax.Array,
    keys: jax.Array,
) -> jax.Array:
    """Return the points of the team to move after `slots` and a game to the end, int8 `[n]`.

    One network plays for all; or the first for that team, the second for its opponents.
    """
    nets = [
        (config, network.prepare(config, own)) for config, own in zip(configs, params, strict=True)
    ]
    team = jax.vmap(game.current_player)(states) % 2

    def draw(key: jax.Array, ply: Scalar, logits: jax.Array, legal: jax.Array) -> jax.Array:
        now = jax.random.fold_in(jax.random.wrap_key_data(key, impl=PRNG), ply)
        return base.sample_slot(jax.random.key_data(now), logits, legal, _TEMPERATURE)

    def step(last_trick: int, states: game.GameState) -> game.GameState:
        by_net = [_logits(states, weights, config, last_trick) for config, weights in nets]
        is_own = jax.vmap(game.current_player)(states) % 2 == team
        chosen = jnp.where(is_own[:, None], by_net[0], by_net[-1])
        legal = jax.vmap(game.legal_slots)(states)
        slots = jax.vmap(draw)(keys, states.ply, chosen, legal)

        def play(state: game.GameState, slot: jax.Array) -> game.GameState:
            waits = _trick(state) > last_trick
            after = game.play(state, slot)
            return jax.tree.map(lambda old, new: jnp.where(waits, old, new), state, after)

        return jax.vmap(play)(states, slots)

    states = jax.vmap(game.play)(states, slots)
    for last_trick in _LAST_TRICKS:
        goes_on = functools.partial(_any_is_in, last_trick)
        states = jax.lax.while_loop(goes_on, functools.partial(step, last_trick), states)
    for _ in range(tiles.N_PLAYERS):  # nothing changes in a game that is over
        legal = jax.vmap(game.legal_slots)(states)
        states = jax.vmap(game.play)(states, jnp.argmax(legal, 1).astype(slots.dtype))
    return jnp.take_along_axis(states.points, team[:, None], 1)[:, 0]
