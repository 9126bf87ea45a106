"""Players: functions from many games to one slot for each. See `spec` for the spec grammar.

Each name is imported when it is first used, so that `--help` need not import jax.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
