"""The last warning of a process, for its heartbeats."""

import time

_MAX_TEXT = 300


class LastWarning:
    """The newest warning and its age. Any thread may set it."""

    def __init__(self) -> None:
        self._kept: tuple[str, float] | None = None

    def set(self, text: str) -> None:
        """Replace the warning; it is cut after 300 characters."""
        self._kept = (text.strip()[:_MAX_TEXT], time.monotonic())

    def facts(self) -> dict[str, str | float]:
        """Return `warning` and `warning_age_s`; {} if there was none."""
        kept = self._kept
        if kept is None:
            return {}
        return {"warning": kept[0], "warning_age_s": time.monotonic() - kept[1]}
