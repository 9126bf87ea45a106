"""A small fast network for play on a CPU: rules, features, layers and kernels compiled by numba."""

MAX_WIDTH = 4096
"""Of a layer; files with more are refused."""
