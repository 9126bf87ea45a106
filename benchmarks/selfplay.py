"""Measure self-play: games per second, and the share of the device's maximum speed."""

import argparse
import dataclasses
import functools
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from zebjax import game, network, search
from zebjax.common import cli, parsing
from zebjax.observe import Observation
from zebjax.search import SearchConfig, rollouts
from zebjax.training import selfplay
from zebjax.training.config import SelfPlayConfig

from . import report

ABOUT = """Plays many games (lanes) at once in compiled calls; the lanes are at all stages of a
game. Warm-up and compilation are not counted. A game has 17 decisions (forced moves are not
searched), so games per second = decisions per second / 17.

PUCT is AlphaZero's tree search; Gumbel (Danihelka et al. 2022) needs fewer simulations. The
setting `original` is the original system's: PUCT, 200 simulations per decision, 3.35 M parameters
with a belief head; but with zebjax's tree, which evaluates the network neither at forced plies nor
in the last two tricks. `original-plain` has the original's tree. In a row, `original` is the speed
of the original's own code on two CPU cores, which searches all 28 plies
(reference/throughput.json)."""

DECISIONS_PER_GAME = 17.0
"""39 % of the 28 plies are forced in random play; 17.07 decisions per game were measured in
self-play of the original's 557 K network."""
LANES_FILE = report.RESULTS / "lanes.json"


class Setting(NamedTuple):
    """A network and a search, or rollouts, that are timed together."""

    preset: str
    search: SearchConfig
    dtype: str | None = None
    """None: bfloat16 on an accelerator, float32 on a CPU."""
    belief_head: bool = True
    original: dict[str, float] = {}  # noqa: RUF012 (a NamedTuple's field, never written)
    """Speed of the original's code, if it was measured."""
    method: Literal["search", "outcomes", "rollouts"] = "search"


_GUMBEL_16 = SearchConfig("gumbel", sims=16)
SETTINGS = {
    "original": Setting("large", SearchConfig("puct", sims=200)),
    "recommended": Setting("large", _GUMBEL_16),
    "original-plain": Setting("large", SearchConfig("puct", sims=200, plain=True)),
    "medium-puct-50": Setting(
        "medium", SearchConfig("puct", sims=50), "float32", False, {"games_per_cpu_s": 0.979}
    ),
    "medium-puct-50-plain": Setting(
        "medium", SearchConfig("puct", sims=50, plain=True), "float32", False
    ),
    # Compared with the original at PUCT 50, whose targets are not better (benchmarks/targets.py).
    "medium-recommended": Setting(
        "medium", _GUMBEL_16, "float32", False, {"games_per_cpu_s_at_puct_50": 0.979}
    ),
    "large-puct-16": Setting(
        "large", SearchConfig("puct", sims=16), "float32", True, {"games_per_cpu_s": 0.636}
    ),
    "quickstart": Setting("small", SearchConfig("gumbel", sims=8, gumbel_c_scale=0.5)),
    "medium-outcomes": Setting("medium", SearchConfig(), belief_head=False, method="outcomes"),
    "medium-rollouts": Setting("medium", SearchConfig(), belief_head=False, method="rollouts"),
    "worlds-16": Setting("medium", SearchConfig("gumbel", sims=4, worlds=16), "float32"),
}


def searched() -> list[str]:
    """Names of the settings that search."""
    return [name for name, setting in SETTINGS.items() if setting.method == "search"]


# Maximum number of games that a lane can finish in one call. A game has at least seven decisions
# (the first six leads, and one more at 19 plies), so 7 * 64 decisions finish at most 64 games.
_MAX_GAMES_PER_LANE = 64
_MAX_DECISIONS = 7 * _MAX_GAMES_PER_LANE


class Bench(NamedTuple):
    """A setting, compiled and warmed up; call `move` to time it."""

    config: SelfPlayConfig
    network: network.ZebConfig
    params: network.Params
    box: list[selfplay.Actor]
    compile_s: float

    def move(self, decisions: int) -> jax.Array:
        """Play `decisions` more decisions in every lane."""
        while decisions > 0:
            now = min(decisions, _MAX_DECISIONS)
            actor = selfplay.advance(self.config, self.network, self.params, self.box.pop(), 0, now)
            # Drop the finished games; a full buffer would stop the lanes.
            self.box.append(actor._replace(n_finished=jnp.zeros_like(actor.n_finished)))
            decisions -= now
        return self.box[0].states.ply


def prepare(name: str, lanes: int) -> Bench:
    """Compile a setting, with lanes at all stages of a game."""
    setting = SETTINGS[name]
    net = dataclasses.replace(
        network.PRESETS[setting.preset],
        belief_head=setting.belief_head,
        compute_dtype=setting.dtype or report.dtype_default(),
        move_values=setting.method != "search",
    )
    config = SelfPlayConfig(
        lanes=lanes,
        games_per_cycle=_MAX_GAMES_PER_LANE * lanes,
        method=setting.method,
        search=setting.search,
    )
    params = network.init(net, jax.random.key(0))
    actor = selfplay.init(config, jax.random.key(1))
    actor = actor._replace(states=decisions_of_all_stages(jax.random.key(2), lanes))
    compile_s, _ = report.wall_and_cpu_s(
        lambda: selfplay.advance.lower(config, net, params, actor, 0, 1).compile()
    )
    bench = Bench(config, net, params, [actor], compile_s)
    jax.block_until_ready(bench.move(2))
    return bench


