"""Measure the policy targets of each search: their quality, and their number per second."""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zebjax import game, network, players, search
from zebjax.common import cli
from zebjax.evaluation import matches
from zebjax.evaluation.intervals import Z95
from zebjax.players import base
from zebjax.search import SearchConfig
from zebjax.training.config import SelfPlayConfig

from . import report
from .search import agreement
from .selfplay import decisions_of_all_stages, lengths_asked

ABOUT = """Searches positions from all stages of a game on the true deal, as self-play does, and
compares each search with PUCT of 3,200 simulations on the same positions: the share of equal top
moves, and the mean KL divergence (targets at least 1e-3). Then each search plays paired deals
against the first one; both see all hands and play their best move. A search with better targets
should play better. `evaluations_per_decision` counts network evaluations.

PUCT is AlphaZero's tree search; Gumbel (Danihelka et al. 2022) needs fewer simulations; `plain`
is the original system's tree, and `sharp` a larger c_scale."""

SETTINGS = {
    "puct-50-plain": SearchConfig("puct", sims=50, plain=True),
    "puct-50": SearchConfig("puct", sims=50),
    "puct-200-plain": SearchConfig("puct", sims=200, plain=True),
    "puct-200": SearchConfig("puct", sims=200),
    "gumbel-8": SearchConfig("gumbel", sims=8),
    "gumbel-16": SearchConfig("gumbel", sims=16),
    "gumbel-32": SearchConfig("gumbel", sims=32),
    "gumbel-16-sharp": SearchConfig("gumbel", sims=16, gumbel_c_scale=0.5),
    "gumbel-32-sharp": SearchConfig("gumbel", sims=32, gumbel_c_scale=0.5),
}


@functools.partial(jax.jit, static_argnames=("settings", "config"))
def _search(
    settings: SearchConfig,
    config: network.ZebConfig,
    params: network.Params,
    states: game.GameState,
    key: jax.Array,
) -> search.SearchResult:
    return search.search(settings, search.evaluator(config, params, settings.plain), states, key)


def evaluations(
    settings: SearchConfig, config: network.ZebConfig, params: network.Params, states: Any
) -> float:
    """Network evaluations per decision."""
    play = SelfPlayConfig(search=settings)
    return len(lengths_asked(play, config, params, states)) / len(states.ply)


def player(
    settings: SearchConfig, config: network.ZebConfig, params: network.Params
) -> players.Player:
    """Return a player of the best move of a search on the true deal.

    It sees all hands, so it only serves to compare targets.
    """
    if settings.worlds != "true":
        raise ValueError("worlds: expected the true deal")

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        best = SearchConfig(**(vars(settings) | {"temperature": 0.0}))
        # At temperature 0 the key only breaks ties.
        return np.asarray(
            _search(best, config, params, states, jax.random.wrap_key_data(keys[0])).slot
        )

    def in_chunks(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        return base.in_chunks(choose, states, keys)

    return players.Player("targets", in_chunks)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json(
        "targets", f"{__doc__}\n\n{ABOUT}", "--network bundled --roots 64 --deals 20"
    )
    parser.add_argument(
        "--network",
        default="bundled",
        metavar="PATH",
        help="a network folder or a run (default bundled)",
    )
    parser.add_argument(
        "--roots",
        type=cli.integer(1, 10**5),
        default=256,
        metavar="N",
        help="positions to search (default %(default)s)",
    )
    parser.add_argument(
        "--deals",
        type=cli.integer(0, 10**6),
        default=200,
        metavar="N",
        help="deals against the first setting; 0 plays none (default %(default)s)",
    )
    names = list(SETTINGS)
    parser.add_argument(
        "--settings",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"which of {', '.join(names)} (default all)",
    )
    args = parser.parse_args(argv)
    try:
        config, params = network.load(Path(args.network))
    except ValueError as error:
        parser.error(str(error))
    states = decisions_of_all_stages(jax.random.key(11), args.roots)
    key = jax.random.key(0)
    reference = np.asarray(
        _search(SearchConfig("puct", sims=3200), config, params, states, key).policy
    )

    def measure(name: str) -> dict[str, Any]:
        settings = SETTINGS[name]
        time = report.timed(lambda: _search(settings, config, params, states, key), 3)
        policy = np.asarray(_search(settings, config, params, states, key).policy)
        top, kl = agreement(reference, policy)
        row = {
            "setting": name,
            "top_move": round(top, 3),
            "kl": round(kl, 4),
            "evaluations_per_decision": round(evaluations(settings, config, params, states), 1),
            "decisions_per_cpu_s": round(args.roots / time["cpu_s"], 1),
        }
        if args.deals and name != args.settings[0]:
            first = player(SETTINGS[args.settings[0]], config, params)
            match = matches.play_match(
                player(settings, config, params), first, args.deals, jax.random.key(5)
            )
            row["win_rate_over_first"] = round(match.win_rate, 4)
            row["win_rate_ci95"] = round(Z95 * match.win_rate_stderr, 4)
        return row

    rows = (measure(name) for name in args.settings)
    report.collect("targets", args, rows, network=args.network, roots=args.roots)


if __name__ == "__main__":
    sys.exit(report.run("targets", main))
