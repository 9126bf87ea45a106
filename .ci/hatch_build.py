"""Files that hatchling adds to a build: the commit, and to a wheel the benchmarks and experiments.

In a checkout these are next to the package, in a wheel inside it.
"""

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuildHook(BuildHookInterface):
    """Called by hatchling before and after each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add files to what is built."""
        if version == "editable":  # an editable install uses the checkout itself
            return
        root, added = Path(self.root), build_data["force_include"]
        if self.target_name == "wheel":
            for pattern in (
                "benchmarks/*.py",
                "benchmarks/gpu/*.py",
                "experiments/*.py",
                "experiments/*.md",
            ):
                for path in root.glob(pattern):
                    added[str(path)] = f"zebjax/{path.relative_to(root).as_posix()}"
        # A wheel is often built from a source archive, which has no git but already has this file.
        if not (root / "zebjax" / "_commit.txt").exists():
            commit = runpy.run_path(str(root / "zebjax" / "common" / "version.py"))["commit"]()
            self._temporary = tempfile.TemporaryDirectory()
            file = Path(self._temporary.name) / "_commit.txt"
            file.write_text(commit + "\n")
            added[str(file)] = "zebjax/_commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary file."""
        if hasattr(self, "_temporary"):
            self._temporary.cleanup()
