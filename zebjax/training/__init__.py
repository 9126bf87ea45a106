"""From games to weights: self-play, the replay ring, the learner, and a run that puts them
together.
"""
