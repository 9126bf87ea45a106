"""Exact perfect-information values of any position, by alpha-beta search on all cores.

numba compiles the solver on first use, which takes about a minute, and caches it on disk.
"""

from zebjax.solver.batch import at_least, solve, value
from zebjax.solver.line import Play, principal_line, show_line

__all__ = ["Play", "at_least", "principal_line", "show_line", "solve", "value"]
