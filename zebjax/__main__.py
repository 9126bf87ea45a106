"""The program: `zebjax COMMAND ...`, also `python -m zebjax COMMAND ...`."""

import importlib
import os
import sys
from collections.abc import Sequence

from zebjax.common.commands import COMMANDS, unknown


def help_text() -> str:
    """The output of `zebjax --help`."""
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {command.about}" for name, command in COMMANDS.items())
    return (
        "usage: zebjax COMMAND [options]\n\n"
        "Learn and play Texas 42 by self-play in JAX.\n\n"
        f"commands:\n{lines}\n\n"
        "options:\n"
        "  --help     show this; after a command, show everything about that command\n"
        "  --version  show the version and the commit\n\n"
        "examples:\n"
        "  zebjax iterate runs/small --rounds 8\n"
        "  zebjax train quickstart\n"
        "  zebjax arena zeb:runs/quickstart vs random\n"
    )


def version() -> str:
    """The output of `zebjax --version`: `zebjax 0.2.0 (abc1234)`; no commit if it is unknown."""
    import zebjax
    from zebjax.common.version import commit

    known = commit()
    return f"zebjax {zebjax.__version__}" + (f" ({known})" if known else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; 2 for an unknown command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help"):
        print(help_text(), end="")
        return 0
    if first in ("-V", "--version"):
        print(version())
        return 0
    if first not in COMMANDS:
        print(f"zebjax: {unknown(first)}", file=sys.stderr)
        return 2
    status: int = importlib.import_module(COMMANDS[first].module).main(arguments[1:])
    return status


def program() -> int:
    """The console script: `main`, without an error if the reader of its output exits (`| head`)."""
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes again at exit; send that to the null device.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # 128 + SIGPIPE, the status of a program that this signal has ended


if __name__ == "__main__":
    sys.exit(program())
