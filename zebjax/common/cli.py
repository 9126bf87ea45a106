"""What all commands share: errors in one sentence, checked numbers, progress."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from zebjax.common import compilation_cache, parsing

T = TypeVar("T")
_LINE_EVERY_S = 10.0


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage, and exits with 2; knows the nearest
    option.
    """

    def __init__(
        self, name: str, description: str, *examples: str, usage: str | None = None, notes: str = ""
    ) -> None:
        """The parser of `python -m zebjax.NAME`; `examples` and `usage` are what comes after that
        in calls.

        `notes` stand in its help before the examples.
        """
        prog = f"python -m zebjax.{name}"
        lines = "\n".join(f"  {prog} {example}" for example in examples)
        super().__init__(
            prog=prog,
            usage=usage and f"{prog} {usage}",
            description=description,
            epilog=f"{notes + chr(10) * 2 if notes else ''}example{'s' * (len(examples) > 1)}:\n{lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._name = name

    def error(self, message: str) -> NoReturn:
        """Print the sentence and exit."""
        self.exit(2, f"{self._name}: {message}\n")

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """As `parse_args`, and an unknown argument is answered with the nearest option."""
        arguments, unknown = self.parse_known_intermixed_args(argv)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            hint = (
                f"; did you mean {parsing.nearest(unknown[0], options)}?"
                if unknown[0].startswith("-")
                else ""
            )
            self.error(f"unexpected argument {unknown[0]!r}{hint}")
        return arguments


def checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A parser of option values (`players.integer`, ...) whose sentence argparse passes on."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_argument


def integer(low: int, high: int) -> Callable[[str], int]:
    """An argparse type: a whole number from low to high."""
    return checked(parsing.integer(low, high))


def picture(text: str) -> Path:
    """An argparse type: where a PNG can be written."""
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"expected a name that ends in .png, got {text!r}")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {str(path.parent)!r} is not there")
    return path


Show = Callable[[float, str], None]
"""Called with the share that is done, 0 to 1, and what is known so far in a few words."""


@contextlib.contextmanager
def progress(title: str) -> Iterator[Show]:
    """Progress on stderr: a bar on a terminal, else a line every ten seconds and at the end."""
    console = Console(stderr=True)
    if not console.is_terminal:
        last = time.monotonic()

        def line(done: float, text: str) -> None:
            nonlocal last
            if done >= 1 or time.monotonic() - last >= _LINE_EVERY_S:
                last = time.monotonic()
                print(f"{title}: {100 * done:3.0f} %  {text}", file=sys.stderr, flush=True)

        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=1.0, text="")
        yield lambda done, text: bar.update(task, completed=done, text=text)


def run(
    name: str, command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace
) -> int:
    """The exit status of `command`; 2 after one sentence for a ValueError or OSError, 130 when
    interrupted.
    """
    compilation_cache.keep()
    try:
        return command(arguments)
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
