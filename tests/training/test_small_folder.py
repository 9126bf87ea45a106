"""What `zebjax iterate` refuses before it compiles anything; `test_small` has whole runs."""

import dataclasses
import json
import signal

import pytest

from tests.support.small import net_of_seed
from zebjax import iterate
from zebjax.small import storage
from zebjax.solver import cached_code
from zebjax.training import small_folder, small_games, small_run
from zebjax.training.small_config import Settings

ROUNDS = [
    small_folder.Round(1, 100, 0.5, 0.02, 0.25, 0.24, 0.75, 0.5, 1.5),
    small_folder.Round(2, 300, 0.625, 0.015625, 0.24, 0.23, 0.5, 0.375, 2.0),
]


def folder_with(out, *names, settings=True):
    """A folder as `iterate` leaves it, with empty files."""
    out.mkdir()
    plain = dataclasses.asdict(Settings())
    plain.pop("rounds")
    for name in names:
        (out / name).touch()
    if settings:
        (out / small_folder.SETTINGS).write_text(json.dumps(plain))
    return out


@pytest.mark.parametrize(
    ("names", "state"),
    [
        (["round_01.safetensors"], "params_01.safetensors"),
        (["games_02_000.safetensors"], "params_01.safetensors"),
        (["round_08.safetensors", "games_08_003.safetensors"], "params_08.safetensors"),
        (["params_07.safetensors", "round_08.safetensors"], "params_08.safetensors"),
        (["round_100.safetensors", "games_101_000.safetensors"], "params_100.safetensors"),
    ],
)
def test_a_folder_whose_state_is_gone_is_refused_and_kept(names, state, tmp_path, capsys):
    out = folder_with(tmp_path / "out", *names)
    before = sorted(path.name for path in out.iterdir())
    assert iterate.main([str(out)]) == 2
    number = int(state[7:-12])
    assert capsys.readouterr().err == (
        f"zebjax iterate: {out}/{state}: missing, the state of the run after round {number}; put "
        "it back, or start again in another folder\n"
    )
    assert sorted(path.name for path in out.iterdir()) == before


def test_a_folder_whose_settings_are_gone_is_refused_and_kept(tmp_path, capsys):
    names = ["games_01_000.safetensors", "params_01.safetensors", "round_01.safetensors"]
    out = folder_with(tmp_path / "out", *names, settings=False)
    assert iterate.main([str(out)]) == 2
    assert capsys.readouterr().err == (
        f"zebjax iterate: {out}/settings.json: missing, the settings that made the rounds in this "
        "folder; put it back, or start again in another folder\n"
    )
    assert sorted(path.name for path in out.iterdir()) == names


def test_a_folder_of_other_settings_is_refused_by_the_name_of_the_option(tmp_path, capsys):
    out = folder_with(tmp_path / "out")
    assert iterate.main([str(out), "--last-rate", "1e-3"]) == 2
    assert capsys.readouterr().err == (
        f"zebjax iterate: {out}: made with other settings (--last-rate is 0.003, now 0.001); "
        "choose another folder, or the same settings\n"
    )


def test_a_folder_from_before_an_option_has_its_default(tmp_path, capsys):
    out = folder_with(tmp_path / "out")
    file = out / "settings.json"
    older = json.loads(file.read_text())
    for name in ("batch", "start", "anew"):
        del older[name]
    file.write_text(json.dumps(older))
    assert iterate.main([str(out), "--batch", "160"]) == 2
    assert "(--batch is 80, now 160)" in capsys.readouterr().err
    assert iterate.main([str(out), "--start", "small"]) == 2
    assert "(--start is none, now " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--start", "smal"], "--start: smal: cannot be read (No such file or directory); expec"),
        (["--start", "small", "--hidden", "64"], "--hidden: expected 128, as --start has, got 64"),
        (["--start", "bundled"], "--start: bundled: cannot be read"),
        (
            ["--start", "imitator"],
            "--start: imitator has no layers of a move; expected a network that has, or fit new ",
        ),
    ],
)
def test_a_network_that_cannot_start_is_refused_before_anything_is_written(
    arguments, sentence, tmp_path, capsys
):
    assert iterate.main([str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"zebjax iterate: {sentence}") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_is_refused_and_kept(tmp_path, capsys):
    out = folder_with(tmp_path / "out", "thesis.txt", ".tmp-mine", settings=False)
    assert iterate.main([str(out)]) == 2
    assert capsys.readouterr().err == (
        f"zebjax iterate: {out}: expected a new or empty folder, or one of `zebjax iterate`, found "
        "thesis.txt in it; choose another folder\n"
    )
    assert sorted(path.name for path in out.iterdir()) == [".tmp-mine", "thesis.txt"]
    file = out / "thesis.txt"
    assert iterate.main([str(file)]) == 2
    assert f": {file}: expected a folder, but {file} is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"rate": 1e-4}, "--rate: expected at least --last-rate (0.003), got 0.0001"),
        ({"last_rate": 0.0}, "--last-rate: expected a positive number, got 0.0"),
        ({"decay": float("nan")}, "--decay: expected 0 or more, got nan"),
        ({"move_second": 6}, "--move-second: expected a multiple of 4 from 4 to 4096, got 6"),
        ({"hidden": 8192}, "--hidden: expected a multiple of 4 from 4 to 4096, got 8192"),
        ({"rounds": 0}, "--rounds: expected at least 1, got 0"),
        ({"games": 79}, "--games: expected at least 80, got 79"),
        ({"batch": 85}, "--batch: expected a multiple of 10, got 85"),
    ],
)
def test_a_wrong_setting_is_named_as_its_option(given, sentence):
    with pytest.raises(ValueError) as refused:
        Settings(**given)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(("earlier", "n_notes"), [([], 1), (ROUNDS[:1], 1), (ROUNDS, 0)])
