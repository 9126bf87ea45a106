"""For GPUs: compile for one that is not there and predict times; measure on one that is."""