@functools.partial(jax.jit, static_argnames="n")
def decisions_of_all_stages(key: jax.Array, n: int) -> game.GameState:
    """States of `n` random games, each at one of its decisions, drawn uniformly."""

    def one(key: jax.Array) -> game.GameState:
        deal_key, play_key, stop_key = jax.random.split(key, 3)
        start = game.deal(deal_key)
        _, slots = game.play_randomly(play_key, start, game.N_PLIES)

        def step(state: game.GameState, slot: jax.Array) -> tuple[game.GameState, jax.Array]:
            return game.play(state, slot), game.legal_slots(state).sum() > 1

        is_decision = jax.lax.scan(step, start, slots)[1]
        ply = jax.random.categorical(stop_key, jnp.where(is_decision, 0.0, -jnp.inf))
        return game.replay(start.hands, start.declaration, start.leader, slots, ply)

    return jax.vmap(one)(jax.random.split(key, n))


def lengths_asked(
    config: SelfPlayConfig, net: network.ZebConfig, params: network.Params, states: game.GameState
) -> list[int]:
    """The number of valid tokens in each observation that one decision of these games evaluates."""
    asked: list[int] = []
    by_search = config.method == "search"
    real: Any = (
        search.evaluator(net, params, config.search.plain)
        if by_search
        else rollouts.evaluator(net, params)
    )

    def watch(seen: Observation, *share: float) -> network.Output:
        jax.debug.callback(
            lambda n_valid: asked.extend(int(n) for n in n_valid.ravel() if n), seen.mask.sum(-1)
        )
        return real.evaluate(seen, *share)

    def judge(states: game.GameState, key: jax.Array) -> Any:
        watched = real._replace(evaluate=watch)
        if by_search:
            return search.search(config.search, watched, states, key)
        drawn = rollouts.draw(config.explore, watched, states, key)
        if config.method == "outcomes":
            return drawn
        return drawn, rollouts.played_out(config.explore, watched, states, key)

    run = jax.jit(judge)
    jax.block_until_ready(run(states, jax.random.key(0)))
    jax.effects_barrier()
    return asked


def measure(name: str, lanes: int, seconds: float, repeats: int = 5) -> dict[str, Any]:
    """Time a setting for about `seconds`, in `repeats` parts.

    Returns:
        One row: games, decisions, simulations and evaluations per second; FLOP of valid tokens
        only; memory; seconds of compilation.
    """
    bench = prepare(name, lanes)
    one, _ = report.wall_and_cpu_s(lambda: bench.move(1))
    decisions = max(1, round(seconds / repeats / one))
    time = report.timed(lambda: bench.move(decisions), repeats)
    memory = report.process_peak_mb()
    lengths = lengths_asked(bench.config, bench.network, bench.params, bench.box[0].states)
    # A search does not evaluate the belief head, so it is not counted.
    judge = dataclasses.replace(bench.network, belief_head=False)
    asked, flop = (
        len(lengths) / lanes,
        sum(report.flop(judge, length) for length in lengths) / lanes,
    )
    ceiling = report.ceiling_tflops(bench.network.compute_dtype)
    per_s, per_cpu_s = lanes * decisions / time["wall_s"], lanes * decisions / time["cpu_s"]
    row = {
        "setting": name,
        "lanes": lanes,
        "games_per_s": round(per_s / DECISIONS_PER_GAME, 4),
        "games_per_cpu_s": round(per_cpu_s / DECISIONS_PER_GAME, 4),
        "decisions_per_s": round(per_s, 1),
        **({"simulations_per_s": round(per_s * _sims(bench))} if _sims(bench) else {}),
        "evaluations_per_s": round(per_s * asked),
        "evaluations_per_decision": round(asked, 1),
        "tflops": round(per_s * flop / 1e12, 3),
        "percent_of_ceiling": round(100 * per_s * flop / 1e12 / ceiling, 1),
        "gflop_per_game": round(flop * DECISIONS_PER_GAME / 1e9, 4),
        "ceiling_tflops": ceiling,
        "process_peak_mb": memory,
        "compile_s": round(bench.compile_s, 1),
        "spread": round(time["spread"], 3),
        "parameters": network.n_params(bench.params),
        "network": dataclasses.asdict(bench.network),
        "search": bench.config.how,
        "original": SETTINGS[name].original,
    }
    return row


def _sims(bench: Bench) -> int:
    """Simulations of a decision; 0 without a search."""
    config = bench.config.search
    trees = 1 if config.worlds == "true" else config.worlds
    return trees * config.sims * (bench.config.method == "search")


