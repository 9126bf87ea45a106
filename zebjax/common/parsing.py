"""Parsers of option values: each raises a ValueError that says what was expected."""

import difflib
import math
from collections.abc import Callable, Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of `known`, which is not empty, that looks most like `word`."""
    return difflib.get_close_matches(word, list(known), n=1, cutoff=0.0)[0]


def number(low: float, high: float) -> Callable[[str], float]:
    """A parser of option values: a real number in [low, high]; ValueError that says so
    otherwise.
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}, got {text!r}")
        return value

    return parse


def integer(low: int, high: int) -> Callable[[str], int]:
    """A parser of option values: a whole number from low to high; ValueError that says so
    otherwise.
    """

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, got {text!r}")
        return value

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of option values: one of these words; ValueError that names them otherwise."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(
                f"expected {' or '.join(words)}, got {text!r}; did you mean "
                f"{nearest(text, words)!r}?"
            )
        return text

    return parse
