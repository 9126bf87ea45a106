"""Ensure that a store has at most one learner, and that it does not overwrite newer weights."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from zebjax.distributed import claims, heartbeat, weights
from zebjax.distributed.heartbeat import Watch
from zebjax.distributed.interval import Interval
from zebjax.distributed.store import Missing, Store
from zebjax.training.session import Session, Stopped

_MAX_WAIT_S = 600.0


def place(folder: Path) -> str:
    """Where this learner runs, for its lease: the host and the run's folder.

    A random name that the folder keeps tells containers of equal host name and path apart.
    """
    identity = claims.owner_of(folder).folder
    return f"{socket.gethostname()}:{folder.absolute()}#{identity[:8]}"


def wait_for_other_learner(
    watch: Watch,
    here: str,
    poll_s: float,
    note: Callable[[str], None],
    stop_asked: Callable[[], bool],
) -> None:
    """Wait until it is certain that no other learner is alive.

    Args:
        watch: the watch of the run's store.
        here: `place` of this learner.
        poll_s: maximum seconds between two polls of the store.
        note: reports the wait.
        stop_asked: returns True once a stop is requested.

    Raises:
        ValueError: if another learner is alive.
        Stopped: if a stop is requested while waiting.
    """
    watch.poll()
    other = watch.learner
    if other is None or other.has_stopped():
        return
    if weights.newest_lease(watch.store)[1].get("where") == here:
        return  # it ran in this folder, whose lock this process holds, so it has ended
    wait_s = min(_MAX_WAIT_S, 3 * max(heartbeat.EVERY_S, other.every_s()))
    note(f"another learner has a heartbeat here; waiting up to {wait_s:.0f} s for the next one")
    until = time.monotonic() + wait_s
    poll = Interval(poll_s)
    while time.monotonic() < until:
        if stop_asked():
            raise Stopped
        time.sleep(min(0.5, poll_s))  # a stop is noticed sooner than the store is polled
        if not poll.is_due():
            continue
        poll.restart()
        watch.poll()
        now = watch.learner
        if now is not None and now.changed_at is not None:
            raise ValueError(
                f"{watch.store.where}: another learner is running here ({now.status.get('host')}); "
                "stop it, choose another --name, or use --take-over"
            )


def take_lease(store: Store, session: Session, here: str, take_over: bool) -> weights.Lease:
    """Become the store's learner. The run continues the W&B run of the published weights.

    Raises:
        ValueError: if the store's weights are newer than this run, unless `take_over`.
    """
    try:
        found = weights.newest(store)
    except (Missing, weights.BadWeights):
        found = None
    if found is not None:
        step, cycle = found[0].step, session.progress.cycle
        where = weights.newest_lease(store)[1].get("where")
        if session.is_new and step > cycle and not take_over:
            raise ValueError(
                f"{store.where}: the weights there are of step {step}, but {session.folder} holds "
                f"no state to resume and would begin again at step {cycle}; restore that folder, "
                "choose another --name, or use --take-over to begin again"
            )
        # After a crash this learner's newest publication may be one cycle ahead of its state.
        if where != here and step > cycle + 1 and not (session.is_new or take_over):
            raise ValueError(
                f"{store.where}: another learner ({where}) has reached step {step}, while "
                f"{session.folder} is at step {cycle}; continue with that learner, choose another "
                f"--name, or use --take-over to go back to step {cycle}"
            )
        session.progress.wandb_run_id = session.progress.wandb_run_id or found[0].wandb_run_id
    return weights.take_lease(store, {"where": here})
