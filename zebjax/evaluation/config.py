"""Constants of matches and of the public ladder, in a module that does not import jax.

So `--help` can show them at once.
"""

DEALS_AT_ONCE = 500
"""Number of deals of a match that are played together."""
LADDER = ("random", "heuristic", "eq:n=1", "eq:n=10", "eq:n=50", "eq:n=100", "cheat")
"""Specs of the public ladder."""
LADDER_ANCHOR = ("eq:n=100", 1600.0)
"""The player whose rating the original fixed, and that rating."""
LADDER_DEALS = 2000
"""Deals for each pair of the ladder."""
SLOW_SHARE = 4
"""A pair with a slow player plays this many times fewer deals."""
SLOW_WORLDS = 50
"""E[Q] with this many worlds or more is a slow player."""
