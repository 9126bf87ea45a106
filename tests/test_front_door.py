"""The program `zebjax`: its commands, its help, completion, and the wheel."""

import importlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import zebjax
from zebjax import __main__ as front_door
from zebjax import benchmark, completion, experiment
from zebjax.common import version
from zebjax.common.commands import COMMANDS

ROOT = Path(__file__).parents[1]
HEAVY = ("jax", "matplotlib", "numba", "wandb", "obstore", "rich", "numpy", "safetensors", "orbax")


def run(*words, cwd=ROOT, **more):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **more,
    )


def help_of(name, capsys, *before):
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(COMMANDS[name].module).main([*before, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_all_commands_are_listed_in_the_order_that_a_newcomer_needs(capsys):
    assert front_door.main([]) == front_door.main(["--help"]) == 0
    shown = capsys.readouterr().out
    first, second = shown[: len(shown) // 2], shown[len(shown) // 2 :]
    assert first == second
    listed = [
        line.split()[0] for line in first.split("commands:\n")[1].split("\n\n")[0].split("\n")
    ]
    assert listed == list(COMMANDS) and listed[:2] == ["train", "arena"]


def test_the_version_has_the_commit(capsys):
    assert front_door.main(["--version"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"zebjax {zebjax.__version__}")
    if (ROOT / ".git").exists():
        head = run("-c", "import subprocess; subprocess.run(['git', 'rev-parse', 'HEAD'])").stdout
        assert head.startswith(said.split("(")[1].rstrip("+)\n"))


@pytest.fixture
def asked_anew():
    """The commit is asked for once a process."""
    version.commit.cache_clear()
    yield
    version.commit.cache_clear()


def test_the_commit_of_somebody_elses_repository_is_not_ours(tmp_path, monkeypatch, asked_anew):
    (tmp_path / "site-packages" / "zebjax").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(version, "_PACKAGE", tmp_path / "site-packages" / "zebjax")
    assert version.commit() == ""
    version.commit.cache_clear()
    monkeypatch.setattr(version, "_BAKED", tmp_path / "_commit.txt")
    (tmp_path / "_commit.txt").write_text("1234567\n")
    assert version.commit() == "1234567"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("trian", "did you mean 'train'?"),
        ("--verson", "did you mean '--version'?"),
        ("tournament", "see zebjax --help"),
        ("selfplay", "use `zebjax train EXPERIMENT --role selfplay`"),
        ("learner", "use `zebjax train EXPERIMENT --role learner`"),
    ],
)
def test_an_unknown_command_gets_a_sentence(capsys, name, hint):
    assert front_door.main([name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("zebjax: ") and hint in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "zebjax.training.run"],
        ["-m", "zebjax.training.selfplay", "experiments/quickstart.py"],
        ["-m", "zebjax.training"],
        ["-m", "zebjax.selfplay"],
        ["-W", "ignore", "-mzebjax.learner"],
    ],
)
def test_a_library_module_is_no_program(words):
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a command" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow  # imports every module in a process of its own
def test_a_module_that_is_a_command_is_a_program_and_libraries_can_be_imported():
    done = run("-m", "zebjax.status", "no/such/run")
    assert done.returncode == 2 and done.stderr.startswith("zebjax status: ")
    assert run("-m", "zebjax", "status", "no/such/run").stderr == done.stderr
    assert run("-c", "import zebjax.learner, zebjax.selfplay").returncode == 0
    assert run("-m", "timeit", "-n1", "-r1", "import zebjax.selfplay").returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_help_needs_nothing_heavy(name):
    """A help text that imports jax takes seconds."""
    experiment_name = ["quickstart"] if name in ("train", "doctor", "rollback") else []
    code = (
        "import sys\n"
        "from zebjax.__main__ import main\n"
        f"try: main({[name, *experiment_name, '--help']!r})\n"
        "except SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    assert run("-c", code).stderr == "[]\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_all_options_and_examples_that_parse(name, capsys, tmp_path, monkeypatch):
    shown = help_of(name, capsys)
    monkeypatch.chdir(tmp_path)
    Path("position.txt").touch()  # a file to read must be there
    parser = importlib.import_module(COMMANDS[name].module).parser()
    assert shown.startswith(f"usage: zebjax {name} ")
    for action in parser._actions:
        assert all(option in shown for option in action.option_strings)
    lines = re.split(r"\nexamples?:\n", shown)[-1].splitlines()
    assert lines
    for line in lines:
        words = line.split()
        assert words[:2] == ["zebjax", name]
        if name not in ("benchmark", "fleet"):  # their subcommands have parsers of their own
            parser.parse(words[2:])


@pytest.mark.parametrize("name", ["train", "doctor", "rollback"])
def test_the_help_of_a_command_on_an_experiment_is_its_own(name, capsys):
    shown = help_of(name, capsys, "quickstart", *["3"] * (name == "rollback"))
    assert shown.startswith(f"usage: zebjax {name} EXPERIMENT")
    assert ("--role ROLE" in shown) == (name == "train")
    assert "--learner.lr X" in shown and "(default 0.01)" in " ".join(shown.split())


@pytest.mark.parametrize("words", [["--help"], ["train", "quickstart", "--help"]])
def test_a_reader_that_goes_away_is_no_error(words):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "zebjax", *words],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    # argparse, which prints the help of a command, does not even notice.
    assert done.stderr == b"" and done.returncode in (0, 141)


# Experiments


def test_an_experiment_is_found_by_name_and_by_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert experiment.load("quickstart").name == "quickstart"
    assert experiment.find("teacher-from-nothing").stem == "teacher_from_nothing"
    (tmp_path / "quickstart").mkdir()  # such as the folder of a run
    assert experiment.load("quickstart").name == "quickstart"
    # A file that is not there is not another one that is.
    for name in ("experiments/quickstart.py", "quickstart.py", "elsewhere/quickstart"):
        with pytest.raises(ValueError, match=r"no file .* comes with zebjax, 'quickstart'"):
            experiment.load(name)
    with pytest.raises(ValueError, match=r"comes with zebjax, one of .*, quickstart, "):
        experiment.load("absent.py")
    (tmp_path / "experiments").mkdir()
    own = tmp_path / "experiments" / "quickstart.py"
    own.write_text("from zebjax.experiment import *\nexperiment = Experiment(name='own')")
    assert experiment.load("experiments/quickstart.py").name == "own"
    with pytest.raises(ValueError, match="did you mean 'quickstart'"):
        experiment.load("quickstrat")


def test_a_change_that_is_impossible_is_a_value_error_of_the_library():
    assert experiment.load("quickstart", ["--eval_aux.enabled=True"]).eval_aux.enabled
    with pytest.raises(ValueError, match=r"unknown option '--lr'; did you mean --learner\.lr\?"):
        experiment.load("quickstart", ["--lr", "1"])
    with pytest.raises(ValueError, match=r"^learner\.lr: expected a positive number"):
        experiment.load("quickstart", ["--learner.lr", "-1"])


# Benchmarks


def test_benchmarks_are_listed_and_run(capsys, tmp_path):
    assert benchmark.main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in ("all", "engine", "selfplay", "table"))
    assert "\n  report " not in shown
    with pytest.raises(SystemExit) as stop:
        benchmark.main(["engin"])
    assert stop.value.code == 2 and "did you mean 'engine'?" in capsys.readouterr().err
    # In another folder, as from a wheel.
    done = run("-m", "zebjax", "benchmark", "table", "--price", "x", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("zebjax benchmark table: price of")


# Completion


def complete(shell, line):
    """What bash or fish offers at the end of a line."""
    script = run("-m", "zebjax", "completion", shell).stdout
    if shell == "fish":
        code = f"{script}\ncomplete -C {line!r}"
    else:
        code = (
            f"{script}\nCOMP_WORDS=({line}); [[ {line!r} == *' ' ]] && COMP_WORDS+=('')\n"
            "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _zebjax\n"
            'for word in "${COMPREPLY[@]}"; do echo "$word"; done'
        )
    done = subprocess.run(
        [shell, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("zebjax te", ["teach"]),
        ("zebjax train quickst", ["quickstart"]),
        ("zebjax train quickstart --role l", ["learner"]),
        ("zebjax train quickstart --learner.sched", ["--learner.schedule"]),
        ("zebjax arena --matr", ["--matrix"]),
        ("zebjax benchmark sel", ["selfplay"]),
        ("zebjax fleet lo", ["local", "logs"]),
        ("zebjax fleet local quickst", ["quickstart"]),
        ("zebjax fleet local quickstart --foreg", ["--foreground"]),
        ("zebjax completion z", ["zsh"]),
        ("zebjax convert pyproj", ["pyproject.toml"]),
    ],
)
def test_the_shell_completes(shell, line, expected):
    if not any((Path(folder) / shell).exists() for folder in os.get_exec_path()):
        pytest.skip(f"{shell} is not installed")
    assert complete(shell, line) == expected


def test_completion_offers_all_commands_and_files(capsys):
    assert set(complete("bash", "zebjax ")) == {*COMMANDS, "--help", "--version"}
    assert "README.md" in complete("bash", "zebjax train ")
    for shell in completion.SHELLS:
        assert completion.main([shell]) == 0
        assert all(name in capsys.readouterr().out for name in ("rollback",))


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("dist")
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_installs_nothing_but_zebjax(wheel):
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names} == {
        "zebjax",
        f"zebjax-{zebjax.__version__}.dist-info",
    }
    assert len(names) == len(set(names))
    assert not [name for name in names if "__pycache__" in name or "/results/" in name]


def test_the_wheel_holds_what_the_commands_need(wheel):
    names = set(wheel.namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "zebjax").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert package <= names
    assert {"zebjax/py.typed", "zebjax/_commit.txt", "zebjax/network/__init__.pyi"} <= names
    for folder in ("experiments", "benchmarks", "benchmarks/gpu"):
        files = {path.name for path in (ROOT / folder).glob("*.py")}
        assert files and {f"zebjax/{folder}/{name}" for name in files} <= names
    entry = wheel.read(f"zebjax-{zebjax.__version__}.dist-info/entry_points.txt").decode()
    assert "zebjax = zebjax.__main__:program" in entry
    assert wheel.read("zebjax/_commit.txt").decode().strip() == version.commit()
