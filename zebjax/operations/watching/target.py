"""What `status` and `watch` look at: a run's namespace in a store, or a run's folder."""

from pathlib import Path
from typing import Protocol

from zebjax.common import hub
from zebjax.distributed import heartbeat
from zebjax.distributed.open import open_store
from zebjax.distributed.store import Store, StoreError
from zebjax.operations.watching import facts, folder
from zebjax.operations.watching.facts import State
from zebjax.training.metrics import Row
from zebjax.training.workers_config import HUB_POLL_S

_MAX_ROWS = 5000


class Target(Protocol):
    """A run that can be watched."""

    @property
    def where(self) -> str:
        """The run's folder or the URL of its store."""

    @property
    def folder(self) -> Path | None:
        """The run's folder, if it is on this machine."""

    def poll(self) -> State:
        """Read the state; see `facts.State`.

        Raises:
            StoreError: if the store cannot be read.
            ValueError: if a file of the run is damaged.
        """

    def rows(self) -> list[Row]:
        """The metrics rows known so far, oldest first."""

    def poll_s(self, every_s: float) -> float:
        """Seconds to wait between two polls, if `every_s` are wanted."""


class FolderRun:
    """A run in one process, from its folder."""

    def __init__(self, path: Path) -> None:
        self.where, self.folder = str(path), path
        self._rows = folder.Rows(path)

    def poll(self) -> State:
        """Read the state; see `Target.poll`."""
        return folder.of_folder(self.folder, self._rows.read())

    def rows(self) -> list[Row]:
        """The rows of the metrics file."""
        return self._rows.read()

    def poll_s(self, every_s: float) -> float:
        """Seconds between two polls."""
        return every_s


class StoreRun:
    """A run with a store."""

    def __init__(self, store: Store, path: Path | None = None) -> None:
        """Watch a store.

        Args:
            store: of the run.
            path: the learner's folder, if it is on this machine; its metrics are shown.
        """
        self.where, self.folder = store.where, path
        self.watch = heartbeat.Watch(store)
        self._rows = folder.Rows(path) if path else None
        self._seen: list[Row] = []

    def poll(self) -> State:
        """Read the state; see `Target.poll`."""
        state = facts.poll(self.watch)
        if self._rows is not None and not state["metrics"]:  # the heartbeats of an older version
            rows = self._rows.read()
            state["metrics"] = folder.newest_metrics(rows)
            state["warnings"] = folder.warnings_of(rows)
        self._keep(state)
        return state

    def _keep(self, state: State) -> None:
        step, games = (state["learner"].get(name) for name in ("step", "total_games"))
        if type(step) is not int or type(games) is not int or not state["metrics"]:
            return
        if not self._seen or self._seen[-1]["cycle"] != step:
            row = {"cycle": step, "stats/total_games": games, **state["metrics"]}
            self._seen = [*self._seen[-_MAX_ROWS:], row]

    def rows(self) -> list[Row]:
        """The rows of the run's folder; without it, those that heartbeats had since the start."""
        found = self._rows.read() if self._rows is not None else []
        return found or self._seen

    def poll_s(self, every_s: float) -> float:
        """Seconds between two polls; the Hub allows few."""
        return max(every_s, HUB_POLL_S) if hub.is_hub(self.where) else every_s


def open_target(text: str) -> FolderRun | StoreRun:
    """Open what the user named: the folder of a run, or its namespace in a store.

    Args:
        text: a folder, or the URL of a store with the run's name.

    Raises:
        ValueError: if there is neither; the message says what was expected.
    """
    path = Path(text.removeprefix("file://"))
    if "://" in text.removeprefix("file://"):
        return StoreRun(open_store(text, create=False))
    if folder.is_run(path):
        store = _store_of(path)
        return FolderRun(path) if store is None else StoreRun(store, path)
    run = Path("runs") / path
    if not path.exists() and len(path.parts) == 1 and folder.is_run(run):
        raise ValueError(f"{text}: there is no such folder here; the folder of this run is {run}")
    beside = path.absolute().parent.parent / path.absolute().name  # runs/store/NAME -> runs/NAME
    return StoreRun(open_store(text, create=False), beside if folder.is_run(beside) else None)


def _store_of(path: Path) -> Store | None:
    """The store of the run in a folder; None if no learner has worked on it with a store."""
    settings = folder.settings(path)
    config = settings.get("store")
    url = config.get("url") if isinstance(config, dict) else None
    name = path.absolute().name
    where = str(path.absolute().parent / "store" / name)
    if isinstance(url, str) and url:
        where = f"{url.rstrip('/')}/{settings.get('name', name)}"
    try:
        watch = heartbeat.Watch(open_store(where, create=False))
        watch.learner = watch.read(heartbeat.LEARNER, None)
    except StoreError:  # the folder is there, so its metrics can be shown in any case
        return None
    if watch.learner is None:
        return None
    # The same name was trained with a store before, and now a process trains it alone.
    is_old = not watch.learner.is_alive() and folder.locks.is_held(path)
    return None if is_old else watch.store


def first_poll(target: FolderRun | StoreRun) -> State:
    """Return the state of a target that the user named.

    Raises:
        ValueError: if there is no run; the message says what was expected.
    """
    state = target.poll()
    if not state["processes"] and state["weights"] is None:
        raise ValueError(
            f"{target.where}: there is no run here; expected the folder of a run, as in "
            "runs/NAME, or the URL of a store and the name of a run, as in runs/store/NAME"
        )
    return state
