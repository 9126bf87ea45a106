"""The metadata of safetensors files."""

import json

SMALL_FORMAT = "zebjax_small_format"
"""Key of the metadata of small networks."""
_MAX_HEADER_BYTES = 1 << 20


def metadata_of(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty if there is none or it cannot be read."""
    size = int.from_bytes(data[:8], "little")
    if size > min(len(data), _MAX_HEADER_BYTES):
        return {}
    try:
        metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
