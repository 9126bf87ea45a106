"""The Dockerfile agrees with the checkout. No test builds it: that needs a daemon."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / ".docker" / "Dockerfile").read_text()


def instructions():
    """Instruction and arguments of every line, continued lines joined and comments left out."""
    lines = [line for line in TEXT.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


def test_it_has_only_known_instructions_and_ends_as_the_program():
    names = [name for name, _ in instructions()]
    assert set(names) <= {
        "ARG",
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "ENV",
        "USER",
        "ENTRYPOINT",
        "CMD",
    }
    assert names[:2] == ["ARG", "FROM"] and names[-2:] == ["ENTRYPOINT", "CMD"]
    assert dict(instructions())["ENTRYPOINT"] == '["zebjax"]'
    assert dict(instructions())["USER"] == "zebjax"  # not root


def test_extras_and_python_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    arguments = dict(words.partition("=")[::2] for name, words in instructions() if name == "ARG")
    named = {*arguments["EXTRAS"].split(","), *re.findall(r"\bcuda\d+\b", TEXT)}
    assert named <= set(project["optional-dependencies"])
    assert f"Programming Language :: Python :: {arguments['PYTHON']}" in project["classifiers"]


def test_what_it_installs_is_in_its_context():
    kept = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    for pattern in kept:
        assert list(ROOT.glob(pattern)), pattern
    (install,) = (words for name, words in instructions() if "pip install" in words)
    for file in re.findall(r"\.ci/[\w.]+", install):
        assert file in kept
    # Of pyproject.toml and the build hook.
    needed = ("pyproject.toml", "README.md", "LICENSE", "zebjax", "experiments", "benchmarks/*.py")
    assert {*needed, ".ci/hatch_build.py"} <= set(kept)
