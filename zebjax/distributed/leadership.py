"""Which process is the learner of a run in a store: at most one, and none over newer weights."""

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
    """Return once no other learner is alive; one that died leaves its lease to be taken over.

    Args:
        watch: of the run's store.
        here: `place` of this learner.
        poll_s: seconds between two looks at the store.
        note: where to report a wait.
        stop_asked: returns True once a stop was asked for.

    Raises:
        ValueError: if another learner is alive.
        Stopped: if a stop is asked for while waiting.
    """
    watch.look()
    other = watch.learner
    if other is None or other.has_stopped():
        return
    if weights.newest_lease(watch.store)[1].get("where") == here:
        return  # it ran in this folder, and the folder's lock says that it is gone
    note("a learner was at work here a moment ago; checking if it still is")
    until = time.monotonic() + min(_MAX_WAIT_S, 3 * max(heartbeat.EVERY_S, other.every_s()))
    look = Interval(poll_s)
    while time.monotonic() < until:
        if stop_asked():
            raise Stopped
        time.sleep(min(0.5, poll_s))  # a stop is noticed sooner than the store is polled
        if not look.is_due():
            continue
        look.restart()
        watch.look()
        now = watch.learner
        if now is not None and now.changed_at is not None:
            raise ValueError(
                f"{watch.store.where}: another learner is at work here ({now.status.get('host')}); "
                "stop it, choose another --name, or --take-over"
            )


def take_lease(store: Store, session: Session, here: str, take_over: bool) -> weights.Lease:
    """Become the store's learner. The run joins the W&B run of the weights that are there.

    Raises:
        ValueError: if the store holds weights that this run is behind, unless `take_over`.
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
                f"no state to resume and would begin again at step {cycle}; bring that folder "
                "back, choose another --name, or --take-over to begin again"
            )
        # Its own newest publication may be a cycle ahead of its newest save.
        if where != here and step > cycle + 1 and not (session.is_new or take_over):
            raise ValueError(
                f"{store.where}: another learner ({where}) has gone on to step {step}, while "
                f"{session.folder} is at step {cycle}; continue with that one, choose another "
                "--name, or --take-over to go back to this one's"
            )
        session.progress.wandb_run_id = session.progress.wandb_run_id or found[0].wandb_run_id
    return weights.take_lease(store, {"where": here})
