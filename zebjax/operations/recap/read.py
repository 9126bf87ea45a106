"""Read everything that is known of a run: its folder, its store, or its metrics file alone."""

import contextlib
import dataclasses
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zebjax.common import files
from zebjax.operations.recap import changes, fleet, results
from zebjax.operations.recap.changes import Change
from zebjax.operations.recap.text import clean, number, seconds_of
from zebjax.training import metrics
from zebjax.training.changes import FILE as CHANGES
from zebjax.training.metrics import Row

_MAX_JSON_BYTES = 1 << 24
_MAX_HEADER_BYTES = 1 << 22
_MAX_MANIFESTS = 150
_EXPECTED = (
    "expected a run's folder, its metrics.jsonl, or the URL of a store and the name of a run, as "
    "in runs/NAME or s3://BUCKET/PREFIX/NAME"
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a run. A field is empty or None if its source is not there."""

    name: str
    """The run's name; it may hold any characters."""
    where: str
    """What the recap was made from."""
    now_s: float
    """When it was made, in seconds since 1970."""
    rows: list[Row] = dataclasses.field(default_factory=list)
    settings: dict[str, Any] | None = None
    """The newest settings, as in `experiment.json`."""
    changes: list[Change] = dataclasses.field(default_factory=list)
    starts: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """The starts in `environment.json`, see `training.environment`."""
    progress: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Of the newest save, see `training.session.Progress`."""
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The origin of converted first weights."""
    wandb: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The W&B run, as in `wandb.json`."""
    n_params: int | None = None
    learner: dict[str, Any] | None = None
    """The learner's newest heartbeat."""
    is_learner_alive: bool = False
    workers: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """The workers' newest heartbeats."""
    publications: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """The manifests of the published weights, the oldest first."""
    events: list[fleet.Event] = dataclasses.field(default_factory=list)
    arena: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Files of `zebjax arena --json`, the newest last."""
    metrics_s: float | None = None
    """When the metrics file was last written."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """A sentence about each source that could not be read."""

    @property
    def alarms(self) -> list[str]:
        """The alarms of the learner, if it is alive: those of a run that has ended say nothing."""
        return list((self.learner or {}).get("alarms", ())) if self.is_learner_alive else []

    @property
    def last_sign_s(self) -> float:
        """When the run last gave a sign: a metrics row, a heartbeat or an event of its fleet."""
        beats = [number(beat.get("time_s")) for beat in (*self.workers, self.learner or {})]
        published = [seconds_of(one.get("created_at")) for one in self.publications[-1:]]
        signs = [self.metrics_s, *beats, *published, *(event.time_s for event in self.events)]
        known = [sign for sign in signs if sign is not None and sign <= self.now_s]
        return max(known, default=self.now_s)


def read(where: str, arena_files: Sequence[Path] = ()) -> Facts:
    """Read what is known of a run.

    Args:
        where: the run's folder, a metrics file, or the URL of its namespace in a store.
        arena_files: results of `zebjax arena --json`, besides those in the run's folder.

    Raises:
        ValueError: if nothing of a run is there, or one of the given files cannot be read.
        StoreError: if a store at this URL cannot be read.
    """
    given = [results.read(path) for path in arena_files]
    path = Path(where)
    if path.is_file():
        found = _of_metrics(path)
    elif is_run(path):
        found = _of_folder(path)
    elif "://" not in where and not path.exists():
        raise ValueError(f"{where}: does not exist; {_EXPECTED}")
    else:
        found = _of_store(where)
    return dataclasses.replace(found, where=where, arena=[*found.arena, *given])


def is_run(folder: Path) -> bool:
    """True for the folder of a run."""
    return any((folder / name).is_file() for name in ("experiment.json", metrics.FILE))


def _of_metrics(path: Path) -> Facts:
    rows = metrics.read(path)
    if not rows:
        raise ValueError(
            f"{path}: there is no metrics row in it; expected the metrics.jsonl of a run, one JSON "
            'object a line with "cycle" and "stats/total_games"'
        )
    name = path.absolute().parent.name if path.name == metrics.FILE else path.stem
    written = path.stat().st_mtime
    return Facts(name=name, where=str(path), now_s=time.time(), rows=rows, metrics_s=written)


class _Reader:
    """Reads files of a run's folder, and notes those that cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes = folder, list[str]()

    def json(self, path: Path, kind: type) -> Any:
        """The value in a JSON file; an empty one of that kind if it is missing or damaged."""
        if not path.is_file():
            return kind()
        try:
            found = files.read_json(path, _MAX_JSON_BYTES)
            if isinstance(found, kind):
                return found
            raise ValueError(f"{path}: expected a JSON {kind.__name__}")
        except ValueError as error:
            self.notes.append(str(error))
            return kind()

    def attempt(self, read: Any) -> Any:
        """The result of `read(folder)`; an empty list if it raises ValueError."""
        try:
            return read(self.folder)
        except ValueError as error:
            self.notes.append(str(error))
            return []


def _of_folder(folder: Path) -> Facts:
    reader = _Reader(folder)
    settings = reader.json(folder / "experiment.json", dict) or None
    rows = reader.attempt(lambda place: metrics.read(place / metrics.FILE))
    starts = reader.json(folder / "environment.json", list)
    saves = sorted(folder.glob("state/step_*/progress.json"))
    arena = [
        one
        for path in sorted(folder.glob(f"{results.FOLDER}/*.json"), key=lambda p: p.stat().st_mtime)
        for one in reader.attempt(lambda _, path=path: [results.read(path)])
    ]
    file = folder / metrics.FILE
    name = clean((settings or {}).get("name") or folder.absolute().name)
    found = Facts(
        name=name,
        where=str(folder),
        now_s=time.time(),
        rows=rows,
        settings=settings,
        changes=changes.parse(reader.json(folder / CHANGES, list)),
        starts=[start for start in starts if isinstance(start, dict)],
        progress=reader.json(saves[-1], dict) if saves else {},
        provenance=reader.json(folder / "start" / "provenance.json", dict),
        wandb=reader.json(folder / "wandb.json", dict),
        n_params=_n_params(folder),
        events=reader.attempt(fleet.read),
        arena=arena,
        metrics_s=file.stat().st_mtime if file.is_file() else None,
        notes=reader.notes,
    )
    return _with_store(found, _store_of(folder, settings or {}))


def _n_params(folder: Path) -> int | None:
    """The number of parameters, from the header of the newest network's file."""
    for path in sorted(folder.glob("checkpoints/step_*/model.safetensors"), reverse=True)[:1]:
        try:
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(min(size, _MAX_HEADER_BYTES)))
            shapes = [leaf["shape"] for name, leaf in header.items() if name != "__metadata__"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        total = 0
        for shape in shapes:
            n = 1
            for side in shape:
                n *= side
            total += n
        return total
    return None


def _store_of(folder: Path, settings: dict[str, Any]) -> str | None:
    """The URL of the run's namespace; None if it has no store.

    The default store is beside the run's folder, wherever that was moved to.
    """
    store = settings.get("store")
    url = store.get("url") if isinstance(store, dict) else None
    if isinstance(url, str) and url:
        return f"{url.rstrip('/')}/{settings.get('name')}"
    local = folder.absolute().parent / "store" / folder.absolute().name
    return str(local) if local.is_dir() else None


class _Stored(NamedTuple):
    """What a store holds of a run."""

    learner: dict[str, Any] | None
    is_learner_alive: bool
    workers: list[dict[str, Any]]
    publications: list[dict[str, Any]]


def _read_store(url: str) -> _Stored:
    # Here, because these modules import jax, which a run without a store need not wait for.
    from zebjax.distributed import heartbeat, weights
    from zebjax.distributed.open import open_store
    from zebjax.distributed.store import StoreError

    store = open_store(url, create=False)
    watch = heartbeat.Watch(store)
    watch.poll()
    entries = [e for e in store.entries("weights") if e.name.endswith("/manifest.json")]
    published = []
    # The first, the last and some between: a long run has thousands, one object each.
    step = max(1, len(entries) // _MAX_MANIFESTS)
    for entry in sorted({*entries[::step], *entries[-1:]}):
        try:
            manifest = json.loads(store.get(entry.name, weights.MAX_JSON_BYTES))
        except (ValueError, RecursionError, StoreError):
            continue
        if isinstance(manifest, dict):
            published.append(manifest)
    learner = watch.learner
    status = None if learner is None else dict(learner.status)
    if status is not None:
        # `Watch` keeps texts and numbers only; the alarms are a list.
        with contextlib.suppress(StoreError):
            status["alarms"] = _alarms(store.get(heartbeat.LEARNER, 1 << 16))
    workers = [dict(seen.status) for seen in watch.workers.values()]
    return _Stored(status, learner is not None and learner.is_alive(), workers, published)


def _alarms(data: bytes) -> list[str]:
    try:
        found = json.loads(data).get("alarms")
    except (ValueError, RecursionError, AttributeError):
        return []
    return [clean(one, 60) for one in found] if isinstance(found, list) else []


def _with_store(found: Facts, url: str | None) -> Facts:
    """Add what the run's store holds; a store that cannot be read is noted."""
    if url is None:
        return found
    try:
        stored = _read_store(url)
    except (ValueError, OSError) as error:
        return dataclasses.replace(found, notes=[*found.notes, f"the store: {error}"])
    return _add(found, stored)


def _add(found: Facts, stored: _Stored) -> Facts:
    recorded = found.changes or _published_changes(stored.publications)
    return dataclasses.replace(found, changes=recorded, **stored._asdict())


def _published_changes(publications: Sequence[dict[str, Any]]) -> list[Change]:
    """Changes of settings that are seen in the published weights, each with its settings.

    They are known to the publication only: a change was made after the step before.
    """
    found = []
    for before, after in itertools.pairwise(publications):
        old, new, step = before.get("experiment"), after.get("experiment"), before.get("step")
        if isinstance(old, dict) and isinstance(new, dict) and type(step) is int:
            made_s = seconds_of(after.get("created_at"))
            found += changes.between(old, new, step, made_s)
    return found


def _of_store(url: str) -> Facts:
    # A store in a folder is often beside the folder of its run: runs/store/NAME and runs/NAME.
    path = Path(url.removeprefix("file://")).absolute()
    beside = path.parent.parent / path.name
    if "://" not in url and path.is_dir() and is_run(beside):
        return _of_folder(beside)
    stored = _read_store(url)
    if stored.learner is None and not stored.workers and not stored.publications:
        raise ValueError(f"{url}: there is no run here; {_EXPECTED}")
    newest = stored.publications[-1] if stored.publications else {}
    settings = newest.get("experiment")
    name = clean(url.rstrip("/").rpartition("/")[2])
    found = Facts(name=name, where=url, now_s=time.time())
    if isinstance(settings, dict):
        found = dataclasses.replace(found, settings=settings)
    return _add(found, stored)
