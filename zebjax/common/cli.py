"""Shared by all commands: the parser, checked option values, errors of one sentence."""

import _thread
import argparse
import contextlib
import errno
import os
import re
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from zebjax.common import parsing
from zebjax.common.console import progress as progress

T = TypeVar("T")
_EXAMPLE_WIDTH = 98


class Switch(argparse.Action):
    """A boolean: `--a.b`, `--a.b=True`, `--a.b False`; `--a.no-b` is the same as `--a.b=False`."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        folder, dot, name = option_strings[0].removeprefix("--").rpartition(".")
        self.negative = f"--{folder}{dot}no-{name}"
        more |= {"nargs": "?", "metavar": "True|False"}
        super().__init__([*option_strings, self.negative], dest, **more)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value, negated for the `no-` form."""
        try:
            value = True if values is None else parsing.boolean(values)
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, value != (option_string == self.negative))


def _shell_line(command: str) -> str:
    """Indent an example; break one that is too long before its options, as a shell allows."""
    if len(command) <= _EXAMPLE_WIDTH:
        return f"  {command}"
    parts = re.split(" (?=--)", command)
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 1 <= _EXAMPLE_WIDTH - 4:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return "  " + " \\\n      ".join(lines)


class Parser(argparse.ArgumentParser):
    """Print errors as one sentence, exit with 2, and name the nearest option to an unknown one."""

    other_names: Mapping[str, str] = types.MappingProxyType({})
    """Names that options have elsewhere -> the option, both without the dashes before them."""

    def __init__(
        self,
        name: str,
        description: str,
        *examples: str,
        usage: str | None = None,
        notes: str = "",
        prog: str | None = None,
    ) -> None:
        """The parser of `zebjax NAME`.

        Args:
            name: the command's name.
            description: text at the start of the help.
            examples: working calls, without the `zebjax NAME` before them.
            usage: text after `zebjax NAME` in the usage line; None: argparse writes it.
            notes: text between the options and the examples.
            prog: the program's name, if it is not `zebjax NAME`.
        """
        prog = prog or f"zebjax {name}"
        title = "examples" if len(examples) > 1 else "example"
        lines = "\n".join(
            [f"{title}:", *(_shell_line(f"{prog} {example}") for example in examples)]
        )
        super().__init__(
            prog=prog,
            usage=usage and "\n       ".join(f"{prog} {line}" for line in usage.splitlines()),
            description=description,
            epilog=f"{notes}\n\n{lines}" if notes else lines,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Print `zebjax NAME: message` to stderr and exit with status 2."""
        self.exit(2, f"{self.prog}: {self.sentence(message)}\n")

    def sentence(self, message: str) -> str:
        """Rewrite an error message of argparse in the style of zebjax."""
        if missing := re.fullmatch("the following arguments are required: (.*)", message):
            return f"expected {missing[1]}; see {self.prog} --help"
        message = message.replace("expected one argument", "expected a value")
        message = message.replace("not allowed with argument ", "not allowed with ")
        # Show only the first name of an option that has two.
        return re.sub(r"^argument ([^:/]*)(/[^:]*)?: ", r"\1: ", message)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """The same as `parse`."""
        return self.parse(args)

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """Parse arguments; `_` and `-` mean the same in option names.

        Args:
            argv: arguments after the command's name; None: those of the process.
        """
        words = self._normalised(list(sys.argv[1:] if argv is None else argv))
        arguments, unknown = self.parse_known_intermixed_args(words)
        if unknown:
            self.error(self._unexpected(unknown[0]))
        return arguments

    def _normalised(self, words: list[str]) -> list[str]:
        """Return the arguments with option names as declared, and a value after every Switch."""
        result: list[str] = []
        while words:
            word = words.pop(0)
            if word == "--":
                return [*result, word, *words]
            name, equals, value = word.partition("=")
            action = None
            if name.startswith("--"):
                dashed = name.replace("_", "-")
                if action := self._option_string_actions.get(dashed):
                    name = dashed
            if isinstance(action, Switch) and not equals:
                # Otherwise argparse would read the next argument as the value, whatever it is.
                given = bool(words) and words[0].lower() in ("true", "false")
                equals, value = "=", words.pop(0) if given else "True"
            result.append(name + equals + value)
        return result

    def _unexpected(self, word: str) -> str:
        name = word.partition("=")[0]
        if not name.startswith("-"):
            return f"unexpected argument {word!r}; see {self.prog} --help"
        name = name.replace("_", "-")
        options = list(self._option_string_actions)
        plain = name.lstrip("-")
        # For `--lr` suggest `--learner.lr` before options of similar spelling.
        same_end = [option for option in options if option.endswith("." + plain)]
        other = f"--{self.other_names.get(plain.rpartition('.')[2])}"
        nearest = parsing.nearest(name, same_end or [other] * (other in options) or options)
        return f"unknown option {word.partition('=')[0]!r}; did you mean {nearest}?"

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Refuse an empty name: as a path it would be the current folder, as a player the default.

        A text that is empty by default may be, and a type of its own judges for itself.
        """
        is_name = action.type in (None, Path) and action.default != ""
        if is_name and not arg_string.strip():
            raise argparse.ArgumentError(action, f"expected a name, got {arg_string!r}")
        return super()._get_value(action, arg_string)  # type: ignore[misc]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is not one of the choices, with the message of `parsing.one_of`."""
        if action.choices is not None and value not in action.choices:
            try:
                parsing.one_of(*map(str, action.choices))(str(value))
            except ValueError as error:
                raise argparse.ArgumentError(action, str(error)) from None


def checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Turn a parser of `parsing` into an argparse type, so that argparse shows its message."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_argument


def integer(low: int, high: int, step: int = 1) -> Callable[[str], int]:
    """An argparse type: a multiple of `step` from low to high."""
    return checked(parsing.integer(low, high, step))


def picture(text: str) -> Path:
    """An argparse type: the path of a PNG file to write."""
    return file_to_write(text, ".png")


def file_to_write(text: str, suffix: str, *, creates_folder: bool = False) -> Path:
    """Check the path of a file that a command will write, before the work and not after it.

    Args:
        text: the path as given.
        suffix: which the name must have; "" for any.
        creates_folder: True if the command makes the folders of the file.

    Raises:
        argparse.ArgumentTypeError: if the file cannot be written there.
    """
    path = Path(text)
    if not text.strip() or path.suffix.lower() != (suffix or path.suffix.lower()):
        wanted = f"a name that ends in {suffix}" if suffix else "the name of a file"
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
    if os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"expected the name of a file, {text!r} is a folder")
    folder = path.absolute().parent
    if creates_folder:
        folder = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    if not os.path.isdir(folder):
        problem = "is a file" if os.path.exists(folder) else "does not exist"
        raise argparse.ArgumentTypeError(f"the folder {str(path.parent)!r} {problem}")
    if not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"the folder {str(folder)!r} cannot be written")
    return path


