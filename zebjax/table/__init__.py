"""One table at which a person plays with three players: state, views, decisions, advice, review.

Everything here is a function over plain data. The programs that show a table (`zebjax play`,
`zebjax serve`) hold the data and do the input and output.
"""

HINT_WORLDS = 100
"""Worlds of a hint and of a review, unless the caller chooses."""
MAX_SEED = 2**32 - 1
