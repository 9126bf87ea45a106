"""Measure the search: agreement with the original's, and simulations per second."""

import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, search
from zebjax.common import cli
from zebjax.torch_compat import weights as torch_weights

from . import report

ABOUT = """Searches the 93 unforced roots of reference/mcts.npz with the original's 557 K
network, on trees like the original's (`plain`), and compares with the original's search of 200
simulations. Reports the share of equal top moves, and the mean KL divergence from the original's
policy to ours (each probability of ours raised to at least 1e-3). Needs the golden data:
../shared/reference, or the folder that ZEBJAX_REFERENCE names."""


def agreement(theirs: np.ndarray, ours: np.ndarray) -> tuple[float, float]:
    """Compare two sets of policies `[n, 7]`: the share of equal top moves, and the mean KL
    divergence from `theirs` to `ours` in nats, ours at least 1e-3.
    """
    log_ratio = np.log(np.where(theirs > 0, theirs, 1)) - np.log(np.maximum(ours, 1e-3))
    return float((theirs.argmax(1) == ours.argmax(1)).mean()), float(
        (theirs * log_ratio).sum(1).mean()
    )


def golden_roots(folder: Path) -> tuple[game.GameState, np.ndarray]:
    """The unforced roots as states `[93]`, and the original's policy at each, `[93, 7]`."""
    with np.load(folder / "mcts.npz") as golden:
        rows = golden["legal"].sum(1) > 1
        deals = (jnp.asarray(golden[name][rows]) for name in ("hands", "decl", "leader"))
        slots, plies = golden["actions"][rows], (golden["actions"][rows] >= 0).sum(1)
        states = jax.vmap(game.replay)(
            *deals, jnp.asarray(np.maximum(slots, 0)), jnp.asarray(plies)
        )
        return states, golden["policy"][rows]


def measure(config: search.SearchConfig, folder: Path) -> dict[str, Any]:
    """One row: agreement and speed of one search."""
    states, theirs = golden_roots(folder)
    weights = torch_weights.read(folder / "zeb-557k-1m.pt")
    evaluate = search.evaluator(weights.config, weights.params, config.plain)
    run = jax.jit(lambda states, key: search.search(config, evaluate, states, key))
    compile_s, _ = report.wall_and_cpu_s(lambda: run.lower(states, jax.random.key(0)).compile())
    wall = report.timed(lambda: run(states, jax.random.key(0)), 3)["wall_s"]
    top, kl = agreement(theirs, np.asarray(run(states, jax.random.key(0)).policy))
    return {
        "policy": config.policy,
        "sims": config.sims,
        "top_move_agreement": round(top, 3),
        "mean_kl": round(kl, 4),
        "simulations_per_s": round(len(theirs) * config.sims / wall),
        "compile_s": round(compile_s, 1),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json("search", f"{__doc__}\n\n{ABOUT}", "--sims 50 200 800")
    parser.add_argument(
        "--sims",
        type=cli.integer(1, 10**5),
        nargs="+",
        default=[50, 200, 800],
        metavar="N",
        help="simulations per search (default %(default)s)",
    )
    parser.add_argument(
        "--policies",
        nargs="+",
        choices=("puct", "gumbel"),
        default=["puct", "gumbel"],
        help="kinds of search (default both)",
    )
    args = parser.parse_args(argv)
    folder = Path(
        os.environ.get("ZEBJAX_REFERENCE", Path(__file__).parents[2] / "shared" / "reference")
    )
    if not (folder / "mcts.npz").exists():
        parser.error(
            f"no golden data mcts.npz in {folder}; set ZEBJAX_REFERENCE to the folder that has it"
        )
    rows = (
        measure(search.SearchConfig(policy, sims=sims, plain=True), folder)
        for policy, sims in itertools.product(args.policies, args.sims)
    )
    report.collect("search", args, rows)


if __name__ == "__main__":
    sys.exit(report.run("search", main))
