"""The command `zebjax completion SHELL`: a script that completes commands, options and files."""

import argparse
import importlib
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from zebjax.common import cli
from zebjax.common.commands import COMMANDS

SHELLS = ("bash", "zsh", "fish")


class _Options(NamedTuple):
    """The words that can follow a command."""

    names: list[str]
    """Its options."""
    choices: dict[str, list[str]]
    """Option -> its possible values, if they are few and known."""
    words: list[str]
    """Possible positional arguments, such as names of experiments."""
    files: bool
    """True if a positional argument may be a file."""


def _options(name: str) -> _Options:
    parser: argparse.ArgumentParser = importlib.import_module(COMMANDS[name].module).parser()
    actions = parser._actions
    if name == "fleet":
        from zebjax.fleet import SUBCOMMANDS
        from zebjax.fleet import parser as subparser

        actions = [action for sub in SUBCOMMANDS for action in subparser(sub)._actions]
    choices = {}
    for action in actions:
        values = [str(value) for value in action.choices or ()]
        if isinstance(action, cli.Switch):
            values = ["True", "False"]
        for option in action.option_strings:
            if values:
                choices[option] = values
    positional = {action.dest: action for action in actions if not action.option_strings}
    words = [str(word) for action in positional.values() for word in action.choices or ()]
    if "experiment" in positional:
        from zebjax.experiment import included

        words += included()
    if "players" in positional or "player" in positional:
        from zebjax.players.spec import KINDS

        words += [
            kind + ":" * (about.takes_argument and not about.default_argument)
            for kind, about in KINDS.items()
        ]
    if name == "benchmark":
        from zebjax.benchmark import names

        words += names()
    if name == "fleet":
        words += SUBCOMMANDS
    names_ = [option for action in actions for option in action.option_strings]
    files = name not in ("benchmark", "completion")
    return _Options([option for option in names_ if option.startswith("--")], choices, words, files)


def _quoted(words: Sequence[str]) -> str:
    return shlex.quote(" ".join(words))


_BASH = """\
# Completion of zebjax for bash; made by `zebjax completion bash`.
_zebjax() {
    local word="${COMP_WORDS[COMP_CWORD]}" option="${COMP_WORDS[COMP_CWORD-1]}"
    # bash splits --option=value at the equals sign.
    if [[ $word == "=" ]]; then word=""
    elif [[ $option == "=" ]]; then option="${COMP_WORDS[COMP_CWORD-2]}"; fi
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W @COMMANDS@ -- "$word"))
        return
    fi
    local options="" words="" files=""
    case "${COMP_WORDS[1]}" in
@CASES@
    esac
    case "${COMP_WORDS[1]} $option" in
@CHOICES@
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$word"))
        if [[ -n $files ]]; then
            local IFS=$'\\n'
            compopt -o filenames 2>/dev/null
            COMPREPLY+=($(compgen -f -- "$word"))
        fi
    fi
}
complete -F _zebjax zebjax
"""


def _bash(options: dict[str, _Options]) -> str:
    cases, choices = [], []
    for name, has in options.items():
        files = "; files=1" if has.files else ""
        cases.append(
            f"    {name}) options={_quoted(has.names)}; words={_quoted(has.words)}{files} ;;"
        )
        for option, values in has.choices.items():
            reply = f'COMPREPLY=($(compgen -W {_quoted(values)} -- "$word")); return'
            choices.append(f"    {shlex.quote(f'{name} {option}')}) {reply} ;;")
    return (
        _BASH.replace("@COMMANDS@", _quoted([*COMMANDS, "--help", "--version"]))
        .replace("@CASES@", "\n".join(cases))
        .replace("@CHOICES@", "\n".join(choices))
    )


_ZSH = """\
#compdef zebjax
# Completion of zebjax for zsh; made by `zebjax completion zsh`.
_zebjax() {
    local -a options plain
    local files=""
    if ((CURRENT == 2)); then
        local -a commands=(
@COMMANDS@
        )
        _describe command commands
        return
    fi
    case "$words[2] $words[CURRENT-1]" in
@CHOICES@
    esac
    case "$words[2]" in
@CASES@
    esac
    if [[ $PREFIX == -* ]]; then
        compadd -a options
    else
        compadd -a plain
        [[ -n $files ]] && _files
    fi
}
compdef _zebjax zebjax
"""


def _zsh(options: dict[str, _Options]) -> str:
    def array(words: Sequence[str]) -> str:
        return f"({' '.join(map(shlex.quote, words))})"

    commands = [
        f"            {shlex.quote(f'{name}:{command.about}')}"
        for name, command in COMMANDS.items()
    ]
    cases, choices = [], []
    for name, has in options.items():
        files = "; files=1" if has.files else ""
        cases.append(f"    {name}) options={array(has.names)}; plain={array(has.words)}{files} ;;")
        for option, values in has.choices.items():
            words = " ".join(map(shlex.quote, values))
            choices.append(f"    {shlex.quote(f'{name} {option}')}) compadd {words}; return ;;")
    return (
        _ZSH.replace("@COMMANDS@", "\n".join(commands))
        .replace("@CASES@", "\n".join(cases))
        .replace("@CHOICES@", "\n".join(choices))
    )


def _fish(options: dict[str, _Options]) -> str:
    lines = ["# Completion of zebjax for fish; made by `zebjax completion fish`.", ""]
    first = "complete -c zebjax -n __fish_use_subcommand -f"
    for name, command in COMMANDS.items():
        lines.append(f"{first} -a {name} -d {shlex.quote(command.about)}")
    lines.append(f"{first} -l help -d 'show the commands'")
    lines.append(f"{first} -l version -d 'show the version and the commit'")
    for name, has in options.items():
        here = f"complete -c zebjax -n '__fish_seen_subcommand_from {name}'"
        if has.words or not has.files:
            lines.append(f"{here}{'' if has.files else ' -f'} -a {_quoted(has.words)}")
        for option in has.names:
            values = has.choices.get(option)
            takes = f" -x -a {_quoted(values)}" if values else ""
            lines.append(f"{here} -l {option.removeprefix('--')}{takes}")
    return "\n".join(lines) + "\n"


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "completion",
        "Print a script that lets your shell complete commands, options and files of zebjax.\n\n"
        'bash: put  eval "$(zebjax completion bash)"  into ~/.bashrc\n'
        'zsh:  put  eval "$(zebjax completion zsh)"  into ~/.zshrc, after compinit\n'
        "fish: zebjax completion fish > ~/.config/fish/completions/zebjax.fish",
        "bash",
    )
    made.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Print the script and return 0."""
    shell = parser().parse(argv).shell
    options = {name: _options(name) for name in COMMANDS}
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](options), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
