"""Several processes that share a run by way of a store: weights out, games in, signs of life."""
