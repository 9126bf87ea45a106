"""The table of commands: name, module and one line of help. It imports none of them."""

import sys
from typing import NamedTuple

from zebjax.common.parsing import hint


class Command(NamedTuple):
    """One command of the program."""

    module: str
    """Defines `main(argv) -> int` and `parser() -> cli.Parser`; imported when it is called."""
    about: str


# In the order in which a newcomer needs them.
COMMANDS = {
    "train": Command("zebjax.train", "train a network by self-play"),
    "arena": Command("zebjax.arena", "play matches between players and rate them"),
    "bid": Command("zebjax.bid", "estimate what a hand can bid, and how good that estimate is"),
    "regret": Command("zebjax.regret", "measure the points that a player's decisions lose"),
    "compare": Command("zebjax.compare", "show where two players differ and what it costs"),
    "belief": Command("zebjax.belief", "measure what a network knows about hidden tiles"),
    "play": Command("zebjax.play", "play in a terminal with three players"),
    "serve": Command("zebjax.serve", "play in a browser with three players"),
    "export": Command("zebjax.export", "write a network as a page, as an ONNX file, or to the Hub"),
    "show": Command("zebjax.show", "show a game or a position, in a terminal or as a picture"),
    "analyse": Command("zebjax.analyse", "say what each move of a position is worth"),
    "review": Command("zebjax.review", "say what each decision of a game has cost"),
    "engine": Command("zebjax.engine", "let another program ask a player for moves"),
    "teach": Command("zebjax.teach", "make training games of E[Q] or of a small network"),
    "iterate": Command("zebjax.iterate", "train the small network for CPUs by policy iteration"),
    "imitate": Command("zebjax.imitate", "make the small network foresee what others play"),
    "convert": Command("zebjax.convert", "convert PyTorch checkpoints of the original and back"),
    "doctor": Command("zebjax.doctor", "check that this machine can run an experiment"),
    "status": Command("zebjax.status", "show the state of a run and what is wrong"),
    "watch": Command("zebjax.watch", "show a run live in a terminal"),
    "fleet": Command("zebjax.fleet", "run all processes of a run together, and watch them"),
    "recap": Command("zebjax.recap", "write what a run did as one page"),
    "rollback": Command("zebjax.rollback", "make an earlier step of a run the newest again"),
    "benchmark": Command("zebjax.benchmark", "measure the speed of this machine"),
    "completion": Command("zebjax.completion", "print a completion script for your shell"),
}

_OTHER_NAMES = {
    "selfplay": "zebjax train EXPERIMENT --role selfplay",
    "learner": "zebjax train EXPERIMENT --role learner",
    "evalaux": "zebjax train EXPERIMENT --role evalaux",
    "worker": "zebjax train EXPERIMENT --role selfplay",
    "auction": "zebjax bid HAND",
    "divergence": "zebjax compare A B",
    "takeover": "zebjax compare A B --takeover N",
    "ladder": "zebjax arena --ladder",
    "benchmarks": "zebjax benchmark",
    "local": "zebjax fleet local EXPERIMENT",
    "logs": "zebjax fleet logs FLEET",
    "report": "zebjax recap RUN",
    "summary": "zebjax recap RUN",
    "help": "zebjax --help",
    "version": "zebjax --version",
}
"""Names of old modules and other likely guesses -> the command to type instead."""


def unknown(name: str) -> str:
    """Return the error message for an unknown command; it says what to type instead."""
    if name in _OTHER_NAMES:
        return f"{name!r} is not a command; use `{_OTHER_NAMES[name]}`"
    known = [*COMMANDS, "--version", "--help"]
    return f"unknown command {name!r}; {hint(name, known, 'see zebjax --help')}"


def refuse_library_module() -> None:
    """Exit with an error message if `python -m` was given a module that is not a command.

    Called while `zebjax` is imported. Without it `python -m zebjax.training.run` would import the
    module, do nothing and report success.
    """
    # While `python -m NAME` looks NAME up, sys.argv is ["-m", argument, ...] and sys.orig_argv is
    # [python, option, ..., "-m", NAME, argument, ...], or "-mNAME" in one word.
    if sys.argv[:1] != ["-m"]:
        return
    word = sys.orig_argv[len(sys.orig_argv) - len(sys.argv)]
    module = word.partition("m")[2] if word.startswith("-") else word
    package, name = module.partition(".")[0], module.rpartition(".")[2]
    programs = {"zebjax", "zebjax.__main__", *(command.module for command in COMMANDS.values())}
    if package != "zebjax" or module in programs:
        return
    hint = f"; use `{_OTHER_NAMES[name]}`" if name in _OTHER_NAMES else "; see zebjax --help"
    sys.stderr.write(f"zebjax: {module} is not a command{hint}\n")
    raise SystemExit(2)
