"""Weights & Biases (W&B): one W&B run for each zebjax run, resumed by its id."""

import importlib.util
import netrc
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zebjax.training.config import TrackingConfig


def new_id() -> str:
    """Make an id for a W&B run. Save it before `open_run`, so that a restart uses the same id."""
    return uuid.uuid4().hex[:8]


def require() -> None:
    """ValueError if the package wandb is not installed."""
    if importlib.util.find_spec("wandb") is None:
        raise ValueError('tracking.wandb: it needs the extra "wandb": pip install "zebjax[wandb]"')


def open_run(
    folder: Path, tracking: TrackingConfig, name: str, run_id: str, note: Callable[[str], None]
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

    Returns:
        An object with `log(row)` and `finish()`.

    Raises:
        ValueError: if wandb is not installed, or cannot open even an offline run.
    """
    require()
    import wandb

    mode: Any = os.environ.get("WANDB_MODE") or ("online" if _has_account() else "offline")
    arguments: dict[str, Any] = {
        "project": tracking.project,
        "name": name,
        "id": run_id,
        "resume": "allow",
        "dir": str(folder),
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
    run.define_metric("*", step_metric="cycle")  # "cycle" is the x axis; a rollback may decrease it
    return run


def _has_account() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
