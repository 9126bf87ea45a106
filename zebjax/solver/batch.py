"""Many positions on all cores: the public face of the solver."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numba
import numpy as np

from zebjax.game import GameState
from zebjax.solver import cached_code, positions, root
from zebjax.solver.search import new_memory

# Positions are handed out in pieces of about this much work, so that a thread with slow trees
# takes fewer pieces.
_PIECE_US = 1000.0

_idle_memories: list = []  # one per thread that ever worked at once; append and pop are atomic
_compile_lock = Lock()


def solve(states: GameState, threads: int | None = None) -> np.ndarray:
    """The exact value of every move, with all four hands known.

    Args:
        states: a batch of states at any plies, every field with a leading axis N; JAX or NumPy
            arrays.
        threads: how many to use; None for `numba.config.NUMBA_NUM_THREADS` (all cores, or the
            environment variable of that name).

    Returns:
        float32 `[N, 7]`: for each slot of the player to move, the points that its team will still
        take if it plays that slot and everybody plays perfectly from then on, the trick on the
        table included; nan if the slot is not legal or the game is over.

    Raises:
        ValueError: if a state is not one that a game can reach.
    """
    rows = positions.read(states)
    out = np.full((len(rows), 7), np.nan, np.float32)
    run(root.move_values, rows, (out, _counters(rows)), threads)
    return out


def value(states: GameState, threads: int | None = None) -> np.ndarray:
    """The points that the mover's team will still take if everybody plays perfectly, float32
    `[N]`; 0 for finished games. Arguments and errors are those of `solve`.
    """
    rows = positions.read(states)
    out = np.zeros(len(rows), np.float32)
    run(root.values, rows, (out, _counters(rows)), threads)
    return out


def at_least(
    states: GameState, threshold: np.ndarray | int, threads: int | None = None
) -> np.ndarray:
    """The moves that bring the mover's team to `threshold` points or more at the end of the game.
    Faster than `solve`.

    Args:
        states: as for `solve`.
        threshold: an integer or integers `[N]`, in points; those already taken count.
        threads: as for `solve`.

    Returns:
        bool `[N, 7]`, False for slots that are not legal.

    Raises:
        ValueError: if a state is not one that a game can reach, or `threshold` is not as above.
    """
    rows = positions.read(states)
    threshold = np.asarray(threshold)
    if threshold.dtype.kind not in "iu" or threshold.shape not in ((), (len(rows),)):
        raise ValueError(
            f"threshold: expected integers of shape () or ({len(rows)},), got {threshold!r}"
        )
    thresholds = np.ascontiguousarray(np.broadcast_to(threshold, len(rows)), np.int64)
    out = np.zeros((len(rows), 7), bool)
    run(root.move_answers, rows, (thresholds, out, _counters(rows)), threads)
    return out


def _counters(rows: np.ndarray) -> np.ndarray:
    return np.zeros(len(rows), np.int64)


def run(
    kernel: Any, rows: np.ndarray, arrays: tuple[np.ndarray, ...], threads: int | None = None
) -> None:
    """Run one of `root`'s kernels over all rows.

    Args:
        kernel: `root.values`, `root.move_values` or `root.move_answers`.
        rows: `[N, ROW_SIZE]`, of `positions.read`.
        arrays: the kernel's arguments after `memory`; the last ones receive its results.
        threads: as for `solve`.
    """
    threads = numba.config.NUMBA_NUM_THREADS if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads: expected 1 or more, got {threads}")
    pieces = _pieces(rows[:, positions.PLY])
    threads = min(threads, len(pieces))
    _compile(kernel, rows, arrays)
    queue = iter(pieces)  # hands out each piece once, whichever thread asks

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
    """Ranges of positions that cost about the same time."""
    # Measured: the values of all moves at each ply, in microseconds.
    expected_us = 2 + 3000 * np.exp(-0.45 * ply)
    piece = (np.cumsum(expected_us) // _PIECE_US).astype(np.int64)
    starts = np.flatnonzero(np.diff(piece, prepend=-1))
    return (
        list(zip(starts.tolist(), [*starts[1:].tolist(), len(ply)], strict=True))
        if len(ply)
        else []
    )


def _compile(kernel: Any, rows: np.ndarray, arrays: tuple[np.ndarray, ...]) -> None:
    """Compile a kernel or load it from the cache, before several threads ask for it at once; say
    so if that will take a while.
    """
    with _compile_lock:
        if kernel.signatures:
            return
        if not cached_code.is_cached(kernel):
            folder = cached_code.folder_of(kernel)
            then = cached_code.NO_FOLDER if folder is None else f"then cached in {folder}"
            name = kernel.py_func.__name__
            print(
                f"zebjax.solver: compiling {name}, which takes some 10 s; {then}", file=sys.stderr
            )
        kernel(rows, 0, 0, new_memory(), *arrays)
