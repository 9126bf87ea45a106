"""Weights & Biases: one W&B run for each lineage of weights."""

import importlib.util
import netrc
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zebjax.training.config import TrackingConfig


def new_id() -> str:
    """A new id of a W&B run. Save it before `open_run`, so that a restart finds the same one."""
    return uuid.uuid4().hex[:8]


def require() -> None:
    """ValueError if the package wandb is not installed."""
    if importlib.util.find_spec("wandb") is None:
        raise ValueError('tracking.wandb: it needs the extra "wandb": pip install "zebjax[wandb]"')


def open_run(
    folder: Path, tracking: TrackingConfig, name: str, run_id: str, note: Callable[[str], None]
) -> Any:
    """Open the W&B run with this id, which resumes it if it is there.

    Without an account (WANDB_API_KEY, `wandb login`), or if W&B cannot be reached, the run is kept
    offline in `folder`.

    Returns:
        An object with `log(row)` and `finish()`.

    Raises:
        ValueError: if wandb is not installed, or refuses.
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
    run.define_metric("*", step_metric="cycle")  # a rollback may turn it back
    return run


def _has_account() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