def fitting(name: str, lanes: int, seconds: float) -> dict[str, Any] | None:
    """Call `measure`; halve the lanes until they fit in memory. None if not even one fits."""
    while True:
        try:
            return measure(name, lanes, seconds)
        except jax.errors.JaxRuntimeError as error:
            if not report.is_out_of_memory(error):
                raise
        if lanes == 1:
            print(f"{name}: not even one lane fits in this device's memory")
            return None
        print(
            f"{name}: {lanes:,} lanes do not fit in this device's memory; trying {lanes // 2:,}",
            flush=True,
        )
        lanes //= 2


def sweep(name: str, seconds: float) -> list[dict[str, Any]]:
    """Double the lanes until two steps in a row are not faster or memory is full.

    Returns:
        The rows, the fastest first.
    """
    rows: list[dict[str, Any]] = []
    # On a CPU more than 512 lanes take minutes and gain only a few percent.
    for lanes in report.sizes(32, 512) if report.on_cpu() else report.sizes(512, 2**16):
        row = fitting(name, lanes, seconds)
        if row is None or row["lanes"] < lanes:
            break
        report.show(row)
        rows.append(row)
        best = max(rows, key=lambda row: row["games_per_s"])
        if len(rows) - 1 - rows.index(best) >= 2:
            break
    return sorted(rows, key=lambda row: -row["games_per_s"])


def remembered_lanes(name: str) -> int:
    """The number of lanes that a sweep found best for this setting and device; else a guess."""
    known = json.loads(LANES_FILE.read_text()) if LANES_FILE.exists() else {}
    return known.get(report.device_name(), {}).get(name, 128 if report.on_cpu() else 2048)


def remember_lanes(name: str, lanes: int) -> None:
    """Write the best number of lanes into `results/lanes.json`."""
    known = json.loads(LANES_FILE.read_text()) if LANES_FILE.exists() else {}
    known.setdefault(report.device_name(), {})[name] = lanes
    report.write(LANES_FILE, known)


def compare(
    first: str, second: str, lanes: int | None, seconds: float, rounds: int = 5
) -> dict[str, Any]:
    """Time two settings alternately in one process, so that a busy machine slows both.

    Returns:
        One row: the second's speed divided by the first's, with the median, minimum and maximum of
        `rounds`.
    """
    benches = [prepare(name, lanes or remembered_lanes(name)) for name in (first, second)]
    moves = [
        max(1, round(seconds / rounds / 2 / report.wall_and_cpu_s(lambda b=b: b.move(1))[0]))
        for b in benches
    ]
    ratios = []
    for _ in range(rounds):
        speeds = []
        for bench, decisions in zip(benches, moves, strict=True):
            wall, _ = report.wall_and_cpu_s(lambda b=bench, n=decisions: b.move(n))
            speeds.append(bench.config.n_lanes * decisions / wall)
        ratios.append(speeds[1] / speeds[0])
    row: dict[str, Any] = {
        "first": first,
        "second": second,
        "lanes": [bench.config.n_lanes for bench in benches],
    }
    row |= {"second_over_first": round(statistics.median(ratios), 2)}
    return row | {"least": round(min(ratios), 2), "most": round(max(ratios), 2), "rounds": rounds}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json(
        "selfplay", f"{__doc__}\n\n{ABOUT}", "--settings medium-puct-50 --lanes 128"
    )
    settings = {"nargs": "+", "choices": SETTINGS, "metavar": "NAME"}
    default = ["original", "recommended", "medium-puct-50", "medium-recommended"]
    parser.add_argument(
        "--settings", **settings, default=default, help=f"which of {', '.join(SETTINGS)}"
    )
    parser.add_argument(
        "--lanes",
        type=cli.integer(1, 2**20),
        metavar="N",
        help="games at once (default: the best number that --sweep found, else a guess)",
    )
    parser.add_argument(
        "--seconds",
        type=cli.checked(parsing.number(0.1, 3600)),
        default=20,
        metavar="S",
        help="seconds to time each setting (default %(default)s)",
    )
    parser.add_argument(
        "--sweep", action="store_true", help="find the best number of lanes and store it"
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        choices=SETTINGS,
        metavar="NAME",
        help="time two settings alternately, for the ratio of their speeds",
    )
    args: argparse.Namespace = parser.parse_args(argv)
    if args.sweep and (args.lanes or args.compare):
        parser.error("--sweep tries many numbers of lanes; use it without --lanes and --compare")
    if args.compare and args.settings != default:
        parser.error("--compare names its two settings; use it without --settings")
    result = report.surroundings(args.note) | {"rows": []}
    if args.compare:
        row = compare(*args.compare, args.lanes, args.seconds)
        report.show(row)
        name = f"compare-{args.compare[0]}-{args.compare[1]}"
        report.write(args.out or report.default_name(name), result | {"rows": [row]})
        return
    out: Path = args.out or report.default_name("selfplay")
    for name in args.settings:
        if args.sweep:
            rows = sweep(name, args.seconds)
            if rows:
                remember_lanes(name, rows[0]["lanes"])
        else:
            row = fitting(name, args.lanes or remembered_lanes(name), args.seconds)
            rows = [row] if row else []
            for row in rows:
                report.show(row)
        result["rows"] += rows
        report.write(out, result)


if __name__ == "__main__":
    sys.exit(report.run("selfplay", main))
