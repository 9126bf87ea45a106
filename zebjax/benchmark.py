"""The command `zebjax benchmark NAME ...`: the benchmarks, in a checkout and from a wheel."""

import ast
import importlib
import importlib.util
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from zebjax.common import cli, parsing

_PACKAGE = "zebjax.benchmarks"
"""The name under which a wheel installs the checkout's folder `benchmarks`."""
_NOT_BENCHMARKS = ("__init__", "report")
_FIRST = ("all", "selfplay", "learner", "engine", "network", "search")
"""These are listed first."""


def _folder() -> Path:
    """The folder of the benchmarks."""
    inside = Path(__file__).parent / "benchmarks"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "benchmarks"


def names() -> list[str]:
    """All benchmarks, the most useful ones first."""
    found = {path.stem for path in _folder().glob("*.py")} - set(_NOT_BENCHMARKS)
    first = [name for name in _FIRST if name in found]
    return first + sorted(found - set(first))


def _about(name: str) -> str:
    """The first paragraph of a benchmark's docstring, which says what it measures."""
    doc = ast.get_docstring(ast.parse((_folder() / f"{name}.py").read_text())) or ""
    return " ".join(doc.split("\n\n")[0].split())


def _ensure_package() -> None:
    """Make the benchmarks importable as `zebjax.benchmarks`; without this only a wheel has them."""
    if _PACKAGE in sys.modules or importlib.util.find_spec(_PACKAGE) is not None:
        return
    folder = _folder()
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = module
    spec.loader.exec_module(module)


def parser() -> cli.Parser:
    """The command's own parser; each benchmark has another one for its options."""
    known = names()
    width = max(map(len, known))
    listed = "\n".join(
        textwrap.fill(f"  {name:{width}}  {_about(name)}", 98, subsequent_indent=" " * (width + 4))
        for name in known
    )
    made = cli.Parser(
        "benchmark",
        "Measure the speed of this machine. `zebjax benchmark NAME --help` shows the options of\n"
        "one benchmark. A result is written as JSON, under a name with date and time: in a\n"
        "checkout into benchmarks/results, else into benchmarks-results.",
        "all --budget 8min",
        "engine --games 1024",
        usage="NAME [options]",
        notes=f"benchmarks:\n{listed}",
    )
    made.add_argument("name", metavar="NAME", nargs="?", help="one of those listed below")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark and return its exit status; without a name list them all."""
    words = list(sys.argv[1:] if argv is None else argv)
    made = parser()
    if not words:
        made.print_help()
        return 0
    if words[0].startswith("-"):
        made.parse(words)  # --help, or an error
    name = words[0]
    if name not in names():
        made.error(
            f"unknown benchmark {name!r}; "
            + parsing.hint(name, names(), "`zebjax benchmark` lists them")
        )
    _ensure_package()
    sys.argv = [f"zebjax benchmark {name}", *words[1:]]  # a benchmark reads its options from here
    module = importlib.import_module(f"{_PACKAGE}.{name}")
    status: int = importlib.import_module(f"{_PACKAGE}.report").run(name, module.main)
    return status


if __name__ == "__main__":
    sys.exit(main())
