"""Fleets: all processes of a run, started, watched and stopped together."""
