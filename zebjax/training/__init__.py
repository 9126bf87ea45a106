"""Training: self-play, the replay ring, the learner, and the run that combines them."""
