"""A page as plain data, so that it is written once and shown as HTML and as Markdown."""

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple

_LONG, _HALF = 36, 62
"""Characters after which a cell is wrapped, and those that fit half of a page."""


class Text(NamedTuple):
    """A paragraph."""

    text: str


class Rule(NamedTuple):
    """How something on the page was computed."""

    text: str


class Missing(NamedTuple):
    """What a section lacks, and how to get it."""

    text: str


class Code(NamedTuple):
    """Commands."""

    text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of texts."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    title: str = ""
    n_words: int = 1
    """The first columns, which hold words; the others hold numbers."""
    strong: frozenset[tuple[int, int]] = frozenset()
    """Cells to stress, as (row, column)."""
    is_folded: bool = False
    """True for a long table that is shown on demand."""

    @property
    def is_narrow(self) -> bool:
        """True if it fits half of a wide page."""
        lines = [self.columns, *self.rows]
        widths = (max(len(line[i]) for line in lines) for i in range(len(self.columns)))
        return sum(min(width, _LONG) for width in widths) <= _HALF


class Chart(NamedTuple):
    """A picture with what it shows in words."""

    title: str
    svg: str
    words: str
    """For readers who cannot see it, and for Markdown."""
    is_wide: bool = False


Block = Text | Rule | Missing | Code | Table | Chart


class Section(NamedTuple):
    """A part of the page."""

    id: str
    title: str
    blocks: list[Block]


class Figure(NamedTuple):
    """One of the numbers at the top of the page."""

    name: str
    value: str
    more: str = ""


@dataclasses.dataclass(frozen=True)
class Document:
    """The page."""

    title: str
    subtitle: str
    figures: list[Figure]
    warnings: list[str]
    sections: list[Section]
    footer: str


def spans(text: str) -> list[tuple[bool, str]]:
    """Split a text at its code, which stands between backticks: (True if it is code, part).

    >>> spans("see `zebjax --help` for more")
    [(False, 'see '), (True, 'zebjax --help'), (False, ' for more')]
    """
    parts = re.split(r"`([^`]+)`", text)
    return [(place % 2 == 1, part) for place, part in enumerate(parts) if part]
