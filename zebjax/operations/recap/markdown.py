"""A document as Markdown (the dialect of GitHub, with tables)."""

import re

import markupsafe

from zebjax.operations.recap.document import (
    Block,
    Chart,
    Code,
    Document,
    Missing,
    Rule,
    Table,
    Text,
    spans,
)

# An underscore within a word is no emphasis.
_SPECIAL = re.compile(r"[\\`*\[<>|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def escape(text: str) -> str:
    r"""Return a text that Markdown shows as it is.

    >>> print(escape("<script> a|b *c*"))
    \<script\> a\|b \*c\*
    """
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _rich(text: str) -> str:
    """A text with code between backticks. A `|` would end a table's cell even there."""
    return "".join(
        f"`{part.replace('|', chr(92) + '|')}`" if is_code else _SPECIAL.sub(r"\\\g<0>", part)
        for is_code, part in spans(" ".join(text.split()))
    )


def render(document: Document) -> str:
    """Return the document as Markdown. A chart is told in words."""
    lines = [f"# {escape(document.title)}", "", escape(document.subtitle), ""]
    if document.figures:
        lines += [" · ".join(_figure(*figure) for figure in document.figures), ""]
    lines += [f"- ⚠ {_rich(warning)}" for warning in document.warnings]
    lines += [""] * bool(document.warnings)
    for section in document.sections:
        lines += [f"## {escape(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join([*lines, "---", "", escape(document.footer), ""])


def _figure(name: str, value: str, more: str) -> str:
    return f"{escape(name)} **{escape(value)}**{f' ({escape(more)})' if more else ''}"


def _block(block: Block) -> list[str]:
    match block:
        case Table():
            return _table(block)
        case Code(text):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            return [fence, text, fence]
        case Chart(title, _, words):
            return [f"*Chart: {escape(title)}.* {escape(words)}"]
        case Rule(text):
            return [f"*{_rich(text)}*"]
        case Missing(text):
            return [f"> Missing: {_rich(text)}"]
        case Text(text):
            return [_rich(text)]


def _table(table: Table) -> list[str]:
    if table.is_folded:
        before = ["<details>", f"<summary>{markupsafe.escape(table.title)}</summary>", ""]
        return [*before, *_lines(table), "", "</details>"]
    return [f"**{escape(table.title)}**", "", *_lines(table)] if table.title else _lines(table)


def _lines(table: Table) -> list[str]:
    lines = [
        _line([escape(name) for name in table.columns]),
        f"|{'|'.join('---' if i < table.n_words else '---:' for i in range(len(table.columns)))}|",
    ]
    for place, row in enumerate(table.rows):
        cells = [_rich(cell) for cell in row]
        lines.append(
            _line([f"**{c}**" if (place, i) in table.strong else c for i, c in enumerate(cells)])
        )
    return lines


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
