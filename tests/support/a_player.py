"""A player of a kind that a test adds to the grammar."""

from zebjax import players


def of_file(path):
    return players.random()


def stand_in(n=1):
    """Plays at once what takes an expensive player long; the option is that player's."""
    return players.heuristic()
