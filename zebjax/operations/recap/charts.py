"""The charts of the page as SVG: readable on a phone, in light and in dark, without colour.

Colours are variables of the page's style sheet. Lines differ in their dashes too.
"""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zebjax.common import charts
from zebjax.operations.recap import fleet, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Each stands for a variable of the style sheet. matplotlib needs real colours.
_INK, _MUTED, _GRID, _ALARM = "#000001", "#000002", "#000003", "#000004"
_LINES = ("#000011", "#000012", "#000013", "#000014", "#000015", "#000016")
_NAMES = {_INK: "ink", _MUTED: "muted", _GRID: "grid", _ALARM: "alarm"}
_NAMES |= {colour: f"line{i}" for i, colour in enumerate(_LINES, 1)}
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), "-", "-")
_WIDTH, _HEIGHT = 5.0, 3.0
"""Inches. At 72 points an inch a chart is as wide as a phone's screen, so its texts, which scale
with it, have their own size there."""
_FONT = 10.0
_MAX_BARS = 40
_MAX_LABEL = 22


class Line(NamedTuple):
    """One line of a chart."""

    label: str
    x: np.ndarray
    y: np.ndarray
    half: np.ndarray | None = None
    """Half-widths of the intervals, drawn as a band."""
    has_points: bool = False
    """True to mark each point: there are few, and the line between them is not known."""


class Marks(NamedTuple):
    """Vertical lines of a chart over cycles."""

    phases: Sequence[int] = ()
    """Cycles at which a phase ends."""
    changes: Sequence[int] = ()
    """Cycles at which settings changed."""


def line(label: str, rows: Sequence[dict[str, Any]], name: str, scale: float = 1.0) -> Line:
    """A metric over cycles, thinned to at most `series.POINTS` points.

    Args:
        label: the line's name.
        rows: the metrics.
        name: the metric.
        scale: factor of its values, such as 100 for percent.
    """
    x, y = series.of(rows, name)
    return Line(label, series.thin(x), scale * series.thin(y))


def _svg(figure: "Figure") -> str:
    """The figure as SVG that takes its colours from the page."""
    svg = charts.to_svg(figure)
    box = re.search(r'viewBox="[\d. ]+"', svg)
    assert box is not None, "matplotlib writes a view box"
    inner = svg[svg.index(">") + 1 :]
    colours = re.compile("|".join(_NAMES))
    return f"<svg {box[0]}>" + colours.sub(lambda found: f"var(--{_NAMES[found[0]]})", inner)


def _axes(height: float = _HEIGHT) -> tuple["Figure", "Axes"]:
    figure = charts.new_figure(_WIDTH, height)
    axes = figure.subplots()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_MUTED)
    axes.tick_params(colors=_MUTED, labelcolor=_INK, labelsize=_FONT, length=3)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def lines(
    drawn: Sequence[Line],
    y_label: str,
    marks: Marks,
    x_label: str = "cycle",
    from_zero: bool = False,
) -> str:
    """Draw lines over cycles.

    Args:
        drawn: at least one line with points.
        y_label: name and unit of the values.
        marks: vertical lines.
        x_label: name of the horizontal axis.
        from_zero: True to begin the vertical axis at 0.
    """
    figure, axes = _axes()
    for number, one in enumerate(drawn):
        colour = _LINES[number % len(_LINES)]
        marker = "o" if one.has_points and len(one.x) <= 60 else ""
        axes.plot(
            *(one.x, one.y),
            color=colour,
            linestyle=_DASHES[number % len(_DASHES)],
            linewidth=1.6,
            marker=marker or ("o" if len(one.x) == 1 else ""),
            markersize=3.5,
            label=one.label,
        )
        if one.half is not None:
            axes.fill_between(
                one.x, one.y - one.half, one.y + one.half, color=colour, alpha=0.18, linewidth=0
            )
    for cycle in marks.phases:
        axes.axvline(cycle, color=_MUTED, linewidth=0.9)
    for cycle in marks.changes:
        axes.axvline(cycle, color=_ALARM, linewidth=0.9, linestyle=(0, (1.5, 1.5)))
    axes.locator_params(axis="x", nbins=5)
    axes.locator_params(axis="y", nbins=6)
    axes.set_xlabel(x_label, fontsize=_FONT, color=_INK)
    axes.set_ylabel(y_label, fontsize=_FONT, color=_INK)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if from_zero:
        axes.set_ylim(0, max(axes.get_ylim()[1], 1e-9))
    _legend(axes, len(drawn))
    return _svg(figure)


