"""zebjax: learning and playing Texas 42 with compiled self-play in JAX."""

__version__ = "0.1.0"