def _path(text: str, kind: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected the name of {kind}, got {text!r}")
    return Path(text)


def file_to_read(text: str) -> Path:
    """An argparse type: the path of a file that is there."""
    path = _path(text, "a file")
    if os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"expected a file, {text!r} is a folder")
    if not os.path.exists(path):
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return path


def folder(text: str) -> Path:
    """An argparse type: the path of a folder, there or not yet."""
    path = _path(text, "a folder")
    there = next(place for place in (path, *path.parents) if os.path.exists(place))
    if not os.path.isdir(there):
        raise argparse.ArgumentTypeError(f"expected a folder, {str(there)!r} is a file")
    return path


@contextlib.contextmanager
def names_option(name: str) -> Iterator[None]:
    """Put the option before the ValueError of what reads its value."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def said(error: Exception) -> str:
    """Return an error as a sentence; one of the operating system names the file first."""
    if not isinstance(error, OSError) or not error.strerror or error.filename is None:
        return str(error)
    problem = {
        errno.EEXIST: "there is a file of this name",
        errno.EISDIR: "is a folder; expected a file",
        errno.ENOTDIR: "a part of this path is a file; expected a folder",
        errno.ENOENT: "there is no such file or folder",
        errno.EACCES: "permission denied",
    }.get(error.errno or 0, error.strerror[:1].lower() + error.strerror[1:])
    return f"{error.filename}: {problem}"


def complain(name: str, error: object) -> None:
    """Print `zebjax NAME: error` to stderr."""
    print(f"zebjax {name}: {error}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Interrupt the main thread again where an interrupt would be lost.

    Python may run the handler of Ctrl-C within a callback of the garbage collector, of which JAX
    has one. An exception there is reported and forgotten.
    """
    before = sys.unraisablehook

    def interrupt_again(lost: "sys.UnraisableHookArgs") -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)
            return
        later = threading.Timer(0.05, _thread.interrupt_main)  # when the callback has ended
        later.daemon = True
        later.start()

    sys.unraisablehook = interrupt_again
    try:
        yield
    finally:
        sys.unraisablehook = before


def run(
    name: str,
    command: Callable[[argparse.Namespace], int],
    arguments: argparse.Namespace,
    *,
    compiles: bool = True,
) -> int:
    """Run `command` and return its exit status.

    Args:
        name: the command's name, for messages.
        command: the function to run.
        arguments: passed to it.
        compiles: True if it compiles programs with JAX, which are then cached on disk.

    Returns:
        The command's status; 2 for a ValueError or OSError, reported as one sentence; 130 if
        interrupted.
    """
    try:
        with _interrupts_kept():
            if compiles:
                from zebjax.common import compilation_cache

                compilation_cache.keep()
            return command(arguments)
    except BrokenPipeError:
        raise  # the reader of standard output has exited; `zebjax.__main__.program` handles it
    except (ValueError, OSError) as error:
        if os.environ.get("ZEBJAX_TRACEBACK") == "1":  # it may be a mistake in zebjax itself
            traceback.print_exc()
        complain(name, said(error))
        return 2
    except KeyboardInterrupt:
        complain(name, "interrupted")
        return 130
