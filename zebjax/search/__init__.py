"""Tree search for many games at once; see `tree`.

Each name is imported when it is first used, so that `--help` need not import jax.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
