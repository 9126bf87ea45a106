"""A small fast network for play on a CPU: rules, features, layers and kernels compiled by numba."""
