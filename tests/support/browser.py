"""A browser for tests: Debian's chromium (or another of that name), driven by playwright."""

import contextlib
import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = 1280, 390
PATIENCE_MS = 600_000
"""Before a test fails for waiting: a server may have to compile on a machine with other work."""


@contextlib.contextmanager
def opened():
    """The browser; skips the test where playwright or the browser is not installed."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the page is not looked at: playwright is not installed"
    )
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"the page is not looked at: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as running:
        # Without a sandbox: CI is root, and the page is ours.
        made = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield made
        made.close()
