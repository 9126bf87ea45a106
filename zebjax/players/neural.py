"""Players with a network: its policy alone, or tree search over sampled worlds."""

import dataclasses
import functools
import hashlib
import json

import jax
import numpy as np

from zebjax import game, network, observe, search, tiles
from zebjax.common.jax_settings import PRNG
from zebjax.players.base import Player, in_chunks, sample_slot
from zebjax.search import Policy, SearchConfig
from zebjax.torch_compat import weights as torch_weights

MOST_NODES = 1_000_000
"""Of one decision's trees together: some 300 MB."""


# The parameters and the temperature are arguments and not constants, so that a network that is
# still learning is judged again and again by one compiled function.
@functools.partial(jax.jit, static_argnames=("config", "length"))
def _zeb_slots(
    states: game.GameState,
    keys: jax.Array,
    params: network.Params,
    temperature: jax.Array,
    config: network.ZebConfig,
    length: int,
) -> jax.Array:
    seen = jax.vmap(lambda state: observe.observe(state, config.tokenizer))(states)
    logits = network.apply(config, params, observe.shorten(seen, length)).policy_logits
    legal = jax.vmap(game.legal_slots)(states)
    return jax.vmap(sample_slot, (0, 0, 0, None))(keys, logits, legal, temperature)


@functools.partial(jax.jit, static_argnames=("config", "settings"))
def _searched_slots(
    states: game.GameState,
    keys: jax.Array,
    params: network.Params,
    config: network.ZebConfig,
    settings: search.SearchConfig,
) -> jax.Array:
    judge = search.evaluator(config, params, settings.plain)

    def one(state: game.GameState, key_data: jax.Array) -> jax.Array:
        # A game by itself, so that its key alone decides, wherever in the batch it stands (but for
        # rounding, as the network evaluates the games of a batch in groups).
        alone = jax.tree.map(lambda leaf: leaf[None], state)
        return search.search(
            settings, judge, alone, jax.random.wrap_key_data(key_data, impl=PRNG)
        ).slot[0]

    return jax.vmap(one)(states, keys)


def zeb(config: network.ZebConfig, params: network.Params, temperature: float = 0.1) -> Player:
    """A network's policy: one evaluation a move, softmax over legal logits / temperature, the best
    at temperature 0.

    Players of the same config share one compiled function, whatever their parameters.
    """
    spec = observe.tokenizer(config.tokenizer)

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        # Padding costs as much as tokens: left out, for two tricks at a time so as to compile only
        # four times.
        trick = min(int(states.ply.max(initial=0)) // 4 | 1, tiles.N_TRICKS - 1)
        compiled = functools.partial(
            _zeb_slots,
            params=params,
            temperature=np.float32(temperature),
            config=config,
            length=spec.lengths[trick],
        )
        return in_chunks(compiled, states, keys)

    return Player(f"zeb,temperature={temperature:g}", choose)


def searching_zeb(
    config: network.ZebConfig, params: network.Params, settings: search.SearchConfig
) -> Player:
    """A network with tree search over sampled worlds: it reads nothing that its seat has not seen.

    Raises:
        ValueError: for settings that search the true deal.
    """
    if settings.worlds == "true":
        raise ValueError(
            "worlds: a player may not search the true deal; expected a number of sampled worlds"
        )
    compiled = functools.partial(_searched_slots, params=params, config=config, settings=settings)
    spec = f"zeb,sims={settings.sims},search={settings.policy},worlds={settings.worlds}"
    return Player(spec, functools.partial(in_chunks, compiled, trees=settings.worlds))


def load_zeb(
    path: str,
    temperature: float | None = None,
    sims: int = 0,
    worlds: int | None = None,
    search: Policy | None = None,
) -> Player:
    """The player that `zeb:PATH,...` names.

    Args:
        path: what `network.load` reads, or a `.pt` file of the original PyTorch system.
        temperature: of the policy, 0.1 if None; of the search's root, 0 if None.
        sims: simulations in each sampled world; 0 plays the policy alone.
        worlds: sampled worlds that are searched, 16 if None.
        search: `gumbel` (also if None) or `puct`.

    Raises:
        ValueError: if there is no network at `path`, or the options do not go together.
    """
    for name, value in (("worlds", worlds), ("search", search)):
        if value and not sims:
            raise ValueError(f"{name}: expected sims with it, as in sims=64")
    # A file of the original's is read as it is, so that it can be rated before it is converted.
    is_torch = torch_weights.names_torch_file(path)
    config, params = torch_weights.read(path)[:2] if is_torch else network.load(path)
    if sims:
        worlds = worlds or 16
        if sims * worlds > MOST_NODES:
            raise ValueError(
                f"sims: expected at most {MOST_NODES:,} in all worlds together, got "
                f"{sims * worlds:,}"
            )
        settings = SearchConfig(
            search or "gumbel", sims, temperature=temperature or 0.0, worlds=worlds
        )
        player, how = searching_zeb(config, params, settings), repr(settings)
    else:
        temperature = 0.1 if temperature is None else temperature
        player, how = zeb(config, params, temperature), f"temperature={temperature!r}"
    return dataclasses.replace(player, identity=f"zeb:sha256={_digest(config, params)},{how}")


def _digest(config: network.ZebConfig, params: network.Params) -> str:
    """The sha256 of a network: its config and every array's place, type, shape and bytes, wherever
    they are stored.
    """
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(config), sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
