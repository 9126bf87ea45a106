"""Charts as PNG files, drawn without a display."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zebjax.common import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # takes a second to import


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, its size in inches. It needs no display and no backend."""
    # matplotlib cannot be imported if MPLBACKEND names a backend that is not installed here, and
    # notebooks export theirs to the processes that they start. A Figure uses no backend.
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
    """Write a figure as a PNG file, completely or not at all.

    Raises:
        ValueError: if the file cannot be written.
    """
    with files.writing(path), files.new_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
