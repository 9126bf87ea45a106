"""The solver's public functions: they solve many positions on all cores."""

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numba
import numpy as np

from zebjax.common.arrays import check
from zebjax.game import GameState
from zebjax.solver import cached_code, positions, root
from zebjax.solver.search import new_memory

# Threads take positions in pieces of about this much work, so a thread with large trees takes fewer
# pieces.
_PIECE_US = 1000.0

_idle_memories: list = []  # one per thread that ever worked at once; append and pop are atomic
_compile_lock = Lock()


def solve(
    states: GameState, threads: int | None = None, asked: np.ndarray | None = None
) -> np.ndarray:
    """Return the exact value of every move, with all four hands known.

    Args:
        states: N states at any plies, every field with a leading axis N; JAX or NumPy arrays.
        threads: number of threads; None for `numba.config.NUMBA_NUM_THREADS` (all cores, or the
            environment variable of that name).
        asked: bool `[N, 7]`, the slots that are searched; None: all that are legal.

    Returns:
        float32 `[N, 7]`, for each slot of the player to move: the points that its team will still
        take if it plays that slot and all four then play perfectly. The trick on the table is
        included. nan if the slot is not legal or not asked for, or the game is over.

    Raises:
        ValueError: if no game can reach a state, `asked` has a wrong type or shape, or `threads` is
            below 1.
    """
    rows = positions.read(states)
    out = np.full((len(rows), 7), np.nan, np.float32)
    run(root.move_values, rows, (_asked(asked, len(rows)), out, _counters(rows)), threads)
    return out


def value(states: GameState, threads: int | None = None) -> np.ndarray:
    """Return the points that the mover's team will still take if all four play perfectly.

    Args:
        states: as for `solve`.
        threads: as for `solve`.

    Returns:
        float32 `[N]`; 0 for finished games.

    Raises:
        ValueError: as `solve`.
    """
    rows = positions.read(states)
    out = np.zeros(len(rows), np.float32)
    run(root.values, rows, (out, _counters(rows)), threads)
    return out


def at_least(
    states: GameState,
    threshold: np.ndarray | int,
    threads: int | None = None,
    asked: np.ndarray | None = None,
) -> np.ndarray:
    """Find the moves with which the mover's team ends with `threshold` points or more.

    This is faster than `solve`.

    Args:
        states: as for `solve`.
        threshold: points at the end, those already taken included; an integer or integers `[N]`.
        threads: as for `solve`.
        asked: as for `solve`.

    Returns:
        bool `[N, 7]`, False for slots that are not legal or not asked for.

    Raises:
        ValueError: if no game can reach a state, or another argument has a wrong type or shape.
    """
    rows = positions.read(states)
    threshold = np.asarray(threshold)
    if threshold.dtype.kind not in "iu" or threshold.shape not in ((), (len(rows),)):
        raise ValueError(
            f"threshold: expected integers of shape () or ({len(rows)},), got {threshold!r}"
        )
    thresholds = np.ascontiguousarray(np.broadcast_to(threshold, len(rows)), np.int64)
    out = np.zeros((len(rows), 7), bool)
    arrays = (thresholds, _asked(asked, len(rows)), out, _counters(rows))
    run(root.move_answers, rows, arrays, threads)
    return out


def _asked(asked: np.ndarray | None, n: int) -> np.ndarray:
    if asked is None:
        return np.ones((n, 7), bool)
    check("asked", asked, (n, 7), bool)
    return np.ascontiguousarray(asked)


def _counters(rows: np.ndarray) -> np.ndarray:
    return np.zeros(len(rows), np.int64)


def run(
    kernel: Any, rows: np.ndarray, arrays: tuple[np.ndarray, ...], threads: int | None = None
) -> None:
    """Run one of the kernels in `root` over all rows.

    Args:
        kernel: `root.values`, `root.move_values` or `root.move_answers`.
        rows: int64 `[N, ROW_SIZE]`, from `positions.read`.
        arrays: the kernel's arguments after `memory`; it writes its results into the last ones.
        threads: as for `solve`.
    """
    threads = numba.config.NUMBA_NUM_THREADS if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads: expected 1 or more, got {threads}")
    pieces = _pieces(rows[:, positions.PLY])
    threads = min(threads, len(pieces))
    _compile(kernel, rows, arrays)
    queue = iter(pieces)  # all threads share it, so each piece is solved once

    def work(_: int = 0) -> None:
        try:
            memory = _idle_memories.pop()
        except IndexError:
            memory = new_memory()
        for first, last in queue:
            kernel(rows, first, last, memory, *arrays)
        _idle_memories.append(memory)

    if threads <= 1:
        work()
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def _pieces(ply: np.ndarray) -> list[tuple[int, int]]:
    """Return ranges (first, last + 1) of positions that take about the same time."""
    # A fit to measured times of `solve` at each ply, in microseconds.
    expected_us = 2 + 3000 * np.exp(-0.45 * ply)
    piece = (np.cumsum(expected_us) // _PIECE_US).astype(np.int64)
    starts = np.flatnonzero(np.diff(piece, prepend=-1))
    return (
        list(zip(starts.tolist(), [*starts[1:].tolist(), len(ply)], strict=True))
        if len(ply)
        else []
    )


def _compile(kernel: Any, rows: np.ndarray, arrays: tuple[np.ndarray, ...]) -> None:
    """Compile a kernel, or load it from the cache, before several threads call it at once.

    Print a note if it must be compiled.
    """
    with _compile_lock:
        if kernel.signatures:
            return
        cached_code.announce("zebjax.solver", kernel.py_func.__name__, "10 s", kernel)
        kernel(rows, 0, 0, new_memory(), *arrays)