def test_compiling_is_announced_once_and_only_before_rounds_to_run(
    earlier, n_notes, tmp_path, capsys, monkeypatch
):
    def run(settings, out, threads, on_progress, on_begin, on_round):
        on_begin(earlier)
        return 2

    class Kernel:
        signatures, py_func = (), small_games.play_many.py_func

    monkeypatch.setattr(small_games, "play_many", Kernel())
    monkeypatch.setattr(small_run, "run", run)
    monkeypatch.setattr(cached_code, "folder_of", lambda kernel: tmp_path)  # nothing is cached
    assert iterate.main([str(tmp_path / "out"), "--rounds", "2"]) == 0
    note = "zebjax iterate: compiling the small network, which takes about 90 s; then cached in"
    assert capsys.readouterr().err.count(note) == n_notes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("earlier", [[], ROUNDS])
def test_a_stopped_command_says_that_the_same_one_resumes(
    number, earlier, tmp_path, capsys, monkeypatch
):
    def run(settings, out, threads, on_progress, on_begin, on_round):
        on_begin(earlier)
        signal.raise_signal(number)

    monkeypatch.setattr(small_run, "run", run)
    # In a background job SIGINT is ignored, and this process may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        assert iterate.main([str(tmp_path / "out")]) == 130
        said = f"stopped after round {len(earlier)}; the same command resumes\n"
        assert capsys.readouterr().out.endswith(said)
        assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_log_is_read_up_to_the_finished_rounds(tmp_path):
    small_folder.write_log(tmp_path, ROUNDS)
    assert small_folder.read_log(tmp_path, 2) == ROUNDS
    assert small_folder.read_log(tmp_path, 1) == ROUNDS[:1]  # killed before round 2 was finished
    small_folder.draw(tmp_path, ROUNDS)
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_rounds_of_earlier_versions_are_known_by_their_networks(tmp_path):
    assert small_folder.read_log(tmp_path, 2) == []
    for number, each in enumerate(ROUNDS):
        storage.save(small_folder.network_file(tmp_path, number), net_of_seed(3), each.facts())
    (tmp_path / "round_03.safetensors").write_bytes(b"damaged")
    storage.save(tmp_path / "round_04.safetensors", net_of_seed(3), {"vs_random": "0.5"})
    odd = ROUNDS[0].facts() | {"vs_random": "good"}
    storage.save(tmp_path / "round_05.safetensors", net_of_seed(3), odd)
    assert [each[:4] for each in small_folder.read_log(tmp_path, 3)] == [
        (1, 100, 0.5, 0.02),
        (2, 300, 0.625, 0.0156),
    ]
    small_folder.write_log(tmp_path, ROUNDS[1:])
    assert small_folder.read_log(tmp_path, 3)[1:] == ROUNDS[1:]


def test_a_log_of_a_later_version_is_read(tmp_path):
    small_folder.write_log(tmp_path, ROUNDS[:1])
    with open(tmp_path / small_folder.LOG, "a") as log:
        log.write(json.dumps(ROUNDS[1]._asdict() | {"vs_everybody": [0.5]}) + "\n")
    assert small_folder.read_log(tmp_path, 2) == ROUNDS


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[1]", '{"round": 3}', '{"round": 1, "what": 2}', "\xff"),
        '{"round": 1.5, "games": 1, "vs_random": 0.5, "vs_random_ci95": 0.1}',
        '{"round": 1, "games": 1, "vs_random": NaN, "vs_random_ci95": 0.1}',
        '{"round": 1, "games": 1, "vs_random": 0.5, "vs_random_ci95": 0.1, "seconds": "3"}',
    ],
)
def test_a_damaged_log_is_refused_with_the_way_out(line, tmp_path):
    small_folder.write_log(tmp_path, ROUNDS)
    with open(tmp_path / small_folder.LOG, "a", encoding="latin-1") as log:
        log.write(line)
    with pytest.raises(ValueError, match=r"rounds\.jsonl: damaged; delete it, and the same"):
        small_folder.read_log(tmp_path, 2)
