"""Charts as PNG files and as SVG, drawn without a display."""

import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zebjax.common import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # takes a second to import

_PLACES = re.compile(r' (?:d|x|y|width|height|transform|points)="[^"]*"')
_LONG = re.compile(r"-?\d+\.\d{2,}")


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


def to_svg(figure: "Figure") -> str:
    """Return a figure as an `<svg>` element for a page: its texts are texts, in the page's font.

    The same figure gives the same text. Lengths are rounded to a tenth of a point.
    """
    import matplotlib

    made = io.StringIO()
    # Ids are hashes of what they name, with this salt, so two pictures of a page may share one.
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "zebjax",
        "font.family": "sans-serif",
    }
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context(settings):
        figure.savefig(made, format="svg", transparent=True, metadata=nothing)
    svg = made.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>|<metadata.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = _PLACES.sub(lambda places: _LONG.sub(_tenth, places[0]), svg)
    return re.sub(r"\s*\n\s*", "\n", svg).replace("xlink:href", "href").strip()


def _tenth(match: re.Match[str]) -> str:
    return f"{float(match[0]):.1f}".removesuffix(".0")
