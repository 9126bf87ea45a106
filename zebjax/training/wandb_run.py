"""Weights & Biases (W&B): one W&B run for each zebjax run, resumed by its id.

Its config holds all settings, the commit, device and versions of the newest start, and the changed
settings (see `changes`); its summary holds the best win rates. `wandb.json` in the run's folder
says where it is.
"""

import importlib.util
import json
import netrc
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zebjax import network
from zebjax.common import files
from zebjax.training import environment, metrics
from zebjax.training.config import Experiment, TrackingConfig, to_json
from zebjax.training.session import Session

FILE = "wandb.json"
"""Name of the file with the id and the address of the W&B run."""


def new_id() -> str:
    """Make an id for a W&B run. Save it before `open_run`, so that a restart uses the same id."""
    return uuid.uuid4().hex[:8]


def require() -> None:
    """ValueError if the package wandb is not installed."""
    if importlib.util.find_spec("wandb") is None:
        raise ValueError('tracking.wandb: it needs the extra "wandb": pip install "zebjax[wandb]"')


def config_of(session: Session) -> dict[str, Any]:
    """Return the config of the W&B run: settings, environment of this start, changed settings."""
    start = environment.here(session.progress.cycle)
    return {
        **json.loads(to_json(session.settings)),
        **{name: start[name] for name in ("commit", "device", "devices", "platform", "versions")},
        "changes": session.progress.changes,
    }


def tags_of(settings: Experiment, start: dict[str, Any]) -> list[str]:
    """Return the tags of a run: what one filters runs by.

    Args:
        settings: the experiment.
        start: see `environment.here`; or the config of a W&B run.
    """
    n_params = network.n_params(network.abstract_params(settings.network))
    kinds = {
        "teacher": settings.teacher.folder is not None,
        "eval-aux": settings.eval_aux.enabled,
        settings.selfplay.method: settings.selfplay.learns_moves,
    }
    return [
        f"zebjax-{start['versions']['zebjax']}",
        str(start["platform"]),
        f"{n_params:,} parameters",
        *(name for name, has in kinds.items() if has),
        *settings.tracking.tags.split(),
    ]


def summary_of(rows: Sequence[metrics.Row]) -> dict[str, float]:
    """Return the best win rate against each opponent and its cycle, and the length of the run.

    Args:
        rows: rows of the metrics file.
    """
    summary: dict[str, float] = {}
    if rows:
        summary = {"cycles": rows[-1]["cycle"], "total_games": rows[-1]["stats/total_games"]}
    for name, evaluated in metrics.win_rates(list(rows)).items():
        metric = f"eval/vs_{name}_win_rate"
        best = max(evaluated, key=lambda row, metric=metric: row[metric])  # type: ignore[misc]
        summary |= {
            f"best/vs_{name}_win_rate": best[metric],
            f"best/vs_{name}_cycle": best["cycle"],
        }
    return summary


def write_address(folder: Path, run: Any, note: Callable[[str], None]) -> str | None:
    """Report where a W&B run is, and write it into `wandb.json`.

    Args:
        folder: the run's folder.
        run: from `open_run`.
        note: called with one sentence.

    Returns:
        The URL; None if the run is offline.

    Raises:
        OSError: if the file cannot be written.
    """
    url = run.url if isinstance(run.url, str) and run.url else None
    files.write_json(
        folder / FILE,
        {"id": run.id, "project": run.project, "entity": run.entity or "", "url": url or ""},
    )
    note(f"W&B: {url}" if url else f"W&B: run {run.id}, offline in {folder / 'wandb'}")
    return url


def open_run(
    folder: Path,
    tracking: TrackingConfig,
    name: str,
    run_id: str,
    note: Callable[[str], None],
    more: dict[str, Any] | None = None,
) -> Any:
    """Open a W&B run; resume it if it exists.

    Without an account (WANDB_API_KEY or `wandb login`), or if W&B cannot be reached, W&B stores the
    run offline in `folder`.

    Args:
        folder: the run's folder.
        tracking: the W&B project.
        name: the run's name.
        run_id: from `new_id`.
        note: called with one sentence if W&B cannot be reached.
        more: `tags` and `config` of the run; a resumed run takes them in place of its own.

    Returns:
        An object with `log(row)`, `summary` and `finish()`.

    Raises:
        ValueError: if wandb is not installed, or cannot open even an offline run.
    """
    require()
    import wandb

    more = more or {}
    mode: Any = os.environ.get("WANDB_MODE") or ("online" if _has_account() else "offline")
    arguments: dict[str, Any] = {
        "project": tracking.project,
        "name": name,
        "id": run_id,
        "resume": "allow",
        "dir": str(folder),
        "tags": more.get("tags"),
        "settings": wandb.Settings(silent=True, console="off"),
    }
    try:
        run = wandb.init(mode=mode, **arguments)
    except (wandb.errors.Error, OSError) as error:
        if mode != "online":
            raise ValueError(f"tracking.wandb: {error}") from None
        note(
            f"W&B: {error}; keeping this run offline; "
            f"`wandb sync {folder}/wandb/offline-*` uploads it"
        )
        run = wandb.init(mode="offline", **arguments)
    # Not by `init`: that refuses values which differ from those of a resumed run.
    run.config.update(more.get("config", {}), allow_val_change=True)
    run.define_metric("*", step_metric="cycle")  # "cycle" is the x axis; a rollback may decrease it
    return run


def _has_account() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
