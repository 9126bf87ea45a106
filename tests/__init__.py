"""The tests. A regular package: gpuhunt, a dependency of dstack, installs another `tests`."""
