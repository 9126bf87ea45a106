"""Players: many games in, one slot for each out. See `spec` for the grammar; names are imported
when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
