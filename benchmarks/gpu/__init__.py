"""Compile for a GPU that is not there, and predict times from the compiled program."""
