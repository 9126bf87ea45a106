"""The opponents of a run's evaluation, by words, in a module that does not import jax.

A word is a player spec (`random`, `eq:n=10`, `zeb:runs/other`), `first` (the run's own first step)
or `bundled` (short for `zeb:bundled`).
"""

import re
import shlex

from zebjax.common.parsing import hint
from zebjax.players import spec

FIRST = "first"
_SHORT = {"bundled": "zeb:bundled"}


def words(text: str) -> list[str]:
    """Return the words of `evaluation.opponents`; a path with spaces is in quotes.

    Raises:
        ValueError: if there is none, one is no opponent, or two have the same name.
    """
    try:
        found = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"evaluation.opponents: {error}, in {text!r}") from None
    if not found:
        raise ValueError("evaluation.opponents: expected at least one, as in 'random eq:n=10'")
    known = [*spec.KINDS, FIRST, *_SHORT]
    for word in found:
        if word.partition(":")[0] not in known:
            raise ValueError(f"evaluation.opponents: unknown {word!r}; {hint(word, known)}")
        if [name(other) for other in found].count(name(word)) > 1:
            raise ValueError(f"evaluation.opponents: two are named {name(word)!r} in the metrics")
    return found


def check_contracts(text: str, has_contracts: bool) -> None:
    """Check that the opponents play the games in which a run's network is judged.

    Args:
        text: `evaluation.opponents`.
        has_contracts: True for a network of make/set, which is judged in games with a contract.

    Raises:
        ValueError: for a player of criterion=make without contracts; the message names it.
    """
    for word in words(text):
        if not has_contracts and "criterion=make" in re.split("[:,]", word):
            raise ValueError(
                f"evaluation.opponents: {word!r} plays games with a contract, and those of a "
                "network of value points have none; expected criterion=win"
            )


def name(word: str) -> str:
    """Return the name of an opponent in metrics: letters, digits and `_`.

    >>> name("eq:n=10"), name("zeb:runs/other"), name("bundled")
    ('eq_n10', 'zeb_runs_other', 'bundled')
    """
    return re.sub(r"[^A-Za-z0-9]+", "_", word.replace("=", "")).strip("_")


def full_spec(word: str) -> str:
    """Return the player spec of a word other than `first`."""
    return _SHORT.get(word, word)
