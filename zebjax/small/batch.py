"""Batches of games for the compiled kernels, on several threads: moves, likelihoods, rollouts."""

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple

import numba
import numpy as np

from zebjax import game, tiles
from zebjax.small import kernels
from zebjax.small.network import Net
from zebjax.small.policy import Manner as Manner
from zebjax.small.policy import Policies
from zebjax.solver.bounds import mixed

_compile_lock = Lock()


class Games(NamedTuple):
    """What has happened in N games, for the kernels; int8, C order."""

    hands: np.ndarray
    """`[N, 4, 7]`, tile ids."""
    declaration: np.ndarray
    """`[N]`."""
    leader: np.ndarray
    """`[N]`."""
    history: np.ndarray
    """`[N, 28]`, tile ids."""
    ply: np.ndarray
    """`[N]`."""


def read(states: game.GameState) -> Games:
    """Read a batch of states.

    Raises:
        ValueError: if a field has a wrong shape, or a number that no game has.
    """
    n = len(np.asarray(states.ply))
    game.check_state(states, (n,), "states")
    limits = {
        "hands": tiles.N_TILES,
        "declaration": tiles.N_DECLARATIONS,
        "leader": tiles.N_PLAYERS,
        "ply": game.N_PLIES + 1,
    }
    for name, limit in limits.items():
        field = np.asarray(getattr(states, name))
        if ((field < 0) | (field >= limit)).any():
            raise ValueError(
                f"states.{name}: expected 0..{limit - 1}, got {field.min()}..{field.max()}"
            )
    # Copies, because for numba arrays that cannot be written are another type: it would compile
    # every kernel once more.
    made = Games(*(np.array(getattr(states, name), np.int8, order="C") for name in Games._fields))
    past = np.arange(game.N_PLIES) < made.ply[:, None]
    if ((made.history < 0) & past).any() or (made.history >= tiles.N_TILES).any():
        raise ValueError("states.history: expected tile ids 0..27 before ply")
    return made


def seeds_of(keys: np.ndarray, stream: int) -> np.ndarray:
    """Return seeds for the kernels, uint64 `[N]`.

    Args:
        keys: uint32 `[N, 2]`, raw random keys.
        stream: a small number; other streams of the same key are independent.
    """
    high, low = keys.astype(np.uint64).T
    return (high << np.uint64(32) | low) ^ np.uint64(stream * 0xD1342543DE82EF95 % 2**64)


def split(seeds: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return independent seeds made of seeds and numbers, uint64 `[N]`.

    Seeds at equal distances would not do: `policy.uniform` adds a constant to its seed, so two
    streams whose seeds differ by a multiple of it are one stream.
    """
    return mixed(mixed(seeds) ^ mixed(numbers.astype(np.uint64) + np.uint64(1)))


def in_threads(
    kernel: Any, n: int, arguments: tuple, threads: int | None = None, piece: int = 16
) -> None:
    """Call `kernel(first, last, *arguments)` on pieces of the range 0..n.

    Args:
        kernel: a compiled function that releases the GIL and writes its results into arguments.
        n: number of games.
        arguments: the same for all pieces.
        threads: number of threads; None for `numba.config.NUMBA_NUM_THREADS`. A thread that is done
            takes the next piece.
        piece: games in one call.
    """
    threads = numba.config.NUMBA_NUM_THREADS if threads is None else threads
    pieces = [(first, min(first + piece, n)) for first in range(0, n, piece)]
    with _compile_lock:  # compile once, before several threads ask for it
        if not kernel.signatures:
            kernel(0, 0, *arguments)
    if threads <= 1 or len(pieces) <= 1:
        for first, last in pieces:
            kernel(first, last, *arguments)
        return
    with ThreadPoolExecutor(min(threads, len(pieces))) as pool:
        list(pool.map(lambda ends: kernel(*ends, *arguments), pieces))


def choose(net: Net, games: Games, seeds: np.ndarray, temperature: float) -> np.ndarray:
    """Draw a move of the seat to move in each game.

    Args:
        net: the policy, with 28 scores (`network.scorer`).
        games: games that are not over.
        seeds: uint64 `[N]`.
        temperature: of the softmax of scores; 0 plays the best.

    Returns:
        int32 `[N]`, slots.
    """
    out = np.zeros(len(games.ply), np.int32)
    in_threads(kernels.choose, len(out), (net, tuple(games), seeds, temperature, out))
    return out


def values(net: Net, games: Games) -> np.ndarray:
    """Evaluate every move of the seat to move in each game.

    Args:
        net: with 56 outputs.
        games: games that are not over.

    Returns:
        float32 `[N, 7, 2]` by slot, nan where not legal: the value, P of more points less P of
        fewer, and the difference of the points at the end over `tiles.POINTS_SCALE`; what a network
        predicts may lie outside of the range.
    """
    n = len(games.ply)
    out = np.full((n, tiles.HAND_SIZE, 2), np.nan, np.float32)
    in_threads(kernels.values, n, (net, games, out))
    return out


def log_likelihoods(
    net: Net,
    games: Games,
    worlds: np.ndarray,
    counts: np.ndarray,
    manner: Manner,
    threads: int | None = None,
    opening: Net | None = None,
) -> np.ndarray:
    """Return how likely each world makes the past plays of other seats.

    The likelihood of a world is the product over the others' past plays, those without a choice
    excluded, of (1 - floor) * softmax(scores / temperature)[tile] + floor / legal tiles, each from
    the view of its seat in that world. The mover's own plays do not depend on the world. The
    partner may be a player of the mover's kind, which plays the best tiles of a network in the
    opening (`Manner`); its likelihood is the weighted mean over both kinds.

    Args:
        net: the policy of the others, with 28 scores.
        games: N games; only what the mover has seen is read.
        worlds: int8 `[N, C, 4, 7]`, hands as from `worlds.sample`.
        counts: integers `[N]`: number of worlds of each game, the first of its C.
        manner: how the others play by the network.
        threads: as for `in_threads`.
        opening: the network of the opening, with 28 scores; None: `net`.

    Returns:
        float64 `[N, C, 4]`, natural logarithms; 0 past the last world, and for seats that are not
        judged. The plays of the partner and
        of the opponents by the model; the same if all legal tiles were equally likely.
    """
    out = np.zeros((*worlds.shape[:2], 4))
    nets = (net, net if opening is None else opening)
    is_one = nets[0] is nets[1]  # then one evaluation says both
    arguments = (nets, is_one, tuple(games), worlds, counts.astype(np.int64), manner, out)
    in_threads(kernels.log_likelihoods, len(out), arguments, threads, piece=1)
    return out


def rollouts(
    policies: Policies,
    games: Games,
    seeds: np.ndarray,
    temperature: float,
    threads: int | None = None,
    asked: np.ndarray | None = None,
) -> np.ndarray:
    """Play each legal move, then to the end by the policies, each seat from its own view.

    All moves of a game use the same random numbers.

    Args:
        policies: of the mover's team and of its opponents.
        games: N games whose hands are all known.
        seeds: uint64 `[N]`.
        temperature: of both policies.
        threads: as for `in_threads`.
        asked: bool `[N, 7]`, the slots that are played; None: all that are legal.

    Returns:
        int8 `[N, 7]` by slot, points of the mover's team at the end; -1 where not legal or not
        asked for.
    """
    out = np.full((len(games.ply), tiles.HAND_SIZE), -1, np.int8)
    if asked is None:
        asked = np.ones(out.shape, bool)
    arguments = (policies, tuple(games), seeds, temperature, asked, out)
    in_threads(kernels.rollouts, len(out), arguments, threads)
    return out
