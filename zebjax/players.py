"""Players: many games in, one slot for each out. One spec grammar names them all.

A spec is `kind[:arg[,key=value]...]`: `random`, `heuristic`, `zeb:runs/first,temperature=0`. A new kind is one
function that makes a Player and one line in `KINDS`.

`choose` runs on the host and takes any number of games, so a player may be compiled, or NumPy, or numba. A compiled
one calls `in_chunks`, so that it always sees the same shape however many games are waiting for it.
"""

import dataclasses
import difflib
import functools
import hashlib
import json
import math
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, network, observe, search, tiles
from zebjax.search import Policy, SearchConfig

CHUNK = 64
"""Games in one compiled call. On two CPU cores 64 is as fast a game as 256, and less of the last chunk is padding."""
ACCELERATOR_CHUNK = 1024
"""The same where evaluations are so cheap that the number of calls is what costs."""

Choose = Callable[[game.GameState, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Player:
    """Something that plays: what it is called and how it chooses."""

    spec: str
    """Its name in tables; for a player made by `make`, the spec it was made from."""
    choose: Choose
    """`choose(states, keys) -> slots`: for each of n games a slot 0..6 that the seat to move may play.

    `states` is a GameState of NumPy arrays with a leading axis n. `keys` is uint32 `[n, 2]`, one raw random key
    (`jax.random.key_data`) a game; all randomness comes from there, so that the same game with the same key is
    played the same, wherever it stands in whichever batch. `slots` is int `[n]`.
    A player may read only what its seat has seen of a state: its own hand, the plays and the deal's public facts.
    """
    identity: str = ""
    """What decides its play, for caches: two players of one identity, in one version of the code, play alike.
    Empty: unknown, so nothing may be cached under it."""


def make(spec: str) -> Player:
    """The player that a spec names.

    Raises:
        ValueError: one sentence that names the spec and what was expected, with the nearest valid kind or key.
    """
    name, colon, rest = spec.partition(":")
    if name not in KINDS:
        raise ValueError(f"player {spec!r}: unknown kind {name!r}; did you mean {nearest(name, KINDS)!r}?")
    kind = KINDS[name]
    items = rest.split(",") if colon else []
    positional = []
    if kind.takes_argument:
        if not items or not items[0]:
            raise ValueError(f"player {spec!r}: expected {kind.usage}")
        positional.append(items.pop(0))
    try:
        made = kind.make(*positional, **_options(kind, items))
    except (ValueError, OSError) as error:
        raise ValueError(f"player {spec!r}: {error}") from error
    # What an argument names, a file for one, can change; a spec without one says all there is.
    return dataclasses.replace(made, spec=spec, identity=made.identity or ("" if kind.takes_argument else spec))


def _options(kind: "Kind", items: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not kind.options:
            raise ValueError(f"expected {kind.usage!r} and nothing more, got {item!r}")
        if not equals:
            raise ValueError(f"expected key=value as in {kind.usage}, got {item!r}")
        if key not in kind.options:
            raise ValueError(f"unknown key {key!r}; did you mean {nearest(key, kind.options)!r}?")
        if key in options:
            raise ValueError(f"{key} is given twice")
        try:
            options[key] = kind.options[key](text)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return options


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of `known`, which is not empty, that looks most like `word`."""
    return difflib.get_close_matches(word, list(known), n=1, cutoff=0.0)[0]


def number(low: float, high: float) -> Callable[[str], float]:
    """A parser of option values: a real number in [low, high]; ValueError that says so otherwise."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}, got {text!r}")
        return value

    return parse


def integer(low: int, high: int) -> Callable[[str], int]:
    """A parser of option values: a whole number from low to high; ValueError that says so otherwise."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, got {text!r}")
        return value

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of option values: one of these words; ValueError that names them otherwise."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected {' or '.join(words)}, got {text!r}; did you mean {nearest(text, words)!r}?")
        return text

    return parse


def watch(player: Player) -> tuple[Player, list[tuple[game.GameState, np.ndarray, np.ndarray]]]:
    """The same player, and a list that grows by (states, keys, slots chosen) whenever it is asked."""
    seen = []

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        slots = player.choose(states, keys)
        seen.append((states, keys, slots))
        return slots

    return dataclasses.replace(player, choose=choose), seen


def take(states: game.GameState, rows: np.ndarray) -> game.GameState:
    """The games `rows` of a batch on the host; rows past the end repeat the last game."""
    return jax.tree.map(lambda leaf: np.take(leaf, rows, axis=0, mode="clip"), states)


def in_chunks(compiled: Choose, states: game.GameState, keys: np.ndarray, trees: int = 1) -> np.ndarray:
    """Call a compiled `choose` on chunks of one fixed size, the last one padded, and join what it gives, `[n, ...]`.

    The more `trees` a game costs at once, the fewer games are in a chunk.
    """
    chunk = max(1, (CHUNK if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK) // trees)
    n = len(keys)
    results = []
    for start in range(0, n, chunk):
        rows = np.arange(start, start + chunk)
        results.append(compiled(take(states, rows), np.take(keys, rows, axis=0, mode="clip")))
    # Fetched only now: an accelerator works on one chunk while the next is prepared.
    return np.concatenate([np.asarray(result) for result in results])[:n] if results else np.zeros(0, np.int32)


def sample_slot(key_data: jax.Array, logits: jax.Array, legal: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """A legal slot drawn from softmax(logits / temperature), int32; the best one at temperature 0.

    Gumbel-max: argmax of logits + temperature * Gumbel noise has that distribution, at temperature 0 too, and with
    the same key two players whose logits are close choose the same slot most of the time.
    """
    noise = jax.random.gumbel(jax.random.wrap_key_data(key_data), logits.shape)
    return jnp.argmax(jnp.where(legal, logits + temperature * noise, -jnp.inf)).astype(jnp.int32)


def heuristic_slot(state: game.GameState) -> jax.Array:
    """What the original's rule-based player plays, int32.

    Leading: a tile of the called suit with the highest pip sum, without one the highest pip sum. Following: of the
    legal tiles the one with the fewest points, then the lowest pip sum. The first slot on ties. It does not look at
    the trick (`shared/reference/README.md`, peculiarity 5).
    """
    hand = state.hands[game.current_player(state)]
    pip_sum = jnp.asarray(tiles.PIP_SUM, jnp.int32)[hand]
    called = jnp.asarray(tiles.CALLED)[state.declaration, hand]
    lead = pip_sum + 100 * called
    follow = -(pip_sum + 100 * jnp.asarray(tiles.POINTS, jnp.int32)[hand])
    score = jnp.where(state.ply % 4 == 0, lead, follow)
    return jnp.argmax(jnp.where(game.legal_slots(state), score, -10_000)).astype(jnp.int32)


@jax.jit
def _heuristic_slots(states: game.GameState, keys: jax.Array) -> jax.Array:
    return jax.vmap(heuristic_slot)(states)


@jax.jit
def _random_slots(states: game.GameState, keys: jax.Array) -> jax.Array:
    legal = jax.vmap(game.legal_slots)(states)
    return jax.vmap(sample_slot, (0, 0, 0, None))(keys, jnp.zeros(legal.shape), legal, 1.0)


# The parameters and the temperature are arguments and not constants, so that a network that is still learning is
# judged again and again by one compiled function.
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
        # A game by itself, so that its key alone decides, wherever in the batch it stands (but for rounding, as the
        # network evaluates the games of a batch in groups).
        alone = jax.tree.map(lambda leaf: leaf[None], state)
        return search.search(settings, judge, alone, jax.random.wrap_key_data(key_data)).slot[0]

    return jax.vmap(one)(states, keys)


def random() -> Player:
    """Plays a uniformly random legal slot."""
    return Player("random", functools.partial(in_chunks, _random_slots))


def heuristic() -> Player:
    """The original's rule-based player, see `heuristic_slot`."""
    return Player("heuristic", functools.partial(in_chunks, _heuristic_slots))


def zeb(config: network.ZebConfig, params: network.Params, temperature: float = 0.1) -> Player:
    """A network's policy: one evaluation a move, softmax over legal logits / temperature, the best at temperature 0.

    Players of the same config share one compiled function, whatever their parameters.
    """
    spec = observe.tokenizer(config.tokenizer)

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        # Padding costs as much as tokens: left out, for two tricks at a time so as to compile only four times.
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


def searching_zeb(config: network.ZebConfig, params: network.Params, settings: search.SearchConfig) -> Player:
    """A network with tree search over sampled worlds: it reads nothing that its seat has not seen.

    Raises:
        ValueError: for settings that search the true deal.
    """
    if settings.worlds == "true":
        raise ValueError("worlds: a player may not search the true deal; expected a number of sampled worlds")
    compiled = functools.partial(_searched_slots, params=params, config=config, settings=settings)
    spec = f"zeb,sims={settings.sims},search={settings.policy},worlds={settings.worlds}"
    return Player(spec, functools.partial(in_chunks, compiled, trees=settings.worlds))


def _zeb_at(
    path: str, temperature: float | None = None, sims: int = 0, worlds: int | None = None, search: Policy | None = None
) -> Player:
    for name, value in (("worlds", worlds), ("search", search)):
        if value and not sims:
            raise ValueError(f"{name}: expected sims with it, as in sims=64")
    config, params = network.load(path)
    if sims:
        worlds = worlds or 16
        if sims * worlds > MOST_NODES:
            raise ValueError(f"sims: expected at most {MOST_NODES:,} in all worlds together, got {sims * worlds:,}")
        settings = SearchConfig(search or "gumbel", sims, temperature=temperature or 0.0, worlds=worlds)
        player, how = searching_zeb(config, params, settings), repr(settings)
    else:
        temperature = 0.1 if temperature is None else temperature
        player, how = zeb(config, params, temperature), f"temperature={temperature!r}"
    return dataclasses.replace(player, identity=f"zeb:sha256={_digest(config, params)},{how}")


def _digest(config: network.ZebConfig, params: network.Params) -> str:
    """The sha256 of a network: its config and every array's place, type, shape and bytes, wherever they are stored."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(config), sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


MOST_NODES = 1_000_000
"""Of one decision's trees together: some 300 MB."""
MOST_WORLDS = 100_000
"""Of E[Q]'s worlds a decision."""
CRITERIA = ("win", "points")
"""What E[Q] may maximise, see `eq.player`."""


def _eq(**options: Any) -> Player:
    from zebjax import eq  # the solver's compiler takes a second to load

    return eq.player(**options)


def _cheat() -> Player:
    from zebjax import eq

    return eq.cheat()


class Kind(NamedTuple):
    """One kind of player in the spec grammar."""

    make: Callable[..., Player]
    """Called with the argument, if it takes one, and the options that were given, by name."""
    usage: str
    about: str
    takes_argument: bool = False
    options: Mapping[str, Callable[[str], Any]] = types.MappingProxyType({})
    """Name -> parser of its text, which raises a ValueError saying what was expected."""


KINDS = {
    "random": Kind(random, "random", "any legal tile, all equally likely"),
    "heuristic": Kind(heuristic, "heuristic", "the original's rule-based player: pips and counts only"),
    "zeb": Kind(
        _zeb_at,
        "zeb:PATH[,temperature=0.1][,sims=64,search=gumbel,worlds=16]",
        "a network; PATH is a run folder, one step of it, or what `python -m convert` made. Without sims its "
        "policy; with sims a tree search (gumbel or puct) in each of so many sampled worlds, temperature 0",
        takes_argument=True,
        options={
            "temperature": number(0, 100),
            "sims": integer(1, 100_000),
            "search": one_of("gumbel", "puct"),
            "worlds": integer(1, 10_000),
        },
    ),
    "eq": Kind(
        _eq,
        "eq[:n=100,criterion=win|points,n_trick1=N]",
        "the exact teacher: best on average over n worlds solved to the end; n_trick1 of them in the first trick",
        options={
            "n": integer(1, MOST_WORLDS),
            "criterion": one_of(*CRITERIA),
            "n_trick1": integer(1, MOST_WORLDS),
        },
    ),
    "cheat": Kind(_cheat, "cheat", "perfect play with all four hands seen: a ceiling, not a player"),
}
