"""The metadata of a record file: strings that say where its games come from."""

import dataclasses
import json
from typing import Any

from zebjax.common.tensor_file import SMALL_FORMAT

FORMAT_VERSION = 1
SELFPLAY, EVAL_AUX, TEACHER, TABLE = SOURCES = (
    "selfplay-mcts",
    "eval-eq-zeb",
    "teacher-eq",
    "table-play",
)
"""Sources of a file's games: the original's names for its two streams, `zebjax teach`, and hands
that a person has played at a table."""


class InvalidRecords(ValueError):
    """Records must not be used; the message names the game, ply or field, and the reason."""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The description of a record file, stored as its string metadata."""

    source: str
    """One of `SOURCES`."""
    worker: str
    model_step: int
    """The training step of the weights that made its newest game."""
    search: dict[str, Any]
    """The settings of the search."""
    games: int = 0
    created_at: str = ""
    """UTC, ISO 8601."""
    format_version: int = FORMAT_VERSION


def parse(strings: dict[str, str]) -> Metadata:
    """Read the strings of a file.

    Raises:
        InvalidRecords: if one is missing or malformed.
    """
    if SMALL_FORMAT in strings:
        raise InvalidRecords("a small network; expected a record file of games")
    version = strings.get("format_version")
    if version is None:
        raise InvalidRecords("its metadata names no format_version; expected a record file")
    if version != str(FORMAT_VERSION):
        raise InvalidRecords(f"format_version: expected {FORMAT_VERSION}, got {version}")
    try:
        metadata = Metadata(
            source=strings["source"],
            worker=strings["worker"],
            model_step=int(strings["model_step"]),
            search=json.loads(strings["search"]),
            games=int(strings["games"]),
            created_at=strings["created_at"],
        )
    except (KeyError, ValueError, RecursionError) as error:
        raise InvalidRecords(f"metadata is missing or malformed: {error}") from None
    if not isinstance(metadata.search, dict):
        raise InvalidRecords("metadata is missing or malformed: search is not an object")
    if not 0 <= metadata.model_step < 2**31:
        raise InvalidRecords("model_step: expected 0 to 2**31 - 1")
    if metadata.source not in SOURCES:
        raise InvalidRecords(
            f"source: expected one of {', '.join(SOURCES)}, got {metadata.source!r}"
        )
    return metadata
