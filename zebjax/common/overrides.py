"""Fields of nested settings dataclasses as options, such as `--learner.lr 5e-3`."""

import argparse
import ast
import contextlib
import dataclasses
import functools
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from zebjax.common import cli, parsing

Settings = TypeVar("Settings")
_WIDTH = 88
"""Columns of the texts that argparse does not wrap."""


class Field(NamedTuple):
    """One field that an option can set."""

    path: str
    """Names from the top, as in `learner.lr`."""
    annotation: Any
    about: str
    """The docstring under the field in the source."""
    owner: type
    """The dataclass that defines the field."""

    @property
    def option(self) -> str:
        """The option's name, as in `--eval-aux.enabled`."""
        return "--" + self.path.replace("_", "-")


def fields(settings: type, prefix: str = "") -> Iterator[Field]:
    """Yield all fields of a settings dataclass, with those of nested dataclasses in order."""
    annotations = typing.get_type_hints(settings)
    for field in dataclasses.fields(settings):
        path, annotation = prefix + field.name, annotations[field.name]
        if dataclasses.is_dataclass(annotation):
            yield from fields(typing.cast(type, annotation), f"{path}.")
        else:
            yield Field(path, annotation, _docs(settings).get(field.name, ""), settings)


def about(settings: type) -> str:
    """Return the docstring of a class as one line, without its doctests."""
    paragraphs = (inspect.getdoc(settings) or "").split("\n\n")
    return " ".join(" ".join(text.split()) for text in paragraphs if not text.startswith(">>>"))


def add_options(parser: cli.Parser, settings: type) -> None:
    """Add an option for every field of a settings dataclass."""
    groups: dict[type, Any] = {}
    for field in fields(settings):
        if field.owner not in groups:
            title = field.path.rpartition(".")[0] or settings.__name__.lower()
            groups[field.owner] = parser.add_argument_group(
                title, textwrap.fill(about(field.owner), _WIDTH)
            )
        more: dict[str, Any] = {"help": _help(field, settings)}
        if field.annotation is bool:
            more |= {"action": cli.Switch}
        else:
            parse, metavar = _parser(field.annotation)
            more |= {"type": cli.checked(parse), "metavar": metavar}
        groups[field.owner].add_argument(
            field.option, dest=field.path, default=argparse.SUPPRESS, **more
        )


def show_values(parser: cli.Parser, values: Any) -> None:
    """Show the values of this instance in the help instead of the defaults."""
    shown = {field.path: _help(field, values) for field in fields(type(values))}
    for action in parser._actions:
        action.help = shown.get(action.dest, action.help)


def _help(field: Field, values: Any) -> str:
    """Help text of an option, with its value in `values`, an instance or the class itself."""
    text = field.about
    with contextlib.suppress(AttributeError):  # the class has no attribute for a required field
        value = functools.reduce(getattr, field.path.split("."), values)
        text += f" (default {value})"
    return text.strip().replace("%", "%%")


def apply(settings: Settings, given: argparse.Namespace) -> Settings:
    """Return the settings with the given fields replaced.

    Each dataclass is created once, with all its new values, so that fields which depend on each
    other can be changed together.

    Raises:
        ValueError: from the settings' own checks.
    """
    known = {field.path for field in fields(type(settings))}
    tree: dict[str, Any] = {}
    for path, value in vars(given).items():
        if path in known:
            *folders, name = path.split(".")
            place = functools.reduce(lambda at, folder: at.setdefault(folder, {}), folders, tree)
            place[name] = value
    return _replaced(settings, tree, "")


def _replaced(settings: Any, changes: dict[str, Any], path: str) -> Any:
    before = f"{path}." if path else ""
    new = {
        name: _replaced(getattr(settings, name), value, before + name)
        if isinstance(value, dict)
        else value
        for name, value in changes.items()
    }
    try:
        return dataclasses.replace(settings, **new) if new else settings
    except ValueError as error:
        # A check knows the name of its field, and not always the place of its class.
        own = path.rpartition(".")[2]
        message = str(error)
        if own and message.startswith(f"{own}."):
            message = message.removeprefix(f"{own}.")
        raise ValueError(before + message) from None


def _parser(annotation: Any) -> tuple[Callable[[str], Any], str]:
    """Return a parser of values of this type, and the name of the value in the help."""
    if annotation is str:
        return str, "TEXT"
    if annotation is int:
        return parsing.any_integer, "N"
    if annotation is float:
        return parsing.any_number, "X"
    if annotation is type(None):
        return parsing.nothing, "None"
    if typing.get_origin(annotation) is typing.Literal:
        words = typing.get_args(annotation)
        return parsing.one_of(*words), "|".join(words)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = typing.get_args(annotation)
        # Any text is a valid str, so None is tried first and str last.
        ordered = sorted(parts, key=lambda part: (part is str, part is not type(None)))
        parsers = [_parser(part)[0] for part in ordered]
        return parsing.first_of(*parsers), "|".join(_parser(part)[1] for part in parts)
    raise TypeError(f"a field of type {annotation} has no option; expected a number, text or words")


@functools.cache
def _docs(settings: type) -> dict[str, str]:
    """Return field name -> the docstring under the field, of a class."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            docs[field.target.id] = " ".join(str(after.value.value).split())
    return docs
