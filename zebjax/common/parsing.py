"""Parsers of option values. Each raises ValueError with the expected and the given value."""

import difflib
import math
from collections.abc import Callable, Iterable

_MAX_INTEGER = 10**15
_SHOWN = 100
_BY_CHANCE = 0.3
_SIMILAR = 0.7
"""Minimum similarity of a typing error, 0 to 1."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the word of `known` that is most similar to `word`; `known` must not be empty.

    Of equally similar words the one of the most similar length.
    """

    def rank(other: str) -> tuple[float, int]:
        likeness = _likeness(word, other)
        # Below that it is chance: `temperature` has an m.
        return (likeness if likeness >= _BY_CHANCE else 0.0, -abs(len(other) - len(word)))

    return max(known, key=rank)


def similar(word: str, known: Iterable[str]) -> str:
    """Return the word of `known` that `word` is a typing error of; "" if there is none."""
    found = [other for other in known if _likeness(word, other) >= _SIMILAR]
    return nearest(word, found) if found else ""


def either(words: Iterable[str]) -> str:
    """Return words as alternatives.

    >>> either(["win"]), either(["win", "points"]), either(["win", "points", "make"])
    ('win', 'win or points', 'win, points or make')
    """
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def hint(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a hint: the word of `known` that `word` resembles; else `otherwise`, or all words."""
    known = list(known)
    if meant := similar(word, known):
        return f"did you mean {meant!r}?"
    return otherwise or f"expected {'one of ' * (len(known) > 1)}{', '.join(known)}"


def _likeness(word: str, other: str) -> float:
    """0 to 1; capital and small letters are the same."""
    return difflib.SequenceMatcher(None, other.lower(), word.lower()).ratio()


def number(low: float, high: float) -> Callable[[str], float]:
    """A parser of a real number in [low, high]; it raises ValueError for anything else."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan  # outside every range
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}, got {text!r}")
        return value

    return parse


def not_empty(text: str) -> str:
    """A parser of any text but none, as from an unset variable of a shell, see `number`."""
    if not text.strip():
        raise ValueError(f"expected a name, got {text!r}")
    return text


def integer(low: int, high: int, step: int = 1) -> Callable[[str], int]:
    """A parser of a multiple of `step` from low to high; it raises ValueError for anything else."""
    kind = "whole number" if step == 1 else f"multiple of {step}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1  # outside the range
        if not low <= value <= high or value % step:
            raise ValueError(f"expected a {kind} from {low} to {high}, got {text!r}")
        return value

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of one of these words; it raises ValueError for anything else."""

    def parse(text: str) -> str:
        if text not in words:
            meant = similar(text, words)
            instead = f"; did you mean {meant!r}?" if meant else ""
            raise ValueError(f"expected {either(words)}, got {text!r}{instead}")
        return text

    return parse


def boolean(text: str) -> bool:
    """True or False, in small or capital letters.

    Raises:
        ValueError: for anything else.
    """
    if text.lower() not in ("true", "false"):
        raise ValueError(f"expected True or False, got {text!r}")
    return text.lower() == "true"


def any_integer(text: str) -> int:
    """A whole number, whose range the settings' own checks judge, within the computer's integers.

    Raises:
        ValueError: for anything else.
    """
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"expected a whole number, got {text[:_SHOWN]!r}") from None
    if abs(value) > _MAX_INTEGER:
        raise ValueError(f"expected a whole number up to 10^15, got {text[:_SHOWN]!r}")
    return value


def any_number(text: str) -> float:
    """A real number, also `inf` and `nan`, which the settings' own checks judge.

    Raises:
        ValueError: for anything else.
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number, got {text!r}") from None


def nothing(text: str) -> None:
    """The word None.

    Raises:
        ValueError: for anything else.
    """
    if text != "None":
        raise ValueError(f"expected None, got {text!r}")


def first_of(*parsers: Callable[[str], object]) -> Callable[[str], object]:
    """A parser that tries several parsers in turn; its error names everything that they expect."""

    def parse(text: str) -> object:
        expected = []
        for parser in parsers:
            try:
                return parser(text)
            except ValueError as error:
                expected.append(str(error).removeprefix("expected ").partition(", got ")[0])
        raise ValueError(f"expected {either(expected)}, got {text!r}")

    return parse
