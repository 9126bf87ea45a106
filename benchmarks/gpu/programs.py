"""The programs whose times are predicted: self-play, one search, one evaluation, the learner's
updates, and the rules engine.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from zebjax import game, network, search
from zebjax.network import prepared
from zebjax.network.config import AUTO
from zebjax.training import learner, replay, together
from zebjax.training import selfplay as actor
from zebjax.training.config import SelfPlayConfig
from zebjax.training.learner_config import LearnerConfig

from .. import engine, report, selfplay
from .roofline import Part, Turns


class Program(NamedTuple):
    """A jitted function with the shapes of its arguments."""

    facts: dict[str, Any]
    """Names it in a row of results; with the device they are its identity."""
    function: Any
    arguments: tuple
    unit: str
    """The work of which `facts` ask the cost: a move, an update."""
    units: float
    """Number of them in a turn of the outermost loop, or in a run of the program."""
    per_unit: float
    """Games, examples or plies of a unit."""
    rate: str
    """Name of the rate in a row: units or their content per second."""
    is_loop: bool = False
    """True if a unit is one turn of the outermost loop, False if it is a run of the program."""
    inner: int | None = None
    """Turns of the loop that is shown beside the unit: the simulations of a search."""
    turns: Turns = lambda stack, depth: 4.0


OTHER_TURNS = 3.0
"""Assumed turns of other loops of unknown length, such as the one that draws Dirichlet noise."""
OVERFLOW_TURNS = 0.0
"""Assumed turns of the loop that evaluates what did not fit into its part of a batch: see
`zebjax.network.bucketing`."""


def _turns(is_outermost_one: bool, others: float = OTHER_TURNS) -> Turns:
    def turns(stack: tuple[str, ...], depth: int) -> float:
        if is_outermost_one and depth == 1:
            return 1.0  # the cost of one turn is what is asked
        if stack and "/zebjax/network/bucketing.py" in stack[0]:
            return OVERFLOW_TURNS
        return others

    return turns


class Compute(NamedTuple):
    """How the network is evaluated: fields of a ZebConfig."""

    compute_dtype: str
    kernels: str = AUTO

    def facts(self) -> dict[str, str]:
        """Those that a row names: `kernels` only if they are not what a user gets."""
        facts = self._asdict()
        return facts if self.kernels != AUTO else {"compute_dtype": self.compute_dtype}


def _setting(name: str, compute: Compute) -> tuple[network.ZebConfig, selfplay.Setting]:
    setting = selfplay.SETTINGS[name]
    net = dataclasses.replace(
        network.PRESETS[setting.preset],
        belief_head=setting.belief_head,
        move_values=setting.method != "search",
        **compute._asdict(),
    )
    return net, setting


def _params(net: network.ZebConfig) -> Any:
    return jax.eval_shape(lambda: network.init(net, jax.random.key(0)))


def self_play(name: str, lanes: int, compute: Compute) -> Program:
    """Moves of self-play; `name` is a setting of the benchmark `selfplay`."""
    net, setting = _setting(name, compute)
    # Room for as many games as lanes: the size of the buffer hardly matters to the program.
    config = SelfPlayConfig(
        lanes=lanes, games_per_cycle=lanes, method=setting.method, search=setting.search
    )
    lanes_state = jax.eval_shape(lambda: actor.init(config, jax.random.key(0)))
    return Program(
        {"program": "selfplay", "setting": name, "lanes": lanes, **compute.facts()},
        actor.advance,
        (config, net, _params(net), lanes_state, jnp.int32(0), jnp.int32(1)),
        "move",
        1.0,
        lanes / selfplay.DECISIONS_PER_GAME,
        "predicted_games_per_s",
        True,
        setting.search.sims if setting.method == "search" else None,
        _turns(True),
    )


def one_search(name: str, lanes: int, compute: Compute) -> Program:
    """One search of `lanes` games; the setting must have one."""
    net, setting = _setting(name, compute)
    settings = setting.search
    states = jax.eval_shape(lambda: jax.vmap(game.deal)(jax.random.split(jax.random.key(0), lanes)))

    def run(params: network.Params, states: game.GameState, key: jax.Array) -> Any:
        return search.search(settings, search.evaluator(net, params), states, key)

    return Program(
        {"program": "search", "setting": name, "lanes": lanes, **compute.facts()},
        jax.jit(run),
        (_params(net), states, jax.eval_shape(lambda: jax.random.key(0))),
        "search",
        1.0,
        lanes,
        "predicted_searches_per_s",
        False,
        settings.sims,
        _turns(False),
    )


def evaluation(
    preset: str, positions: int, length: int, compute: Compute, n_devices: int = 1
) -> Program:
    """One evaluation of the network without a belief head, positions of one length, with weights
    that were prepared before.
    """
    net = dataclasses.replace(network.PRESETS[preset], belief_head=False, **compute._asdict())
    seen = jax.eval_shape(lambda: report.zeros(net, positions, length))
    # As `network.prepare` makes them on such devices.
    prepare = functools.partial(prepared.prepare, net.with_kernels(n_devices == 1))
    weights = jax.eval_shape(prepare, _params(net))
    return Program(
        {
            "program": "network",
            "setting": preset,
            "positions": positions,
            "length": length,
            **compute.facts(),
        },
        network.evaluate,
        (net, weights, seen),
        "evaluation",
        1.0,
        positions,
        "predicted_positions_per_s",
    )


def updates(preset: str, batch: int, dtype: str, per_call: int = 0) -> Program:
    """Updates of the learner, as many as its compiled call draws examples for together.

    Args:
        preset: size of the network.
        batch: examples of an update.
        dtype: of the products.
        per_call: number of updates in a call; 0 for as many as fit, in chunks of 25.
    """
    net = dataclasses.replace(network.PRESETS[preset], belief_head=True, compute_dtype=dtype)
    config = LearnerConfig(
        batch=batch, updates_per_cycle=per_call or 1000, updates_per_call=per_call
    )
    state = jax.eval_shape(
        lambda params: learner.init(config, net, params, jax.random.key(0)), _params(net)
    )
    ring = jax.eval_shape(lambda: replay.init(500_000))
    drawn = max(config.chunk, together.updates_that_fit(config))
    return Program(
        {"program": "learner", "setting": preset, "batch": batch, "compute_dtype": dtype},
        learner.train,
        (config, net, state, ring, jnp.int32(1)),
        "update",
        drawn,
        1.0,
        "predicted_updates_per_s",
        True,
        config.chunk,
        _turns(True, drawn / config.chunk),  # its loop over the chunks
    )


def rules(games: int) -> Program:
    """The rules engine: `games` games of random play."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    return Program(
        {"program": "engine", "games": games},
        engine.play,
        (key, games),
        "run",
        1.0,
        games * game.N_PLIES,
        "predicted_plies_per_s",
    )


def unit(program: Program, entry: Part) -> Part:
    """The part whose cost is that of `program.units` units."""
    loops = [part for part in entry.parts if part.label == "loop"]
    if not program.is_loop or not loops:
        return entry
    return max(loops, key=lambda part: part.cost.seconds)


def inner_loop(program: Program, around: Part) -> Part | None:
    """The loop within that runs `program.inner` times; None if there is none. Of several the most
    expensive one.
    """
    found = [
        part
        for part, _ in around.walk()
        if part.label == "loop" and part.is_known and part.times == program.inner
    ]
    return max(found, key=lambda part: part.cost.seconds, default=None)
