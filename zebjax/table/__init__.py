"""One table at which a person plays with three players: state, views, decisions, advice, review.

Everything here is a function over plain data. The programs that show a table (`zebjax play`,
`zebjax serve`) hold the data and do the input and output.
"""

from zebjax.common.bids import MAX_MARKS

HINT_WORLDS = 100
"""Worlds of a hint and of a review, unless the caller chooses."""
BID_WORLDS = 50
"""Most worlds of a hint at the bid: each takes nine declarations and seven leads."""
GOAL = MAX_MARKS
"""Marks that win a whole game with bids."""
MAX_SEED = 2**32 - 1
