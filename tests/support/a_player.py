"""A player of a kind that a test adds to the grammar."""

from zebjax import players


def of_file(path):
    return players.random()
