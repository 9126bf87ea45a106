"""Players with a network: the policy alone, or tree search over sampled worlds."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import contract, game, network, observe, search, tiles
from zebjax.common import devices
from zebjax.common.jax_settings import PRNG
from zebjax.contract import Contract
from zebjax.network.config import POINTS_WEIGHT, VALUE_WEIGHT
from zebjax.players.base import (
    ACCELERATOR_CHUNK,
    Choose,
    ChooseInContract,
    NeedsContract,
    Player,
    chunk_size,
    in_chunks,
    sample_slot,
)
from zebjax.search import Policy, SearchConfig
from zebjax.torch_compat import weights as torch_weights

Criterion = Literal["policy", "value"]
MAX_SIMULATIONS = 1_000_000
"""Maximum simulations in all trees of one decision together; they take about 300 MB."""


def _evaluate(
    states: game.GameState,
    weights: network.Prepared,
    config: network.ZebConfig,
    length: int,
    contracts: Contract | None = None,
) -> network.Output:
    see = functools.partial(observe.observe, tokenizer=config.tokenizer)
    seen = jax.vmap(lambda state, terms: see(state, contract=terms))(states, contracts)
    return network.evaluate(config, weights, observe.shorten(seen, length))


def logits(
    states: game.GameState, weights: network.Prepared, config: network.ZebConfig, length: int
) -> jax.Array:
    """Return the policy logits of the seat to move in n games, float32 `[n, 7]`.

    Args:
        states: leading axis n; only what that seat has seen is read.
        weights: from `network.prepare`, once for many evaluations.
        config: of the network.
        length: tokens that are kept, at least as many as any of the games has.
    """
    return _evaluate(states, weights, config, length).policy_logits


# Parameters and temperature are traced arguments, so that a network in training can be evaluated
# again and again without another compilation.
@functools.partial(jax.jit, static_argnames=("config", "length", "by"))
def _zeb_slots(
    states: game.GameState,
    keys: jax.Array,
    params: network.Params,
    temperature: jax.Array,
    config: network.ZebConfig,
    length: int,
    by: Criterion,
    contracts: Contract | None = None,
) -> jax.Array:
    output = _evaluate(states, network.prepare(config, params), config, length, contracts)
    if by == "value":
        assert output.moves is not None
        # E[Q] that plays for the contract computes no points in the first tricks, so they are
        # not learned there.
        points = 0.0 if config.plays_contracts else POINTS_WEIGHT
        logits = output.moves @ jnp.array([VALUE_WEIGHT, points])
    else:
        logits = output.policy_logits
    legal = jax.vmap(game.legal_slots)(states)
    return jax.vmap(sample_slot, (0, 0, 0, None))(keys, logits, legal, temperature)


@functools.partial(
    jax.jit, static_argnames=("config", "settings"), compiler_options=devices.GPU_OPTIONS
)
def _searched_slots(
    states: game.GameState,
    keys: jax.Array,
    params: network.Params,
    config: network.ZebConfig,
    settings: search.SearchConfig,
    contracts: Contract | None = None,
) -> jax.Array:
    evaluator = search.evaluator(config, params, settings.plain)

    def one(state: game.GameState, key_data: jax.Array, terms: Contract | None) -> jax.Array:
        # Search each game alone, so that its result depends on its key and not on its place in the
        # batch (except for rounding: the network evaluates the games of a batch in groups).
        alone, terms = jax.tree.map(lambda leaf: leaf[None], (state, terms))
        key = jax.random.wrap_key_data(key_data, impl=PRNG)
        return search.search(settings, evaluator, alone, key, terms).slot[0]

    return jax.vmap(one)(states, keys, contracts)


def _seated(
    spec: str,
    config: network.ZebConfig,
    choose: Callable[[game.GameState, Contract | None, np.ndarray], np.ndarray],
    trees: int = 1,
) -> Player:
    """Make the player of a network, whose value decides which games it plays.

    A network of points won plays games with a contract too, by its points: it does not see the
    contract. One of make/set sees it, and refuses a game without one.

    Args:
        spec: the player's name.
        config: the network.
        choose: plays games with contracts, or None, given states, contracts and keys.
        trees: its search trees per game.
    """

    def without(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        return choose(states, None, keys)

    in_contract: ChooseInContract | None = choose if config.plays_contracts else None
    by_points: Choose = without
    if config.plays_contracts:
        reason = f"its network is trained for {contract.VALUE} and"
        by_points = NeedsContract(spec, reason, "one trained for points")
    # With so many trees that a chunk is one game, all numbers of games share one program.
    pads_one = chunk_size(trees) > 1
    return Player(spec, by_points, choose_in_contract=in_contract, pads_one=pads_one)


def _share(n: int, trees: int = 1) -> int:
    """The share of a chunk that one game takes, `trees` of `in_chunks`.

    A game alone takes a whole chunk, so that nothing is padded: at a table each decision is of one
    game, and padding it to 64 took most of its time. Other numbers share one program, since another
    size would have to be compiled.
    """
    return ACCELERATOR_CHUNK if n == 1 else trees


def zeb(
    config: network.ZebConfig,
    params: network.Params,
    temperature: float = 0.1,
    by: Criterion = "policy",
) -> Player:
    """Make a player from a network's policy or its values of moves: one evaluation per move.

    Players with the same config share one compiled function.

    Args:
        config: the network.
        params: its parameters.
        temperature: the slot is drawn from softmax(legal logits / temperature); 0 plays the best.
        by: "policy", or "value": the logits are the scores `VALUE_WEIGHT` * value +
            `POINTS_WEIGHT` * points of the moves.

    Raises:
        ValueError: if the network has no head for the values of moves, and `by` needs it.
    """
    if by == "value" and not config.move_values:
        raise ValueError(
            "choose: value needs a network with a head for the values of moves, and this one has "
            "none; expected policy, or a network trained with network.move_values True"
        )
    spec = observe.tokenizer(config.tokenizer)

    def choose(states: game.GameState, contracts: Contract | None, keys: np.ndarray) -> np.ndarray:
        # Padding costs as much as tokens, so cut it off. One length per two tricks: only four
        # compilations.
        trick = min(int(states.ply.max(initial=0)) // 4 | 1, tiles.N_TRICKS - 1)
        compiled = functools.partial(
            _zeb_slots,
            params=params,
            temperature=np.float32(temperature),
            config=config,
            length=spec.lengths[trick],
            by=by,
        )
        return in_chunks(compiled, states, keys, _share(len(keys)), contracts)

    choice = "" if by == "policy" else f",choose={by}"
    return _seated(f"zeb{choice},temperature={temperature:g}", config, choose)


def searching_zeb(
    config: network.ZebConfig, params: network.Params, settings: search.SearchConfig
) -> Player:
    """Make a player that searches trees over sampled worlds with a network.

    It reads only what its seat has seen.

    Args:
        config: the network.
        params: its parameters.
        settings: the search; `worlds` must be a number.

    Raises:
        ValueError: if `settings` search the true deal.
    """
    if settings.worlds == "true":
        raise ValueError(
            "worlds: a player may not search the true deal; expected a number of sampled worlds"
        )
    compiled = functools.partial(_searched_slots, params=params, config=config, settings=settings)
    spec = f"zeb,sims={settings.sims},search={settings.policy},worlds={settings.worlds}"
    trees = settings.worlds

    def choose(states: game.GameState, contracts: Contract | None, keys: np.ndarray) -> np.ndarray:
        return in_chunks(compiled, states, keys, _share(len(keys), trees), contracts)

    return _seated(spec, config, choose, trees)


def read(path: str) -> tuple[network.ZebConfig, network.Params]:
    """Read the network of a player.

    Args:
        path: any path that `network.load` accepts, or a `.pt` file of the original PyTorch system,
            which is read directly, so that it can be rated without conversion.

    Raises:
        ValueError: if there is no network at `path`.
    """
    is_torch = torch_weights.names_torch_file(path)
    config, params = torch_weights.read(path)[:2] if is_torch else network.load(path)
    return network.on_this_device(config), params


def load_zeb(
    path: str,
    temperature: float | None = None,
    sims: int = 0,
    worlds: int | None = None,
    search: Policy | None = None,
    choose: Criterion = "policy",
) -> Player:
    """Make the player of the spec `zeb:PATH,...`.

    Args:
        path: as for `read`.
        temperature: None is 0.1 for the policy alone, and 0 by values and at the root of a search.
        sims: simulations per sampled world; 0 plays the policy alone.
        worlds: number of sampled worlds to search; None is 16.
        search: "gumbel" or "puct"; None is "gumbel".
        choose: "policy" or "value", see `zeb`; without `sims`.

    Raises:
        ValueError: if there is no network at `path`, or the options do not fit together.
    """
    for name, value in (("worlds", worlds), ("search", search)):
        if value and not sims:
            raise ValueError(f"{name}: expected sims with it, as in sims=64")
    if choose == "value" and sims:
        raise ValueError("choose: expected no sims with value: a search chooses by its visits")
    config, params = read(path)
    if sims:
        worlds = worlds or 16
        if sims * worlds > MAX_SIMULATIONS:
            raise ValueError(
                f"sims: expected at most {MAX_SIMULATIONS:,} in all worlds together, got "
                f"{sims * worlds:,}"
            )
        settings = SearchConfig(
            search or "gumbel", sims, temperature=temperature or 0.0, worlds=worlds
        )
        player, how = searching_zeb(config, params, settings), repr(settings)
    else:
        if temperature is None:
            temperature = 0.1 if choose == "policy" else 0.0
        player = zeb(config, params, temperature, choose)
        how = f"temperature={temperature!r}" + (f",choose={choose}" if choose == "value" else "")
    return dataclasses.replace(player, identity=f"zeb:sha256={digest(config, params)},{how}")


def digest(config: network.ZebConfig, params: network.Params) -> str:
    """Return the sha256 of a network's config and arrays, wherever they are stored."""
    made = hashlib.sha256(json.dumps(config.stored_fields(), sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(leaf)
        made.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        made.update(array.tobytes())
    return made.hexdigest()
