"""How well does our search agree with the original's, by policy and number of simulations, and at
what price?
"""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, search
from zebjax.torch_compat import weights as torch_weights

from . import report

ABOUT = """Searches the 93 unforced roots of reference/mcts.npz with the original's 557 K
network, on trees like its own (`plain`), and compares with its tree search at 200 simulations:
agreement on the top move, and KL(reference to ours, ours floored at 1e-3). The golden data is
looked for in ../shared/reference or $ZEBJAX_REFERENCE."""


def agreement(theirs: np.ndarray, ours: np.ndarray) -> tuple[float, float]:
    """Share of equal top moves, and mean KL(theirs to ours), of two sets of policies `[n, 7]`."""
    log_ratio = np.log(np.where(theirs > 0, theirs, 1)) - np.log(np.maximum(ours, 1e-3))
    return float((theirs.argmax(1) == ours.argmax(1)).mean()), float(
        (theirs * log_ratio).sum(1).mean()
    )


def golden_roots(folder: Path) -> tuple[game.GameState, np.ndarray]:
    """The unforced roots as states `[93]`, and the original's policies `[93, 7]`."""
    with np.load(folder / "mcts.npz") as golden:
        rows = golden["legal"].sum(1) > 1
        deals = (jnp.asarray(golden[name][rows]) for name in ("hands", "decl", "leader"))
        slots, plies = golden["actions"][rows], (golden["actions"][rows] >= 0).sum(1)
        states = jax.vmap(game.replay)(
            *deals, jnp.asarray(np.maximum(slots, 0)), jnp.asarray(plies)
        )
        return states, golden["policy"][rows]


def measure(config: search.SearchConfig, folder: Path) -> dict[str, Any]:
    """One row of the table."""
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


def main() -> None:
    """The command."""
    parser = report.parser_with_json("search", f"{__doc__}\n\n{ABOUT}", "--sims 50 200 800")
    parser.add_argument("--sims", type=int, nargs="+", default=[50, 200, 800])
    parser.add_argument(
        "--policies", nargs="+", choices=("puct", "gumbel"), default=["puct", "gumbel"]
    )
    args = parser.parse_args()
    folder = Path(
        os.environ.get("ZEBJAX_REFERENCE", Path(__file__).parents[2] / "shared" / "reference")
    )
    if not (folder / "mcts.npz").exists():
        parser.error(
            f"the golden data mcts.npz is not in {folder}; set ZEBJAX_REFERENCE to its folder"
        )
    result = report.surroundings(args.note) | {"rows": []}
    for policy in args.policies:
        for sims in args.sims:
            row = measure(search.SearchConfig(policy, sims=sims, plain=True), folder)
            result["rows"].append(row)
            report.show(row)
    report.write(args.out or report.default_name("search"), result)


if __name__ == "__main__":
    main()
