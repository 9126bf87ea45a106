"""A worker: it plays with the newest published weights and sends its games, until it is stopped.

The thread of `worker_link` does all communication with the store.
"""

import dataclasses
import functools
import time
import zlib
from collections.abc import Callable

import jax
import numpy as np

from zebjax import game, record, solver
from zebjax.common import devices, jax_settings
from zebjax.common.console import Reporter, counted
from zebjax.distributed.open import open_store
from zebjax.distributed.worker_link import Job, Link
from zebjax.training import by_device, eval_aux, memory, selfplay
from zebjax.training.call_sizer import CallSizer
from zebjax.training.config import Experiment
from zebjax.training.session import Stopped


def work(settings: Experiment, job: Job, report: Reporter, stop_asked: Callable[[], bool]) -> None:
    """Play and send games until `stop_asked`, or until `job.max_games` are played.

    Raises:
        ValueError: if the worker cannot start; the message says what is missing.
        TakenOver: if another process works under this worker id; unsent games stay in the spool.
    """
    devices.check(settings.device, report.note)
    settings = by_device.resolve(settings, job.role, report.note)
    with memory.guarded(settings, job.role, report.note):
        _work(settings, job, report, stop_asked)


def _work(settings: Experiment, job: Job, report: Reporter, stop_asked: Callable[[], bool]) -> None:
    link = Link(settings, job, open_store(settings.namespace), report.note)
    report.note(f"{job.role} {job.worker_id}: {settings.namespace}")
    current = link.begin(stop_asked)
    report.note(
        f"playing with step {current.manifest.step}, generation {current.manifest.generation}"
    )
    play = _play if job.role == "selfplay" else _play_against_eq
    try:
        # After the first heartbeat, so that the store shows a worker that compiles, or cannot.
        if job.role == "evalaux":
            _check_solver()
        play(settings, job, link, report, stop_asked)
    except Stopped:
        pass
    except Exception as error:
        link.warning.set(f"ended by {type(error).__name__}: {error}")
        raise
    finally:
        link.end()
    report.note(
        f"stopped after {counted(link.counts.games, 'game')}, {link.spool.sent_bytes:,} bytes sent"
    )


def _check_solver() -> None:
    try:
        state = game.deal(jax_settings.key(0))
        solver.solve(jax.tree.map(lambda leaf: np.asarray(leaf)[None], state))
    except Exception as error:  # numba raises many kinds
        raise ValueError(
            f"the exact solver does not compile here: {type(error).__name__}: {error}"
        ) from None


def _seed(settings: Experiment, job: Job) -> int:
    return (settings.seed ^ zlib.crc32(f"{job.role} {job.worker_id}".encode())) % 2**32


def _play(
    settings: Experiment, job: Job, link: Link, report: Reporter, stop_asked: Callable[[], bool]
) -> None:
    """Play self-play games; each `store.games_per_file` finished games are one file."""
    n_file = settings.store.games_per_file
    if job.max_games is not None:
        n_file = min(n_file, job.max_games)
    config = dataclasses.replace(settings.selfplay, games_per_cycle=n_file)
    seed = _seed(settings, job)
    # Fold in the number of the next file, so that a restarted worker plays other deals.
    key = jax.random.fold_in(jax_settings.key(seed), link.first)
    step = link.current().manifest.step
    actor = selfplay.init(config, key, step)
    sizer = CallSizer("self-play", config.how_to_shorten, report)
    facts = config.how | {
        "lanes": config.n_lanes,
        "compute_dtype": settings.network.compute_dtype,
        "seed": seed,
        "first_file": link.first,
    }
    while not stop_asked():
        current = link.current()
        step = current.manifest.step
        began = time.monotonic()
        actor = jax.block_until_ready(
            selfplay.advance(config, settings.network, current.params, actor, step, sizer.n)
        )
        sizer.timed(time.monotonic() - began)
        link.compiled()
        finished = int(actor.n_finished)
        report.working("games of the next file", min(finished, n_file), n_file)
        while finished >= n_file:
            actor, records = selfplay.pop_finished(config, actor)
            link.send(jax.tree.map(np.asarray, records), step, facts)
            finished -= n_file
            if job.max_games is not None and link.counts.games >= job.max_games:
                return
    # Slice on the host: slicing on the device would compile a program just before the stop.
    left = jax.tree.map(lambda leaf: np.asarray(leaf)[: int(actor.n_finished)], actor.finished)
    link.send(left, step, facts)


def _play_against_eq(
    settings: Experiment, job: Job, link: Link, report: Reporter, stop_asked: Callable[[], bool]
) -> None:
    """Play E[Q] against the network; `eval_aux.games_per_file` games are played at once and are
    one file.
    """
    config, seed = settings.eval_aux, _seed(settings, job)

    def on_ply(ply: int, n_games: int) -> None:
        link.compiled()
        report.working(f"plies of {n_games} games", ply, game.N_PLIES)
        if stop_asked():
            raise Stopped

    while not stop_asked():
        current = link.current()
        left = config.games_per_file if job.max_games is None else job.max_games - link.counts.games
        if left <= 0:
            return
        n_games = min(config.games_per_file, left)
        step = current.manifest.step
        batch = eval_aux.GamesToPlay(step, seed, link.spool.next, n_games)
        report_ply = functools.partial(on_ply, n_games=n_games)
        records, facts = eval_aux.play(config, settings.network, current.params, batch, report_ply)
        record.validate(records)
        link.send(records, step, facts)
