"""Exact perfect-information values of any position, by alpha-beta on all cores; compiled by numba
on first use.
"""

from zebjax.solver.batch import at_least, solve, value
from zebjax.solver.line import Play, principal_line, show_line

__all__ = ["Play", "at_least", "principal_line", "show_line", "solve", "value"]