def _legend(axes: "Axes", n: int) -> None:
    if n > 1:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=3,
            frameon=False,
            fontsize=_FONT,
            labelcolor=_INK,
            borderaxespad=0.2,
            handlelength=1.8,
            columnspacing=1.2,
        )


def words(drawn: Sequence[Line], unit: str = "", decimals: int = 3) -> str:
    """What lines show, in words: first, lowest, highest and last value of each."""
    said = []
    for one in drawn:
        if not len(one.y):
            continue
        low, high = int(np.argmin(one.y)), int(np.argmax(one.y))
        values = [f"{one.y[i]:,.{decimals}f}{unit} at {one.x[i]:,.0f}" for i in (0, low, high, -1)]
        said.append(
            f"{one.label}: starts with {values[0]}, is lowest with {values[1]} and highest with "
            f"{values[2]}, ends with {values[3]}"
        )
    return "; ".join(said) + "."


def _label(name: str) -> str:
    return name if len(name) <= _MAX_LABEL else f"…{name[1 - _MAX_LABEL :]}"


def _rows_of_names(axes: "Axes", names: Sequence[str]) -> None:
    places = range(len(names))
    labels = axes.set_yticks(places, [_label(name) for name in names], fontsize=_FONT - 1)
    for label in labels:
        # A name may come from another machine, and a `$` would begin a formula.
        label.label1.set_parse_math(False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def ratings(rated: Sequence[tuple[str, float, tuple[float, float] | None]]) -> str:
    """Draw players with their ratings and intervals, in the given order."""
    figure, axes = _axes(0.9 + 0.26 * len(rated))
    for place, (_, elo, interval) in enumerate(rated):
        if interval is not None:
            axes.plot(interval, (place, place), color=_LINES[0], linewidth=1.6)
        axes.plot([elo], [place], "o", color=_LINES[0], markersize=5)
    _rows_of_names(axes, [name for name, _, _ in rated])
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("Elo", fontsize=_FONT, color=_INK)
    return _svg(figure)


def timeline(spans: Sequence[fleet.Span], events: Sequence[fleet.Event], begin_s: float) -> str:
    """Draw when each machine of a fleet was there, in hours since `begin_s`.

    Only the last machines are drawn if there are many.

    Args:
        spans: at least one.
        events: crosses are drawn for those that are not usual.
        begin_s: hour 0.
    """
    names = list(dict.fromkeys(span.name for span in spans))[-_MAX_BARS:]
    place = {name: i for i, name in enumerate(names)}
    roles = sorted({span.role for span in spans})
    figure, axes = _axes(0.9 + 0.22 * max(len(names), 3))
    for span in spans:
        if span.name in place:
            left = (span.begin_s - begin_s) / 3600
            width = max(span.hours, 1e-9)
            colour = _LINES[roles.index(span.role) % len(_LINES)]
            axes.barh(place[span.name], width, left=left, height=0.55, color=colour, alpha=0.75)
    odd = [e for e in events if e.event not in fleet.USUAL and e.name in place]
    axes.plot(
        [(event.time_s - begin_s) / 3600 for event in odd],
        [place[event.name] for event in odd],
        *("x",),
        color=_ALARM,
        markersize=5,
        markeredgewidth=1.5,
    )
    _rows_of_names(axes, names)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("hours since the start", fontsize=_FONT, color=_INK)
    return _svg(figure)


def rough(value: float) -> int:
    """Decimals that show three digits of a value.

    >>> [rough(v) for v in (0.01234, 0.5, 43.3, 1234.0)]
    [4, 3, 1, 0]
    """
    if value == 0 or not math.isfinite(value):
        return 1
    return max(0, min(6, 2 - math.floor(math.log10(abs(value)))))
