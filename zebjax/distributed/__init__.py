"""Several processes that share a run through a store of weights, games and heartbeats."""
