"""Measures of play: paired matches, ladders and ratings, regret, beliefs. No commands."""
