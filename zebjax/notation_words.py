"""The words of a text in the notation, each with its place; see `notation`."""

import dataclasses
import re
from typing import NoReturn

from zebjax import tiles

SHOWN = 40
"""Most characters of a wrong word that a message shows."""
_SEAT = "a seat 0..3"


class NotationError(ValueError):
    """A text is not a position; the message begins with the line and the column."""


@dataclasses.dataclass(frozen=True)
class Word:
    text: str
    """Empty for the end of a line."""
    line: int
    """From 1."""
    column: int
    """From 1."""

    def refuse(self, reason: str) -> NoReturn:
        raise NotationError(f"line {self.line}, column {self.column}: {reason}")

    def refuse_itself(self, expected: str) -> NoReturn:
        """Refuse this word where another was expected."""
        if not self.text:
            self.refuse(f"the line ends here; expected {expected}")
        shown = self.text if len(self.text) <= SHOWN else self.text[: SHOWN - 3] + "..."
        self.refuse(f"expected {expected}, got {shown!r}")

    def number(self, expected: str, low: int, high: int) -> int:
        if not re.fullmatch("[0-9]{1,2}", self.text) or not low <= int(self.text) <= high:
            self.refuse_itself(expected)
        return int(self.text)

    def seat(self) -> int:
        return self.number(_SEAT, 0, 3)

    def tile(self) -> int:
        match = re.fullmatch("([0-6])-([0-6])", self.text)
        if not match:
            self.refuse_itself("a tile as in 6-4")
        return tiles.tile_id(int(match[1]), int(match[2]))


class Words:
    """The words of one line that are not read yet."""

    def __init__(self, words: list[Word], end: Word) -> None:
        self._words, self._end = words, end

    def peek(self) -> Word:
        """The next word; one without text at the end of the line."""
        return self._words[0] if self._words else self._end

    def take(self) -> Word:
        return self._words.pop(0) if self._words else self._end

    def skip(self, text: str) -> bool:
        """Pass the next word if it is `text`."""
        found = self.peek().text == text
        if found:
            self.take()
        return found

    def must(self, text: str, expected: str) -> None:
        """Pass the next word, which must be `text`."""
        if not self.skip(text):
            self.peek().refuse_itself(expected)

    def until(self, stop: str) -> list[Word]:
        """Take the words before `stop` or the end of the line."""
        taken = []
        while self.peek().text not in ("", stop):
            taken.append(self.take())
        return taken

    def finish(self) -> None:
        if self._words:
            self.peek().refuse_itself("the end of the line")
