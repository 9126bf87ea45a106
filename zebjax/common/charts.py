"""Charts as PNG files, drawn without a display."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # takes a second to import


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a matplotlib figure as PNG, whole or not at all; ValueError if that fails."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        figure.savefig(temporary, dpi=110, format="png")
        os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from None
