"""Charts as PNG files, drawn without a display."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zebjax.common import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # takes a second to import


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches. It needs no display, whatever backend is configured."""
    # matplotlib refuses to be imported under a backend that is not installed here, and every
    # notebook exports its own to the processes that it starts. Nothing here uses a backend.
    before = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        from matplotlib.figure import Figure  # takes a second to import
    finally:
        if before is None:
            del os.environ["MPLBACKEND"]
        else:
            os.environ["MPLBACKEND"] = before
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a matplotlib figure as PNG, whole or not at all; ValueError if that fails."""
    with files.writing(path), files.new_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
