"""zebjax: learning and playing Texas 42 with compiled self-play in JAX."""

import sys

import lazy_loader

__version__ = "0.2.0"

# Nothing is imported before it is used: a command's help must not wait for jax.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["game", "network", "observe", "solver", "worlds"]
)

if sys.argv[:1] == ["-m"]:  # `python -m MODULE` imports the package before it runs the module
    from zebjax.common.commands import refuse_library_module

    refuse_library_module()
