"""Measure the exact solver: time and nodes per position, and positions per second by threads."""

import functools
import sys
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numba
import numpy as np

from zebjax import game, solver
from zebjax.common import cli
from zebjax.solver import positions, root
from zebjax.solver.search import new_memory

from . import report

PLIES = (0, 4, 8, 12, 16)
# Figures of a C prototype from before this solver was written, on one 2.6 GHz core of a busy
# machine: mean us, 95th percentile us and nodes, by ply.
PROTOTYPE = {
    "VALUE": {
        0: (1033, 3369, 40_000),
        4: (189, 664, 9_000),
        8: (34, 107, 1_900),
        12: (7.4, 21, 433),
        16: (1.7, 3.8, 78),
    },
    "ALLQ": {
        0: (2805, 8376, 106_000),
        4: (484, 1378, 22_000),
        8: (74, 184, 4_200),
        12: (12.6, 32, 771),
        16: (2.4, 5.1, 127),
    },
    "BOOL": {ply: (us, None, None) for ply, us in zip(PLIES, (532, 95, 18, 4.2, 1.2), strict=True)},
}
BOOL_THRESHOLD = 22
ABOUT = """Times three questions on positions of uniform random play, with all declarations equally
frequent, in CPU time of one thread, and compares with the figures of a C prototype:
  VALUE  the value of the position
  ALLQ   the value of every legal move
  BOOL   does each legal move reach 22 points?
Then measures positions per second of `solver.solve` by number of threads, in wall time."""


def random_states(n: int, ply: int, seed: int) -> game.GameState:
    """States `[n]` after `ply` uniform random legal plays, the ten declarations in turn."""

    def one(key: jax.Array, index: jax.Array) -> game.GameState:
        deal_key, play_key = jax.random.split(key)
        start = game.deal(deal_key)._replace(declaration=(index % 10).astype(jnp.int8))
        return game.play_randomly(play_key, start, ply)[0]

    keys = jax.random.split(jax.random.key(seed), n)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(keys, jnp.arange(n)))


def questions(n: int) -> dict[str, tuple[Callable, tuple[np.ndarray, ...]]]:
    """The three kernels, and their further array arguments for `n` positions."""
    every = np.ones((n, 7), bool)
    return {
        "VALUE": (root.values, (np.zeros(n, np.float32),)),
        "ALLQ": (root.move_values, (every, np.zeros((n, 7), np.float32))),
        "BOOL": (
            root.move_answers,
            (np.full(n, BOOL_THRESHOLD), every, np.zeros((n, 7), bool)),
        ),
    }


def cpu_us(work: Callable[[], None]) -> float:
    """Microseconds of this thread's CPU time that `work` takes."""
    start = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start) / 1e3


def time_kernel(
    kernel: Callable, arrays: tuple[np.ndarray, ...], rows: np.ndarray, repeats: int
) -> dict[str, float]:
    """Measure microseconds and nodes per position.

    The mean is that of the fastest of `repeats` passes over all rows. The percentile and the
    maximum come from solving rows one by one, less the time of an empty call.
    """
    n = len(rows)
    nodes = np.zeros(n, np.int64)
    memory = new_memory()

    def solve(first: int, last: int) -> Callable[[], None]:
        return lambda: kernel(rows, first, last, memory, *arrays, nodes)

    solve(0, n)()  # compiles, and warms the caches
    mean = min(cpu_us(solve(0, n)) for _ in range(repeats)) / n
    call = np.median([cpu_us(solve(0, 0)) for _ in range(1000)])
    each = np.array([cpu_us(solve(i, i + 1)) for i in range(n)]) - call
    return {
        "positions": n,
        "mean_us": round(mean, 2),
        "p95_us": round(float(np.percentile(each, 95)), 1),
        "max_us": round(float(each.max()), 1),
        "mean_nodes": round(float(nodes.mean()), 1),
        "p95_nodes": float(np.percentile(nodes, 95)),
        "max_nodes": int(nodes.max()),
    }


def measure_plies(n: int, seed: int, repeats: int) -> dict[str, dict[int, dict[str, float]]]:
    """Figures by question and ply. Late plies are cheap, so they get up to 16 times as many."""
    table: dict = {question: {} for question in PROTOTYPE}
    for ply in PLIES:
        rows = positions.read(random_states(n * min(16, 2 ** (ply // 4)), ply, seed + ply))
        for question, (kernel, arrays) in questions(len(rows)).items():
            table[question][ply] = time_kernel(kernel, arrays, rows, repeats)
            print(table_row(question, ply, table[question][ply]), flush=True)
    return table


def table_row(question: str, ply: int, ours: dict[str, float]) -> str:
    """One line of the printed table: our figures, the prototype's, and the ratios."""
    us, p95, nodes = PROTOTYPE[question][ply]
    theirs = f"{us:8} {p95 or '-':>8} {nodes or '-':>8}"
    mine = f"{ours['mean_us']:8.1f} {ours['p95_us']:8.1f} {ours['max_us']:9.1f}"
    mine += f" {ours['mean_nodes']:9.0f}"
    share = f"{ours['mean_nodes'] / nodes:7.2f}" if nodes else f"{'-':>7}"
    return f"{question:6}{ply:4} {mine}   |{theirs}   |{ours['mean_us'] / us:6.2f} {share}"


def measure_threads(n: int, seed: int, repeats: int) -> list[dict[str, float]]:
    """Positions per second of `solver.solve` by number of threads, at plies 0 and 8; the fastest
    of `repeats` passes.
    """
    max_threads = numba.config.NUMBA_NUM_THREADS
    results = []
    for ply, count in ((0, n), (8, 16 * n)):
        states = random_states(count, ply, seed + 100 + ply)
        for threads in sorted({max_threads, *(2**i for i in range(7) if 2**i < max_threads)}):
            solve = functools.partial(solver.solve, states, threads=threads)
            wall, cpu = min(report.wall_and_cpu_s(solve) for _ in range(repeats))
            row = {"ply": ply, "threads": threads, "positions_per_s": round(count / wall, 1)}
            row |= {
                "positions_per_cpu_s": round(count / cpu, 1),
                "cores_busy": round(cpu / wall, 2),
            }
            results.append(row)
            report.show(row)
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json("oracle", f"{__doc__}\n\n{ABOUT}", "--positions 500")
    parser.add_argument(
        "--positions",
        type=cli.integer(2, 10**6),
        default=500,
        metavar="N",
        help="positions at ply 0; later plies get more (default %(default)s)",
    )
    parser.add_argument(
        "--repeats",
        type=cli.integer(1, 1000),
        default=3,
        metavar="N",
        help="passes, of which the fastest counts (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=cli.integer(0, 2**31), default=0, help="seed of the positions (default 0)"
    )
    args = parser.parse_args(argv)
    result = report.surroundings(args.note)
    print(f"{'':10} {'ours, us and nodes':^37}   |{'the C prototype':^26}   | ours / theirs")
    ours, theirs = (
        f"{'mean':>8} {'p95':>8} {'max':>9} {'nodes':>9}",
        f"{'mean':>8} {'p95':>8} {'nodes':>8}",
    )
    print(f"{'':6} ply {ours}   |{theirs}   |  time   nodes")
    result["one_thread"] = measure_plies(args.positions, args.seed, args.repeats)
    result["threads"] = measure_threads(args.positions // 2, args.seed, 2 * args.repeats)
    result["prototype_us_p95_nodes"] = PROTOTYPE
    report.write(args.out or report.default_name("oracle"), result)


if __name__ == "__main__":
    sys.exit(report.run("oracle", main))
