"""The bids of the auction, in a module that imports neither jax nor NumPy, for `--help`."""

import re

MIN_BID, MAX_BID = 30, 42
"""Points; a bid of marks is one of all 42 points."""
MAX_MARKS = 7
"""Marks that win a whole game; no bid is higher."""
NELLO, NELLO_DOUBLES, SEVENS = "nello", "nello-doubles", "sevens"
PLUNGE, SPLASH = "plunge", "splash"
DOUBLES_SUIT = "doubles-suit"
_MARKS = [str(MAX_BID * marks) for marks in range(1, MAX_MARKS + 1)]
"""Bids of marks in points, as players also say them: 84 for two."""
SPECIALS = (NELLO, NELLO_DOUBLES, PLUNGE, SPLASH, SEVENS)
"""The special contracts that a table may allow, see `special`."""
OPTIONS = (DOUBLES_SUIT, *SPECIALS)
"""All that a table may allow beside the nine declarations and the bids of real 42."""


def parse_specials(text: str) -> tuple[str, ...]:
    """Read special contracts with commas between them; the result is in the order of `SPECIALS`.

    Raises:
        ValueError: for a name that is none of them or stands twice, or nello-doubles alone.

    >>> parse_specials("sevens,nello")
    ('nello', 'sevens')
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SPECIALS:
            raise ValueError(f"expected some of {','.join(SPECIALS)}, got {name!r}")
        if names.count(name) > 1:
            raise ValueError(f"expected each contract once, got {name} {names.count(name)} times")
    if NELLO_DOUBLES in names and NELLO not in names:
        raise ValueError(f"expected {NELLO} with {NELLO_DOUBLES}, which is a way to play it")
    return tuple(name for name in SPECIALS if name in names)


def parse_contract(text: str) -> tuple[int, int, str]:
    """Read a bid as `parse` does, or `nello` or `nello-doubles`, which are bids of 42.

    Returns:
        Points, marks, and the special contract or an empty string.

    Raises:
        ValueError: for anything else.

    >>> parse_contract("31"), parse_contract("nello")
    ((31, 1, ''), (42, 1, 'nello'))
    """
    if text.strip() in (NELLO, NELLO_DOUBLES):
        return MAX_BID, 1, text.strip()
    if text.strip() in SPECIALS:
        reason = "no choice there changes a trick" if text.strip() == SEVENS else "it is a bid"
        raise ValueError(f"{text.strip()} is not played by itself: {reason}; expected nello")
    try:
        return (*parse(text), "")
    except ValueError as error:
        raise ValueError(
            str(error).replace(", got ", ", or nello or nello-doubles, got ")
        ) from None


def parse_range(text: str) -> tuple[int, int]:
    """Read bids in points: one, or a range with both ends.

    Raises:
        ValueError: for anything else.

    >>> parse_range("30"), parse_range("30-42")
    ((30, 30), (30, 42))
    """
    low, dash, high = text.partition("-")
    ends = [int(end) for end in (low, high if dash else low) if re.fullmatch("[0-9]{2}", end)]
    if len(ends) == 2 and MIN_BID <= ends[0] <= ends[1] <= MAX_BID:
        return ends[0], ends[1]
    raise ValueError(
        f"expected points from {MIN_BID} to {MAX_BID} as in 31, or a range of them as in 30-36, "
        f"got {text!r}"
    )


def parse(text: str) -> tuple[int, int]:
    """Read a bid: points 30..42, or marks as in `1m`, `2 marks` or, 42 for each, `84`.

    Returns:
        Points to take, and marks that it is worth.

    Raises:
        ValueError: for anything else.

    >>> parse("31"), parse("2m"), parse("84")
    ((31, 1), (42, 2), (42, 2))
    """
    if match := re.fullmatch(r"\s*([1-7]) ?(?:m|marks?)\s*", text):
        return MAX_BID, int(match[1])
    if re.fullmatch(r"\s*[0-9]{2}\s*", text) and MIN_BID <= int(text) <= MAX_BID:
        return int(text), 1
    if text.strip() in _MARKS:
        return MAX_BID, _MARKS.index(text.strip()) + 1
    raise ValueError(
        f"expected points from {MIN_BID} to {MAX_BID} or marks as in 2m (1 to {MAX_MARKS}), "
        f"got {text!r}"
    )
