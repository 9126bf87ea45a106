"""Player kinds that tests add to the grammar."""

from zebjax import players


def of_file(path):
    return players.random()


def of_worlds(n=1):
    return players.heuristic()
