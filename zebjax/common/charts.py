"""Charts as PNG files, drawn without a display."""

from pathlib import Path
from typing import TYPE_CHECKING

from zebjax.common import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # takes a second to import


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a matplotlib figure as PNG, whole or not at all; ValueError if that fails."""
    with files.writing(path), files.new_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
