"""Sizes and the public ladder, apart from what plays it: help texts do not wait for jax."""

DEALS_AT_ONCE = 500
"""Deals of a match that are played at once."""
LADDER = ("random", "heuristic", "eq:n=1", "eq:n=10", "eq:n=50", "eq:n=100", "cheat")
"""Specs of the public ladder."""
LADDER_ANCHOR = ("eq:n=100", 1600.0)
"""The player whose rating the original fixed, and that rating."""
LADDER_DEALS = 2000
SLOW_SHARE = 4
"""A pair with a slow player plays the deals of others divided by this."""
SLOW_WORLDS = 50
"""E[Q] with this many worlds or more is slow."""
